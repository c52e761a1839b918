//! What a claim says about itself before it runs.

use std::fmt;

/// What is expected of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An exact identity or inequality: it must come out Upheld.
    Theorem,
    /// A belief that is false: it must come out Refuted, and its counterexample is printed.
    Counterexample,
    /// A hypothesis whose threshold, indifference zone and protocol were written before the run: its verdict is data.
    Empirical,
}

/// How much is spent on a run, from seconds to hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Everything that fits in a minute.
    Quick,
    /// The default: minutes.
    Standard,
    /// Full protocols: hours.
    Nightly,
}

/// Which part of the science a claim speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// Numerics underneath: products, kernels, gradients.
    Tensor,
    /// Attention and transformers.
    Attention,
    /// Sparse autoencoders.
    Sae,
    /// Toy models of superposition.
    Superposition,
    /// Singular learning theory.
    Slt,
    /// An object of the user's own.
    Own,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Theorem => "theorem",
            Self::Counterexample => "counterexample",
            Self::Empirical => "empirical",
        })
    }
}

impl Tier {
    /// All tiers, cheapest first.
    pub const ALL: [Tier; 3] = [Tier::Quick, Tier::Standard, Tier::Nightly];
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Quick => "quick",
            Self::Standard => "standard",
            Self::Nightly => "nightly",
        })
    }
}

impl std::str::FromStr for Tier {
    type Err = crate::ClaimsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.to_string() == text)
            .ok_or_else(|| crate::ClaimsError::UnknownTier { given: text.to_owned() })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tensor => "tensor",
            Self::Attention => "attention",
            Self::Sae => "sae",
            Self::Superposition => "superposition",
            Self::Slt => "slt",
            Self::Own => "own",
        })
    }
}

/// What a claim says about itself before it runs; written as a constant beside the code that runs it.
///
/// # Examples
/// ```
/// use collimate_claims::{Kind, Meta, Subject, Tier};
/// const META: Meta = Meta::theorem("superposition/dimensionality-sum", Subject::Superposition,
///         "the dimensionalities of the features sum to at most the number of hidden dimensions")
///     .code("S2")
///     .source("Elhage et al. (2022), section on geometry");
/// assert_eq!(META.kind, Kind::Theorem);
/// assert_eq!(META.tier, Tier::Quick); // the default: it runs in every tier
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// `subject/short-kebab-name`; the name under which the verdict is recorded.
    pub id: &'static str,
    /// The code in the catalogue of claims, or empty.
    pub code: &'static str,
    /// Which part of the science it speaks of.
    pub subject: Subject,
    /// The claim itself, one sentence.
    pub statement: &'static str,
    /// What is expected of it.
    pub kind: Kind,
    /// The cheapest tier in which it runs.
    pub tier: Tier,
    /// Where the claim comes from, or empty.
    pub source: &'static str,
    /// The protocol written before the run; for an empirical claim with threshold and indifference zone.
    pub protocol: &'static str,
    /// How what runs below the nightly tier differs from the nightly protocol, or empty when it does not.
    pub below_nightly: &'static str,
    /// Whether it needs a real model or a real text.
    pub real: bool,
    /// What it needs besides that is fetched only for those who ask for it, or empty.
    pub on_request: &'static str,
}

impl Meta {
    const fn new(id: &'static str, subject: Subject, statement: &'static str, kind: Kind) -> Self {
        Self {
            id,
            code: "",
            subject,
            statement,
            kind,
            tier: Tier::Quick,
            source: "",
            protocol: "",
            below_nightly: "",
            real: false,
            on_request: "",
        }
    }

    /// An exact identity or inequality.
    pub const fn theorem(id: &'static str, subject: Subject, statement: &'static str) -> Self {
        Self::new(id, subject, statement, Kind::Theorem)
    }

    /// A belief that is false; `statement` says the belief.
    pub const fn counterexample(id: &'static str, subject: Subject, statement: &'static str) -> Self {
        Self::new(id, subject, statement, Kind::Counterexample)
    }

    /// A hypothesis with the protocol (threshold, indifference zone, what is measured on what) that tests it.
    pub const fn empirical(
        id: &'static str,
        subject: Subject,
        statement: &'static str,
        protocol: &'static str,
    ) -> Self {
        Self { protocol, ..Self::new(id, subject, statement, Kind::Empirical) }
    }

    /// With a code of the catalogue.
    pub const fn code(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// With the source of the claim.
    pub const fn source(self, source: &'static str) -> Self {
        Self { source, ..self }
    }

    /// With a protocol.
    pub const fn protocol(self, protocol: &'static str) -> Self {
        Self { protocol, ..self }
    }

    /// Runs only from this tier on.
    pub const fn tier(self, tier: Tier) -> Self {
        Self { tier, ..self }
    }

    /// Says how what runs below the nightly tier differs from the nightly protocol.
    pub const fn below_nightly(self, difference: &'static str) -> Self {
        Self { below_nightly: difference, ..self }
    }

    /// Needs a real model or a real text.
    pub const fn real(self) -> Self {
        Self { real: true, ..self }
    }

    /// Needs something that is fetched only for those who ask for it, for example because of its licence.
    pub const fn on_request(self, what: &'static str) -> Self {
        Self { on_request: what, ..self }
    }
}
