use crate::error::StudyError;
use crate::sequence::Sequence;
use collimate_measure::Fingerprint;
use collimate_sae::{KlRecovered, LossRecovered, WithNull};
use collimate_tensor::log_softmax_in_place;
use collimate_transformer::{Hooks, Model, Run};
use ndarray::{Array2, Axis};

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

/// A change of the model.
#[derive(Clone, Copy)]
pub(super) enum Changed {
    /// Zeros replace the activations.
    ZeroAblated,
    /// The means replace the activations.
    MeanAblated,
    /// The dictionary of this number replaces the activations.
    Replaced(usize),
}

/// A run of the model on the tokens of a sequence under hooks, which returns the logarithms of the probabilities `[t, v]`.
pub(super) type RunUnder<'a> = dyn Fn(&mut dyn Hooks) -> Result<Array2<f32>, StudyError> + 'a;

/// A run of the changed model on tokens.
pub(super) type ChangedRun<'a> =
    dyn FnMut(Changed, &[u32], &RunUnder<'_>) -> Result<Array2<f32>, StudyError> + 'a;

/// Compares the predictions of changed models with those of the unchanged one.
pub(super) fn measured<const N: usize>(
    model: &Model<f32>,
    sequences: &[Sequence],
    progress: &mut dyn FnMut(usize) -> bool,
    changed: &mut ChangedRun<'_>,
) -> Result<[Recovered; N], StudyError> {
    let all: Vec<Changed> = [Changed::ZeroAblated, Changed::MeanAblated]
        .into_iter()
        .chain((0..N).map(Changed::Replaced))
        .collect();
    // Clean, zero, mean, and then each dictionary.
    let mut nll = vec![0.0_f64; 3 + N];
    let mut divergence = vec![0.0_f64; 3 + N];
    let mut predictions = 0_u64;
    for (done, sequence) in sequences.iter().enumerate() {
        if !progress(done) {
            return Err(StudyError::Interrupted);
        }
        let tokens = &sequence.tokens;
        let run = |hooks: &mut dyn Hooks| -> Result<Array2<f32>, StudyError> {
            let mut logits = model.logits(Run::of(tokens), hooks)?.index_axis_move(Axis(0), 0);
            logits.rows_mut().into_iter().for_each(|mut row| {
                log_softmax_in_place(row.as_slice_mut().expect("rows of a fresh array"));
            });
            Ok(logits)
        };
        let clean = run(&mut ())?;
        let runs = all.iter().map(|&change| changed(change, tokens, &run)).collect::<Result<Vec<_>, _>>()?;
        for position in 1..tokens.len() - 1 {
            predictions += 1;
            let target = tokens[position + 1] as usize;
            let each = std::iter::once(&clean).chain(&runs);
            for ((nll, divergence), log_q) in nll.iter_mut().zip(&mut divergence).zip(each) {
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
