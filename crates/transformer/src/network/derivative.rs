//! Derivatives of the logits along directions in activations.

use super::Model;
use crate::error::RunError;
use crate::pass::{Forward, Input, Keep, Setting};
use crate::precision::Precision;
use crate::site::HookPoint;
use ndarray::{Array2, Array3, ArrayD};
use std::collections::BTreeMap;

/// The logits of a run, and their derivative along a direction.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Derivative<F> {
    /// The logits `[b, t, v]`.
    pub logits: Array3<F>,
    /// The derivative of the logits, `[b, t, v]`.
    pub along: Array3<F>,
}

impl<F: Precision> Model<F> {
    /// Computes the derivative of the logits along a direction in activations, in one pass forwards.
    ///
    /// ```text
    /// d/dε logits(a₁ + ε d₁, a₂ + ε d₂, …) at ε = 0, where aᵢ is the activation at a point as the pass computes it
    /// ```
    /// For a direction in the weights see [`Model::gradients`].
    ///
    /// # Shapes
    /// The direction at a point has the shape of the activation there.
    ///
    /// # Errors
    /// The errors of [`Model::run`]; [`RunError::NoHead`] for a model without logits; [`RunError::NoGradient`] for a point inside an
    /// operation: scores, patterns, results of heads and divisors of norms; [`RunError::Shape`] for a direction of another shape.
    ///
    /// # Examples
    /// The logits are linear in the stream that the head reads, so the direction there gives the product with the head itself:
    /// ```
    /// use collimate_transformer::{Description, Input, Model, RngStream, Site};
    /// let model = Model::<f64>::random(Description::small(), &RngStream::new(1, 0));
    /// let input = Input::of(&[7, 3, 9]);
    /// let direction = ndarray::Array3::from_shape_fn((1, 3, 32), |(_, t, c)| (t + c) as f64);
    /// let moves = [(Site::FinalHidden.of_layer(0), direction.clone().into_dyn())];
    /// let derivative = model.derivative_along(&input, &moves)?;
    /// let product = model.unembed(direction.index_axis(ndarray::Axis(0), 0))?;
    /// assert!((&derivative.along.index_axis(ndarray::Axis(0), 0) - &product).iter().all(|x| x.abs() < 1e-12));
    /// # Ok::<(), collimate_transformer::RunError>(())
    /// ```
    pub fn derivative_along(
        &self,
        input: &Input,
        moves: &[(HookPoint, ArrayD<F>)],
    ) -> Result<Derivative<F>, RunError> {
        let slot = self.program.logits.ok_or(RunError::NoHead)?;
        let mut all = BTreeMap::<HookPoint, ArrayD<F>>::new();
        for (point, by) in moves {
            let point = *point;
            if !self.has_point(point) {
                return Err(RunError::NoSuchPoint { point, layers: self.description.layers.len() });
            }
            if !self.program.layout.slots.iter().any(|slot| slot.points.contains(&point)) {
                return Err(RunError::NoGradient { point });
            }
            match all.get_mut(&point) {
                Some(sum) if sum.shape() == by.shape() => *sum += by,
                _ => drop(all.insert(point, by.clone())),
            }
        }
        let (layout, weights) = (&self.program.layout, self.weights());
        let setting = Setting::new(&self.description, layout, weights, None, input, 0)?.moving(all);
        let mut none = ();
        let forward = Forward::new(&setting, &mut none, Keep::Nothing);
        let mut values = self.program.forward(forward, 0..usize::MAX)?;
        let logits = values[slot].take().expect("the pass computed the logits");
        let (batch, length) = input.ids().dim();
        let shape = (batch, length, logits.dim().1);
        let rows = |x: Array2<F>| x.into_shape_with_order(shape).expect("one row for each token");
        let along = logits.tangent.map_or_else(|| Array3::zeros(shape), rows);
        Ok(Derivative { logits: rows(logits.value), along })
    }
}
