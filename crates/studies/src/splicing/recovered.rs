use super::comparison::{Changed, Recovered, measured};
use super::splice::{ErrorTerm, Splice};
use crate::error::StudyError;
use crate::leave_out::RowRule;
use crate::sequence::Sequence;
use collimate_sae::Dictionary;
use collimate_transformer::{HookPoint, Model};
use ndarray::Array1;

/// The place and the conditions of [`recovered`].
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredOptions<'a> {
    /// The point at which activations are replaced.
    pub point: HookPoint,
    /// The mean activation `[d]` of the mean ablation.
    pub mean: &'a Array1<f32>,
    /// The rows that stay as they are in every run; by default position 0 alone.
    pub rule: RowRule,
}

/// Measures the loss and KL recovered by each dictionary on some sequences, against zeros and against the mean. Position 0 is untouched
/// in every run, and the prediction made there is left out.
///
/// The runs without a dictionary are shared. A dictionary and its null ([`Dictionary::null`]), measured in one call, are compared by
/// [`Recovered::with_null`]. `progress` is called with the number of sequences done so far; the run stops when it returns false.
///
/// # Errors
/// [`StudyError::Interrupted`], [`StudyError::Model`], [`StudyError::Dictionary`].
///
/// # Examples
/// ```
/// use collimate_sae::{Sae, Size, TopK};
/// use collimate_stream::RngStream;
/// use collimate_studies::splicing::{RecoveredOptions, recovered};
/// use collimate_studies::{RowRule, Sequence};
/// use collimate_transformer::{Description, Model, Site};
/// let mut stream = RngStream::new(1, 0);
/// let model = Model::<f32>::random(Description::small(), &stream);
/// let size = Size { d_model: model.description().width, n_latents: 64 };
/// let dictionary = Sae::<f32>::new(TopK::new(4), size, &mut stream)?.into_dictionary();
/// let text = [Sequence { document: 0, tokens: vec![0, 5, 9, 5] }];
/// let mean = ndarray::Array1::zeros(size.d_model);
/// let options = RecoveredOptions { point: Site::ResidualPost.of_layer(0), mean: &mean, rule: RowRule::default() };
/// let both = [&dictionary, &dictionary.null(7)];
/// let [found, null] = recovered(&model, both, &options, &text, &mut |_| true)?;
/// assert_eq!((found.predictions, found.loss.clean), (2, null.loss.clean)); // made at positions 1 and 2
/// assert_eq!(found.loss.zero_ablated, found.loss.mean_ablated); // the mean is zero here
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn recovered<const N: usize>(
    model: &Model<f32>,
    dictionaries: [&Dictionary<f32>; N],
    options: &RecoveredOptions<'_>,
    sequences: &[Sequence],
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<[Recovered; N], StudyError> {
    let RecoveredOptions { point, mean, ref rule } = *options;
    let zeros = Array1::zeros(mean.len());
    measured(model, sequences, progress, &mut |change, tokens, run| {
        let constant = |row: &Array1<f32>| {
            let mut splice = Splice::constant(point, row.view()).leaving_out(rule, tokens);
            let logits = run(&mut splice)?;
            splice.check()?;
            Ok(logits)
        };
        match change {
            Changed::ZeroAblated => constant(&zeros),
            Changed::MeanAblated => constant(mean),
            Changed::Replaced(number) => {
                let splice = Splice::dictionary(point, dictionaries[number], ErrorTerm::Dropped)?;
                let mut splice = splice.leaving_out(rule, tokens);
                let logits = run(&mut splice)?;
                splice.codes()?;
                Ok(logits)
            }
        }
    })
}
