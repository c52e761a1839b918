//! Lines and points.

use crate::axis::{Axis, Scale};
use crate::canvas::{Anchor, Canvas, Frame, WIDTH, legend_height};
use crate::figure::{Figure, PALETTE};
use crate::text::{FONT, short_number};

/// A point with an optional vertical error bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The horizontal value.
    pub x: f64,
    /// The vertical value.
    pub y: f64,
    /// The ends of the error bar.
    pub bar: Option<(f64, f64)>,
}

/// A named list of points, drawn with one colour and one marker.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The name in the legend.
    pub name: String,
    /// The points, in the order in which a line joins them.
    pub points: Vec<Point>,
    /// True if a line joins the points.
    pub joined: bool,
    /// True if the line is thin, without markers and dashes. Use it for many similar lines.
    pub plain: bool,
}

impl Series {
    /// Returns points joined by a line.
    pub fn line(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let points = points.into_iter().map(|(x, y)| Point { x, y, bar: None }).collect();
        Self { name: name.into(), points, joined: true, plain: false }
    }

    /// Returns points that no line joins.
    pub fn points(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { joined: false, ..Self::line(name, points) }
    }

    /// Makes the line thin, without markers and dashes.
    pub fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Adds error bars, one `(low, high)` for each point.
    pub fn bars(mut self, bars: impl IntoIterator<Item = (f64, f64)>) -> Self {
        for (point, bar) in self.points.iter_mut().zip(bars) {
            point.bar = Some(bar);
        }
        self
    }
}

/// A chart of lines and points.
///
/// Non-finite points (and points that are not positive on a logarithmic axis) are left out and interrupt the line.
///
/// # Examples
/// ```
/// use collimate_figures::{Chart, Series};
/// let figure = Chart::new("Loss recovered against L0", "Higher and to the left is better.")
///     .axes("L0", "loss recovered")
///     .log_x()
///     .with(Series::line("Gated", [(10.0, 0.80), (100.0, 0.95)]))
///     .reference(1.0, "the model itself")
///     .figure();
/// assert!(figure.svg.starts_with("<svg") && figure.svg.contains("Gated"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    title: String,
    caption: String,
    labels: (String, String),
    scales: (Scale, Scale),
    series: Vec<Series>,
    references: Vec<(f64, String)>,
    equal_units: bool,
}

impl Chart {
    /// Returns an empty chart.
    pub fn new(title: impl Into<String>, caption: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            caption: caption.into(),
            labels: Default::default(),
            scales: Default::default(),
            series: Vec::new(),
            references: Vec::new(),
            equal_units: false,
        }
    }

    /// Labels the axes, with units.
    pub fn axes(mut self, x: impl Into<String>, y: impl Into<String>) -> Self {
        self.labels = (x.into(), y.into());
        self
    }

    /// Makes the horizontal axis logarithmic.
    pub fn log_x(mut self) -> Self {
        self.scales.0 = Scale::Log;
        self
    }

    /// Makes the vertical axis logarithmic.
    pub fn log_y(mut self) -> Self {
        self.scales.1 = Scale::Log;
        self
    }

    /// Gives both axes the same length per unit, so that angles are true. Both axes must be linear.
    pub fn equal_units(mut self) -> Self {
        self.equal_units = true;
        self
    }

    /// Adds a series.
    pub fn with(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// Adds a named horizontal line at a reference value.
    pub fn reference(mut self, y: f64, name: impl Into<String>) -> Self {
        self.references.push((y, name.into()));
        self
    }

    /// Draws the chart.
    pub fn figure(self) -> Figure {
        let named = self.series.iter().any(|series| !series.name.is_empty());
        let entries: Vec<(String, String)> = match named {
            true => {
                self.series.iter().enumerate().map(|(i, s)| (s.name.clone(), colour(i).to_owned())).collect()
            }
            false => Vec::new(),
        };
        // Names of references stand above their lines, so the highest one needs room.
        let top = legend_height(&entries) + if self.references.is_empty() { 12.0 } else { 22.0 };
        let mut frame = Frame { left: 62.0, right: WIDTH - 12.0, top, bottom: top + 250.0 };
        let points = || self.shown_points();
        let [more_x, more_y] = if self.equal_units { frame.equal_units(points) } else { Default::default() };
        let heights = points()
            .flat_map(|p| [p.y].into_iter().chain(p.bar.map(|b| [b.0, b.1]).into_iter().flatten()))
            .chain(self.references.iter().map(|(y, _)| *y))
            .chain(more_y);
        let across = points().map(|p| p.x).chain(more_x);
        let x = Axis::over(&self.labels.0, self.scales.0, across, (frame.left, frame.right));
        let y = Axis::over(&self.labels.1, self.scales.1, heights, (frame.bottom, frame.top));
        let mut canvas = Canvas::new(&self.title, frame.bottom + 44.0);
        canvas.legend(&entries);
        canvas.axes(frame, &x, &y);
        self.draw_references(&mut canvas, frame, &x, &y);
        for (i, series) in self.series.iter().enumerate() {
            self.draw_series(&mut canvas, &x, &y, i, series);
        }
        Figure { title: self.title, caption: self.caption, svg: canvas.finish() }
    }

    /// Returns true if both axes can show a point.
    fn shows(&self, point: &Point) -> bool {
        self.scales.0.shows(point.x) && self.scales.1.shows(point.y)
    }

    fn shown_points(&self) -> impl Iterator<Item = &Point> {
        self.series.iter().flat_map(|series| &series.points).filter(|point| self.shows(point))
    }

    /// Draws the reference lines, each with its name at the end that has fewer points in the way.
    fn draw_references(&self, canvas: &mut Canvas, frame: Frame, x: &Axis, y: &Axis) {
        let mut names = Vec::new();
        for (value, name) in self.references.iter().filter(|(value, _)| self.scales.1.shows(*value)) {
            let at = y.place(*value);
            let dashes = "stroke-dasharray=\"6 4\" stroke-opacity=\"0.8\"";
            canvas.line((frame.left, at), (frame.right, at), "currentColor", dashes);
            let crowd = |left: bool| {
                let near = |p: &&Point| (at - 20.0..at + 4.0).contains(&y.place(p.y));
                self.shown_points().filter(near).filter(|p| (x.place(p.x) < WIDTH / 2.0) == left).count()
            };
            let taken = |left: bool| {
                names.iter().any(|&(side, y): &(bool, f64)| side == left && (y - at).abs() < 1.2 * FONT)
            };
            let left = crowd(true) < crowd(false);
            // A name that would cover another one is left out.
            let Some(left) = [left, !left].into_iter().find(|&left| !taken(left)) else { continue };
            if !name.is_empty() {
                names.push((left, at));
            }
            if left {
                canvas.text(frame.left + 4.0, at - 5.0, Anchor::Start, name);
            } else {
                canvas.text(frame.right - 3.0, at - 5.0, Anchor::End, name);
            }
        }
    }

    /// Draws series number `i`: its line, its error bars and its markers.
    fn draw_series(&self, canvas: &mut Canvas, x: &Axis, y: &Axis, i: usize, series: &Series) {
        let place = |p: &Point| (x.place(p.x), y.place(p.y));
        if series.joined {
            for run in series.points.split(|p| !self.shows(p)) {
                let extra = if series.plain { THIN } else { DASHES[i % DASHES.len()] };
                canvas.path(&run.iter().map(place).collect::<Vec<_>>(), colour(i), extra);
            }
        }
        for point in series.points.iter().filter(|point| self.shows(point)) {
            let (px, py) = place(point);
            let bar = point.bar.filter(|b| self.scales.1.shows(b.0) && self.scales.1.shows(b.1));
            if let Some((low, high)) = bar {
                let (a, b) = (y.place(low), y.place(high));
                canvas.line((px, a), (px, b), colour(i), "stroke-width=\"1.6\"");
                for end in [a, b] {
                    canvas.line((px - 3.5, end), (px + 3.5, end), colour(i), "stroke-width=\"1.6\"");
                }
            }
            // Long lines need no marker at each point.
            if !series.joined || (series.points.len() <= 60 && !series.plain) {
                let tip = format!("{} ({}, {})", series.name, short_number(point.x), short_number(point.y));
                canvas.marker(i, px, py, colour(i), &tip);
            }
        }
    }
}

fn colour(series: usize) -> &'static str {
    PALETTE[series % PALETTE.len()]
}

impl Frame {
    /// Sets the height that the points need at equal units. Returns further values that the two axes must include for that.
    fn equal_units<'a, I: Iterator<Item = &'a Point>>(&mut self, points: impl Fn() -> I) -> [Vec<f64>; 2] {
        let range = |value: fn(&Point) -> f64| {
            points().map(value).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
        };
        let (x, y) = (range(|p| p.x), range(|p| p.y));
        if points().next().is_none() || (x.1 <= x.0 && y.1 <= y.0) {
            return Default::default();
        }
        let width = self.right - self.left;
        let height = (width * (y.1 - y.0) / (x.1 - x.0)).clamp(110.0, 340.0);
        self.bottom = self.top + height;
        let unit = ((x.1 - x.0) / width).max((y.1 - y.0) / height);
        let around = |(low, high): (f64, f64), pixels: f64| {
            let (centre, half) = (0.5 * (low + high), 0.5 * unit * pixels);
            vec![centre - half, centre + half]
        };
        [around(x, width), around(y, height)]
    }
}

/// The style of one of many similar lines.
const THIN: &str = "style=\"stroke-width:1.2\" stroke-opacity=\"0.55\"";

/// Line patterns, so that colour is never the only difference.
const DASHES: [&str; 3] = ["", "stroke-dasharray=\"7 3\"", "stroke-dasharray=\"2 3\""];

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn with_equal_units_a_square_is_a_square() {
        let corners = [(-1.0, -1.0), (1.0, 1.0)];
        let svg = Chart::new("", "").with(Series::points("", corners)).equal_units().figure().svg;
        let read = |name: &str| -> Vec<f64> {
            svg.split(&format!("{name}=\""))
                .skip(1)
                .map(|s| s.split('"').next().unwrap().parse().unwrap())
                .collect()
        };
        let (x, y) = (read("cx"), read("cy"));
        // Coordinates have two decimals, so each of the four is off by 0.005 at most.
        assert_abs_diff_eq!(x[1] - x[0], y[0] - y[1], epsilon = 0.03);
        assert!(x[1] - x[0] > 250.0, "{x:?}");
        // A chart without points, or with one, is still a picture.
        for few in [vec![], vec![(1.0, 2.0)]] {
            assert!(
                Chart::new("", "")
                    .with(Series::points("", few))
                    .equal_units()
                    .figure()
                    .svg
                    .starts_with("<svg")
            );
        }
    }
}
