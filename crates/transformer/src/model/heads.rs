use super::decoder::{Decoder, Run};
use crate::error::RunError;
use crate::hooks::Hooks;
use crate::site::{HookPoint, Site};
use collimate_attention::AttentionError;
use collimate_measure::Measurement;
use ndarray::{Array2, ArrayRef2, ArrayViewMutD, Ix3};
use rayon::prelude::*;

impl Decoder {
    /// Computes a statistic of every head's attention pattern on some tokens, for example [`prefix_matching`](crate::prefix_matching).
    ///
    /// No pattern is kept: the patterns of a layer are measured while the run passes it.
    ///
    /// # Shapes
    /// The result is `[layers, h]`.
    ///
    /// # Errors
    /// As [`Decoder::residual`]; [`RunError::Attention`] when the statistic has no value for these tokens.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Config, Decoder, RngStream, prefix_matching};
    /// let decoder = Decoder::random(Config::small(), &mut RngStream::new(1, 0))?;
    /// let scores = decoder.head_scores(&[0, 7, 3, 9, 7, 3, 9], prefix_matching::<f32>)?;
    /// assert_eq!(scores.dim(), (3, 4));
    /// assert!(scores.iter().all(|m| m.value < 0.9)); // random weights make no induction head
    /// # Ok::<(), collimate_transformer::TransformerError>(())
    /// ```
    pub fn head_scores(
        &self,
        tokens: &[u32],
        statistic: impl Fn(&ArrayRef2<f32>, &[u32]) -> Result<Measurement, AttentionError> + Send + Sync,
    ) -> Result<Array2<Measurement>, RunError> {
        let mut scores = Scores { statistic, tokens, found: Vec::new() };
        self.visit(Run::of(tokens), &mut scores)?;
        let found = scores.found.into_iter().collect::<Result<Vec<_>, _>>()?;
        let shape = (self.config.n_layers, self.config.n_heads);
        Ok(Array2::from_shape_vec(shape, found).expect("one score for each head"))
    }
}

struct Scores<'a, F> {
    statistic: F,
    tokens: &'a [u32],
    found: Vec<Result<Measurement, AttentionError>>,
}

impl<F> Hooks for Scores<'_, F>
where
    F: Fn(&ArrayRef2<f32>, &[u32]) -> Result<Measurement, AttentionError> + Send + Sync,
{
    fn wants(&self, point: HookPoint) -> bool {
        point.site == Site::Pattern
    }

    fn at(&mut self, _: HookPoint, pattern: ArrayViewMutD<'_, f32>) {
        let pattern = pattern.into_dimensionality::<Ix3>().expect("patterns have three axes");
        let heads: Vec<_> = pattern.outer_iter().collect();
        let one = |head: &ndarray::ArrayView2<'_, f32>| (self.statistic)(head, self.tokens);
        let scores: Vec<_> = heads.par_iter().map(one).collect();
        self.found.extend(scores);
    }
}
