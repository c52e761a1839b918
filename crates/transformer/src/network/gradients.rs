//! Gradients of losses by parameters and activations, and derivatives along directions.

use super::Model;
use crate::arrays::Matrix;
use crate::error::RunError;
use crate::hooks::Hooks;
use crate::ops::CrossEntropy;
use crate::pass::{Backward, Forward, Input, Keep, Setting};
use crate::precision::Precision;
use crate::site::HookPoint;
use collimate_tensor::Scalar;
use ndarray::{Array2, Array3, ArrayD};
use std::collections::BTreeMap;

/// The tokens that the logits should predict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets(Array2<Option<u32>>);

impl Targets {
    /// Returns the next token of each position but the last, for a causal model. Padding neither predicts nor is predicted.
    pub fn next_tokens(input: &Input) -> Self {
        let (ids, mask) = (input.ids(), input.mask());
        let (_, length) = ids.dim();
        let real = |b: usize, t: usize| mask.is_none_or(|mask| mask[[b, t]]);
        Self(Array2::from_shape_fn(ids.dim(), |(b, t)| {
            (t + 1 < length && real(b, t) && real(b, t + 1)).then(|| ids[[b, t + 1]])
        }))
    }

    /// Returns the given token for each position `[b, t]`, or none.
    pub fn of(targets: Array2<Option<u32>>) -> Self {
        Self(targets)
    }
}

/// A loss and its gradients.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Gradients<F> {
    /// The mean loss, in nats.
    pub loss: f64,
    /// The logits `[b, t, v]`.
    pub logits: Array3<F>,
    /// The gradient by each parameter, in the order of [`Model::parameters`].
    pub by_parameter: Vec<Array2<F>>,
    /// The gradient by each hook point that was asked for.
    pub by_point: BTreeMap<HookPoint, ArrayD<F>>,
    /// The derivatives along a direction, if there was one.
    pub along: Option<Along<F>>,
}

/// Derivatives along a direction in the parameters.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Along<F> {
    /// The derivative of the logits, `[b, t, v]`.
    pub logits: Array3<F>,
    /// The derivative of the loss.
    pub loss: f64,
    /// The product of the Hessian of the loss with the direction, in the order of [`Model::parameters`].
    pub by_parameter: Vec<Array2<F>>,
}

impl<F: Precision> Model<F> {
    /// Computes the mean cross-entropy, its gradient by every parameter and by the given points, and with a direction the derivatives
    /// along it, among them the product of the Hessian with the direction.
    ///
    /// The gradient by a parameter that is kept as its file stores it is empty ([`Model::open_as_stored`]).
    ///
    /// # Shapes
    /// A direction has one array for each parameter, with its shape.
    ///
    /// # Errors
    /// The errors of [`Model::run`]; [`RunError::NoHead`] for a model without logits, [`RunError::NoTargets`] if no position has a target,
    /// [`RunError::NoGradient`] for a point at results of heads or divisors of norms.
    pub fn gradients(
        &self,
        input: &Input,
        targets: &Targets,
        points: &[HookPoint],
        direction: Option<&[Array2<F>]>,
    ) -> Result<Gradients<F>, RunError> {
        let wanted = vec![true; self.parameters.len()];
        self.gradients_at(&self.parameters, &wanted, input, targets, points, direction)
    }

    /// Computes the gradients of the model with other parameters, by those that are marked in `wanted`.
    pub(super) fn gradients_at(
        &self,
        parameters: &[Array2<F>],
        wanted: &[bool],
        input: &Input,
        targets: &Targets,
        points: &[HookPoint],
        direction: Option<&[Array2<F>]>,
    ) -> Result<Gradients<F>, RunError> {
        if let Some(&point) = points.iter().find(|point| !self.has_point(**point)) {
            return Err(RunError::NoSuchPoint { point, layers: self.description.layers.len() });
        }
        if let Some(&point) = points.iter().find(|point| point.site.has_no_gradient()) {
            return Err(RunError::NoGradient { point });
        }
        let slot = self.program.logits.ok_or(RunError::NoHead)?;
        let direction = direction.map(|direction| self.check_direction(direction)).transpose()?;
        let setting = Setting::new(
            &self.description,
            &self.program.layout,
            self.weights_of(parameters),
            direction.as_deref(),
            input,
            0,
        )?;
        let targets = self.check_targets(input, targets)?;
        let mut none = ();
        let values =
            self.program.forward(Forward::new(&setting, &mut none, Keep::Everything), 0..usize::MAX)?;
        let logits = values[slot].clone().expect("the pass computed the logits");
        let entropy = CrossEntropy::new(&targets);
        let losses = entropy.losses(logits.view());
        let loss = losses.iter().sum::<f64>() / losses.len() as f64;
        let d_logits = entropy.gradient(logits.view());
        let loss_dot = logits.tangent.as_ref().map(|dot| {
            dot.iter().zip(&d_logits.value).map(|(a, b)| Scalar::to_f64(*a) * Scalar::to_f64(*b)).sum::<f64>()
        });
        let wanted = wanted.iter().zip(&self.stored).map(|(wanted, stored)| *wanted && stored.is_none());
        let mut backward = Backward::new(&setting, values, wanted.collect(), points.iter().copied());
        backward.add_gradient(slot, d_logits);
        let by_parameter = self.program.backward(&mut backward)?;
        let by_point = std::mem::take(&mut backward.held);
        let (values, tangents) = self.split(by_parameter);
        let (batch, length) = input.ids().dim();
        let shape = (batch, length, logits.dim().1);
        let rows = |x: Array2<F>| x.into_shape_with_order(shape).expect("one row for each token");
        let along = match (logits.tangent, loss_dot) {
            (Some(dot), Some(loss)) => Some(Along { logits: rows(dot), loss, by_parameter: tangents }),
            _ => None,
        };
        Ok(Gradients {
            loss,
            logits: rows(logits.value),
            by_parameter: values,
            by_point: by_point.into_iter().filter_map(|(point, x)| Some((point, x?))).collect(),
            along,
        })
    }

    /// Computes the mean cross-entropy in nats, with hooks.
    ///
    /// # Errors
    /// The errors of [`Model::gradients`].
    pub fn mean_loss(
        &self,
        input: &Input,
        targets: &Targets,
        hooks: &mut dyn Hooks<F>,
    ) -> Result<f64, RunError> {
        self.check_points(hooks)?;
        let losses = self.losses_at(&self.parameters, input, targets, hooks)?;
        Ok(losses.iter().sum::<f64>() / losses.len() as f64)
    }

    /// Computes the loss of each position with a target, in nats, in order, with other parameters.
    pub(super) fn losses_at(
        &self,
        parameters: &[Array2<F>],
        input: &Input,
        targets: &Targets,
        hooks: &mut dyn Hooks<F>,
    ) -> Result<Vec<f64>, RunError> {
        let slot = self.program.logits.ok_or(RunError::NoHead)?;
        let setting = Setting::new(
            &self.description,
            &self.program.layout,
            self.weights_of(parameters),
            None,
            input,
            0,
        )?;
        let targets = self.check_targets(input, targets)?;
        let values = self.program.forward(Forward::new(&setting, hooks, Keep::Nothing), 0..usize::MAX)?;
        let logits = values[slot].as_ref().expect("the pass computed the logits");
        Ok(CrossEntropy::new(&targets).losses(logits.view()))
    }

    /// Returns the values and the derivatives, with zeros for parameters that the pass did not reach.
    fn split(&self, by_parameter: Vec<Option<Matrix<F>>>) -> (Vec<Array2<F>>, Vec<Array2<F>>) {
        let zeros = |x: &Array2<F>| Array2::zeros(x.dim());
        let parts =
            by_parameter.into_iter().zip(&self.parameters).map(|(gradient, parameter)| match gradient {
                Some(Matrix { value, tangent }) => {
                    let tangent = tangent.unwrap_or_else(|| zeros(parameter));
                    (value, tangent)
                }
                None => (zeros(parameter), zeros(parameter)),
            });
        parts.unzip()
    }

    fn check_direction(&self, direction: &[Array2<F>]) -> Result<Vec<Option<Array2<F>>>, RunError> {
        self.check_expanded("a derivative along the parameters")?;
        self.check_shapes("the direction", direction)?;
        Ok(direction.iter().cloned().map(Some).collect())
    }

    pub(super) fn check_targets(
        &self,
        input: &Input,
        targets: &Targets,
    ) -> Result<Vec<Option<usize>>, RunError> {
        let (ids, given) = (input.ids(), &targets.0);
        if given.dim() != ids.dim() {
            let (expected, given) = (ids.shape().to_vec(), given.shape().to_vec());
            return Err(RunError::Shape { argument: "the targets", expected, given });
        }
        let vocabulary = self.description.vocabulary;
        for ((_, position), target) in given.indexed_iter() {
            if let &Some(id) = target
                && id as usize >= vocabulary
            {
                return Err(RunError::UnknownToken { id, position, n_vocab: vocabulary });
            }
        }
        if given.iter().all(Option::is_none) {
            return Err(RunError::NoTargets);
        }
        Ok(given.iter().map(|target| target.map(|id| id as usize)).collect())
    }
}
