//! A small SVG writer, with the frame, axes and legend that all charts share.

use crate::axis::Axis;
use crate::text::{FONT, drawn, number, text_width};
use std::fmt::Write;

/// The width of every picture in pixels; a page scales it.
pub(crate) const WIDTH: f64 = 480.0;

/// An SVG under construction.
pub(crate) struct Canvas {
    body: String,
    title: String,
    height: f64,
}

/// A rectangle of the picture, in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
}

/// The part of a text that is placed at its point.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Canvas {
    pub(crate) fn new(title: &str, height: f64) -> Self {
        Self { body: String::new(), title: drawn(title), height }
    }

    pub(crate) fn finish(self) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-label=\"{title}\" font-family=\"system-ui, sans-serif\" font-size=\"{FONT}\" fill=\"currentColor\">\
             <title>{title}</title>\n{body}</svg>",
            height = number(self.height),
            title = self.title,
            body = self.body
        )
    }

    pub(crate) fn text(&mut self, x: f64, y: f64, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y, text) = (number(x), number(y), drawn(text));
        let _ = writeln!(self.body, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>");
    }

    pub(crate) fn turned_text(&mut self, x: f64, y: f64, degrees: f64, anchor: &str, text: &str) {
        let (x, y, text) = (number(x), number(y), drawn(text));
        let _ = writeln!(
            self.body,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" transform=\"rotate({degrees} {x} {y})\">{text}</text>"
        );
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str, extra: &str) {
        let (x1, y1, x2, y2) = (number(from.0), number(from.1), number(to.0), number(to.1));
        let _ = writeln!(
            self.body,
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"{stroke}\" {extra}/>"
        );
    }

    pub(crate) fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str, tip: &str) {
        let (x, y) = (number(x), number(y));
        let (width, height) = (number(width.max(0.0)), number(height.max(0.0)));
        let tip = if tip.is_empty() { String::new() } else { format!("<title>{}</title>", drawn(tip)) };
        let _ = writeln!(
            self.body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\">{tip}</rect>"
        );
    }

    pub(crate) fn path(&mut self, points: &[(f64, f64)], stroke: &str, extra: &str) {
        let points: Vec<String> =
            points.iter().map(|(x, y)| format!("{} {}", number(*x), number(*y))).collect();
        if points.len() > 1 {
            let d = points.join(" L ");
            let _ = writeln!(
                self.body,
                "<path d=\"M {d}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2\" {extra}/>"
            );
        }
    }

    /// Draws one of six marker shapes, so that colour is never the only difference.
    pub(crate) fn marker(&mut self, shape: usize, x: f64, y: f64, colour: &str, tip: &str) {
        let r = 3.6;
        let corner = |dx: f64, dy: f64| format!("{},{}", number(x + dx * r), number(y + dy * r));
        let polygon = |corners: &[(f64, f64)]| {
            let list: Vec<String> = corners.iter().map(|&(dx, dy)| corner(dx, dy)).collect();
            format!("<polygon points=\"{}\"", list.join(" "))
        };
        let element = match shape % 6 {
            1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
            2 => polygon(&[(0.0, -1.2), (1.15, 0.9), (-1.15, 0.9)]),
            3 => polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
            4 => polygon(&[(0.0, 1.2), (1.15, -0.9), (-1.15, -0.9)]),
            5 => polygon(&[(-1.2, -0.5), (1.2, -0.5), (1.2, 0.5), (-1.2, 0.5)]),
            _ => format!("<circle cx=\"{}\" cy=\"{}\" r=\"{r}\"", number(x), number(y)),
        };
        let tag = if shape.is_multiple_of(6) { "circle" } else { "polygon" };
        let _ = writeln!(self.body, "{element} fill=\"{colour}\"><title>{}</title></{tag}>", drawn(tip));
    }

    /// Draws grid, ticks and labels of both axes.
    pub(crate) fn axes(&mut self, frame: Frame, x: &Axis, y: &Axis) {
        let faint = "stroke-opacity=\"0.18\"";
        for (value, label) in x.ticks() {
            let at = x.place(value);
            self.line((at, frame.top), (at, frame.bottom), "currentColor", faint);
            self.text(at, frame.bottom + 16.0, Anchor::Middle, &label);
        }
        self.vertical_axis(frame, y);
        self.line((frame.left, frame.bottom), (frame.right, frame.bottom), "currentColor", "");
        let middle = (frame.left + frame.right) / 2.0;
        self.text(middle, frame.bottom + 35.0, Anchor::Middle, x.label());
    }

    /// Draws grid, ticks and label of the vertical axis alone.
    pub(crate) fn vertical_axis(&mut self, frame: Frame, y: &Axis) {
        for (value, label) in y.ticks() {
            let at = y.place(value);
            self.line((frame.left, at), (frame.right, at), "currentColor", "stroke-opacity=\"0.18\"");
            self.text(frame.left - 6.0, at + 4.2, Anchor::End, &label);
        }
        self.line((frame.left, frame.top), (frame.left, frame.bottom), "currentColor", "");
        self.turned_text(14.0, (frame.top + frame.bottom) / 2.0, -90.0, "middle", y.label());
    }

    /// Draws a legend, in rows above the frame.
    pub(crate) fn legend(&mut self, entries: &[(String, String)]) {
        for ((name, colour), (i, (x, y))) in
            entries.iter().zip(legend_places(entries).into_iter().enumerate())
        {
            self.marker(i, x, y - 4.5, colour, name);
            self.text(x + 9.0, y, Anchor::Start, name);
        }
    }
}

/// Returns the position of each legend entry, wrapped into rows.
fn legend_places(entries: &[(String, String)]) -> Vec<(f64, f64)> {
    let (mut x, mut y) = (60.0, 16.0);
    let place = |(name, _): &(String, String)| {
        let width = text_width(name) + 30.0;
        if x > 60.0 && x + width > WIDTH {
            (x, y) = (60.0, y + 18.0);
        }
        let here = (x, y);
        x += width;
        here
    };
    entries.iter().map(place).collect()
}

/// Returns the height of the legend in pixels.
pub(crate) fn legend_height(entries: &[(String, String)]) -> f64 {
    legend_places(entries).last().map_or(0.0, |(_, y)| y + 6.0)
}
