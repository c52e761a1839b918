use super::{LAYER, Laboratory, Sequence, StudyError};
use collimate_sae::{DocumentSums, Evaluation, LossRecovered, Sae};
use collimate_transformer::Run;
use ndarray::{Array1, Array2, s};

/// Held-out text with the model's own losses on it, and those with the activations ablated.
///
/// Position 0 is untouched in every run: its residual is a hundred times as long as the others, and no dictionary is
/// trained on it. The prediction made there is left out of the sums, since no run changes it.
pub struct HeldOut {
    sequences: Vec<Sequence>,
    residuals: Vec<Array2<f32>>,
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
    /// With reconstructions in place of the residuals.
    pub reconstructed: f64,
    /// With zeros.
    pub zero: f64,
    /// With the mean residual of the training text.
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
    /// Runs the model on the sequences: as it is, with zeros, and with `mean` behind layer [`LAYER`].
    ///
    /// # Errors
    /// [`StudyError::Model`].
    pub fn new(
        laboratory: &Laboratory,
        sequences: Vec<Sequence>,
        mean: &Array1<f32>,
    ) -> Result<Self, StudyError> {
        let (mut residuals, mut clean, mut zero, mut ablated) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for sequence in &sequences {
            let residual = laboratory.decoder.residual(Run::of(&sequence.tokens), LAYER + 1, &mut ())?;
            clean.push(spliced(laboratory, sequence, &residual)?);
            let mut changed = residual.clone();
            changed.slice_mut(s![1.., ..]).fill(0.0);
            zero.push(spliced(laboratory, sequence, &changed)?);
            changed.slice_mut(s![1.., ..]).assign(mean);
            ablated.push(spliced(laboratory, sequence, &changed)?);
            residuals.push(residual);
        }
        Ok(Self { sequences, residuals, clean, zero, mean: ablated })
    }

    /// Splices a dictionary's reconstructions into the model, and measures them.
    ///
    /// `keep_going` is asked before each sequence.
    ///
    /// # Errors
    /// [`StudyError::Interrupted`], [`StudyError::Model`] and [`StudyError::Dictionary`].
    pub fn fidelity(
        &self,
        laboratory: &Laboratory,
        sae: &Sae<f32>,
        mut keep_going: impl FnMut() -> bool,
    ) -> Result<Fidelity, StudyError> {
        let mut evaluation = Evaluation::of(sae);
        let mut losses: Vec<DocumentLoss> = Vec::new();
        for (i, (sequence, residual)) in self.sequences.iter().zip(&self.residuals).enumerate() {
            if !keep_going() {
                return Err(StudyError::Interrupted);
            }
            let rows = residual.slice(s![1.., ..]);
            evaluation.push_documents(sae, &rows, &vec![sequence.document; rows.nrows()])?;
            let mut changed = residual.clone();
            changed.slice_mut(s![1.., ..]).assign(&sae.reconstruct(&rows)?);
            let reconstructed = spliced(laboratory, sequence, &changed)?;
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
        for (sequence, residual) in self.sequences.iter().zip(&self.residuals) {
            let rows = residual.slice(s![1.., ..]);
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
}

/// Σ −log p over the predictions made at positions 1, 2, …, with this residual stream behind layer [`LAYER`].
fn spliced(laboratory: &Laboratory, sequence: &Sequence, residual: &Array2<f32>) -> Result<f64, StudyError> {
    let run = Run::of(&sequence.tokens).from_layer(LAYER + 1, &residual.view());
    Ok(laboratory.decoder.losses(run, &mut ())?.nll[1..].iter().sum())
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
