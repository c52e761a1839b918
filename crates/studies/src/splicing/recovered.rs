use super::splice::{ErrorTerm, Splice};
use crate::error::StudyError;
use crate::leave_out::RowRule;
use crate::sequence::Sequence;
use collimate_measure::Fingerprint;
use collimate_sae::{Dictionary, KlRecovered, LossRecovered, WithNull};
use collimate_tensor::log_softmax_in_place;
use collimate_transformer::{Decoder, HookPoint, Hooks, Run};
use ndarray::{Array1, Array2};

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

/// Measures the loss and KL recovered on some sequences, against zeros and against `mean`. Position 0 is untouched in every run,
/// and the prediction made there is left out.
///
/// `progress` is called with the number of sequences done so far; the run stops when it returns false.
///
/// # Errors
/// [`StudyError::Interrupted`], [`StudyError::Model`], [`StudyError::Dictionary`].
pub fn recovered(
    decoder: &Decoder,
    dictionary: &Dictionary<f32>,
    point: HookPoint,
    sequences: &[Sequence],
    mean: &Array1<f32>,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Recovered, StudyError> {
    let [of_dictionary] = recovered_by_each(decoder, [dictionary], point, sequences, mean, None, progress)?;
    Ok(of_dictionary)
}

/// Measures a dictionary like [`recovered`], and beside it its null, whose decoder rows are shuffled ([`Dictionary::null`]).
///
/// # Errors
/// As [`recovered`].
///
/// # Determinism
/// The null is drawn from `seed` alone.
pub fn recovered_with_null(
    decoder: &Decoder,
    dictionary: &Dictionary<f32>,
    seed: u64,
    point: HookPoint,
    sequences: &[Sequence],
    mean: &Array1<f32>,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<[Recovered; 2], StudyError> {
    recovered_by_each(decoder, [dictionary, &dictionary.null(seed)], point, sequences, mean, None, progress)
}

/// Measures like [`recovered_with_null`], where the rows that a rule leaves out stay as they are in every run, like position 0.
///
/// # Errors
/// As [`recovered`].
pub fn recovered_leaving_out(
    decoder: &Decoder,
    dictionary: &Dictionary<f32>,
    seed: u64,
    point: HookPoint,
    sequences: &[Sequence],
    mean: &Array1<f32>,
    rule: &RowRule,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<[Recovered; 2], StudyError> {
    let both = [dictionary, &dictionary.null(seed)];
    recovered_by_each(decoder, both, point, sequences, mean, Some(rule), progress)
}

/// Returns a splice that keeps the rows which a rule leaves out.
fn ruled<'a>(splice: Splice<'a>, rule: Option<&'a RowRule>, tokens: &'a [u32]) -> Splice<'a> {
    match rule {
        Some(rule) => splice.leaving_out(rule, tokens),
        None => splice,
    }
}

/// Measures several dictionaries; the runs without a dictionary serve all of them.
fn recovered_by_each<const N: usize>(
    decoder: &Decoder,
    dictionaries: [&Dictionary<f32>; N],
    point: HookPoint,
    sequences: &[Sequence],
    mean: &Array1<f32>,
    rule: Option<&RowRule>,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<[Recovered; N], StudyError> {
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
            let mut logits = decoder.logits(Run::of(&sequence.tokens), hooks)?;
            logits.rows_mut().into_iter().for_each(|mut row| {
                log_softmax_in_place(row.as_slice_mut().expect("rows of a fresh array"));
            });
            Ok(logits)
        };
        let tokens = &sequence.tokens;
        let ablated = |row: &Array1<f32>| {
            let mut splice = ruled(Splice::constant(point, row.view()), rule, tokens);
            let logits = run(&mut splice)?;
            splice.check()?;
            Ok::<_, StudyError>(logits)
        };
        let clean = run(&mut ())?;
        let mut runs = vec![ablated(&zeros)?, ablated(mean)?];
        for dictionary in dictionaries {
            let mut splice = ruled(Splice::dictionary(point, dictionary, ErrorTerm::Dropped)?, rule, tokens);
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
