//! The description of a claim.

use crate::error::ClaimsError;
use std::fmt;

/// The kind of a claim, which says what verdict is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An exact identity or inequality. Its verdict must be Upheld.
    Theorem,
    /// A false belief. Its verdict must be Refuted, and its counterexample is printed.
    Counterexample,
    /// A hypothesis whose threshold, indifference zone and protocol were written before the run. Its verdict is data.
    Empirical,
}

/// The effort of a run, from seconds to hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// The tier of everything that fits in a minute.
    Quick,
    /// The default tier: minutes.
    Standard,
    /// The tier of the full protocols: hours.
    Nightly,
}

/// The field that a claim belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// Numerics: products, kernels, gradients.
    Tensor,
    /// Attention.
    Attention,
    /// Transformers.
    Transformer,
    /// Sparse autoencoders.
    Sae,
    /// Toy models of superposition.
    Superposition,
    /// Singular learning theory.
    Slt,
    /// An object of a user.
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
    type Err = ClaimsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.to_string() == text)
            .ok_or_else(|| ClaimsError::UnknownTier { given: text.to_owned() })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tensor => "tensor",
            Self::Attention => "attention",
            Self::Transformer => "transformer",
            Self::Sae => "sae",
            Self::Superposition => "superposition",
            Self::Slt => "slt",
            Self::Own => "own",
        })
    }
}

/// The description of a claim, written before it runs. It is a constant beside the code of the claim.
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
    /// The id `subject/short-kebab-name`, under which the verdict is recorded.
    pub id: &'static str,
    /// The code in the catalogue of claims. May be empty.
    pub code: &'static str,
    /// The field that the claim belongs to.
    pub subject: Subject,
    /// The claim itself, one sentence.
    pub statement: &'static str,
    /// The kind of the claim.
    pub kind: Kind,
    /// The cheapest tier in which it runs.
    pub tier: Tier,
    /// The source of the claim. May be empty.
    pub source: &'static str,
    /// The protocol, written before the run. For an empirical claim it includes threshold and indifference zone.
    pub protocol: &'static str,
    /// The differences of the cheaper tiers from the nightly protocol. Empty if there are none.
    pub below_nightly: &'static str,
    /// True if the claim needs a real model or a real text.
    pub real: bool,
    /// The data that the claim needs and that are fetched only on request. May be empty.
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

    /// Describes an exact identity or inequality.
    pub const fn theorem(id: &'static str, subject: Subject, statement: &'static str) -> Self {
        Self::new(id, subject, statement, Kind::Theorem)
    }

    /// Describes a false belief; `statement` states the belief.
    pub const fn counterexample(id: &'static str, subject: Subject, statement: &'static str) -> Self {
        Self::new(id, subject, statement, Kind::Counterexample)
    }

    /// Describes a hypothesis, with the protocol that tests it: threshold, indifference zone, data and measurement.
    pub const fn empirical(
        id: &'static str,
        subject: Subject,
        statement: &'static str,
        protocol: &'static str,
    ) -> Self {
        Self { protocol, ..Self::new(id, subject, statement, Kind::Empirical) }
    }

    /// Sets the code in the catalogue of claims.
    pub const fn code(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// Sets the source of the claim.
    pub const fn source(self, source: &'static str) -> Self {
        Self { source, ..self }
    }

    /// Sets the protocol.
    pub const fn protocol(self, protocol: &'static str) -> Self {
        Self { protocol, ..self }
    }

    /// Sets the cheapest tier in which the claim runs.
    pub const fn tier(self, tier: Tier) -> Self {
        Self { tier, ..self }
    }

    /// Sets the differences of the cheaper tiers from the nightly protocol.
    pub const fn below_nightly(self, difference: &'static str) -> Self {
        Self { below_nightly: difference, ..self }
    }

    /// States that the claim needs a real model or a real text.
    pub const fn real(self) -> Self {
        Self { real: true, ..self }
    }

    /// Sets the data that the claim needs and that are fetched only on request, for example because of their licence.
    pub const fn on_request(self, what: &'static str) -> Self {
        Self { on_request: what, ..self }
    }
}
