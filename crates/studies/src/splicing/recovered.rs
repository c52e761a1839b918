use super::splice::{ErrorTerm, Splice};
use crate::error::StudyError;
use crate::leave_out::RowRule;
use crate::sequence::Sequence;
use collimate_measure::Fingerprint;
use collimate_sae::{Dictionary, KlRecovered, LossRecovered, WithNull};
use collimate_tensor::log_softmax_in_place;
use collimate_transformer::{HookPoint, Hooks, Model, Run};
use ndarray::{Array1, Array2, Axis};

/// The cost of splicing a dictionary into a model, with every number it is computed from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recovered {
    /// The cross-entropies of the next token.
    pub loss: LossRecovered,
    /// The divergences from the predictions of the unchanged model.
    pub kl: KlRecovered,
    /// The number of predictions that the means run over.
    pub predictions: u64,
}

impl Recovered {
    /// Adds the predictions of other sequences: afterwards every mean runs over both.
    pub fn merge(&mut self, other: &Recovered) {
        let total = self.predictions + other.predictions;
        if total == 0 {
            return;
        }
        let share = other.predictions as f64 / total as f64;
        let mean = |a: &mut f64, b: f64| *a += share * (b - *a);
        mean(&mut self.loss.clean, other.loss.clean);
        mean(&mut self.loss.reconstructed, other.loss.reconstructed);
        mean(&mut self.loss.zero_ablated, other.loss.zero_ablated);
        mean(&mut self.loss.mean_ablated, other.loss.mean_ablated);
        mean(&mut self.kl.reconstructed, other.kl.reconstructed);
        mean(&mut self.kl.zero_ablated, other.kl.zero_ablated);
        mean(&mut self.kl.mean_ablated, other.kl.mean_ablated);
        self.predictions = total;
    }

    /// Returns every measurement beside the one of the null dictionary, spliced on the same sequences.
    pub fn with_null(&self, null: &Recovered, object: Fingerprint) -> Vec<WithNull> {
        let mut all = self.loss.with_null(&null.loss, self.predictions, object);
        all.extend(self.kl.with_null(&null.kl, self.predictions, object));
        all
    }
}

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
    // Clean, zero, mean, and then each dictionary.
    let mut nll = vec![0.0_f64; 3 + N];
    let mut divergence = vec![0.0_f64; 3 + N];
    let mut predictions = 0_u64;
    let zeros = Array1::zeros(mean.len());
    for (done, sequence) in sequences.iter().enumerate() {
        if !progress(done) {
            return Err(StudyError::Interrupted);
        }
        let run = |hooks: &mut dyn Hooks| -> Result<Array2<f32>, StudyError> {
            let mut logits = model.logits(Run::of(&sequence.tokens), hooks)?.index_axis_move(Axis(0), 0);
            logits.rows_mut().into_iter().for_each(|mut row| {
                log_softmax_in_place(row.as_slice_mut().expect("rows of a fresh array"));
            });
            Ok(logits)
        };
        let tokens = &sequence.tokens;
        let ablated = |row: &Array1<f32>| {
            let mut splice = Splice::constant(point, row.view()).leaving_out(rule, tokens);
            let logits = run(&mut splice)?;
            splice.check()?;
            Ok::<_, StudyError>(logits)
        };
        let clean = run(&mut ())?;
        let mut runs = vec![ablated(&zeros)?, ablated(mean)?];
        for dictionary in dictionaries {
            let splice = Splice::dictionary(point, dictionary, ErrorTerm::Dropped)?;
            let mut splice = splice.leaving_out(rule, tokens);
            runs.push(run(&mut splice)?);
            splice.codes()?;
        }
        for position in 1..sequence.tokens.len() - 1 {
            predictions += 1;
            let target = sequence.tokens[position + 1] as usize;
            let all = std::iter::once(&clean).chain(&runs);
            for ((nll, divergence), log_q) in nll.iter_mut().zip(&mut divergence).zip(all) {
                *nll -= f64::from(log_q[[position, target]]);
                let terms = clean.row(position).into_iter().zip(log_q.row(position));
                *divergence +=
                    terms.map(|(&p, &q)| f64::from(p).exp() * (f64::from(p) - f64::from(q))).sum::<f64>();
            }
        }
    }
    let n = predictions.max(1) as f64;
    let (nll, divergence) = (|i: usize| nll[i] / n, |i: usize| divergence[i] / n);
    Ok(std::array::from_fn(|i| Recovered {
        loss: LossRecovered {
            clean: nll(0),
            reconstructed: nll(3 + i),
            zero_ablated: nll(1),
            mean_ablated: nll(2),
        },
        kl: KlRecovered {
            reconstructed: divergence(3 + i),
            zero_ablated: divergence(1),
            mean_ablated: divergence(2),
        },
        predictions,
    }))
}
