use crate::{Float, Sae, SaeError};
use collimate_measure::{Fingerprint, Measurement, Quantity, Unit};
use collimate_stream::Stream;
use ndarray::ArrayRef2;
use std::collections::BTreeMap;

/// The named quantities of this crate: one definition each.
pub mod quantity {
    use super::{Quantity, Unit};

    /// Mean number of active latents.
    pub const L0: Quantity = Quantity {
        name: "L0",
        definition: "mean over rows of the number of codes that are not zero",
        unit: Unit::Count("latents"),
    };
    /// Squared error, summed over dimensions.
    pub const MSE: Quantity = Quantity {
        name: "MSE (sum over dimensions)",
        definition: "mean over rows of ‖x − x̂‖²",
        unit: Unit::ActivationSquared,
    };
    /// Explained variance by global sums.
    pub const EXPLAINED_VARIANCE: Quantity = Quantity {
        name: "explained variance (global R²)",
        definition: "1 − E‖x − x̂‖²/(E‖x‖² − ‖E x‖²), expectations over all rows",
        unit: Unit::Fraction,
    };
    /// Relative reconstruction bias.
    pub const GAMMA: Quantity = Quantity {
        name: "relative reconstruction bias γ",
        definition: "E‖x̂‖²/E[x̂·x], a ratio of sums over all rows; below 1 is shrinkage",
        unit: Unit::One,
    };
    /// Mean cosine.
    pub const COSINE: Quantity = Quantity {
        name: "cosine",
        definition: "mean over rows of the cosine of x and x̂; 0 where either is zero",
        unit: Unit::One,
    };
    /// Ratio of the lengths.
    pub const NORM_RATIO: Quantity = Quantity {
        name: "norm ratio",
        definition: "mean over rows of ‖x̂‖/‖x‖, rows of zeros left out",
        unit: Unit::One,
    };
    /// Latents that never fired.
    pub const DEAD_FRACTION: Quantity = Quantity {
        name: "dead fraction",
        definition: "share of latents that are zero on every row evaluated",
        unit: Unit::Fraction,
    };
}

/// Sums over rows from which every ratio metric follows; mergeable, in f64.
///
/// A metric of a resampled data set is the metric of the resampled sums, so a bootstrap over documents needs nothing but
/// one `Sums` a document.
///
/// # Examples
/// ```
/// use collimate_sae::Sums;
/// let mut sums = Sums::new(2);
/// sums.push(&[1.0, 0.0], &[0.5, 0.0], 1);
/// sums.push(&[0.0, 1.0], &[0.0, 0.5], 1);
/// assert_eq!(sums.gamma(), 0.5); // halved reconstructions
/// assert_eq!(sums.explained_variance(), 0.5); // an error of 0.25 beside a variance of 0.5
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    /// Rows.
    pub rows: u64,
    /// Σ‖x‖².
    pub input2: f64,
    /// Σ‖x̂‖².
    pub output2: f64,
    /// Σ x̂·x.
    pub input_output: f64,
    /// Σ‖x − x̂‖².
    pub residual2: f64,
    /// Σ number of active latents.
    pub active: u64,
    /// Σ cos(x, x̂).
    pub cosine: f64,
    /// Σ ‖x̂‖/‖x‖ over rows that are not zero.
    pub norm_ratio: f64,
    /// How many rows are not zero.
    pub nonzero_rows: u64,
    /// Σ x, a vector.
    pub input: Vec<f64>,
}

impl Sums {
    /// No rows yet, of width `d_model`.
    pub fn new(d_model: usize) -> Self {
        Self { input: vec![0.0; d_model], ..Self::default() }
    }

    /// Takes one more row, its reconstruction and its number of active latents.
    ///
    /// # Panics
    /// When the slices do not have the width the sums were made for.
    pub fn push(&mut self, x: &[f64], x_hat: &[f64], active: u64) {
        assert!(x.len() == self.input.len() && x_hat.len() == x.len(), "Sums::push: rows of another width");
        let (mut input2, mut output2, mut input_output, mut residual2) = (0.0, 0.0, 0.0, 0.0);
        for ((sum, &x), &y) in self.input.iter_mut().zip(x).zip(x_hat) {
            *sum += x;
            input2 += x * x;
            output2 += y * y;
            input_output += x * y;
            residual2 += (x - y) * (x - y);
        }
        self.rows += 1;
        self.input2 += input2;
        self.output2 += output2;
        self.input_output += input_output;
        self.residual2 += residual2;
        self.active += active;
        if input2 > 0.0 {
            self.nonzero_rows += 1;
            self.norm_ratio += (output2 / input2).sqrt();
            if output2 > 0.0 {
                self.cosine += input_output / (input2 * output2).sqrt();
            }
        }
    }

    /// Takes all rows of other sums.
    ///
    /// # Panics
    /// When they are of another width.
    pub fn merge(&mut self, other: &Sums) {
        assert_eq!(self.input.len(), other.input.len(), "Sums::merge: rows of another width");
        self.rows += other.rows;
        self.input2 += other.input2;
        self.output2 += other.output2;
        self.input_output += other.input_output;
        self.residual2 += other.residual2;
        self.active += other.active;
        self.cosine += other.cosine;
        self.norm_ratio += other.norm_ratio;
        self.nonzero_rows += other.nonzero_rows;
        self.input.iter_mut().zip(&other.input).for_each(|(a, b)| *a += b);
    }

    /// Mean number of active latents.
    pub fn l0(&self) -> f64 {
        self.active as f64 / self.rows as f64
    }

    /// Mean over rows of ‖x − x̂‖².
    pub fn mse(&self) -> f64 {
        self.residual2 / self.rows as f64
    }

    /// 1 − E‖x − x̂‖²/(E‖x‖² − ‖E x‖²): one for a perfect reconstruction, zero for the mean.
    pub fn explained_variance(&self) -> f64 {
        let n = self.rows as f64;
        let mean2: f64 = self.input.iter().map(|s| (s / n).powi(2)).sum();
        1.0 - (self.residual2 / n) / (self.input2 / n - mean2)
    }

    /// The relative reconstruction bias.
    ///
    /// ```text
    /// γ = argmin_g E‖x̂/g − x‖² = E‖x̂‖²/E[x̂·x]
    /// ```
    /// The ratio of global sums: a mean of ratios over batches is another number.
    ///
    /// # References
    /// Rajamanoharan et al. (2024), eq. 9–10.
    pub fn gamma(&self) -> f64 {
        self.output2 / self.input_output
    }

    /// Mean cosine of x and x̂.
    pub fn mean_cosine(&self) -> f64 {
        self.cosine / self.rows as f64
    }

    /// Mean of ‖x̂‖/‖x‖.
    pub fn mean_norm_ratio(&self) -> f64 {
        self.norm_ratio / self.nonzero_rows as f64
    }
}

/// One [`Sums`] a document, for resampling by document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DocumentSums {
    documents: BTreeMap<u32, Sums>,
}

impl DocumentSums {
    /// How many documents.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there is no document.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// The documents in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Sums)> {
        self.documents.iter().map(|(&document, sums)| (document, sums))
    }

    /// The sums of a document, made when there are none.
    pub fn of(&mut self, document: u32, d_model: usize) -> &mut Sums {
        self.documents.entry(document).or_insert_with(|| Sums::new(d_model))
    }

    /// Takes all documents of another set.
    pub fn merge(&mut self, other: &DocumentSums) {
        for (document, sums) in other.iter() {
            self.of(document, sums.input.len()).merge(sums);
        }
    }

    /// The sums over as many documents as there are, drawn with replacement.
    ///
    /// # Determinism
    /// The draws depend on `stream` and the number of documents only, so two dictionaries evaluated on the same documents
    /// are resampled alike by two streams in the same state (a paired bootstrap).
    pub fn resample(&self, stream: &mut Stream) -> Sums {
        let documents: Vec<&Sums> = self.documents.values().collect();
        let mut all = Sums::new(documents.first().map_or(0, |sums| sums.input.len()));
        for _ in 0..documents.len() {
            all.merge(documents[stream.below(documents.len())]);
        }
        all
    }

    /// The standard error of a metric by leaving out one document at a time; `None` below two documents.
    ///
    /// ```text
    /// s² = (m − 1)/m · Σ_j (metric without document j − mean of these)²
    /// ```
    pub fn jackknife(&self, metric: impl Fn(&Sums) -> f64) -> Option<f64> {
        let documents: Vec<&Sums> = self.documents.values().collect();
        let m = documents.len();
        if m < 2 {
            return None;
        }
        // Sums of everything before and after a document, so that leaving it out cancels nothing.
        let empty = Sums::new(documents[0].input.len());
        let mut after = vec![empty.clone(); m + 1];
        for j in (0..m).rev() {
            after[j] = after[j + 1].clone();
            after[j].merge(documents[j]);
        }
        let mut before = empty;
        let mut without = Vec::with_capacity(m);
        for j in 0..m {
            let mut rest = before.clone();
            rest.merge(&after[j + 1]);
            without.push(metric(&rest));
            before.merge(documents[j]);
        }
        let mean = without.iter().sum::<f64>() / m as f64;
        let spread: f64 = without.iter().map(|v| (v - mean).powi(2)).sum();
        Some((spread * (m - 1) as f64 / m as f64).sqrt())
    }
}

/// What a dictionary did on some rows; streaming and mergeable.
///
/// # Examples
/// ```
/// use collimate_sae::{Evaluation, Sae, Size, TopK};
/// use collimate_stream::Stream;
/// let sae = Sae::<f64>::new(TopK::new(2), Size { d_model: 3, n_latents: 8 }, &mut Stream::new(1, 0))?;
/// let mut evaluation = Evaluation::of(&sae);
/// evaluation.push(&sae, &ndarray::array![[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])?;
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
    object: Fingerprint,
}

impl Evaluation {
    /// Nothing evaluated yet.
    pub fn of<F: Float>(sae: &Sae<F>) -> Self {
        let size = sae.size();
        Self {
            sums: Sums::new(size.d_model),
            fired: vec![0; size.n_latents],
            documents: DocumentSums::default(),
            object: sae.fingerprint(),
        }
    }

    /// Encodes and reconstructs some rows and adds them.
    ///
    /// # Errors
    /// As [`Sae::encode`].
    pub fn push<F: Float>(&mut self, sae: &Sae<F>, x: &ArrayRef2<F>) -> Result<(), SaeError> {
        self.push_rows(sae, x, None)
    }

    /// The same for rows that come with the number of their document.
    ///
    /// # Errors
    /// As [`Sae::encode`], and [`SaeError::Mismatch`] unless there is one document a row.
    pub fn push_documents<F: Float>(
        &mut self,
        sae: &Sae<F>,
        x: &ArrayRef2<F>,
        documents: &[u32],
    ) -> Result<(), SaeError> {
        if documents.len() != x.nrows() {
            return Err(SaeError::shape("documents", &[x.nrows()], &[documents.len()]));
        }
        self.push_rows(sae, x, Some(documents))
    }

    fn push_rows<F: Float>(
        &mut self,
        sae: &Sae<F>,
        x: &ArrayRef2<F>,
        documents: Option<&[u32]>,
    ) -> Result<(), SaeError> {
        let codes = sae.encode(x)?;
        let x_hat = sae.decode(&codes)?;
        let (mut input, mut output) = (Vec::new(), Vec::new());
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
            self.sums.push(&input, &output, active);
            if let Some(documents) = documents {
                self.documents.of(documents[i], input.len()).push(&input, &output, active);
            }
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
        Ok(())
    }

    /// The share of latents that were active on no row.
    pub fn dead_fraction(&self) -> f64 {
        self.fired.iter().filter(|&&count| count == 0).count() as f64 / self.fired.len() as f64
    }

    /// Every quantity of [`quantity`]; with standard errors over documents where every row came with one.
    pub fn measurements(&self) -> Vec<Measurement> {
        let metrics: [(&Quantity, fn(&Sums) -> f64); 6] = [
            (&quantity::L0, Sums::l0),
            (&quantity::MSE, Sums::mse),
            (&quantity::EXPLAINED_VARIANCE, Sums::explained_variance),
            (&quantity::GAMMA, Sums::gamma),
            (&quantity::COSINE, Sums::mean_cosine),
            (&quantity::NORM_RATIO, Sums::mean_norm_ratio),
        ];
        let by_document = self.documents.iter().map(|(_, sums)| sums.rows).sum::<u64>() == self.sums.rows;
        let mut all: Vec<Measurement> = metrics
            .into_iter()
            .map(|(quantity, metric)| {
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
        all
    }
}

/// Evaluates a dictionary on blocks of rows.
///
/// # Errors
/// Whatever the source reports, and as [`Sae::encode`].
pub fn evaluate<I>(sae: &Sae<f32>, rows: I) -> Result<Evaluation, SaeError>
where
    I: IntoIterator<Item: crate::IntoRows>,
{
    let mut evaluation = Evaluation::of(sae);
    for block in rows {
        evaluation.push(sae, &crate::IntoRows::into_rows(block)?)?;
    }
    Ok(evaluation)
}
