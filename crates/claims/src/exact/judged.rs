//! An input with the result of its judgement.

use super::erased::Input;

/// An admitted input with its margin.
#[derive(Clone)]
pub(super) struct Judged {
    pub(super) input: Input,
    pub(super) dims: Vec<usize>,
    /// The margin; NaN after a panic.
    pub(super) margin: f64,
    /// The message of the panic of the margin or of the domain.
    pub(super) panic: Option<String>,
}

impl Judged {
    /// Returns true if the margin is negative or NaN, or if its computation panics.
    pub(super) fn fails(&self) -> bool {
        self.panic.is_some() || self.margin.is_nan() || self.margin < 0.0
    }

    /// Returns true if this input fails as `other` does: both panic, or both violate.
    pub(super) fn fails_like(&self, other: &Self) -> bool {
        self.fails() && self.panic.is_some() == other.panic.is_some()
    }

    /// Returns the result of the judgement in words.
    pub(super) fn result(&self) -> String {
        match &self.panic {
            Some(text) => format!("the panic {text:?}"),
            None => format!("{:?}", self.margin),
        }
    }
}
