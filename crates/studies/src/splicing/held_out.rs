use super::splice::Splice;
use crate::error::StudyError;
use crate::rows::{residual_rows, rows_at};
use crate::sequence::Sequence;
use collimate_sae::{Dictionary, DocumentSums, Evaluation, LossRecovered};
use collimate_transformer::{HookPoint, Model, Run, Site};
use ndarray::{Array1, Array2, s};

/// Held-out text with the model's own losses on it, and the losses with the activations ablated.
///
/// Position 0 is untouched in every run: its residual is a hundred times as long as the others, and no dictionary is
/// trained on it. The prediction made there is left out of the sums, because no run changes it.
pub struct HeldOut {
    point: HookPoint,
    sequences: Vec<Sequence>,
    /// The residual streams in front of the layer; empty when runs start after the layer.
    before: Vec<Array2<f32>>,
    rows: Vec<Array2<f32>>,
    clean: Vec<f64>,
    zero: Vec<f64>,
    mean: Vec<f64>,
}

/// The summed negative log-likelihoods of one document, in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DocumentLoss {
    /// The number of the document.
    pub document: u32,
    /// The number of predictions.
    pub predictions: u64,
    /// The sum of the unchanged model.
    pub clean: f64,
    /// The sum with reconstructions in place of the activations.
    pub reconstructed: f64,
    /// The sum with zeros in place of the activations.
    pub zero: f64,
    /// The sum with the mean activation of the training text in their place.
    pub mean: f64,
}

/// The measurements of a dictionary on held-out text.
pub struct Fidelity {
    /// The losses, one entry a document.
    pub losses: Vec<DocumentLoss>,
    /// The reconstruction sums by document, and which latents fired.
    pub evaluation: Evaluation,
}

impl HeldOut {
    /// Runs the model on the sequences: unchanged, with zeros at the point, and with `mean` there. The activation at the point
    /// must have rows `[t, d]`.
    ///
    /// # Errors
    /// [`StudyError::Model`].
    pub fn new(
        model: &Model<f32>,
        point: HookPoint,
        sequences: Vec<Sequence>,
        mean: &Array1<f32>,
    ) -> Result<Self, StudyError> {
        let mut held_out = Self { point, ..Self::empty() };
        for sequence in sequences {
            let rows = rows_at(model, &sequence.tokens, point)?;
            if point.site != Site::ResidualPost {
                held_out.before.push(residual_rows(model, &sequence.tokens, point.layer)?);
            }
            let i = held_out.sequences.len();
            held_out.sequences.push(sequence);
            held_out.clean.push(held_out.spliced(model, i, &rows)?);
            let mut changed = rows.clone();
            changed.slice_mut(s![1.., ..]).fill(0.0);
            held_out.zero.push(held_out.spliced(model, i, &changed)?);
            changed.slice_mut(s![1.., ..]).assign(mean);
            held_out.mean.push(held_out.spliced(model, i, &changed)?);
            held_out.rows.push(rows);
        }
        Ok(held_out)
    }

    /// Captures the rows of the sequences at the point and computes no losses: enough for [`HeldOut::reconstruction`].
    ///
    /// # Errors
    /// [`StudyError::Model`].
    pub fn rows_only(
        model: &Model<f32>,
        point: HookPoint,
        sequences: Vec<Sequence>,
    ) -> Result<Self, StudyError> {
        let rows = sequences.iter().map(|sequence| rows_at(model, &sequence.tokens, point));
        Ok(Self { point, rows: rows.collect::<Result<_, _>>()?, sequences, ..Self::empty() })
    }

    fn empty() -> Self {
        Self {
            point: Site::ResidualPost.of_layer(0),
            sequences: Vec::new(),
            before: Vec::new(),
            rows: Vec::new(),
            clean: Vec::new(),
            zero: Vec::new(),
            mean: Vec::new(),
        }
    }

    /// Splices a dictionary's reconstructions into the model and measures them.
    ///
    /// `keep_going` is called before each sequence; the run stops when it returns false.
    ///
    /// # Errors
    /// [`StudyError::Interrupted`], [`StudyError::Model`] and [`StudyError::Dictionary`].
    pub fn fidelity(
        &self,
        model: &Model<f32>,
        dictionary: &Dictionary<f32>,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Fidelity, StudyError> {
        let mut evaluation = Evaluation::of(dictionary);
        let mut losses: Vec<DocumentLoss> = Vec::new();
        for (i, (sequence, original)) in self.sequences.iter().zip(&self.rows).enumerate() {
            if !keep_going() {
                return Err(StudyError::Interrupted);
            }
            let rows = original.slice(s![1.., ..]);
            let out = dictionary.forward(&rows)?;
            let documents = vec![sequence.document; rows.nrows()];
            evaluation.push_codes(&rows, &out.codes, &out.reconstruction, Some(&documents))?;
            let mut changed = original.clone();
            changed.slice_mut(s![1.., ..]).assign(&out.reconstruction);
            let reconstructed = self.spliced(model, i, &changed)?;
            if losses.last().is_none_or(|last| last.document != sequence.document) {
                losses.push(DocumentLoss { document: sequence.document, ..DocumentLoss::default() });
            }
            let sums = losses.last_mut().expect("just pushed");
            sums.predictions += sequence.tokens.len() as u64 - 2;
            sums.clean += self.clean[i];
            sums.reconstructed += reconstructed;
            sums.zero += self.zero[i];
            sums.mean += self.mean[i];
        }
        Ok(Fidelity { losses, evaluation })
    }

    /// Computes the reconstruction sums by document, without running the model.
    ///
    /// # Errors
    /// [`StudyError::Dictionary`].
    pub fn reconstruction(&self, dictionary: &Dictionary<f32>) -> Result<DocumentSums, StudyError> {
        let mut evaluation = Evaluation::of(dictionary);
        for (sequence, original) in self.sequences.iter().zip(&self.rows) {
            let rows = original.slice(s![1.., ..]);
            evaluation.push_documents(dictionary, &rows, &vec![sequence.document; rows.nrows()])?;
        }
        Ok(evaluation.documents)
    }

    /// Returns the cross-entropies without any dictionary; the reconstructed one equals the clean one.
    pub fn ablations(&self) -> LossRecovered {
        let n = self.predictions() as f64;
        let mean = |sums: &[f64]| sums.iter().sum::<f64>() / n;
        let clean = mean(&self.clean);
        LossRecovered {
            clean,
            reconstructed: clean,
            zero_ablated: mean(&self.zero),
            mean_ablated: mean(&self.mean),
        }
    }

    /// Returns the number of predictions that the losses are sums over.
    pub fn predictions(&self) -> usize {
        self.sequences.iter().map(|s| s.tokens.len() - 2).sum()
    }

    /// Computes Σ −log p over the predictions made at positions 1, 2, … of sequence `i`, with these rows at the point.
    fn spliced(&self, model: &Model<f32>, i: usize, rows: &Array2<f32>) -> Result<f64, StudyError> {
        let run = Run::of(&self.sequences[i].tokens);
        let losses = match self.before.get(i) {
            // The residual stream after the layer enters the next one, so the layer itself need not run.
            None => model.losses(run.from_layer_rows(self.point.layer + 1, rows.view()), &mut ())?,
            Some(before) => {
                let mut splice = Splice::rows(self.point, rows.slice(s![1.., ..]));
                let losses =
                    model.losses(run.from_layer_rows(self.point.layer, before.view()), &mut splice)?;
                splice.check()?;
                losses
            }
        };
        Ok(losses[0].nll[1..].iter().sum())
    }
}

/// Computes the four cross-entropies per prediction of some documents (indices into `losses`, repetitions allowed).
pub fn loss_recovered(losses: &[DocumentLoss], drawn: &[usize]) -> LossRecovered {
    let mut sum = DocumentLoss::default();
    for &i in drawn {
        let one = &losses[i];
        sum.predictions += one.predictions;
        sum.clean += one.clean;
        sum.reconstructed += one.reconstructed;
        sum.zero += one.zero;
        sum.mean += one.mean;
    }
    let n = sum.predictions as f64;
    LossRecovered {
        clean: sum.clean / n,
        reconstructed: sum.reconstructed / n,
        zero_ablated: sum.zero / n,
        mean_ablated: sum.mean / n,
    }
}
