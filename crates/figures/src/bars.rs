//! Bars for named values.

use crate::axis::{Axis, Scale};
use crate::canvas::{Anchor, Canvas, Frame, WIDTH};
use crate::figure::{Figure, PALETTE};
use crate::text::{FONT, short_number, text_width};

/// Horizontal bars, one for each name, with optional error bars.
///
/// # Examples
/// ```
/// use collimate_figures::Bars;
/// let figure = Bars::new("Accuracy", "Part of speech on held-out documents.", "share of tokens")
///     .with("five latents", 0.71, Some((0.69, 0.73)))
///     .with("most frequent tag", 0.42, None)
///     .figure();
/// assert!(figure.svg.contains("five latents"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    title: String,
    caption: String,
    label: String,
    bars: Vec<(String, f64, Option<(f64, f64)>)>,
}

impl Bars {
    /// Returns a chart without bars; `label` names the axis and its unit.
    pub fn new(title: impl Into<String>, caption: impl Into<String>, label: impl Into<String>) -> Self {
        Self { title: title.into(), caption: caption.into(), label: label.into(), bars: Vec::new() }
    }

    /// Adds a bar and the ends of its error bar.
    pub fn with(mut self, name: impl Into<String>, value: f64, error: Option<(f64, f64)>) -> Self {
        self.bars.push((name.into(), value, error));
        self
    }

    /// Draws the chart.
    pub fn figure(self) -> Figure {
        let longest = self.bars.iter().map(|(name, ..)| text_width(name)).fold(0.0, f64::max);
        let left = (longest + 16.0).clamp(60.0, WIDTH * 0.5);
        let row = 26.0;
        let frame =
            Frame { left, right: WIDTH - 52.0, top: 8.0, bottom: 8.0 + row * self.bars.len().max(1) as f64 };
        let values = self.bars.iter().flat_map(|(_, value, error)| {
            [0.0, *value].into_iter().chain(error.map(|e| [e.0, e.1]).into_iter().flatten())
        });
        let x = Axis::over(&self.label, Scale::Linear, values, (frame.left, frame.right));
        let mut canvas = Canvas::new(&self.title, frame.bottom + 44.0);
        for (value, label) in x.ticks() {
            let at = x.place(value);
            canvas.line((at, frame.top), (at, frame.bottom), "currentColor", "stroke-opacity=\"0.18\"");
            canvas.text(at, frame.bottom + 16.0, Anchor::Middle, &label);
        }
        canvas.text((frame.left + frame.right) / 2.0, frame.bottom + 35.0, Anchor::Middle, x.label());
        for (i, (name, value, error)) in self.bars.iter().enumerate() {
            let middle = frame.top + row * (i as f64 + 0.5);
            let fits = ((left - 10.0) / (FONT * 0.56)) as usize;
            let shown: String = if name.chars().count() > fits {
                name.chars().take(fits.saturating_sub(1)).chain(['…']).collect()
            } else {
                name.clone()
            };
            canvas.text(left - 6.0, middle + 4.2, Anchor::End, &shown);
            if !value.is_finite() {
                canvas.text(x.place(0.0) + 4.0, middle + 4.2, Anchor::Start, "not finite");
                continue;
            }
            let (a, b) = (x.place(0.0), x.place(*value));
            let text = short_number(*value);
            canvas.rectangle(
                a.min(b),
                middle - 8.0,
                (b - a).abs(),
                16.0,
                PALETTE[0],
                &format!("{name}: {text}"),
            );
            let mut end = a.max(b);
            if let Some((low, high)) = error.filter(|e| e.0.is_finite() && e.1.is_finite()) {
                let (low, high) = (x.place(low), x.place(high));
                canvas.line((low, middle), (high, middle), "currentColor", "stroke-width=\"1.6\"");
                for at in [low, high] {
                    canvas.line(
                        (at, middle - 4.0),
                        (at, middle + 4.0),
                        "currentColor",
                        "stroke-width=\"1.6\"",
                    );
                }
                end = end.max(high);
            }
            canvas.text(end + 5.0, middle + 4.2, Anchor::Start, &text);
        }
        let zero = x.place(0.0);
        canvas.line((zero, frame.top), (zero, frame.bottom), "currentColor", "");
        Figure { title: self.title, caption: self.caption, svg: canvas.finish() }
    }
}
