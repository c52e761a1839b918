//! Scales and ticks.

use crate::text::text_width;

/// The way an axis spaces its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scale {
    /// A linear axis.
    #[default]
    Linear,
    /// A logarithmic axis. Values that are not positive are left out.
    Log,
}

/// One axis of a chart: a range of values and the range of pixels that shows it.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    label: String,
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Returns true if the axis can show `value`.
    pub(crate) fn shows(self, value: f64) -> bool {
        value.is_finite() && (self == Self::Linear || value > 0.0)
    }

    fn forward(self, value: f64) -> f64 {
        if self == Self::Log { value.log10() } else { value }
    }
}

impl Axis {
    /// Returns an axis from one pixel to another that shows all values and a small margin.
    pub(crate) fn over(
        label: &str,
        scale: Scale,
        values: impl Iterator<Item = f64>,
        pixels: (f64, f64),
    ) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|&value| scale.shows(value)) {
            low = low.min(scale.forward(value));
            high = high.max(scale.forward(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let room = if high > low { 0.04 * (high - low) } else { 0.5 * low.abs().max(1.0) };
        // An axis that starts at zero stays there.
        let bottom = if scale == Scale::Linear && low == 0.0 && high > 0.0 { 0.0 } else { low - room };
        Self { label: label.to_owned(), scale, low: bottom, high: high + room, from: pixels.0, to: pixels.1 }
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Returns the pixel of a value.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let share = (self.scale.forward(value) - self.low) / (self.high - self.low);
        self.from + share * (self.to - self.from)
    }

    /// Returns round values inside the range, with their labels.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => linear(self.low, self.high),
            Scale::Log => logarithmic(self.low, self.high),
        }
    }
}

/// Returns tick marks for a row of cells with ascending values: each round value with its position in cells from the centre of the
/// first. Keeps only the marks that fit into `pixels`.
pub(crate) fn cell_marks(values: &[f64], pixels: f64) -> Vec<(f64, String)> {
    let [low, .., high] = *values else {
        return values.iter().map(|value| (0.0, format!("{value}"))).collect();
    };
    let log = low > 0.0;
    let scale = |value: f64| if log { value.log10() } else { value };
    let ticks = if log { logarithmic(low.log10(), high.log10()) } else { linear(low, high) };
    let place = |value: f64| {
        let above = values.iter().position(|&v| v >= value).unwrap_or(values.len() - 1).max(1);
        let (a, b) = (scale(values[above - 1]), scale(values[above]));
        let share = if b > a { (scale(value) - a) / (b - a) } else { 0.0 };
        (above - 1) as f64 + share.clamp(0.0, 1.0)
    };
    let room = |ticks: &[(f64, String)]| ticks.iter().map(|(_, label)| text_width(label) + 6.0).sum::<f64>();
    let crowded = room(&ticks) > pixels;
    let whole = |value: f64| !crowded || !log || (value.log10() - value.log10().round()).abs() < 1e-9;
    ticks.into_iter().filter(|(value, _)| whole(*value)).map(|(value, label)| (place(value), label)).collect()
}

fn linear(low: f64, high: f64) -> Vec<(f64, String)> {
    let rough = (high - low) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 2.5, 5.0, 10.0].map(|m| m * power).into_iter().find(|&s| s >= rough).unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    // All labels of an axis have the number of decimals that its step needs.
    let decimals = (0..=9).find(|&d| {
        let scaled = step * 10f64.powi(d);
        (scaled - scaled.round()).abs() < 1e-6 * scaled
    });
    let label = |value: f64| match decimals {
        Some(d) if high.abs().max(low.abs()) < 1e6 => format!("{value:.*}", d as usize),
        _ => format!("{value:.2e}"),
    };
    (first..=last).map(|i| i as f64 * step).map(|value| (value, label(value).replace('-', "−"))).collect()
}

fn logarithmic(low: f64, high: f64) -> Vec<(f64, String)> {
    let decades = high - low;
    let marks: &[f64] = if decades > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let every = ((decades / 6.0).ceil() as i64).max(1);
    let mut out = Vec::new();
    for power in (low.floor() as i64)..=(high.ceil() as i64) {
        for &mark in marks {
            let value = mark * 10f64.powi(power as i32);
            let inside = (low - 1e-9..=high + 1e-9).contains(&value.log10());
            if inside && (mark != 1.0 || power.rem_euclid(every) == 0) {
                let plain = (-3..=5).contains(&power);
                let text = if plain { format!("{value}") } else { format!("{mark}e{power}") };
                let places = (-power).max(0) as usize;
                let text = if plain && text.len() > 9 { format!("{value:.places$}") } else { text };
                out.push((value, text));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let labels = |ticks: Vec<(f64, String)>| ticks.into_iter().map(|(_, l)| l).collect::<Vec<_>>();
        assert_eq!(labels(linear(0.0, 1.04)), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(labels(linear(-2.0, 2.0)), ["−2", "−1", "0", "1", "2"]);
        assert_eq!(labels(logarithmic(0.0, 2.0)), ["1", "2", "5", "10", "20", "50", "100"]);
        assert_eq!(labels(logarithmic(-3.0, 0.0)), ["0.001", "0.01", "0.1", "1"]);
    }

    #[test]
    fn cells_are_marked_at_round_values() {
        let values: Vec<f64> = (0..5).map(|i| 0.1 * 10f64.powf(f64::from(i) / 2.0)).collect();
        let marks = cell_marks(&values, 60.0);
        assert_eq!(marks.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>(), ["0.1", "1", "10"]);
        assert!(
            marks.iter().zip([0.0, 2.0, 4.0]).all(|((cell, _), at)| (cell - at).abs() < 1e-6),
            "{marks:?}"
        );
        assert_eq!(cell_marks(&values, 500.0).len(), 7);
        assert_eq!(cell_marks(&[], 9.0), []);
        assert_eq!(cell_marks(&[2.5], 9.0), [(0.0, "2.5".to_owned())]);
    }

    #[test]
    fn one_value_or_no_value_gives_an_axis() {
        for values in [vec![], vec![3.0], vec![0.0], vec![f64::NAN]] {
            let axis = Axis::over("x", Scale::Linear, values.into_iter(), (0.0, 100.0));
            assert!(!axis.ticks().is_empty());
            assert!(axis.place(0.5).is_finite());
        }
    }
}
