//! Maps of named regions.

use crate::axis::cell_marks;
use crate::canvas::{Anchor, Canvas, Frame, WIDTH};
use crate::figure::Figure;
use crate::text::text_width;
use ndarray::Array2;

/// The named region of each cell of a plane, for one or several maps over the same axes, side by side.
///
/// # Examples
/// ```
/// use collimate_figures::RegionMap;
/// use ndarray::array;
/// let figure = RegionMap::new("Phases", "Where the features share a dimension.", &["alone", "shared"])
///     .columns("importance", &[0.1, 1.0, 10.0])
///     .rows("density", &[0.1, 1.0])
///     .panel("canonical", array![[0, 1, 0], [0, 0, 0]])
///     .figure();
/// assert!(figure.svg.contains("shared") && figure.svg.contains("canonical"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RegionMap {
    title: String,
    caption: String,
    names: Vec<String>,
    columns: (String, Vec<f64>),
    rows: (String, Vec<f64>),
    panels: Vec<(String, Array2<usize>)>,
}

/// Grey and colours that differ in lightness too; after the last, they repeat.
const COLOURS: [&str; 6] = ["#b9b9b3", "#0b7cc0", "#e08a1e", "#cc79a7", "#5b4b8a", "#009e73"];
const LEFT: f64 = 62.0;
const BETWEEN: f64 = 28.0;

impl RegionMap {
    /// Returns a figure without maps; the cells of a map hold indices into `names`.
    pub fn new(title: impl Into<String>, caption: impl Into<String>, names: &[&str]) -> Self {
        Self {
            title: title.into(),
            caption: caption.into(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            columns: Default::default(),
            rows: Default::default(),
            panels: Vec::new(),
        }
    }

    /// Labels the columns and gives the value of each.
    pub fn columns(mut self, label: impl Into<String>, values: &[f64]) -> Self {
        self.columns = (label.into(), values.to_vec());
        self
    }

    /// Labels the rows and gives the value of each; the first row is drawn at the bottom.
    pub fn rows(mut self, label: impl Into<String>, values: &[f64]) -> Self {
        self.rows = (label.into(), values.to_vec());
        self
    }

    /// Adds a map `[rows, columns]`.
    pub fn panel(mut self, name: impl Into<String>, regions: Array2<usize>) -> Self {
        self.panels.push((name.into(), regions));
        self
    }

    /// Draws the maps.
    pub fn figure(self) -> Figure {
        let count = self.panels.len().max(1) as f64;
        let width = (WIDTH - LEFT - 14.0 - BETWEEN * (count - 1.0)) / count;
        let entries: Vec<usize> = (0..self.names.len())
            .filter(|region| self.panels.iter().any(|(_, cells)| cells.iter().any(|c| c == region)))
            .collect();
        let places = self.legend_places(&entries);
        let top = places.last().map_or(0.0, |(_, y)| y + 8.0) + 18.0;
        let frame = Frame { left: LEFT, right: WIDTH - 14.0, top, bottom: top + (1.6 * width).min(260.0) };
        let mut canvas = Canvas::new(&self.title, frame.bottom + 44.0);
        for (&region, &(x, y)) in entries.iter().zip(&places) {
            canvas.rectangle(x, y - 10.0, 12.0, 12.0, colour(region), "");
            canvas.text(x + 17.0, y, Anchor::Start, &self.names[region]);
        }
        for (number, (name, cells)) in self.panels.iter().enumerate() {
            let left = LEFT + number as f64 * (width + BETWEEN);
            let panel = Frame { left, right: left + width, ..frame };
            canvas.text(left + width / 2.0, top - 6.0, Anchor::Middle, name);
            self.cells(&mut canvas, panel, cells);
            self.marks(&mut canvas, panel, number == 0);
        }
        let middle = (frame.left + frame.right) / 2.0;
        canvas.text(middle, frame.bottom + 35.0, Anchor::Middle, &self.columns.0);
        canvas.turned_text(14.0, (frame.top + frame.bottom) / 2.0, -90.0, "middle", &self.rows.0);
        Figure { title: self.title, caption: self.caption, svg: canvas.finish() }
    }

    /// Returns the position of each legend entry, wrapped into rows.
    fn legend_places(&self, entries: &[usize]) -> Vec<(f64, f64)> {
        let (mut x, mut y) = (LEFT, 16.0);
        let place = |&region: &usize| {
            let width = text_width(&self.names[region]) + 34.0;
            if x > LEFT && x + width > WIDTH {
                (x, y) = (LEFT, y + 18.0);
            }
            let here = (x, y);
            x += width;
            here
        };
        entries.iter().map(place).collect()
    }

    /// Draws one rectangle for each run of equal cells in a row.
    fn cells(&self, canvas: &mut Canvas, frame: Frame, cells: &Array2<usize>) {
        let (rows, columns) = cells.dim();
        let (wide, tall) = (
            (frame.right - frame.left) / columns.max(1) as f64,
            (frame.bottom - frame.top) / rows.max(1) as f64,
        );
        for (i, row) in cells.rows().into_iter().enumerate() {
            let y = frame.bottom - (i + 1) as f64 * tall;
            let mut from = 0;
            while from < columns {
                let region = row[from];
                let run = row.iter().skip(from).take_while(|&&c| c == region).count();
                let name = self.names.get(region).map_or("unnamed", String::as_str);
                // Each row overlaps the one below by a pixel; otherwise seams show between them.
                let (x, across) = (frame.left + from as f64 * wide, run as f64 * wide);
                canvas.rectangle(x, y, across, tall + if i > 0 { 1.0 } else { 0.0 }, colour(region), name);
                from += run;
            }
        }
    }

    /// Draws round values along both axes; the rows are labelled at the first map only.
    fn marks(&self, canvas: &mut Canvas, frame: Frame, first: bool) {
        let wide = (frame.right - frame.left) / self.columns.1.len().max(1) as f64;
        for (cell, label) in cell_marks(&self.columns.1, frame.right - frame.left) {
            let x = frame.left + (cell + 0.5) * wide;
            canvas.line((x, frame.bottom), (x, frame.bottom + 4.0), "currentColor", "");
            canvas.text(x, frame.bottom + 17.0, Anchor::Middle, &label);
        }
        let tall = (frame.bottom - frame.top) / self.rows.1.len().max(1) as f64;
        for (cell, label) in cell_marks(&self.rows.1, f64::INFINITY) {
            let y = frame.bottom - (cell + 0.5) * tall;
            canvas.line((frame.left - 4.0, y), (frame.left, y), "currentColor", "");
            if first {
                canvas.text(frame.left - 7.0, y + 4.2, Anchor::End, &label);
            }
        }
    }
}

fn colour(region: usize) -> &'static str {
    COLOURS[region % COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_named_once_and_rows_grow_upwards() {
        let values = [0.01, 0.1, 1.0];
        let mut cells = Array2::zeros((3, 3));
        cells[[2, 1]] = 1;
        let svg = RegionMap::new("", "", &["alone", "shared", "never"])
            .columns("importance", &[2.0, 20.0, 200.0])
            .rows("density", &values)
            .panel("one", cells.clone())
            .panel("two", cells)
            .figure()
            .svg;
        assert!(!svg.contains("never"), "the legend holds only regions that occur");
        // Two rows of one run and one of three, twice, and two squares of the legend.
        assert_eq!(svg.matches("<rect").count(), 2 * 5 + 2);
        let y = |text: &str| -> f64 {
            let line = svg.lines().find(|line| line.ends_with(&format!(">{text}</text>"))).unwrap();
            line.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
        };
        assert!(y("0.01") > y("0.1"), "{svg}");
        let shared = svg.lines().find(|line| line.contains("<title>shared</title>")).unwrap();
        let alone = svg.lines().find(|line| line.contains("<title>alone</title>")).unwrap();
        let top = |line: &str| {
            line.split(" y=\"").nth(1).unwrap().split('"').next().unwrap().parse::<f64>().unwrap()
        };
        assert!(top(shared) < top(alone), "the last row is the highest");
    }

    #[test]
    fn a_map_without_regions_is_still_a_picture() {
        assert!(RegionMap::new("", "", &[]).figure().svg.ends_with("</svg>"));
        let odd = RegionMap::new("", "", &["a"]).panel("", ndarray::array![[5]]).figure();
        assert!(odd.svg.contains("unnamed"));
    }
}
