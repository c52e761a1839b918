use collimate_sae::{Dictionary, LayeredTranscoder, SaeError};
use collimate_tensor::SparseRows;
use ndarray::Array2;

/// The part of a dictionary that computes the codes of single rows.
#[derive(Clone, Copy, Debug)]
pub enum Encoder<'a> {
    /// A dictionary of single rows.
    Dictionary(&'a Dictionary<f32>),
    /// One layer of a transcoder of several layers.
    Layer(&'a LayeredTranscoder<f32>, usize),
}

impl Encoder<'_> {
    /// Returns the number of latents.
    pub fn n_latents(&self) -> usize {
        match self {
            Self::Dictionary(dictionary) => dictionary.size().n_latents,
            Self::Layer(transcoder, _) => transcoder.n_latents(),
        }
    }

    /// Computes the codes of rows `[b, d]`.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for another width, [`SaeError::NonFiniteInput`] for NaN or infinity, [`SaeError::OutOfRange`] for a layer
    /// that the transcoder does not have.
    pub fn codes(&self, rows: &Array2<f32>) -> Result<SparseRows<f32>, SaeError> {
        match self {
            Self::Dictionary(dictionary) => Ok(dictionary.forward(rows)?.codes),
            Self::Layer(transcoder, layer) => transcoder.encode_layer(*layer, rows),
        }
    }
}

impl<'a> From<&'a Dictionary<f32>> for Encoder<'a> {
    fn from(dictionary: &'a Dictionary<f32>) -> Self {
        Self::Dictionary(dictionary)
    }
}
