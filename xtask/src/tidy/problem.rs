//! What a rule of `tidy` returns.

/// The description of a place that breaks a rule: the place, and the rule.
pub(crate) type Problem = String;
