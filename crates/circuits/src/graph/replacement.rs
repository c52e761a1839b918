use super::frozen::Frozen;
use super::transcoders::Transcoders;
use crate::error::CircuitError;
use collimate_sae::{Precision as CodePrecision, Reach};
use collimate_tensor::{Scalar, matmul};
use collimate_transformer::{Model, Precision};
use ndarray::{Array2, Array3, ArrayRef2, Axis, s};

/// The treatment of the first position, which attention often uses as a resting place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FirstPosition {
    /// No feature and no error there is a node: what the MLPs add at the first position goes into the constants.
    Cut,
    /// The first position is like every other one.
    Kept,
}

/// A feature that is active.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feature {
    /// The layer.
    pub layer: usize,
    /// The position.
    pub position: usize,
    /// The latent of the transcoder.
    pub latent: usize,
    /// The activation.
    pub activation: f64,
}

/// A run of a model in which transcoders stand in for the MLPs, with their errors as constants.
pub(crate) struct Replaced<F> {
    pub(crate) frozen: Frozen<F>,
    /// The active features by layer, position and latent.
    pub(crate) features: Vec<Feature>,
    /// The output of each MLP minus its transcoder's, `[layer, t, d]`.
    pub(crate) errors: Array3<F>,
    /// The sum that each MLP adds and no node stands for, `[layer, t, d]`: the bias of the decoder, and at a cut position all but the skip.
    pub(crate) rest: Array3<F>,
}

impl<F: Precision + CodePrecision> Replaced<F> {
    pub(crate) fn new(
        model: &Model<F>,
        transcoders: &Transcoders<F>,
        ids: &[u32],
        first: FirstPosition,
    ) -> Result<Self, CircuitError> {
        transcoders.check(model)?;
        let frozen = Frozen::new(model, ids, transcoders.reads)?;
        let set = &transcoders.layers;
        let cut = usize::from(first == FirstPosition::Cut);
        let (n, positions, width) = (set.layers().len(), ids.len(), set.d_out());
        let mut features = Vec::new();
        let mut predicted = Array3::<F>::zeros((n, positions, width));
        let mut reads = Array3::zeros((n, positions.saturating_sub(cut), set.d_in()));
        for (mut to, layer) in reads.outer_iter_mut().zip(&frozen.layers) {
            to.assign(&layer.read.slice(s![cut.., ..]));
        }
        for (layer, (one, codes)) in set.layers().iter().zip(set.encode(&reads)?).enumerate() {
            for (row, (latents, values)) in codes.rows().enumerate() {
                let mut own: Vec<(u32, F)> = latents.iter().copied().zip(values.iter().copied()).collect();
                own.sort_by_key(|(latent, _)| *latent);
                for (latent, value) in own.into_iter().filter(|(_, value)| *value != F::zero()) {
                    let (position, latent) = (row + cut, latent as usize);
                    features.push(Feature { layer, position, latent, activation: Scalar::to_f64(value) });
                    for after in 0..one.w_dec.len_of(Axis(1)) {
                        let mut to = predicted.slice_mut(s![layer + after, position, ..]);
                        to.scaled_add(value, &one.w_dec.slice(s![latent, after, ..]));
                    }
                }
            }
        }
        let mut errors = Array3::zeros((n, positions, width));
        let mut rest = Array3::zeros((n, positions, width));
        for (layer, one) in set.layers().iter().enumerate() {
            let frozen = &frozen.layers[layer];
            let mut left = frozen.mlp.clone();
            if let Some(skip) = &one.w_skip {
                left -= &matmul(&frozen.read, &skip.t())?;
            }
            for position in 0..positions {
                if position < cut {
                    rest.slice_mut(s![layer, position, ..]).assign(&left.row(position));
                } else {
                    rest.slice_mut(s![layer, position, ..]).assign(&one.b_dec);
                    let error = &left.row(position) - &predicted.slice(s![layer, position, ..]) - &one.b_dec;
                    errors.slice_mut(s![layer, position, ..]).assign(&error);
                }
            }
        }
        Ok(Self { frozen, features, errors, rest })
    }

    /// Returns what the features of each layer and position write to the output of an MLP: rows `a_i · W_dec` with the numbers of their
    /// features, by position.
    pub(crate) fn decoders(
        &self,
        transcoders: &Transcoders<F>,
        layer: usize,
    ) -> Vec<(usize, Vec<usize>, Array2<F>)> {
        let set = &transcoders.layers;
        let reaches = |feature: &Feature| match set.reach() {
            Reach::OwnLayer => feature.layer == layer,
            Reach::LaterLayers => feature.layer <= layer,
        };
        let mut by_position: Vec<Vec<usize>> = vec![Vec::new(); self.frozen.tokens.nrows()];
        for (index, feature) in self.features.iter().enumerate().filter(|(_, feature)| reaches(feature)) {
            by_position[feature.position].push(index);
        }
        let rows = |indices: &[usize]| {
            let mut out = Array2::zeros((indices.len(), set.d_out()));
            for (mut row, &index) in out.rows_mut().into_iter().zip(indices) {
                let Feature { layer: own, latent, activation, .. } = self.features[index];
                let value = <F as Scalar>::from_f64(activation);
                row.scaled_add(value, &set.layers()[own].w_dec.slice(s![latent, layer - own, ..]));
            }
            out
        };
        let some = by_position.into_iter().enumerate().filter(|(_, indices)| !indices.is_empty());
        some.map(|(position, indices)| (position, indices.clone(), rows(&indices))).collect()
    }
}

impl<F: Precision + CodePrecision> Transcoders<F> {
    /// Computes the pre-activations `W_enc x + b_enc` of rows `[t, d]` of a layer, `[t, n]`; zero in a first position that is cut.
    pub(crate) fn pre_activations(
        &self,
        layer: usize,
        rows: &ArrayRef2<F>,
        first: FirstPosition,
    ) -> Result<Array2<F>, CircuitError> {
        let one = &self.layers.layers()[layer];
        let mut out = matmul(rows, &one.w_enc.t())? + &one.b_enc;
        if first == FirstPosition::Cut {
            out.row_mut(0).fill(F::zero());
        }
        Ok(out)
    }
}
