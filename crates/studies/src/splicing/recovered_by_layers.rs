use super::comparison::{Changed, Recovered, measured};
use super::layer_splice::{LayerOutputs, LayerSplice};
use crate::error::StudyError;
use crate::leave_out::RowRule;
use crate::sequence::Sequence;
use collimate_sae::LayeredTranscoder;
use collimate_transformer::{Model, Site};
use ndarray::Array2;

/// The place and the conditions of [`recovered_by_layers`].
#[derive(Clone, Debug, PartialEq)]
pub struct LayersOptions<'a> {
    /// The site that the transcoders read in each layer.
    pub reads: Site,
    /// The site whose activation they replace in each layer.
    pub writes: Site,
    /// The mean activation `[layer, d]` of the mean ablation.
    pub means: &'a Array2<f32>,
    /// The positions that stay as they are in every run; by default position 0 alone. All layers take it from the rows that the first
    /// layer reads.
    pub rule: RowRule,
}

/// Measures the loss and KL recovered by each transcoder of several layers: all its layers replace the activations that they predict, in one
/// run. The ablations put zeros or the means at the replaced points of all layers.
///
/// Later layers read what the replaced outputs of earlier ones lead to. Otherwise as `recovered`.
///
/// # Errors
/// [`StudyError::Interrupted`], [`StudyError::Model`], [`StudyError::Dictionary`] for other widths or another number of layers than those of
/// the model.
///
/// # Examples
/// ```
/// use collimate_sae::{LayerActivation, LayeredTranscoder, Reach, TranscoderLayer};
/// use collimate_stream::RngStream;
/// use collimate_studies::splicing::{LayersOptions, recovered_by_layers};
/// use collimate_studies::{RowRule, Sequence};
/// use collimate_transformer::{Description, Model, Site};
/// use ndarray::{Array1, Array2, Array3};
/// let model = Model::<f32>::random(Description::small(), &RngStream::new(1, 0));
/// let (layers, d) = (model.description().layers.len(), model.description().width);
/// let silent = |_| TranscoderLayer {
///     w_enc: Array2::zeros((3, d)),
///     b_enc: Array1::zeros(3),
///     activation: LayerActivation::Relu,
///     w_dec: Array3::zeros((3, 1, d)),
///     b_dec: Array1::zeros(d),
///     w_skip: None,
/// };
/// let transcoder = LayeredTranscoder::new((0..layers).map(silent).collect(), Reach::OwnLayer)?;
/// let text = [Sequence { document: 0, tokens: vec![0, 5, 9, 5] }];
/// let means = Array2::from_elem((layers, d), 0.1);
/// let options =
///     LayersOptions { reads: Site::MlpInput, writes: Site::MlpAdded, means: &means, rule: RowRule::default() };
/// let [found] = recovered_by_layers(&model, [&transcoder], &options, &text, &mut |_| true)?;
/// assert_eq!(found.loss.reconstructed, found.loss.zero_ablated); // it predicts zeros
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn recovered_by_layers<const N: usize>(
    model: &Model<f32>,
    transcoders: [&LayeredTranscoder<f32>; N],
    options: &LayersOptions<'_>,
    sequences: &[Sequence],
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<[Recovered; N], StudyError> {
    let LayersOptions { reads, writes, means, ref rule } = *options;
    let zeros = Array2::zeros(means.dim());
    measured(model, sequences, progress, &mut |change, tokens, run| {
        let replacement = match change {
            Changed::ZeroAblated => LayerOutputs::Constant(&zeros),
            Changed::MeanAblated => LayerOutputs::Constant(means),
            Changed::Replaced(number) => LayerOutputs::Transcoder(transcoders[number]),
        };
        let mut splice = LayerSplice::new(model, [reads, writes], replacement, rule, tokens)?;
        let logits = run(&mut splice)?;
        splice.check()?;
        Ok(logits)
    })
}
