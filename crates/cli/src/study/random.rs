//! The generators of random numbers that a study may use.

use collimate_studies::development::Numbers;

/// The generators of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Random {
    /// The streams of every other command, ChaCha8.
    Chacha,
    /// The counter SplitMix64 with the Box-Muller transform, which other programs can repeat.
    Splitmix,
}

impl From<Random> for Numbers {
    fn from(random: Random) -> Self {
        match random {
            Random::Chacha => Self::ChaCha,
            Random::Splitmix => Self::SplitMix,
        }
    }
}
