use crate::error::MeasureError;
use crate::fingerprint::Fingerprint;
use crate::interval::Interval;
use crate::moments::Moments;
use std::fmt;

/// The unit of a measured number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// A pure number: a ratio, a cosine, a coefficient.
    One,
    /// A fraction of a whole; 1 is the whole.
    Fraction,
    /// Information, by the natural logarithm.
    Nats,
    /// Time in seconds.
    Seconds,
    /// A number of things, named in the plural.
    Count(&'static str),
    /// The unit of the activations.
    Activation,
    /// The square of the unit of the activations.
    ActivationSquared,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::One | Unit::Fraction => "",
            Unit::Nats => "nats",
            Unit::Seconds => "s",
            Unit::Count(things) => things,
            Unit::Activation => "activation units",
            Unit::ActivationSquared => "activation units²",
        })
    }
}

/// A property that can be measured, with one name, one definition and one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quantity {
    /// The name used in the field, for example `explained variance (global)`.
    pub name: &'static str,
    /// The definition of this name.
    pub definition: &'static str,
    /// The unit of its values.
    pub unit: Unit,
}

/// A measured number with its definition, unit, uncertainty and object.
///
/// Its printed form is one line: name, value ± standard error, unit, sample size and definition. A value that is NaN is printed as
/// "undefined": its definition divides by zero on these data.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// The measured quantity.
    pub quantity: Quantity,
    /// The number, in the unit of the quantity.
    pub value: f64,
    /// The standard error in the unit of the value. `None` for an exact number, or if no error is known.
    pub standard_error: Option<f64>,
    /// The number of independent samples.
    pub n: u64,
    /// The quantity that the number estimates, if it differs from the definition, for example
    /// `the tempered expectation at fixed data`. Empty otherwise.
    pub estimand: String,
    /// The fingerprint of the object and the data.
    pub object: Fingerprint,
}

impl Measurement {
    /// Returns a number without sampling error, which was computed and not estimated.
    pub fn exact(quantity: &Quantity, value: f64, object: Fingerprint) -> Self {
        Self { quantity: *quantity, value, standard_error: None, n: 1, estimand: String::new(), object }
    }

    /// Returns the mean of independent samples with the standard error s/√n (`None` for a single sample).
    ///
    /// # Errors
    /// [`MeasureError::Empty`] without samples; [`MeasureError::NonFinite`] if a sample is NaN or infinite.
    pub fn mean(quantity: &Quantity, samples: &Moments, object: Fingerprint) -> Result<Self, MeasureError> {
        samples.check(quantity.name)?;
        Ok(Self {
            quantity: *quantity,
            value: samples.mean(),
            standard_error: (samples.count() > 1).then(|| samples.standard_error()),
            n: samples.count(),
            estimand: String::new(),
            object,
        })
    }

    /// Returns a number with a standard error that the caller computed.
    pub fn estimate(quantity: &Quantity, value: f64, error: f64, n: u64, object: Fingerprint) -> Self {
        Self { quantity: *quantity, value, standard_error: Some(error), n, estimand: String::new(), object }
    }

    /// Sets the estimand, in words.
    #[must_use]
    pub fn estimating(mut self, estimand: impl Into<String>) -> Self {
        self.estimand = estimand.into();
        self
    }

    /// Returns the normal-theory interval `value ± z·error` at the given confidence; `None` without a standard error.
    ///
    /// # Errors
    /// [`MeasureError::OutOfRange`] unless `0 < confidence < 1`.
    pub fn interval(&self, confidence: f64) -> Result<Option<Interval>, MeasureError> {
        self.standard_error.map(|error| Interval::normal(self.value, error, confidence)).transpose()
    }
}

impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.quantity.unit.to_string();
        let space = if unit.is_empty() { "" } else { " " };
        write!(f, "{} = ", self.quantity.name)?;
        match self.standard_error.filter(|_| !self.value.is_nan()) {
            Some(error) if error > 0.0 && error.is_finite() => {
                // The value is printed to the decimal place of the second figure of its error.
                let places = (1 - error.log10().floor() as i32).clamp(0, 12) as usize;
                write!(f, "{:.places$} ± {:.places$}", self.value, error)?;
            }
            Some(error) => write!(f, "{} ± {}", significant(self.value), significant(error))?,
            None => write!(f, "{}", significant(self.value))?,
        }
        write!(f, "{space}{unit} (n = {}; {}", self.n, self.quantity.definition)?;
        if !self.estimand.is_empty() {
            write!(f, "; estimates {}", self.estimand)?;
        }
        f.write_str(")")
    }
}

/// Returns a number in six significant figures without trailing zeros; NaN is "undefined".
fn significant(x: f64) -> String {
    if x.is_nan() {
        return "undefined".to_owned();
    }
    if x == 0.0 || !x.is_finite() {
        return format!("{x}");
    }
    let magnitude = x.abs().log10().floor() as i32;
    if !(-5..15).contains(&magnitude) {
        return format!("{x:.5e}");
    }
    let places = (5 - magnitude).max(0) as usize;
    let text = format!("{x:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Measurement {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut s = serializer.serialize_struct("Measurement", 8)?;
        s.serialize_field("quantity", self.quantity.name)?;
        s.serialize_field("definition", self.quantity.definition)?;
        s.serialize_field("unit", &self.quantity.unit.to_string())?;
        s.serialize_field("value", &self.value)?;
        s.serialize_field("standard_error", &self.standard_error)?;
        s.serialize_field("n", &self.n)?;
        s.serialize_field("estimand", &self.estimand)?;
        s.serialize_field("object", &self.object.to_string())?;
        s.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSS: Quantity = Quantity { name: "loss", definition: "mean NLL", unit: Unit::Nats };

    #[test]
    fn a_line_keeps_two_figures_of_the_error() {
        let m = Measurement::estimate(&LOSS, 2.513_592, 0.012_4, 50, Fingerprint::of(b""));
        assert_eq!(m.to_string(), "loss = 2.514 ± 0.012 nats (n = 50; mean NLL)");
        let m =
            Measurement::estimate(&LOSS, 2513.592, 1240.0, 50, Fingerprint::of(b"")).estimating("E[loss]");
        assert_eq!(m.to_string(), "loss = 2514 ± 1240 nats (n = 50; mean NLL; estimates E[loss])");
        let m = Measurement::exact(&LOSS, 0.25, Fingerprint::of(b""));
        assert_eq!(m.to_string(), "loss = 0.25 nats (n = 1; mean NLL)");
        let m = Measurement::estimate(&LOSS, f64::NAN, 0.5, 3, Fingerprint::of(b""));
        assert_eq!(m.to_string(), "loss = undefined nats (n = 3; mean NLL)");
    }

    #[test]
    fn a_sample_of_nan_is_an_error_with_its_position() {
        let samples: Moments = [1.0, f64::NAN, 3.0].into_iter().collect();
        let error = Measurement::mean(&LOSS, &samples, Fingerprint::of(b"")).unwrap_err();
        assert_eq!(error.to_string(), "loss: 1 of 3 values are NaN or infinite (the first at position 1)");
        let none = Measurement::mean(&LOSS, &Moments::new(), Fingerprint::of(b"")).unwrap_err();
        assert!(none.to_string().contains("no values"));
    }
}
