use super::{ErrorTerm, Inserted};
use crate::real::{Sequence, StudyError};
use collimate_measure::Fingerprint;
use collimate_sae::formats::Dictionary;
use collimate_sae::{KlRecovered, LossRecovered, WithNull};
use collimate_tensor::log_softmax_in_place;
use collimate_transformer::{Decoder, Edit, HookPoint, Hooks, Run};
use ndarray::{Array1, Array2, ArrayViewMutD};

/// What splicing a dictionary into a model costs, with every number it is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recovered {
    /// Cross-entropies of the next token.
    pub loss: LossRecovered,
    /// Divergences from the predictions of the model as it is.
    pub kl: KlRecovered,
    /// How many predictions they are means over.
    pub predictions: u64,
}

impl Recovered {
    /// Takes the predictions of other sequences: every mean is then over both.
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

    /// Every measurement beside that of the null dictionary, spliced on the same sequences.
    pub fn with_null(&self, null: &Recovered, object: Fingerprint) -> Vec<WithNull> {
        let mut all = self.loss.with_null(&null.loss, self.predictions, object);
        all.extend(self.kl.with_null(&null.kl, self.predictions, object));
        all
    }
}

/// Loss and KL recovered on some sequences, against zeros and against `mean`. Position 0 is untouched in every run, and the
/// prediction made there is left out.
///
/// `progress` hears how many of the sequences are done and stops by answering `false`.
///
/// # Errors
/// [`StudyError::Interrupted`], [`StudyError::Model`], [`StudyError::Dictionary`].
pub fn recovered(
    decoder: &Decoder,
    dictionary: &Dictionary<f32>,
    point: HookPoint,
    sequences: &[Sequence],
    mean: &Array1<f32>,
    progress: impl FnMut(usize) -> bool,
) -> Result<Recovered, StudyError> {
    let [of_dictionary] = of_each(decoder, [dictionary], point, sequences, mean, progress)?;
    Ok(of_dictionary)
}

/// The same, and beside it what the dictionary recovers with its decoder rows dealt out anew ([`Dictionary::null`]).
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
    progress: impl FnMut(usize) -> bool,
) -> Result<[Recovered; 2], StudyError> {
    of_each(decoder, [dictionary, &dictionary.null(seed)], point, sequences, mean, progress)
}

/// The runs without any dictionary are made once for all of them.
fn of_each<const N: usize>(
    decoder: &Decoder,
    dictionaries: [&Dictionary<f32>; N],
    point: HookPoint,
    sequences: &[Sequence],
    mean: &Array1<f32>,
    mut progress: impl FnMut(usize) -> bool,
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
        let ablated = |row: &Array1<f32>| run(&mut Edit::at(point, |activation| replace(activation, row)));
        let clean = run(&mut ())?;
        let mut runs = vec![ablated(&zeros)?, ablated(mean)?];
        for dictionary in dictionaries {
            let mut inserted = Inserted::new(dictionary, point, ErrorTerm::Dropped)?;
            runs.push(run(&mut inserted)?);
            inserted.codes()?;
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

/// Puts a row in the place of every position but the first.
fn replace(mut activation: ArrayViewMutD<'_, f32>, row: &Array1<f32>) {
    let mut rows = super::capture::flat(&activation.view());
    rows.rows_mut().into_iter().skip(1).for_each(|mut to| to.assign(row));
    super::capture::put_back(&rows, &mut activation);
}
