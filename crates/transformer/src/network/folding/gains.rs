use crate::description::{GainForm, Norm};
use crate::network::Model;
use crate::parameters::{ParameterName, Part};
use crate::precision::Precision;
use collimate_tensor::Scalar;
use ndarray::Array1;

/// The gain and the bias of a norm, where it has them.
pub(super) struct Gains<F> {
    /// The factor on each coordinate.
    pub(super) gain: Option<Array1<F>>,
    /// The number that is added to each coordinate.
    pub(super) bias: Option<Array1<F>>,
}

impl<F: Precision> Gains<F> {
    /// Reads the gain and the bias of a norm of a model. Without a norm there are none.
    pub(super) fn of(
        model: &Model<F>,
        norm: Option<&Norm>,
        layer: Option<usize>,
        [gain, bias]: [Part; 2],
    ) -> Self {
        let read = |part| Some(model.read_parameter(ParameterName { layer, part })?.row(0).to_owned());
        let Some(norm) = norm else { return Self { gain: None, bias: None } };
        let shift = <F as Scalar>::from_f64(if norm.gain == GainForm::PlusOne { 1.0 } else { 0.0 });
        let gain = if norm.gain == GainForm::None { None } else { read(gain) };
        let bias = if norm.bias { read(bias) } else { None };
        Self { gain: gain.map(|gain| gain + shift), bias }
    }
}

/// Returns true if a norm has a gain or a bias.
pub(super) fn has_gains(norm: Option<&Norm>) -> bool {
    norm.is_some_and(|norm| norm.gain != GainForm::None || norm.bias)
}

/// Returns the norm without gain and bias.
pub(super) fn bare(norm: Norm) -> Norm {
    norm.with_gain(GainForm::None).with_bias(false)
}
