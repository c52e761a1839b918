//! Models with random weights.

use super::Model;
use crate::description::{Description, GainForm};
use crate::parameters::{ParameterName, Part, Piece};
use crate::precision::Precision;
use collimate_stream::RngStream;
use ndarray::Array2;
use std::collections::BTreeMap;
use std::sync::OnceLock;

impl<F: Precision> Model<F> {
    /// Makes a model with random weights: normal numbers of variance 1/inputs in the matrices, of variance 1/d in the tables, gains
    /// without effect, and biases of 0.
    ///
    /// # Determinism
    /// The same stream gives the same bits. Every parameter draws from a stream of its own.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Activation, AttentionDescription, Description, Input, LayerDescription, MlpDescription, Model};
    /// use collimate_transformer::{Norm, RngStream};
    /// let mlp = MlpDescription::new(16, true, Activation::Silu);
    /// let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
    /// let mut description = Description::new("toy", 11, 8, 32);
    /// description.layers = vec![layer; 2];
    /// let model = Model::<f64>::random(description, &RngStream::new(1, 0));
    /// let outputs = model.run(&Input::new(ndarray::array![[3, 5, 8]]), &mut ())?;
    /// assert_eq!(outputs.logits.unwrap().dim(), (1, 3, 11));
    /// # Ok::<(), collimate_transformer::TransformerError>(())
    /// ```
    pub fn random(description: Description, stream: &RngStream) -> Self {
        let shifted = description.final_norm.is_some_and(|norm| norm.gain == GainForm::PlusOne);
        let (width, gain) = (description.width, if shifted { 0.0 } else { 1.0 });
        Self::of_description(description, |index, name, shape| {
            values((width, gain), name, shape, &mut stream.child(index as u64))
        })
    }

    /// Makes a model that came from no file. `make` gives the numbers of each parameter from its index, its name and its shape.
    pub(super) fn of_description(
        description: Description,
        mut make: impl FnMut(usize, ParameterName, (usize, usize)) -> Array2<F>,
    ) -> Self {
        let program = F::build(&description);
        let parameters: Vec<Array2<F>> = program
            .parameters
            .iter()
            .enumerate()
            .map(|(index, (name, shape))| make(index, *name, *shape))
            .collect();
        let sources =
            program.parameters.iter().map(|(name, _)| vec![Piece::whole(name.to_string())]).collect();
        let shape =
            |(name, shape): &(ParameterName, (usize, usize))| (name.to_string(), vec![shape.0, shape.1]);
        let shapes: BTreeMap<String, Vec<usize>> = program.parameters.iter().map(shape).collect();
        Self {
            description,
            program,
            stored: vec![None; parameters.len()],
            parameters,
            sources,
            shapes,
            skipped: Vec::new(),
            configuration: None,
            fingerprint: OnceLock::new(),
        }
    }
}

/// Draws the numbers of a parameter, for a stream of the given width and gains of the given value.
fn values<F: Precision>(
    (width, gain): (usize, f64),
    name: ParameterName,
    shape: (usize, usize),
    stream: &mut RngStream,
) -> Array2<F> {
    let number = |x: f64| <F as collimate_tensor::Scalar>::from_f64(x);
    if name.part.is_bias() {
        return Array2::zeros(shape);
    }
    if name.part.is_gain() {
        return Array2::from_elem(shape, number(gain));
    }
    let table = matches!(name.part, Part::TokenEmbedding | Part::PositionEmbedding | Part::TypeEmbedding);
    let inputs = if table { width } else { shape.1 };
    let scale = 1.0 / (inputs as f64).sqrt();
    Array2::from_shape_simple_fn(shape, || number(scale * stream.normal()))
}
