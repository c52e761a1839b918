//! The gradient of a model with more than four hidden dimensions.

use super::shape::{Data, Shape};
use crate::kernels::lanes::LANES;
use crate::kernels::wide::{Active, HALF, Model, Sizes, Sums, TILE, Work, add_tile, draw};

/// The working memory, padded to whole vectors.
#[derive(Debug)]
pub(super) struct Wide {
    on: Vec<f32>,
    sizes: Sizes,
    model: Model,
    active: Active,
    work: Work,
    sums: Sums,
}

impl Wide {
    pub(super) fn new(shape: &Shape, mut on: Vec<f32>) -> Self {
        let features = shape.features.next_multiple_of(LANES);
        let hidden = shape.hidden.next_multiple_of(HALF);
        let sizes = Sizes { features, hidden, rows: shape.hidden };
        on.resize(features, 0.0);
        let mut share = shape.share.clone();
        share.resize(features, 0.0);
        let zeros = |length: usize| vec![0.0; length];
        Self {
            on,
            sizes,
            model: Model {
                weights: zeros(shape.hidden * features),
                transposed: zeros(features * hidden),
                weighted: zeros(features * hidden),
                bias: zeros(features),
                share,
            },
            active: Active::default(),
            work: Work {
                code: zeros(TILE * hidden),
                error: zeros(TILE * features),
                back: zeros(TILE * hidden),
            },
            sums: Sums {
                decoder: zeros(shape.hidden * features),
                encoder: zeros(features * hidden),
                bias: zeros(features),
                squares: zeros(features),
                missed: 0.0,
            },
        }
    }

    pub(super) fn loss_and_gradient(
        &mut self,
        shape: &Shape,
        parameters: &[f32],
        data: &mut Data,
        out: &mut [f32],
    ) -> f64 {
        self.load(shape, parameters);
        let Self { on, sizes, model, active, work, sums } = self;
        for sum in [&mut sums.decoder, &mut sums.encoder, &mut sums.bias, &mut sums.squares] {
            sum.fill(0.0);
        }
        sums.missed = 0.0;
        for start in (0..shape.batch).step_by(TILE) {
            let count = TILE.min(shape.batch - start);
            match data {
                Data::Drawn(generator) => draw(on, sizes.features, count, generator, active),
                Data::Rows { source, stream, row } => {
                    active.clear();
                    for _ in 0..count {
                        source.fill_row(row, stream);
                        active.push(row);
                    }
                }
            }
            add_tile(*sizes, model, shape.relu, active, count, work, sums);
        }
        let (n, m) = (shape.features, shape.hidden);
        let (weights, bias) = out.split_at_mut(m * n);
        for (k, row) in weights.chunks_exact_mut(n).enumerate() {
            for (i, g) in row.iter_mut().enumerate() {
                *g = 2.0 * model.share[i] * sums.decoder[k * sizes.features + i]
                    + sums.encoder[i * sizes.hidden + k];
            }
        }
        let mut loss = sums.missed;
        for i in 0..n {
            bias[i] = 2.0 * model.share[i] * sums.bias[i];
            loss += f64::from(model.share[i]) * f64::from(sums.squares[i]);
        }
        loss
    }

    /// Copies the parameters to the layouts that the products need.
    fn load(&mut self, shape: &Shape, parameters: &[f32]) {
        let (n, m, Sizes { features, hidden, .. }) = (shape.features, shape.hidden, self.sizes);
        let model = &mut self.model;
        for k in 0..m {
            let row = &parameters[k * n..(k + 1) * n];
            model.weights[k * features..k * features + n].copy_from_slice(row);
            for i in 0..n {
                model.transposed[i * hidden + k] = row[i];
                model.weighted[i * hidden + k] = 2.0 * model.share[i] * row[i];
            }
        }
        model.bias[..n].copy_from_slice(&parameters[m * n..]);
    }
}
