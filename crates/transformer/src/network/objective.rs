//! The loss of a model on a set of sequences as an objective, for the optimisers and samplers of the workspace.

use super::Model;
use super::loss_gradient::{Activations, Asked, shifted};
use crate::error::RunError;
use crate::parameters::ParameterName;
use crate::pass::Input;
use crate::precision::Precision;
use collimate_grad::{Batch, GradError, HessianVectorProducts, Objective, PerSampleLosses, Scratch};
use collimate_tensor::Scalar;
use ndarray::{Array2, Axis};

/// The mean loss of a model over sequences of equal length, as a function of chosen parameters; the other parameters stay.
///
/// A sample is one sequence: its loss is the mean over its tokens, each of which predicts the next one, in nats.
///
/// # Determinism
/// The same parameters and batch give the same bits on any number of threads.
///
/// # Examples
/// ```
/// use collimate_grad::{Batch, Objective, Scratch};
/// use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm};
/// use collimate_transformer::{RngStream, SequenceObjective};
/// let mlp = MlpDescription::new(16, true, Activation::Silu);
/// let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
/// let mut description = Description::new("toy", 11, 8, 32);
/// description.layers = vec![layer];
/// let model = Model::<f64>::random(description, &RngStream::new(1, 0));
/// let rows = ndarray::array![[1, 2, 3, 4], [2, 3, 4, 5]];
/// let objective = SequenceObjective::new(&model, rows.clone(), |name| name.layer == Some(0))?;
/// let (w, mut gradient) = (objective.start(), vec![0.0; objective.n_parameters()]);
/// let loss = objective.loss_and_gradient_into(&w, Batch::All, &mut Scratch::new(), &mut gradient);
/// assert!((loss - model.loss_of_rows(&[rows.view()]).unwrap()).abs() < 1e-14);
/// # Ok::<(), collimate_transformer::RunError>(())
/// ```
pub struct SequenceObjective<'a, F> {
    model: &'a Model<F>,
    /// The sequences, `[n, t + 1]`.
    rows: Array2<u32>,
    /// True for each chosen parameter.
    chosen: Vec<bool>,
    activations: Activations,
}

impl<'a, F: Precision> SequenceObjective<'a, F> {
    /// Makes the objective of the parameters that `choose` names, on sequences `[n, t + 1]`.
    ///
    /// # Errors
    /// [`RunError`] if there is no sequence of at least two tokens, a token is unknown, or the model has no logits.
    pub fn new(
        model: &'a Model<F>,
        rows: Array2<u32>,
        choose: impl Fn(ParameterName) -> bool,
    ) -> Result<Self, RunError> {
        model.check_expanded("an objective of the weights")?;
        if rows.nrows() == 0 || rows.ncols() < 2 {
            return Err(RunError::NoTargets);
        }
        Input::new(rows.clone()).check(model.description().vocabulary)?;
        let chosen = model.parameters().map(|(name, _)| choose(name)).collect();
        let objective = Self { model, rows, chosen, activations: Activations::Kept };
        objective.losses(&objective.start(), Batch::Indices(&[0]))?;
        Ok(objective)
    }

    /// Returns this objective with another way of getting the activations of a gradient. All are kept by default.
    #[must_use]
    pub fn activations(self, activations: Activations) -> Self {
        Self { activations, ..self }
    }

    /// Returns the chosen parameters of the model, one after the other, each row by row.
    pub fn start(&self) -> Vec<F> {
        let parts = self.model.parameters().zip(&self.chosen).filter(|(_, chosen)| **chosen);
        parts.flat_map(|((_, x), _)| x.iter().copied()).collect()
    }

    /// Returns all parameters of the model, where the chosen ones are those of `w`; the others are zero, or the model's own.
    fn spread(&self, w: &[F], own: bool) -> Vec<Array2<F>> {
        let mut at = 0;
        let parts = self.model.parameters().zip(&self.chosen).map(|((_, x), chosen)| {
            if !chosen {
                return if own { x.to_owned() } else { Array2::zeros(x.dim()) };
            }
            let part = &w[at..at + x.len()];
            at += x.len();
            Array2::from_shape_vec(x.dim(), part.to_vec()).expect("as many numbers as the parameter has")
        });
        parts.collect()
    }

    fn gather(&self, parts: &[Array2<F>], out: &mut [F]) {
        let chosen = parts.iter().zip(&self.chosen).filter(|(_, chosen)| **chosen);
        for (out, x) in out.iter_mut().zip(chosen.flat_map(|(x, _)| x.iter())) {
            *out = *x;
        }
    }

    /// Returns the sequences of a batch.
    fn rows_of(&self, batch: Batch<'_>) -> Array2<u32> {
        let indices: Vec<usize> = batch.iter(self.rows.nrows()).collect();
        self.rows.select(Axis(0), &indices)
    }

    /// Computes the loss of each token of a batch.
    fn losses(&self, w: &[F], batch: Batch<'_>) -> Result<Vec<f64>, RunError> {
        let (input, targets) = shifted(self.rows_of(batch).view());
        self.model.losses_at(&self.spread(w, true), &input, &targets, &mut ())
    }
}

impl<F: Precision> Objective<F> for SequenceObjective<'_, F> {
    fn n_parameters(&self) -> usize {
        let parts = self.model.parameters().zip(&self.chosen).filter(|(_, chosen)| **chosen);
        parts.map(|((_, x), _)| x.len()).sum()
    }

    fn n_samples(&self) -> usize {
        self.rows.nrows()
    }

    fn loss_and_gradient_into(&self, w: &[F], batch: Batch<'_>, _: &mut Scratch, out: &mut [F]) -> F {
        let asked = Asked { wanted: &self.chosen, activations: self.activations };
        match self.model.loss_gradient_at(&self.spread(w, true), asked, self.rows_of(batch).view()) {
            Ok(gradients) => {
                self.gather(&gradients.by_parameter, out);
                <F as Scalar>::from_f64(gradients.loss)
            }
            Err(_) => {
                out.fill(F::nan());
                F::nan()
            }
        }
    }

    fn loss(&self, w: &[F], batch: Batch<'_>, _: &mut Scratch) -> F {
        match self.losses(w, batch) {
            Ok(losses) => <F as Scalar>::from_f64(losses.iter().sum::<f64>() / losses.len() as f64),
            Err(_) => F::nan(),
        }
    }

    fn failure(&self, w: &[F], batch: Batch<'_>) -> Option<GradError> {
        self.losses(w, batch).err().map(|error| GradError::Evaluation(error.to_string()))
    }

    fn coordinate_name(&self, index: usize) -> String {
        let mut at = 0;
        for ((name, x), _) in self.model.parameters().zip(&self.chosen).filter(|(_, chosen)| **chosen) {
            if index < at + x.len() {
                let (row, column) = ((index - at) / x.ncols(), (index - at) % x.ncols());
                return format!("{name}[{row}, {column}]");
            }
            at += x.len();
        }
        format!("w[{index}]")
    }

    fn per_sample_losses(&self) -> Option<&dyn PerSampleLosses<F>> {
        Some(self)
    }

    fn hessian_vector_products(&self) -> Option<&dyn HessianVectorProducts<F>> {
        Some(self)
    }
}

impl<F: Precision> PerSampleLosses<F> for SequenceObjective<'_, F> {
    fn per_sample_losses_into(&self, w: &[F], batch: Batch<'_>, _: &mut Scratch, out: &mut [F]) {
        let length = self.rows.ncols() - 1;
        match self.losses(w, batch) {
            Ok(losses) => {
                for (out, tokens) in out.iter_mut().zip(losses.chunks_exact(length)) {
                    *out = <F as Scalar>::from_f64(tokens.iter().sum::<f64>() / length as f64);
                }
            }
            Err(_) => out.fill(F::nan()),
        }
    }
}

impl<F: Precision> HessianVectorProducts<F> for SequenceObjective<'_, F> {
    fn hessian_vector_product_into(
        &self,
        w: &[F],
        direction: &[F],
        batch: Batch<'_>,
        _: &mut Scratch,
        out: &mut [F],
    ) {
        let (input, targets) = shifted(self.rows_of(batch).view());
        let direction = self.spread(direction, false);
        let parameters = self.spread(w, true);
        let gradients =
            self.model.gradients_at(&parameters, &self.chosen, &input, &targets, &[], Some(&direction));
        match gradients.ok().and_then(|gradients| gradients.along) {
            Some(along) => self.gather(&along.by_parameter, out),
            None => out.fill(F::nan()),
        }
    }
}
