//! The gradient of a model with one to four hidden dimensions.

use super::shape::{Data, Shape};
use crate::kernels::lanes::{LANES, Lanes, floor};
use crate::kernels::narrow::{Model, Sums, add_groups};
use collimate_tensor::kernel_parts::lanes::fold;

/// The working memory.
#[derive(Debug)]
pub(super) struct Narrow {
    on: Vec<f32>,
    /// The weights `[n, m]`.
    weights: Vec<f32>,
    x: Vec<Lanes>,
    gradient: Vec<Lanes>,
}

impl Narrow {
    /// The largest number of hidden dimensions.
    pub(super) const MOST: usize = 4;

    pub(super) fn new(shape: &Shape, on: Vec<f32>) -> Self {
        let (n, m) = (shape.features, shape.hidden);
        Self {
            on,
            weights: vec![0.0; n * m],
            x: vec![[0.0; LANES]; n],
            gradient: vec![[0.0; LANES]; n * (m + 1)],
        }
    }

    pub(super) fn loss_and_gradient(
        &mut self,
        shape: &Shape,
        parameters: &[f32],
        data: &mut Data,
        out: &mut [f32],
    ) -> f64 {
        match shape.hidden {
            1 => self.add::<1>(shape, parameters, data, out),
            2 => self.add::<2>(shape, parameters, data, out),
            3 => self.add::<3>(shape, parameters, data, out),
            _ => self.add::<4>(shape, parameters, data, out),
        }
    }

    fn add<const M: usize>(
        &mut self,
        shape: &Shape,
        parameters: &[f32],
        data: &mut Data,
        out: &mut [f32],
    ) -> f64 {
        let n = shape.features;
        for i in 0..n {
            for k in 0..M {
                self.weights[i * M + k] = parameters[k * n + i];
            }
        }
        let (bias, floor) = (&parameters[M * n..], floor(shape.relu));
        let model = Model { weights: &self.weights, bias, share: &shape.share, floor };
        self.gradient.fill([0.0; LANES]);
        let mut sums = Sums { gradient: std::mem::take(&mut self.gradient), loss: [0.0; LANES] };
        let (groups, rest) = (shape.batch / LANES, shape.batch % LANES);
        let (full, mut mask) = ([1.0; LANES], [0.0; LANES]);
        mask[..rest].fill(1.0);
        let x = &mut self.x;
        match data {
            Data::Drawn(generator) => {
                for (groups, mask) in [(groups, &full), (usize::from(rest > 0), &mask)] {
                    add_groups::<M>(&model, Some((&self.on, &mut **generator)), groups, x, mask, &mut sums);
                }
            }
            Data::Rows { source, stream, row } => {
                for start in (0..shape.batch).step_by(LANES) {
                    let count = LANES.min(shape.batch - start);
                    for s in 0..count {
                        source.fill_row(row, stream);
                        for (x, &value) in x.iter_mut().zip(&*row) {
                            x[s] = value as f32;
                        }
                    }
                    let mask = if count == LANES { &full } else { &mask };
                    add_groups::<M>(&model, None, 1, x, mask, &mut sums);
                }
            }
        }
        for i in 0..n {
            for k in 0..=M {
                out[k * n + i] = fold(sums.gradient[i * (M + 1) + k]);
            }
        }
        self.gradient = sums.gradient;
        f64::from(fold(sums.loss))
    }
}
