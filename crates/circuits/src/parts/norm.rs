use collimate_grad::primitive::{layer_norm, rms_norm};
use collimate_tensor::{Scalar, ShapeError};
use collimate_transformer::{GainForm, Model, Norm, NormKind, ParameterName, Part, Precision};
use ndarray::{Array1, Array2, ArrayRef2, Axis, Zip};

/// A norm of rows with its gain and bias as plain numbers, or the identity.
pub(crate) struct NormMap<F> {
    kind: Option<NormKind>,
    epsilon: F,
    /// The gain `[d]`, with the 1 added that some files leave out.
    gain: Array1<F>,
    /// The bias `[d]`.
    pub(crate) bias: Array1<F>,
}

impl<F: Precision> NormMap<F> {
    /// Returns the norm of a model, or the identity where it has none.
    pub(crate) fn new(model: &Model<F>, norm: Option<&Norm>, layer: Option<usize>, parts: [Part; 2]) -> Self {
        let width = model.description().width;
        let vector = |part: Part| {
            let found = model.read_parameter(ParameterName { layer, part });
            found.map(|x| Array1::from_iter(x.iter().copied()))
        };
        let (zeros, ones) = (Array1::zeros(width), Array1::from_elem(width, F::one()));
        let Some(norm) = norm else {
            return Self { kind: None, epsilon: F::zero(), gain: ones, bias: zeros };
        };
        let gain = match norm.gain {
            GainForm::None => ones,
            GainForm::Plain => vector(parts[0]).unwrap_or(ones),
            GainForm::PlusOne => vector(parts[0]).map_or_else(|| ones.clone(), |gain| gain + F::one()),
        };
        let bias = if norm.bias { vector(parts[1]).unwrap_or(zeros) } else { zeros };
        Self { kind: Some(norm.kind), epsilon: <F as Scalar>::from_f64(norm.epsilon), gain, bias }
    }

    /// Returns this norm without its gain and its bias.
    pub(crate) fn plain(self) -> Self {
        let width = self.gain.len();
        Self { gain: Array1::from_elem(width, F::one()), bias: Array1::zeros(width), ..self }
    }

    /// Computes the norm of rows `[t, d]`.
    pub(crate) fn forward(&self, x: &ArrayRef2<F>) -> Result<Array2<F>, ShapeError> {
        match self.kind {
            None => Ok(x.to_owned()),
            Some(NormKind::RootMeanSquare) => {
                Ok(rms_norm::forward(x, &self.gain, self.epsilon)? + &self.bias)
            }
            Some(NormKind::Layer) => layer_norm::forward(x, &self.gain, &self.bias, self.epsilon),
        }
    }

    /// Computes the gradient by the rows from the gradient by their norm.
    pub(crate) fn pull_back(&self, x: &ArrayRef2<F>, d: &ArrayRef2<F>) -> Result<Array2<F>, ShapeError> {
        match self.kind {
            None => Ok(d.to_owned()),
            Some(NormKind::RootMeanSquare) => Ok(rms_norm::vjp(x, &self.gain, self.epsilon, d)?.0),
            Some(NormKind::Layer) => Ok(layer_norm::vjp(x, &self.gain, self.epsilon, d)?.0),
        }
    }

    /// Computes the divisor of each row, √(mean square + ε) or √(variance + ε).
    pub(crate) fn scales(&self, x: &ArrayRef2<F>) -> Array1<F> {
        let n = <F as Scalar>::from_f64(x.ncols() as f64);
        let centred = self.centred(x.to_owned());
        match self.kind {
            None => Array1::from_elem(x.nrows(), F::one()),
            Some(_) => {
                centred.rows().into_iter().map(|row| (row.dot(&row) / n + self.epsilon).sqrt()).collect()
            }
        }
    }

    /// Applies the norm as a linear map with fixed divisors, without the bias.
    pub(crate) fn frozen(&self, x: Array2<F>, scales: &Array1<F>) -> Array2<F> {
        let mut out = self.centred(x);
        Zip::from(out.rows_mut())
            .and(scales)
            .for_each(|mut row, &s| row.zip_mut_with(&self.gain, |x, &g| *x *= g / s));
        out
    }

    /// Applies the transpose of [`NormMap::frozen`].
    pub(crate) fn frozen_transposed(&self, mut d: Array2<F>, scales: &Array1<F>) -> Array2<F> {
        Zip::from(d.rows_mut())
            .and(scales)
            .for_each(|mut row, &s| row.zip_mut_with(&self.gain, |x, &g| *x *= g / s));
        self.centred(d)
    }

    /// Subtracts the mean of each row where the norm does.
    fn centred(&self, mut x: Array2<F>) -> Array2<F> {
        if self.kind == Some(NormKind::Layer) {
            let n = <F as Scalar>::from_f64(x.ncols() as f64);
            let means = x.sum_axis(Axis(1)) / n;
            x -= &means.insert_axis(Axis(1));
        }
        x
    }
}
