//! Statistics of attention patterns.

use super::run::Run;
use crate::error::RunError;
use crate::hooks::Hooks;
use crate::network::Model;
use crate::precision::Precision;
use crate::site::{HookPoint, Site};
use collimate_attention::AttentionError;
use collimate_measure::Measurement;
use ndarray::{Array2, ArrayRef2, ArrayView2, ArrayViewMutD, Axis, Ix4};
use rayon::prelude::*;

impl<F: Precision> Model<F> {
    /// Computes a statistic of the attention pattern of every head on one sequence, for example
    /// [`prefix_matching`](crate::prefix_matching).
    ///
    /// No pattern is kept: the patterns of a layer are measured while the run passes it.
    ///
    /// # Shapes
    /// The pattern of a head is `[t, s]`, the result `[layers, h]`.
    ///
    /// # Errors
    /// The errors of [`Model::run`]; [`RunError::Attention`] if the statistic has no value for these tokens; [`RunError::Shape`] if the
    /// layers have different numbers of heads.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Description, Model, RngStream, prefix_matching};
    /// let model = Model::<f32>::random(Description::small(), &RngStream::new(1, 0));
    /// let scores = model.head_scores(&[0, 7, 3, 9, 7, 3, 9], prefix_matching::<f32>)?;
    /// assert_eq!(scores.dim(), (3, 4));
    /// assert!(scores.iter().all(|m| m.value < 0.9)); // random weights make no induction head
    /// # Ok::<(), collimate_transformer::TransformerError>(())
    /// ```
    pub fn head_scores(
        &self,
        tokens: &[u32],
        statistic: impl Fn(&ArrayRef2<F>, &[u32]) -> Result<Measurement, AttentionError> + Send + Sync,
    ) -> Result<Array2<Measurement>, RunError> {
        let mut scores = Scores { statistic, tokens, found: Vec::new() };
        self.visit(Run::of(tokens), &mut scores)?;
        let found = scores.found.into_iter().collect::<Result<Vec<_>, _>>()?;
        let layers = &self.description.layers;
        let heads = layers.first().map_or(0, |layer| layer.attention.heads);
        let (expected, given) = (vec![layers.len(), heads], vec![found.len()]);
        Array2::from_shape_vec((layers.len(), heads), found).map_err(|_| RunError::Shape {
            argument: "the heads of all layers",
            expected,
            given,
        })
    }
}

struct Scores<'a, S> {
    statistic: S,
    tokens: &'a [u32],
    found: Vec<Result<Measurement, AttentionError>>,
}

impl<F, S> Hooks<F> for Scores<'_, S>
where
    F: Precision,
    S: Fn(&ArrayRef2<F>, &[u32]) -> Result<Measurement, AttentionError> + Send + Sync,
{
    fn wants(&self, point: HookPoint) -> bool {
        point.site == Site::Pattern
    }

    fn at(&mut self, _: HookPoint, pattern: ArrayViewMutD<'_, F>) {
        let pattern = pattern.into_dimensionality::<Ix4>().expect("patterns have four axes");
        // The run has one sequence.
        let sequence = pattern.index_axis(Axis(0), 0);
        let heads: Vec<ArrayView2<'_, F>> = sequence.outer_iter().collect();
        let one = |head: &ArrayView2<'_, F>| (self.statistic)(head, self.tokens);
        let scores: Vec<_> = heads.par_iter().map(one).collect();
        self.found.extend(scores);
    }
}
