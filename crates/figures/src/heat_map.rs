//! Heat maps.

use crate::axis::cell_marks;
use crate::canvas::{Anchor, Canvas, Frame, WIDTH};
use crate::figure::Figure;
use crate::text::{number, short_number};
use ndarray::Array2;

/// A matrix as coloured cells: blue for negative, white-grey for zero, orange for positive.
///
/// # Shapes
/// `values` `[rows, columns]`; the first row is drawn at the top.
///
/// # Examples
/// ```
/// use collimate_figures::HeatMap;
/// use ndarray::array;
/// let figure = HeatMap::new("WᵀW", "Two features share a dimension.", array![[1.0, -1.0], [-1.0, 1.0]])
///     .axes("feature", "feature")
///     .figure();
/// assert!(figure.svg.matches("<rect").count() >= 4);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    title: String,
    caption: String,
    labels: (String, String),
    values: Array2<f64>,
    marks: Option<(Vec<f64>, Vec<f64>)>,
}

impl HeatMap {
    /// Returns a heat map of `values`.
    pub fn new(title: impl Into<String>, caption: impl Into<String>, values: Array2<f64>) -> Self {
        Self { title: title.into(), caption: caption.into(), labels: Default::default(), values, marks: None }
    }

    /// Labels the columns and the rows.
    pub fn axes(mut self, columns: impl Into<String>, rows: impl Into<String>) -> Self {
        self.labels = (columns.into(), rows.into());
        self
    }

    /// Marks the axes at round values and no longer at indices. `columns` holds the value of each column, `rows` the value of each
    /// row from the bottom up, both ascending. The last row of the matrix then has the lowest value.
    pub fn at(mut self, columns: &[f64], rows: &[f64]) -> Self {
        self.marks = Some((columns.to_vec(), rows.to_vec()));
        self
    }

    /// Draws the heat map.
    pub fn figure(self) -> Figure {
        let (rows, columns) = self.values.dim();
        let largest = self.values.iter().filter(|v| v.is_finite()).fold(0.0, |m: f64, v| m.max(v.abs()));
        let largest = if largest > 0.0 { largest } else { 1.0 };
        let left = 62.0;
        let cell = ((WIDTH - left - 70.0) / columns.max(1) as f64).min(360.0 / rows.max(1) as f64);
        let (width, height) = (cell * columns as f64, cell * rows as f64);
        let frame = Frame { left, right: left + width, top: 8.0, bottom: 8.0 + height };
        let bottom = frame.bottom.max(frame.top + 120.0);
        let mut canvas = Canvas::new(&self.title, bottom + 44.0);
        for ((i, j), &value) in self.values.indexed_iter() {
            let (x, y) = (left + j as f64 * cell, frame.top + i as f64 * cell);
            let tip = format!("({i}, {j}): {}", short_number(value));
            // Cells overlap by a fraction of a pixel; otherwise seams show between them.
            canvas.rectangle(x, y, cell + 0.3, cell + 0.3, &colour(value / largest), &tip);
        }
        let indices = |count| marked(count).map(|i| (i as f64, i.to_string())).collect();
        let (across, down): (Vec<_>, Vec<_>) = match &self.marks {
            None => (indices(columns), indices(rows)),
            Some((x, y)) => {
                let last = y.len().saturating_sub(1) as f64;
                let down = cell_marks(y, f64::INFINITY).into_iter().map(|(cell, label)| (last - cell, label));
                (cell_marks(x, width), down.collect())
            }
        };
        for (i, label) in down {
            canvas.text(left - 6.0, frame.top + (i + 0.5) * cell + 4.2, Anchor::End, &label);
        }
        for (j, label) in across {
            canvas.text(left + (j + 0.5) * cell, frame.bottom + 16.0, Anchor::Middle, &label);
        }
        canvas.text((frame.left + frame.right) / 2.0, frame.bottom + 35.0, Anchor::Middle, &self.labels.0);
        canvas.turned_text(14.0, (frame.top + frame.bottom) / 2.0, -90.0, "middle", &self.labels.1);
        let (bar, steps) = (frame.right + 16.0, 24);
        let tall = (bottom - frame.top) / f64::from(steps);
        for step in 0..steps {
            let value = 1.0 - 2.0 * (f64::from(step) + 0.5) / f64::from(steps);
            canvas.rectangle(bar, frame.top + f64::from(step) * tall, 12.0, tall + 0.3, &colour(value), "");
        }
        for (share, value) in [(0.0, largest), (0.5, 0.0), (1.0, -largest)] {
            let at = frame.top + share * (bottom - frame.top);
            canvas.text(bar + 16.0, at + 9.0 - share * 9.0, Anchor::Start, &few_digits(value));
        }
        Figure { title: self.title, caption: self.caption, svg: canvas.finish() }
    }
}

/// Returns a number that fits beside the colour scale.
fn few_digits(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (0.1..1000.0).contains(&size) { number(value) } else { format!("{value:.1e}") }
}

/// Returns the indices to label, about ten at most.
fn marked(count: usize) -> impl Iterator<Item = usize> {
    (0..count).step_by(count.div_ceil(10).max(1))
}

/// Returns the colour of a value in [−1, 1]: blue to light grey to orange. A non-finite value is magenta.
fn colour(value: f64) -> String {
    if !value.is_finite() {
        return "#ff00ff".to_owned();
    }
    let (zero, end) =
        ([242.0, 242.0, 240.0], if value < 0.0 { [5.0, 84.0, 155.0] } else { [200.0, 80.0, 0.0] });
    let mix = |k: usize| (zero[k] + (end[k] - zero[k]) * value.abs().min(1.0)).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}
