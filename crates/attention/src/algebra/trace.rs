use super::Variant;
use super::arguments::Shared;
use super::check::Sizes;
use super::mask::Seen;
use super::score::Reads;
use crate::AttentionError;
use crate::kernels::Loops;
use crate::tiled::Saved;
use ndarray::{ArcArray, Array2, Array3, ArrayRef2, Axis, Ix3};

/// The results that a forward pass keeps for derivatives and views.
#[derive(Clone, Debug)]
pub struct Trace<F> {
    pub(crate) variant: Variant,
    pub(crate) arguments: Shared<F>,
    pub(crate) sizes: Sizes,
    pub(crate) reads: Reads,
    /// The rows q and k before each change, and after the last change.
    pub(crate) rows: Vec<[ArcArray<F, Ix3>; 2]>,
    pub(crate) core: Core<F>,
    /// The outputs of the heads, if the variant combines them.
    pub(crate) heads: ArcArray<F, Ix3>,
    /// The output before each change whose derivatives need it.
    pub(crate) outputs: Vec<ArcArray<F, Ix3>>,
}

/// The computation of the heads.
#[derive(Clone, Debug)]
pub(crate) enum Core<F> {
    /// The plain computation, pair by pair.
    Plain {
        seen: Seen,
        /// The scores, then the logits after each change. They are −∞ at masked pairs.
        logits: Vec<Array3<F>>,
        /// The weights, then the pattern after each change. They are 0 at masked pairs.
        patterns: Vec<Array3<F>>,
    },
    /// The computation by the tiled kernels.
    Tiled(Box<Saved<F>>),
}

impl<F: Loops> Trace<F> {
    /// Returns true if the tiled kernels computed the heads.
    pub fn is_tiled(&self) -> bool {
        matches!(self.core, Core::Tiled(_))
    }

    /// Returns the logits of one query head `[t, s]` after the first `changes` changes, −∞ at masked pairs. 0 gives the scores.
    ///
    /// # Errors
    /// [`AttentionError::Index`] if there is no such head or change.
    pub fn logits(&self, head: usize, changes: usize) -> Result<Array2<F>, AttentionError> {
        self.check_head(head, self.sizes.heads)?;
        let index =
            |length| AttentionError::Index { axis: "number of logit changes", index: changes, length };
        match &self.core {
            Core::Plain { logits, .. } => {
                let logits = logits.get(changes).ok_or_else(|| index(logits.len()))?;
                Ok(logits.index_axis(Axis(0), head).to_owned())
            }
            Core::Tiled(saved) if changes == self.variant.logits.len() => saved.scores(head),
            Core::Tiled(saved) if changes == 0 => saved.pass.scores_before_softcap(head),
            Core::Tiled(_) => Err(index(1 + self.variant.logits.len())),
        }
    }

    /// Returns the pattern of one query head `[t, s]` after all changes, 0 at masked pairs.
    ///
    /// # Errors
    /// [`AttentionError::Index`] if there is no such head.
    pub fn pattern(&self, head: usize) -> Result<Array2<F>, AttentionError> {
        self.check_head(head, self.sizes.heads)?;
        match &self.core {
            Core::Plain { patterns, .. } => {
                let last = patterns.last().expect("there is at least the normalised pattern");
                Ok(last.index_axis(Axis(0), head).to_owned())
            }
            Core::Tiled(saved) => saved.pattern(head),
        }
    }

    /// Returns the pattern with which a head of the output reads the values `[t, s]`. In a differential variant it is P₁ − λ P₂.
    ///
    /// # Errors
    /// [`AttentionError::Index`] if there is no such head of the output.
    pub fn combined_pattern(&self, head: usize) -> Result<Array2<F>, AttentionError> {
        self.check_head(head, self.sizes.out_heads)?;
        let Sizes { heads, queries, keys, .. } = self.sizes;
        let mut all = Array3::zeros((heads, queries, keys));
        for h in 0..heads {
            all.index_axis_mut(Axis(0), h).assign(&self.pattern(h)?);
        }
        let combined = self.variant.combination.forward(&self.arguments.parameters, &all);
        Ok(combined.index_axis(Axis(0), head).to_owned())
    }

    /// Returns log Σ exp of the scores of each query head `[h, t]`, if the tiled kernels computed them.
    pub fn log_sum_exp(&self) -> Option<&ArrayRef2<F>> {
        match &self.core {
            Core::Tiled(saved) => Some(saved.log_sum_exp()),
            Core::Plain { .. } => None,
        }
    }

    fn check_head(&self, index: usize, length: usize) -> Result<(), AttentionError> {
        if index < length {
            return Ok(());
        }
        Err(AttentionError::Index { axis: "head", index, length })
    }
}
