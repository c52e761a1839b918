use crate::dictionary::Dictionary;
use crate::error::SaeError;
use crate::precision::Precision;
use crate::weights::Size;
use collimate_measure::{Fingerprint, Measurement, Moments, Quantity};
use collimate_tensor::{Scalar, SparseRows};
use ndarray::ArrayRef2;

mod absorption;
pub(crate) mod frontier;
mod geometry;
pub(crate) mod loss_recovered;
mod matching;
mod null;
pub(crate) mod planted;
pub mod quantity;
mod recognition;
mod sums;
mod usage;

pub use absorption::Absorption;
pub use geometry::{decoder_geometry, decoder_geometry_with_null};
pub use matching::Matching;
pub use null::WithNull;
pub use recognition::Recognition;
pub use sums::{DocumentSums, Sums};
pub use usage::Usage;

/// The evaluation of a dictionary on some rows; streaming and mergeable.
///
/// # Examples
/// ```
/// use collimate_sae::{Evaluation, Sae, Size, TopK};
/// use collimate_stream::RngStream;
/// let sae = Sae::<f64>::new(TopK::new(2), Size { d_model: 3, n_latents: 8 }, &mut RngStream::new(1, 0))?;
/// let mut evaluation = Evaluation::of(sae.dictionary());
/// evaluation.push(sae.dictionary(), &ndarray::array![[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])?;
/// let l0 = &evaluation.measurements()[0];
/// assert_eq!((l0.quantity.name, l0.value), ("L0", 1.5)); // one row has a single positive pre-activation
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Sums over all rows.
    pub sums: Sums,
    /// On how many rows each latent was active.
    pub fired: Vec<u64>,
    /// Sums by document, for the rows that came with one.
    pub documents: DocumentSums,
    /// 1 − Σ‖x − x̂‖²/Σ‖x − x̄‖² of each batch that was pushed and whose rows are not all the same.
    pub batches: Moments,
    centre: Option<Vec<f64>>,
    object: Fingerprint,
}

impl Evaluation {
    /// Returns an evaluation without rows.
    pub fn of<F: Precision>(dictionary: &Dictionary<F>) -> Self {
        let size = Size { d_model: dictionary.d_out(), ..dictionary.size() };
        Self::sized(size, dictionary.fingerprint())
    }

    /// Returns an evaluation without rows, for codes and reconstructions from elsewhere ([`Evaluation::push_codes`]).
    pub fn sized(size: Size, object: Fingerprint) -> Self {
        Self {
            sums: Sums::new(size.d_model),
            fired: vec![0; size.n_latents],
            documents: DocumentSums::default(),
            batches: Moments::new(),
            centre: None,
            object,
        }
    }

    /// Compares each row's error with its distance from `centre`, usually the mean of the data.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for a centre of another width.
    pub fn centred_at(mut self, centre: Vec<f64>) -> Result<Self, SaeError> {
        let d = self.sums.input.len();
        if centre.len() != d {
            return Err(SaeError::shape("centre", &[d], &[centre.len()]));
        }
        self.centre = Some(centre);
        Ok(self)
    }

    /// Encodes and reconstructs some rows and adds them.
    ///
    /// # Errors
    /// As [`Dictionary::encode`].
    pub fn push<F: Precision>(
        &mut self,
        dictionary: &Dictionary<F>,
        x: &ArrayRef2<F>,
    ) -> Result<(), SaeError> {
        self.push_rows(dictionary, x, None)
    }

    /// Encodes and reconstructs some rows and adds them, with the numbers of their documents.
    ///
    /// # Errors
    /// As [`Dictionary::encode`], and [`SaeError::Mismatch`] unless there is one document a row.
    pub fn push_documents<F: Precision>(
        &mut self,
        dictionary: &Dictionary<F>,
        x: &ArrayRef2<F>,
        documents: &[u32],
    ) -> Result<(), SaeError> {
        if documents.len() != x.nrows() {
            return Err(SaeError::shape("documents", &[x.nrows()], &[documents.len()]));
        }
        self.push_rows(dictionary, x, Some(documents))
    }

    fn push_rows<F: Precision>(
        &mut self,
        dictionary: &Dictionary<F>,
        x: &ArrayRef2<F>,
        documents: Option<&[u32]>,
    ) -> Result<(), SaeError> {
        let out = dictionary.forward(x)?;
        self.push_codes(x, &out.codes, &out.reconstruction, documents)
    }

    /// Adds rows whose codes and reconstructions are known, with or without the numbers of their documents.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] when the shapes do not fit each other.
    pub fn push_codes<F: Scalar>(
        &mut self,
        x: &ArrayRef2<F>,
        codes: &SparseRows<F>,
        x_hat: &ArrayRef2<F>,
        documents: Option<&[u32]>,
    ) -> Result<(), SaeError> {
        let shape = [x.nrows(), self.sums.input.len()];
        for (argument, given) in [("x", x.shape()), ("x_hat", x_hat.shape())] {
            if given != shape {
                return Err(SaeError::shape(argument, &shape, given));
            }
        }
        if (codes.n_rows(), codes.n_columns()) != (x.nrows(), self.fired.len()) {
            let given = [codes.n_rows(), codes.n_columns()];
            return Err(SaeError::shape("codes", &[x.nrows(), self.fired.len()], &given));
        }
        let (mut input, mut output) = (Vec::new(), Vec::new());
        let mut batch = Sums::new(shape[1]);
        for (i, (row, row_hat)) in x.rows().into_iter().zip(x_hat.rows()).enumerate() {
            input.clear();
            input.extend(row.iter().map(|&v| v.to_f64()));
            output.clear();
            output.extend(row_hat.iter().map(|&v| v.to_f64()));
            let (latents, values) = codes.row(i);
            let mut active = 0;
            for (&latent, _) in latents.iter().zip(values).filter(|(_, value)| **value != F::zero()) {
                self.fired[latent as usize] += 1;
                active += 1;
            }
            let push = |sums: &mut Sums| match &self.centre {
                Some(centre) => sums.push_centred(&input, &output, active, centre),
                None => sums.push(&input, &output, active),
            };
            // Row by row into the whole, so that the sums do not depend on how the rows were cut into batches.
            push(&mut self.sums);
            push(&mut batch);
            if let Some(documents) = documents {
                push(self.documents.of(documents[i], input.len()));
            }
        }
        let share = batch.explained_variance();
        if share.is_finite() {
            self.batches.push(share);
        }
        Ok(())
    }

    /// Takes all rows of another evaluation of the same dictionary.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] when it is of another number of latents.
    pub fn merge(&mut self, other: &Evaluation) -> Result<(), SaeError> {
        if other.fired.len() != self.fired.len() || other.sums.input.len() != self.sums.input.len() {
            let shape = |e: &Evaluation| [e.fired.len(), e.sums.input.len()];
            return Err(SaeError::shape("other", &shape(self), &shape(other)));
        }
        self.sums.merge(&other.sums);
        self.fired.iter_mut().zip(&other.fired).for_each(|(a, b)| *a += b);
        self.documents.merge(&other.documents);
        self.batches.merge(&other.batches);
        Ok(())
    }

    /// Returns the number of rows on which each latent fired, for densities and concentration.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] before the first row.
    pub fn usage(&self) -> Result<Usage, SaeError> {
        Usage::new(self.fired.clone(), self.sums.rows)
    }

    /// Returns every measurement with that of another evaluation on the same rows, usually of the [null model](Dictionary::null).
    pub fn with_null(&self, null: &Evaluation) -> Vec<WithNull> {
        WithNull::pairs(self.measurements(), null.measurements(), null::SHUFFLED)
    }

    /// Returns the measurement of a quantity, if it was taken.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{Evaluation, RngStream, Sae, Size, TopK, quantity};
    /// let sae = Sae::<f64>::new(TopK::new(2), Size { d_model: 3, n_latents: 8 }, &mut RngStream::new(1, 0))?;
    /// let mut evaluation = Evaluation::of(sae.dictionary());
    /// evaluation.push(sae.dictionary(), &ndarray::array![[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])?;
    /// assert_eq!(evaluation.measurement(&quantity::L0).unwrap().value, 1.5);
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn measurement(&self, quantity: &Quantity) -> Option<Measurement> {
        self.measurements().into_iter().find(|found| found.quantity.name == quantity.name)
    }

    /// Returns the share of latents that were active on no row.
    pub fn dead_fraction(&self) -> f64 {
        self.fired.iter().filter(|&&count| count == 0).count() as f64 / self.fired.len() as f64
    }

    /// Measures every quantity of [`quantity`]; with standard errors over documents if every row came with one.
    pub fn measurements(&self) -> Vec<Measurement> {
        let metrics: [(&Quantity, fn(&Sums) -> f64); 10] = [
            (&quantity::L0, Sums::l0),
            (&quantity::MSE, Sums::mse),
            (&quantity::EXPLAINED_VARIANCE, Sums::explained_variance),
            (&quantity::GAMMA, Sums::gamma),
            (&quantity::COSINE, Sums::mean_cosine),
            (&quantity::NORM_RATIO, Sums::mean_norm_ratio),
            (&quantity::MSE_PER_ELEMENT, Sums::mse_per_element),
            (&quantity::EXPLAINED_VARIANCE_CENTRED, Sums::explained_variance_centred),
            (&quantity::EXPLAINED_POWER, Sums::explained_power),
            (&quantity::EXPLAINED_VARIANCE_PER_ROW, Sums::explained_variance_per_row),
        ];
        let metrics = &metrics[..if self.centre.is_some() { 10 } else { 9 }];
        let by_document = self.documents.iter().map(|(_, sums)| sums.rows).sum::<u64>() == self.sums.rows;
        let mut all: Vec<Measurement> = metrics
            .iter()
            .map(|&(quantity, metric)| {
                let value = metric(&self.sums);
                let error = if by_document { self.documents.jackknife(metric) } else { None };
                match error {
                    Some(error) => {
                        let documents = self.documents.len() as u64;
                        Measurement::estimate(quantity, value, error, documents, self.object)
                    }
                    None => {
                        Measurement { n: self.sums.rows, ..Measurement::exact(quantity, value, self.object) }
                    }
                }
            })
            .collect();
        let dead = Measurement::exact(&quantity::DEAD_FRACTION, self.dead_fraction(), self.object);
        all.push(Measurement { n: self.fired.len() as u64, ..dead });
        if let Ok(batches) =
            Measurement::mean(&quantity::EXPLAINED_VARIANCE_BATCH, &self.batches, self.object)
        {
            all.push(batches);
        }
        all
    }
}

/// Evaluates a dictionary on blocks of rows.
///
/// # Errors
/// The error of the source, and as [`Dictionary::encode`].
pub fn evaluate<I>(dictionary: &Dictionary<f32>, rows: I) -> Result<Evaluation, SaeError>
where
    I: IntoIterator<Item: crate::IntoRows>,
{
    let mut evaluation = Evaluation::of(dictionary);
    for block in rows {
        evaluation.push(dictionary, &crate::IntoRows::into_rows(block)?)?;
    }
    Ok(evaluation)
}
