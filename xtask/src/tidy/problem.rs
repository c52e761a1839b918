//! The result of a rule of `tidy`.

/// The description of a place that breaks a rule: the place, and the rule.
pub(crate) type Problem = String;
