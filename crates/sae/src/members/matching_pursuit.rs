use crate::float::Float;
use crate::members::choices::InputBias;
use crate::members::line::{Line, Pairs};
use crate::members::member::{Describe, Member};
use crate::members::rule::Rule;
use collimate_measure::{OutOfRange, ensure};

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
/// # References
/// Mallat and Zhang (1993); Costa et al. (2025), "From Flat to Hierarchical: Extracting Sparse Representations with Matching
/// Pursuit".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchingPursuit {
    /// The largest number of latents that a row takes.
    pub k: usize,
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
        ensure(self.k > 0, "k", "at least 1", 0.0)
    }

    fn write(&self, line: &mut Line) {
        line.number("k", self.k);
    }

    fn read(pairs: &Pairs<'_>, _: InputBias) -> Result<Self, String> {
        Ok(Self { k: pairs.number("k")? })
    }
}
