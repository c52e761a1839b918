//! One model of an ensemble: its parameters, its data, its optimiser.

use super::config::{ColumnLengths, EnsembleConfig};
use super::narrow::Narrow;
use super::shape::{Data, Shape};
use super::wide::Wide;
use crate::data::Source;
use crate::error::SuperpositionError;
use crate::kernels::uniforms::Uniforms;
use crate::models::{Activation, ToyModel};
use collimate_grad::{Adam, Optimiser, Schedule};
use collimate_stream::RngStream;
use ndarray::{Array1, Array2};
use std::sync::Arc;

#[derive(Debug)]
enum Engine {
    Narrow(Narrow),
    Wide(Box<Wide>),
}

/// A model in training.
#[derive(Debug)]
pub(super) struct Instance {
    shape: Shape,
    /// The parameters: W `[m, n]`, then b `[n]`.
    parameters: Vec<f32>,
    gradient: Vec<f32>,
    adam: Adam<f32>,
    data: Data,
    engine: Engine,
    /// The strength with which columns are pulled towards length one.
    pull: f32,
    step: u64,
}

impl Instance {
    pub(super) fn new(
        config: &EnsembleConfig,
        source: Arc<dyn Source>,
        parameters: &[f64],
        mut stream: RngStream,
    ) -> Result<Self, SuperpositionError> {
        let shape = Shape {
            features: config.importance.len(),
            hidden: config.hidden,
            relu: config.activation == Activation::Relu,
            batch: config.batch,
            share: config.importance.iter().map(|i| (i / config.batch as f64) as f32).collect(),
        };
        let adam = Adam::new(parameters.len(), config.adam).map_err(SuperpositionError::configuration)?;
        let on: Vec<f32> = source.independent().unwrap_or(&[]).iter().map(|&p| p as f32).collect();
        let data = match source.independent() {
            Some(_) => Data::Drawn(Box::new(Uniforms::seeded(|| stream.bits()))),
            None => Data::Rows { row: vec![0.0; shape.features], stream: Box::new(stream), source },
        };
        let engine = if shape.hidden <= Narrow::MOST {
            Engine::Narrow(Narrow::new(&shape, on))
        } else {
            Engine::Wide(Box::new(Wide::new(&shape, on)))
        };
        Ok(Self {
            gradient: vec![0.0; parameters.len()],
            parameters: parameters.iter().map(|&x| x as f32).collect(),
            shape,
            adam,
            data,
            engine,
            pull: match config.lengths {
                ColumnLengths::Free => 0.0,
                ColumnLengths::DrawnToOne { strength } => strength as f32,
            },
            step: 0,
        })
    }

    /// Takes steps and returns the mean of the losses before each.
    pub(super) fn run(&mut self, steps: u64, schedule: &Schedule) -> Result<f64, SuperpositionError> {
        let mut sum = 0.0;
        for _ in 0..steps {
            let loss = self.loss_and_gradient();
            finite(self.step + 1, "the loss", loss)?;
            sum += loss;
            let rate = schedule.rate(self.step);
            if self.pull > 0.0 {
                self.draw_lengths(self.pull * rate as f32);
            }
            self.adam
                .step(rate, &self.gradient, &mut self.parameters)
                .map_err(|error| SuperpositionError::diverged(self.step + 1, &error))?;
            self.step += 1;
        }
        // A later step would detect this through the loss. After the last step there is no other check.
        self.parameters.iter().try_for_each(|&w| finite(self.step, "a parameter", f64::from(w)))?;
        Ok(sum / steps.max(1) as f64)
    }

    /// Moves each column by `share` of its distance to length one.
    fn draw_lengths(&mut self, share: f32) {
        let Shape { features: n, hidden: m, .. } = self.shape;
        let weights = &mut self.parameters[..m * n];
        let mut factor = vec![0.0_f32; n];
        for row in weights.chunks_exact(n) {
            factor.iter_mut().zip(row).for_each(|(f, w)| *f += w * w);
        }
        // A zero column has no direction and stays zero.
        for f in &mut factor {
            *f = if *f > 0.0 { 1.0 - share * (1.0 - 1.0 / f.sqrt()) } else { 1.0 };
        }
        for row in weights.chunks_exact_mut(n) {
            row.iter_mut().zip(&factor).for_each(|(w, f)| *w *= f);
        }
    }

    /// Computes the loss of a fresh batch and stores its gradient.
    fn loss_and_gradient(&mut self) -> f64 {
        let Self { shape, parameters, gradient, data, engine, .. } = self;
        match engine {
            Engine::Narrow(narrow) => narrow.loss_and_gradient(shape, parameters, data, gradient),
            Engine::Wide(wide) => wide.loss_and_gradient(shape, parameters, data, gradient),
        }
    }

    pub(super) fn model(&self, activation: Activation) -> ToyModel {
        let Shape { features: n, hidden: m, .. } = self.shape;
        let at = |i: usize| f64::from(self.parameters[i]);
        ToyModel {
            w: Array2::from_shape_fn((m, n), |(k, i)| at(k * n + i)),
            b: Array1::from_shape_fn(n, |i| at(m * n + i)),
            activation,
        }
    }
}

fn finite(step: u64, quantity: &'static str, value: f64) -> Result<(), SuperpositionError> {
    if value.is_finite() { Ok(()) } else { Err(SuperpositionError::Diverged { step, quantity, value }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dependence, FeatureSets, SparseFeatures};
    use crate::kernels::{narrow, wide};
    use crate::models::ToyLoss;
    use collimate_grad::{Batch, Objective, Scratch};
    use proptest::prelude::*;

    /// Draws the samples of the next step without advancing the instance.
    fn upcoming(instance: &Instance, source: &dyn Source) -> Array2<f64> {
        let Shape { features: n, batch, .. } = instance.shape;
        let mut rows = Array2::zeros((batch, n));
        match &instance.data {
            Data::Rows { stream, .. } => return source.rows(batch, &mut stream.clone()),
            Data::Drawn(generator) => {
                let mut generator = generator.clone();
                let on: Vec<f32> = source.independent().unwrap().iter().map(|&p| p as f32).collect();
                if instance.shape.hidden <= Narrow::MOST {
                    let mut x = vec![[0.0; crate::kernels::lanes::LANES]; n];
                    for s in 0..batch {
                        if s % x[0].len() == 0 {
                            narrow::draw(&on, &mut generator, &mut x);
                        }
                        (0..n).for_each(|i| rows[[s, i]] = f64::from(x[i][s % crate::kernels::lanes::LANES]));
                    }
                } else {
                    let padded = n.next_multiple_of(crate::kernels::lanes::LANES);
                    let mut on = on;
                    on.resize(padded, 0.0);
                    let mut active = wide::Active::default();
                    for start in (0..batch).step_by(wide::TILE) {
                        let count = wide::TILE.min(batch - start);
                        wide::draw(&on, padded, count, &mut generator, &mut active);
                        let mut at = 0;
                        for s in 0..count {
                            for k in at..active.ends[s] as usize {
                                rows[[start + s, active.index[k] as usize]] = f64::from(active.value[k]);
                            }
                            at = active.ends[s] as usize;
                        }
                    }
                }
            }
        }
        rows
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(80))]
        #[test]
        fn kernels_agree_with_the_definition(
            n in 1usize..40, m in 1usize..12, batch in 1usize..150, relu: bool, grouped: bool, seed in any::<u64>().no_shrink(),
        ) {
            let mut stream = RngStream::new(seed, 0);
            let activation = if relu { Activation::Relu } else { Activation::Linear };
            let mut config = EnsembleConfig { activation, batch, ..EnsembleConfig::new(n, m) };
            config.importance = (0..n).map(|i| 0.9_f64.powi(i as i32)).collect();
            let source: Arc<dyn Source> = if grouped {
                Arc::new(FeatureSets::new(n, 1, 0.4, Dependence::Correlated).unwrap())
            } else {
                Arc::new(SparseFeatures::new((0..n).map(|_| stream.uniform()).collect()).unwrap())
            };
            let start: Vec<f64> = (0..(m + 1) * n).map(|_| 0.5 * stream.normal()).collect();
            let mut instance = Instance::new(&config, source.clone(), &start, stream.child(9)).unwrap();
            let rows = upcoming(&instance, &*source);
            let point: Vec<f64> = instance.parameters.iter().map(|&x| f64::from(x)).collect();
            let plain = ToyLoss::new(m, activation, config.importance.clone(), rows).unwrap();
            let mut exact = vec![0.0; point.len()];
            let loss = plain.loss_and_gradient_into(&point, Batch::All, &mut Scratch::new(), &mut exact);
            let found = instance.loss_and_gradient();
            prop_assert!((found - loss).abs() <= 1e-5 * (1.0 + loss), "loss {found}, expected {loss}");
            let size = exact.iter().fold(1.0_f64, |m, g| m.max(g.abs()));
            for (i, (g, e)) in instance.gradient.iter().zip(&exact).enumerate() {
                prop_assert!((f64::from(*g) - e).abs() <= 1e-5 * size, "gradient {i}: {g}, expected {e}");
            }
        }
    }
}
