//! Rows of the graph: gradients of targets, carried down by transposes and multiplied with what each source writes.

use super::replacement::Replaced;
use super::transcoders::Transcoders;
use crate::error::CircuitError;
use collimate_sae::Precision as CodePrecision;
use collimate_tensor::{Scalar, matmul};
use collimate_transformer::Precision;
use ndarray::{Array2, Array3, ArrayViewMut2, Axis, s};

/// The vectors that the sources of the graph write: the features by the MLP that they write to.
pub(super) struct Rows<'a, F> {
    replaced: &'a Replaced<F>,
    transcoders: &'a Transcoders<F>,
    /// The features that write to each MLP, by position.
    decoders: Vec<Vec<(usize, Vec<usize>, Array2<F>)>>,
}

impl<'a, F: Precision + CodePrecision> Rows<'a, F> {
    pub(super) fn new(replaced: &'a Replaced<F>, transcoders: &'a Transcoders<F>) -> Self {
        let layers = 0..replaced.frozen.layers.len();
        let decoders = layers.map(|layer| replaced.decoders(transcoders, layer)).collect();
        Self { replaced, transcoders, decoders }
    }

    /// Fills the rows of features of one layer, and returns their constants.
    pub(super) fn of_features(
        &self,
        layer: usize,
        chosen: &[usize],
        out: ArrayViewMut2<'_, f64>,
    ) -> Result<Vec<f64>, CircuitError> {
        let own = &self.replaced.frozen.layers[layer];
        let encoder = &self.transcoders.layers.layers()[layer].w_enc;
        let mut directions = Array2::zeros((chosen.len(), encoder.ncols()));
        let mut positions = Vec::with_capacity(chosen.len());
        for (mut row, &index) in directions.rows_mut().into_iter().zip(chosen) {
            let feature = self.replaced.features[index];
            row.assign(&encoder.row(feature.latent));
            positions.push(feature.position);
        }
        let mut constants = vec![0.0; chosen.len()];
        if let Some(bias) = own.read_constant() {
            for (constant, row) in constants.iter_mut().zip(directions.rows()) {
                *constant += Scalar::to_f64(row.dot(bias));
            }
        }
        let carried = own.read_transposed(directions, &positions);
        let mut g = Array3::zeros((chosen.len(), self.replaced.frozen.tokens.nrows(), carried.ncols()));
        for (one, &position) in positions.iter().enumerate() {
            g.slice_mut(s![one, position, ..]).assign(&carried.row(one));
        }
        let g = self.through_attention(layer, g, &mut constants)?;
        self.down(layer, g, constants, out)
    }

    /// Fills the rows of targets from their directions at the output of the final norm, `[n, d]`, and returns their constants.
    pub(super) fn of_targets(
        &self,
        directions: &Array2<F>,
        out: ArrayViewMut2<'_, f64>,
    ) -> Result<Vec<f64>, CircuitError> {
        let frozen = &self.replaced.frozen;
        let bias = &frozen.head.norm.bias;
        let constants = directions.rows().into_iter().map(|row| Scalar::to_f64(row.dot(bias))).collect();
        self.down(frozen.layers.len(), frozen.behind_final(directions), constants, out)
    }

    /// Carries gradients at the input of layer `top` down to the embedding.
    fn down(
        &self,
        top: usize,
        mut g: Array3<F>,
        mut constants: Vec<f64>,
        mut out: ArrayViewMut2<'_, f64>,
    ) -> Result<Vec<f64>, CircuitError> {
        let frozen = &self.replaced.frozen;
        let (n, positions, width) = g.dim();
        let n_features = self.replaced.features.len();
        let n_layers = frozen.layers.len();
        for layer in (0..top).rev() {
            let own = &frozen.layers[layer];
            let by_mlp = g.mapv(|x| x * own.factor);
            for (position, indices, rows) in &self.decoders[layer] {
                let effects = matmul(&by_mlp.slice(s![.., *position, ..]), &rows.t())?;
                for (one, effects) in effects.rows().into_iter().enumerate() {
                    for (&index, &effect) in indices.iter().zip(effects) {
                        out[[one, index]] += Scalar::to_f64(effect);
                    }
                }
            }
            let errors = self.replaced.errors.index_axis(Axis(0), layer);
            let rest = self.replaced.rest.index_axis(Axis(0), layer);
            for one in 0..n {
                for position in 0..positions {
                    let own = by_mlp.slice(s![one, position, ..]);
                    let node = n_features + layer * positions + position;
                    out[[one, node]] = Scalar::to_f64(own.dot(&errors.row(position)));
                    constants[one] += Scalar::to_f64(own.dot(&rest.row(position)));
                }
            }
            if let Some(skip) = &self.transcoders.layers.layers()[layer].w_skip {
                let flat = by_mlp.into_shape_with_order((n * positions, width)).expect("standard layout");
                let by_read = matmul(&flat, skip)?;
                if let Some(bias) = own.read_constant() {
                    for (row, g) in by_read.rows().into_iter().enumerate() {
                        constants[row / positions] += Scalar::to_f64(g.dot(bias));
                    }
                }
                let all: Vec<usize> = (0..n * positions).map(|row| row % positions).collect();
                let carried = own.read_transposed(by_read, &all);
                g += &carried.into_shape_with_order((n, positions, width)).expect("standard layout");
            }
            g = self.through_attention(layer, g, &mut constants)?;
        }
        let first = n_features + n_layers * positions;
        let besides = &frozen.embedding - &frozen.tokens;
        for one in 0..n {
            for position in 0..positions {
                let own = g.slice(s![one, position, ..]);
                out[[one, first + position]] = Scalar::to_f64(own.dot(&frozen.tokens.row(position)));
                constants[one] += Scalar::to_f64(own.dot(&besides.row(position)));
            }
        }
        Ok(constants)
    }

    /// Carries gradients from after attention to the input of the layer, and adds the effect of its biases.
    fn through_attention(
        &self,
        layer: usize,
        g: Array3<F>,
        constants: &mut [f64],
    ) -> Result<Array3<F>, CircuitError> {
        let own = &self.replaced.frozen.layers[layer];
        for (constant, g) in constants.iter_mut().zip(g.outer_iter()) {
            *constant += product(&g, &own.attention_constant);
        }
        own.attention_transposed(g)
    }
}

/// Computes the sum of the products of two arrays.
fn product<F: Scalar>(a: &ndarray::ArrayRef2<F>, b: &ndarray::ArrayRef2<F>) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| Scalar::to_f64(a) * Scalar::to_f64(b)).sum()
}
