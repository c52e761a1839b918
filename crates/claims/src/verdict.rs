//! The three answers, and why an answer may be missing.

use std::fmt;

/// The answer of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing speaks against it at the stated error rate.
    Upheld,
    /// A counterexample, or evidence at the stated error rate, speaks against it.
    Refuted,
    /// No answer, and why.
    Inconclusive(Why),
}

/// Why a claim gave no answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Why {
    /// The evidence stayed between the two hypotheses up to the cap on trials.
    Cap,
    /// More than half of the inputs were rejected, so "no violation" would say little.
    Vacuous {
        /// How many inputs were rejected.
        rejected: u64,
        /// How many were drawn.
        drawn: u64,
    },
    /// The claim panicked, with this message.
    Panicked(String),
    /// The run was interrupted before the claim was decided.
    Interrupted,
    /// Something it needs is not there.
    Unavailable {
        /// What is missing.
        missing: String,
        /// How to get it.
        how_to_get: String,
    },
    /// The claim is not well formed, or a trial broke what the claim declared.
    Invalid(String),
    /// A reason in words.
    Other(String),
}

impl Verdict {
    /// The word under which the verdict is recorded: `upheld`, `refuted` or `inconclusive`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Upheld => "upheld",
            Self::Refuted => "refuted",
            Self::Inconclusive(_) => "inconclusive",
        }
    }

    /// Whether the claim could not run because something is missing.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Inconclusive(Why::Unavailable { .. }))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upheld => f.pad("Upheld"),
            Self::Refuted => f.pad("Refuted"),
            Self::Inconclusive(why) => write!(f, "Inconclusive: {why}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cap => write!(f, "the cap was reached between the two hypotheses"),
            Self::Vacuous { rejected, drawn } => {
                write!(f, "{rejected} of {drawn} inputs were rejected (more than half)")
            }
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Interrupted => write!(f, "interrupted"),
            Self::Unavailable { missing, how_to_get } => {
                write!(f, "could not run: {missing} is missing; {how_to_get}")
            }
            Self::Invalid(reason) => write!(f, "not well formed: {reason}"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}
