//! The three verdicts, and the reasons for an inconclusive one.

use std::fmt;

/// The verdict on a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// No evidence contradicts the claim at the stated error rate.
    Upheld,
    /// A counterexample, or evidence at the stated error rate, contradicts the claim.
    Refuted,
    /// There is no decision, for the given reason.
    Inconclusive(Why),
}

/// The reason for an inconclusive verdict.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Why {
    /// The evidence stayed between the two hypotheses up to the cap on trials.
    Cap,
    /// More than half of the inputs were rejected, so "no violation" would mean little.
    Vacuous {
        /// The number of inputs that were rejected.
        rejected: u64,
        /// The number of inputs that were drawn.
        drawn: u64,
    },
    /// The claim panicked, with this message.
    Panicked(String),
    /// The run was interrupted before the claim was decided.
    Interrupted,
    /// Something that the claim needs is missing.
    Unavailable {
        /// The missing thing.
        missing: String,
        /// The way to get it.
        how_to_get: String,
    },
    /// The claim is malformed, or a trial contradicts its declaration.
    Invalid(String),
    /// A reason in words.
    Other(String),
}

impl Verdict {
    /// Returns the word under which the verdict is recorded: `upheld`, `refuted` or `inconclusive`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Upheld => "upheld",
            Self::Refuted => "refuted",
            Self::Inconclusive(_) => "inconclusive",
        }
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
            Self::Cap => write!(f, "the evidence stayed between the two hypotheses up to the cap on trials"),
            Self::Vacuous { rejected, drawn } => {
                write!(f, "{rejected} of {drawn} inputs were rejected (more than half)")
            }
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Interrupted => write!(f, "interrupted"),
            Self::Unavailable { missing, how_to_get } => {
                write!(f, "could not run: {missing} is missing; {how_to_get}")
            }
            Self::Invalid(reason) => write!(f, "malformed: {reason}"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}
