//! Histograms.

use crate::axis::{Axis, Scale};
use crate::canvas::{Anchor, Canvas, Frame, WIDTH};
use crate::figure::{Figure, PALETTE};
use crate::text::short_number;

/// A histogram of samples in bins of equal width, with named values marked.
///
/// Non-finite samples are left out and counted in the caption.
///
/// # Examples
/// ```
/// use collimate_figures::Histogram;
/// let scores = [0.01, 0.02, 0.02, 0.03, 0.90];
/// let figure = Histogram::new("Induction scores", "All heads.", "score", &scores, 10).mark(0.90, "L5.H1").figure();
/// assert!(figure.svg.contains("L5.H1"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    title: String,
    caption: String,
    label: String,
    samples: Vec<f64>,
    bins: usize,
    marks: Vec<(f64, String)>,
}

impl Histogram {
    /// Returns a histogram of `samples`; `label` names the horizontal axis and its unit.
    pub fn new(
        title: impl Into<String>,
        caption: impl Into<String>,
        label: impl Into<String>,
        samples: &[f64],
        bins: usize,
    ) -> Self {
        Self {
            title: title.into(),
            caption: caption.into(),
            label: label.into(),
            samples: samples.to_vec(),
            bins: bins.max(1),
            marks: Vec::new(),
        }
    }

    /// Adds a vertical line at a named value.
    pub fn mark(mut self, value: f64, name: impl Into<String>) -> Self {
        self.marks.push((value, name.into()));
        self
    }

    /// Draws the histogram.
    pub fn figure(self) -> Figure {
        let finite: Vec<f64> = self.samples.iter().copied().filter(|x| x.is_finite()).collect();
        let marks: Vec<&(f64, String)> = self.marks.iter().filter(|(value, _)| value.is_finite()).collect();
        let (low, high) =
            finite.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &x| (l.min(x), h.max(x)));
        let (low, high) = match low.partial_cmp(&high) {
            Some(std::cmp::Ordering::Less) => (low, high),
            Some(std::cmp::Ordering::Equal) => (low - 0.5, low + 0.5),
            _ => (0.0, 1.0),
        };
        let width = (high - low) / self.bins as f64;
        let mut counts = vec![0u64; self.bins];
        for x in &finite {
            // The largest sample belongs to the last bin.
            counts[(((x - low) / width) as usize).min(self.bins - 1)] += 1;
        }
        let frame =
            Frame { left: 62.0, right: WIDTH - 12.0, top: 10.0 + 15.0 * marks.len() as f64, bottom: 0.0 };
        let frame = Frame { bottom: frame.top + 220.0, ..frame };
        let xs = [low, high].into_iter().chain(marks.iter().map(|(value, _)| *value));
        let x = Axis::over(&self.label, Scale::Linear, xs, (frame.left, frame.right));
        let ys = [0.0].into_iter().chain(counts.iter().map(|&count| count as f64));
        let y = Axis::over("count", Scale::Linear, ys, (frame.bottom, frame.top));
        let mut canvas = Canvas::new(&self.title, frame.bottom + 44.0);
        canvas.axes(frame, &x, &y);
        for (i, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (from, to) = (low + i as f64 * width, low + (i + 1) as f64 * width);
            let (a, b, top) = (x.place(from), x.place(to), y.place(count as f64));
            let tip = format!("{} … {}: {count}", short_number(from), short_number(to));
            canvas.rectangle(a + 0.5, top, b - a - 1.0, frame.bottom - top, PALETTE[0], &tip);
        }
        for (i, (value, name)) in marks.iter().enumerate() {
            let (at, text) = (x.place(*value), 14.0 + 15.0 * i as f64);
            canvas.line((at, text + 3.0), (at, frame.bottom), PALETTE[1], "stroke-width=\"1.6\"");
            let anchor = if at > WIDTH / 2.0 { Anchor::End } else { Anchor::Start };
            canvas.text(at, text, anchor, name);
        }
        let lost = self.samples.len() - finite.len();
        let caption = match lost {
            0 => self.caption,
            1 => format!("{} One sample is not finite and not shown.", self.caption),
            lost => format!("{} {lost} samples are not finite and not shown.", self.caption),
        };
        Figure { title: self.title, caption, svg: canvas.finish() }
    }
}
