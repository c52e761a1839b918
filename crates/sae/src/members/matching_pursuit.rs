use crate::float::Float;
use crate::members::choices::InputBias;
use crate::members::line::{Line, Pairs};
use crate::members::member::{Describe, Member};
use crate::members::rule::Rule;
use collimate_measure::{OutOfRange, ensure};
use std::fmt;

/// The matching-pursuit dictionary: latents are taken one after another, each the best for the remainder of the row.
///
/// ```text
/// r_0 = x − b_dec       i_t = argmax_i r_t·d_i,  c_t = r_t·d_{i_t} > 0,  r_{t+1} = r_t − c_t d_{i_t}      t < k
/// f_i = Σ_{t: i_t = i} c_t        x̂ = x − r_T        L = ‖r_T‖²       (it ends early when no product is positive)
///
/// backwards through the pursuit, from g_T = 2 r_T, with s_t = g_{t+1}·d_{i_t} and r_t = r_{t+1} + c_t d_{i_t}:
///   ∂d_{i_t} −= c_t g_{t+1} + s_t r_t        g_t = g_{t+1} − s_t d_{i_t}        ∂b_dec = −g_0
/// ```
/// The encoder is the decoder: `w_enc` is kept equal to `w_dec` and has no gradient of its own. The residuals are not stored
/// but computed backwards, so a row needs the memory of two. An encoding costs k dense products. A latent may be taken
/// twice. The decoder rows have length one.
///
/// # Examples
/// ```
/// use collimate_sae::MatchingPursuit;
/// let pursuit = MatchingPursuit::new(3);
/// assert_eq!((pursuit.k, pursuit.residual_threshold, pursuit.stops_at_repeat), (3, 0.0, false));
/// ```
///
/// # References
/// Mallat and Zhang (1993); Costa et al. (2025), "From Flat to Hierarchical: Extracting Sparse Representations with Matching
/// Pursuit".
#[derive(Clone, Copy, PartialEq)]
pub struct MatchingPursuit {
    /// The largest number of latents that a row takes.
    pub k: usize,
    /// The length ‖r‖ of the remainder, in units of the rows, below which a row ends. It is looked at after each latent; 0
    /// switches the test off.
    pub residual_threshold: f64,
    /// True if a row ends after it takes a latent that it took before. The amount of that latent is added.
    pub stops_at_repeat: bool,
}

impl MatchingPursuit {
    /// Returns the form with at most k latents a row, which ends early only when no product is positive.
    pub const fn new(k: usize) -> Self {
        Self { k, residual_threshold: 0.0, stops_at_repeat: false }
    }
}

impl fmt::Debug for MatchingPursuit {
    /// Writes the fields that differ from [`MatchingPursuit::new`]: fingerprints are made of this text, and those of pursuits
    /// without further conditions stay as they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("MatchingPursuit");
        text.field("k", &self.k);
        if self.residual_threshold != 0.0 {
            text.field("residual_threshold", &self.residual_threshold);
        }
        if self.stops_at_repeat {
            text.field("stops_at_repeat", &true);
        }
        text.finish()
    }
}

impl Describe for MatchingPursuit {
    const NAME: &'static str = "matching_pursuit";

    fn member(&self) -> Member {
        Member {
            per_latent: &[],
            compares: true,
            between_spaces: false,
            ..Member::new(Self::NAME, InputBias::Subtracted)
        }
    }

    fn rule<F: Float>(&self) -> Option<&dyn Rule<F>> {
        None
    }

    fn check(&self, _: usize, _: usize) -> Result<(), OutOfRange> {
        ensure(self.k > 0, "k", "at least 1", 0.0)?;
        let threshold = self.residual_threshold;
        ensure(
            threshold >= 0.0 && threshold.is_finite(),
            "residual_threshold",
            "finite, at least 0",
            threshold,
        )
    }

    fn write(&self, line: &mut Line) {
        line.number("k", self.k);
        if self.residual_threshold != 0.0 {
            line.number("residual_threshold", self.residual_threshold);
        }
        if self.stops_at_repeat {
            line.number("stops_at_repeat", true);
        }
    }

    fn read(pairs: &Pairs<'_>, _: InputBias) -> Result<Self, String> {
        let stops = pairs.find("stops_at_repeat").is_some();
        Ok(Self {
            k: pairs.number("k")?,
            residual_threshold: pairs.optional("residual_threshold")?.unwrap_or(0.0),
            stops_at_repeat: stops && pairs.number("stops_at_repeat")?,
        })
    }
}
