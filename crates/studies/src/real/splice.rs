use super::{Sequence, StudyError};
use crate::model::rows_at;
use collimate_sae::{DocumentSums, Evaluation, LossRecovered, Sae};
use collimate_transformer::{Decoder, Edit, HookPoint, Run, Site};
use ndarray::{Array1, Array2, s};

/// Held-out text with the model's own losses on it, and those with the activations ablated.
///
/// Position 0 is untouched in every run: its residual is a hundred times as long as the others, and no dictionary is
/// trained on it. The prediction made there is left out of the sums, since no run changes it.
pub struct HeldOut {
    point: HookPoint,
    sequences: Vec<Sequence>,
    /// What stands in front of the layer, where a run has to begin there.
    before: Vec<Array2<f32>>,
    rows: Vec<Array2<f32>>,
    clean: Vec<f64>,
    zero: Vec<f64>,
    mean: Vec<f64>,
}

/// Summed negative log-likelihoods of one document, in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DocumentLoss {
    /// The number of the document.
    pub document: u32,
    /// How many predictions.
    pub predictions: u64,
    /// Of the model as it is.
    pub clean: f64,
    /// With reconstructions in place of the activations.
    pub reconstructed: f64,
    /// With zeros.
    pub zero: f64,
    /// With the mean activation of the training text.
    pub mean: f64,
}

/// What a dictionary does on held-out text.
pub struct Fidelity {
    /// Losses, one entry a document.
    pub losses: Vec<DocumentLoss>,
    /// Reconstruction sums by document, and which latents fired.
    pub evaluation: Evaluation,
}

impl HeldOut {
    /// Runs the model on the sequences: as it is, with zeros, and with `mean` at the point, which is one of rows `[t, d]`.
    ///
    /// # Errors
    /// [`StudyError::Model`].
    pub fn new(
        decoder: &Decoder,
        point: HookPoint,
        sequences: Vec<Sequence>,
        mean: &Array1<f32>,
    ) -> Result<Self, StudyError> {
        let mut held_out = Self { point, ..Self::empty() };
        for sequence in sequences {
            let rows = rows_at(decoder, &sequence.tokens, point)?;
            if point.site != Site::ResidualPost {
                held_out.before.push(decoder.residual(Run::of(&sequence.tokens), point.layer, &mut ())?);
            }
            let i = held_out.sequences.len();
            held_out.sequences.push(sequence);
            held_out.clean.push(held_out.spliced(decoder, i, &rows)?);
            let mut changed = rows.clone();
            changed.slice_mut(s![1.., ..]).fill(0.0);
            held_out.zero.push(held_out.spliced(decoder, i, &changed)?);
            changed.slice_mut(s![1.., ..]).assign(mean);
            held_out.mean.push(held_out.spliced(decoder, i, &changed)?);
            held_out.rows.push(rows);
        }
        Ok(held_out)
    }

    /// The rows of the sequences at the point alone: for [`HeldOut::reconstruction`], while every loss stays zero.
    ///
    /// # Errors
    /// [`StudyError::Model`].
    pub fn rows_only(
        decoder: &Decoder,
        point: HookPoint,
        sequences: Vec<Sequence>,
    ) -> Result<Self, StudyError> {
        let rows = sequences.iter().map(|sequence| rows_at(decoder, &sequence.tokens, point));
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

    /// Splices a dictionary's reconstructions into the model, and measures them.
    ///
    /// `keep_going` is asked before each sequence.
    ///
    /// # Errors
    /// [`StudyError::Interrupted`], [`StudyError::Model`] and [`StudyError::Dictionary`].
    pub fn fidelity(
        &self,
        decoder: &Decoder,
        sae: &Sae<f32>,
        mut keep_going: impl FnMut() -> bool,
    ) -> Result<Fidelity, StudyError> {
        let mut evaluation = Evaluation::of(sae);
        let mut losses: Vec<DocumentLoss> = Vec::new();
        for (i, (sequence, original)) in self.sequences.iter().zip(&self.rows).enumerate() {
            if !keep_going() {
                return Err(StudyError::Interrupted);
            }
            let rows = original.slice(s![1.., ..]);
            evaluation.push_documents(sae, &rows, &vec![sequence.document; rows.nrows()])?;
            let mut changed = original.clone();
            changed.slice_mut(s![1.., ..]).assign(&sae.reconstruct(&rows)?);
            let reconstructed = self.spliced(decoder, i, &changed)?;
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

    /// The reconstruction sums by document alone, without running the model.
    ///
    /// # Errors
    /// [`StudyError::Dictionary`].
    pub fn reconstruction(&self, sae: &Sae<f32>) -> Result<DocumentSums, StudyError> {
        let mut evaluation = Evaluation::of(sae);
        for (sequence, original) in self.sequences.iter().zip(&self.rows) {
            let rows = original.slice(s![1.., ..]);
            evaluation.push_documents(sae, &rows, &vec![sequence.document; rows.nrows()])?;
        }
        Ok(evaluation.documents)
    }

    /// The cross-entropies without any dictionary; the reconstructed one is the clean one.
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

    /// How many predictions the losses are made of.
    pub fn predictions(&self) -> usize {
        self.sequences.iter().map(|s| s.tokens.len() - 2).sum()
    }

    /// Σ −log p over the predictions made at positions 1, 2, … of sequence `i`, with these rows at the point.
    fn spliced(&self, decoder: &Decoder, i: usize, rows: &Array2<f32>) -> Result<f64, StudyError> {
        let run = Run::of(&self.sequences[i].tokens);
        let losses = match self.before.get(i) {
            // What leaves the layer enters the next one: nothing of the layer has to run.
            None => decoder.losses(run.from_layer(self.point.layer + 1, &rows.view()), &mut ())?,
            Some(before) => {
                let mut edit = Edit::at(self.point, |mut activation| activation.assign(rows));
                decoder.losses(run.from_layer(self.point.layer, &before.view()), &mut edit)?
            }
        };
        Ok(losses.nll[1..].iter().sum())
    }
}

/// The four cross-entropies per prediction of some documents (numbers into `losses`, repetitions allowed).
pub fn loss_recovered(losses: &[DocumentLoss], drawn: impl IntoIterator<Item = usize>) -> LossRecovered {
    let mut sum = DocumentLoss::default();
    for i in drawn {
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
