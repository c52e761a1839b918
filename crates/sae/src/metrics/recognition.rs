use super::null::WithNull;
use crate::SaeError;
use collimate_measure::{Fingerprint, Measurement, Quantity, Unit};
use collimate_stream::RngStream;
use collimate_tensor::{Scalar, SparseRows};
use ndarray::Array2;

/// Precision of the best latents.
pub const PRECISION: Quantity = Quantity {
    name: "precision of the best latent",
    definition: "mean over features of P(feature present | its best latent active), the best by F1",
    unit: Unit::Fraction,
};
/// Recall of the best latents.
pub const RECALL: Quantity = Quantity {
    name: "recall of the best latent",
    definition: "mean over features of P(its best latent active | feature present), the best by F1",
    unit: Unit::Fraction,
};
/// F1 of the best latents.
pub const F1: Quantity = Quantity {
    name: "F1 of the best latent",
    definition: "mean over features of the largest 2PR/(P + R) of a single latent",
    unit: Unit::Fraction,
};

/// The latents that fire on known features: counts over rows, streaming and mergeable.
///
/// The counts are kept a second time with the truth moved on by one row within each block: the same features and the same
/// codes that are independent of each other, which is the null.
///
/// # Shapes
/// n latents, m features, n·m counts.
///
/// # Examples
/// ```
/// use collimate_sae::Recognition;
/// use collimate_tensor::SparseRows;
/// use ndarray::array;
/// let codes = SparseRows::from_dense(&array![[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 0.0]]);
/// let truth = array![[true], [true], [true], [false]];
/// let mut recognition = Recognition::new(2, 1);
/// recognition.push(&codes, &truth)?;
/// assert_eq!(recognition.best(0), (0, 1.0, 2.0 / 3.0)); // latent 0: always right, and on two of three
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Recognition {
    both: Array2<u64>,
    shifted: Array2<u64>,
    active: Vec<u64>,
    present: Vec<u64>,
    rows: u64,
}

impl Recognition {
    /// Returns counts of no rows.
    pub fn new(n_latents: usize, n_features: usize) -> Self {
        Self {
            both: Array2::zeros((n_features, n_latents)),
            shifted: Array2::zeros((n_features, n_latents)),
            active: vec![0; n_latents],
            present: vec![0; n_features],
            rows: 0,
        }
    }

    /// Counts some rows; `truth[t, j]` says whether feature j is present in row t.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] when the shapes do not fit.
    pub fn push<F: Scalar>(&mut self, codes: &SparseRows<F>, truth: &Array2<bool>) -> Result<(), SaeError> {
        let (m, n) = self.both.dim();
        if codes.n_columns() != n {
            return Err(SaeError::shape("codes", &[codes.n_rows(), n], &[codes.n_rows(), codes.n_columns()]));
        }
        if truth.dim() != (codes.n_rows(), m) {
            return Err(SaeError::shape("truth", &[codes.n_rows(), m], truth.shape()));
        }
        for (t, (latents, values)) in codes.rows().enumerate() {
            self.rows += 1;
            let here = truth.row(t);
            let other = truth.row((t + 1) % truth.nrows());
            for j in 0..m {
                self.present[j] += u64::from(here[j]);
            }
            for (&i, _) in latents.iter().zip(values).filter(|(_, value)| **value != F::zero()) {
                self.active[i as usize] += 1;
                for j in 0..m {
                    self.both[[j, i as usize]] += u64::from(here[j]);
                    self.shifted[[j, i as usize]] += u64::from(other[j]);
                }
            }
        }
        Ok(())
    }

    /// Takes all rows of other counts.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] when they are of other numbers of latents or features.
    pub fn merge(&mut self, other: &Recognition) -> Result<(), SaeError> {
        if self.both.dim() != other.both.dim() {
            return Err(SaeError::shape("other", self.both.shape(), other.both.shape()));
        }
        self.both += &other.both;
        self.shifted += &other.shifted;
        self.active.iter_mut().zip(&other.active).for_each(|(a, b)| *a += b);
        self.present.iter_mut().zip(&other.present).for_each(|(a, b)| *a += b);
        self.rows += other.rows;
        Ok(())
    }

    /// Returns the latent of largest F1 for a feature, with its precision and recall; among equal ones the first.
    pub fn best(&self, feature: usize) -> (usize, f64, f64) {
        self.best_of(&self.both, feature)
    }

    /// Returns precision and recall of a latent for a feature; 0 if it is never active or the feature never present.
    fn of(&self, both: &Array2<u64>, latent: usize, feature: usize) -> (f64, f64) {
        let hits = both[[feature, latent]] as f64;
        let share = |of: u64| if of == 0 { 0.0 } else { hits / of as f64 };
        (share(self.active[latent]), share(self.present[feature]))
    }

    fn best_of(&self, both: &Array2<u64>, feature: usize) -> (usize, f64, f64) {
        let mut best = (0, 0.0, 0.0);
        for latent in 0..both.ncols() {
            let (p, r) = self.of(both, latent, feature);
            if f1(p, r) > f1(best.1, best.2) {
                best = (latent, p, r);
            }
        }
        best
    }

    fn means(&self, both: &Array2<u64>) -> Vec<Measurement> {
        let object = Fingerprint::of(format!("{both:?} {:?} {:?}", self.active, self.present).as_bytes());
        let m = both.nrows();
        let best: Vec<_> = (0..m).map(|j| self.best_of(both, j)).collect();
        let mean = |value: &dyn Fn(&(usize, f64, f64)) -> f64| best.iter().map(value).sum::<f64>() / m as f64;
        [(&PRECISION, mean(&|b| b.1)), (&RECALL, mean(&|b| b.2)), (&F1, mean(&|b| f1(b.1, b.2)))]
            .into_iter()
            .map(|(quantity, value)| Measurement {
                n: m as u64,
                ..Measurement::exact(quantity, value, object)
            })
            .collect()
    }

    /// Returns the mean precision, recall and F1 of the best latent of each feature.
    pub fn measurements(&self) -> Vec<Measurement> {
        self.means(&self.both)
    }

    /// Returns the measurements, each with that for the truth of the next row.
    pub fn with_null(&self) -> Vec<WithNull> {
        WithNull::pairs(self.measurements(), self.means(&self.shifted), "the truth of the next row")
    }
}

fn f1(precision: f64, recall: f64) -> f64 {
    if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
}

/// Returns the evenness of firings over latents.
pub(crate) fn at_random(counts: &[u64], seed: u64) -> Vec<u64> {
    let mut stream = RngStream::named(seed, "firings at random");
    let total: u64 = counts.iter().sum();
    let mut out = vec![0; counts.len()];
    // Beyond a million the chance counts hardly differ; fewer draws keep it quick.
    for _ in 0..total.min(1_000_000) {
        out[stream.below(counts.len())] += 1;
    }
    out
}
