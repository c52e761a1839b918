use collimate_stream::RngStream;
use std::collections::BTreeMap;

/// Sums over rows from which every ratio metric follows; mergeable, in f64.
///
/// A metric of a resampled data set is the metric of the resampled sums, so a bootstrap over documents needs only one
/// `Sums` a document.
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
    /// The number of rows that are not zero.
    pub nonzero_rows: u64,
    /// Σ x, a vector.
    pub input: Vec<f64>,
    /// Σ (x − x̂), a vector.
    pub residual: Vec<f64>,
    /// Σ ‖x − x̂‖²/‖x‖² over rows that are not zero.
    pub relative: f64,
    /// Σ ‖x − x̂‖²/‖x − c‖² over rows that came with a centre c and are not at it.
    pub centred: f64,
    /// The number of such rows.
    pub centred_rows: u64,
}

impl Sums {
    /// Returns sums over no rows, of width `d_model`.
    pub fn new(d_model: usize) -> Self {
        Self { input: vec![0.0; d_model], residual: vec![0.0; d_model], ..Self::default() }
    }

    /// Takes one more row, its reconstruction and its number of active latents.
    ///
    /// # Panics
    /// When the slices do not have the width the sums were made for.
    pub fn push(&mut self, x: &[f64], x_hat: &[f64], active: u64) {
        assert!(x.len() == self.input.len() && x_hat.len() == x.len(), "Sums::push: rows of another width");
        let (mut input2, mut output2, mut input_output, mut residual2) = (0.0, 0.0, 0.0, 0.0);
        for (((sum, e), &x), &y) in self.input.iter_mut().zip(&mut self.residual).zip(x).zip(x_hat) {
            *sum += x;
            *e += x - y;
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
            self.relative += residual2 / input2;
            self.norm_ratio += (output2 / input2).sqrt();
            if output2 > 0.0 {
                self.cosine += input_output / (input2 * output2).sqrt();
            }
        }
    }

    /// Takes one more row, whose error is also compared with its distance from a centre.
    ///
    /// # Panics
    /// As [`Sums::push`].
    pub fn push_centred(&mut self, x: &[f64], x_hat: &[f64], active: u64, centre: &[f64]) {
        assert_eq!(x.len(), centre.len(), "Sums::push_centred: a centre of another width");
        self.push(x, x_hat, active);
        let distance2: f64 = x.iter().zip(centre).map(|(x, c)| (x - c).powi(2)).sum();
        // A centre in single precision is at a distance of about its rounding from rows that are all equal to it.
        let input2: f64 = x.iter().map(|x| x * x).sum();
        let rounding = (4.0 * f64::from(f32::EPSILON)).powi(2) * input2;
        if distance2 > rounding {
            let residual2: f64 = x.iter().zip(x_hat).map(|(x, y)| (x - y).powi(2)).sum();
            self.centred += residual2 / distance2;
            self.centred_rows += 1;
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
        self.relative += other.relative;
        self.centred += other.centred;
        self.centred_rows += other.centred_rows;
        self.residual.iter_mut().zip(&other.residual).for_each(|(a, b)| *a += b);
        self.input.iter_mut().zip(&other.input).for_each(|(a, b)| *a += b);
    }

    /// Returns the mean number of active latents.
    pub fn l0(&self) -> f64 {
        self.active as f64 / self.rows as f64
    }

    /// Returns the mean over rows of ‖x − x̂‖².
    pub fn mse(&self) -> f64 {
        self.residual2 / self.rows as f64
    }

    /// Returns 1 − E‖x − x̂‖²/(E‖x‖² − ‖E x‖²): one for a perfect reconstruction, zero for the mean. NaN if all rows are equal, up to
    /// the rounding of the sums: then there is no variance to explain.
    pub fn explained_variance(&self) -> f64 {
        let n = self.rows as f64;
        let mean2: f64 = self.input.iter().map(|s| (s / n).powi(2)).sum();
        if !is_above_rounding(self.input2 / n - mean2, self.input2 / n, n) {
            return f64::NAN;
        }
        1.0 - (self.residual2 / n) / (self.input2 / n - mean2)
    }

    /// Returns the mean over rows and dimensions of (x − x̂)².
    pub fn mse_per_element(&self) -> f64 {
        self.mse() / self.input.len() as f64
    }

    /// Returns the mean over rows of 1 − ‖x − x̂‖²/‖x − c‖²; NaN unless rows came with a centre.
    pub fn explained_variance_per_row(&self) -> f64 {
        1.0 - self.centred / self.centred_rows as f64
    }

    /// Returns 1 − Σ_d var(x − x̂)/Σ_d var(x), which does not change with a constant error. NaN as [`Sums::explained_variance`].
    pub fn explained_variance_centred(&self) -> f64 {
        let n = self.rows as f64;
        let square_of_mean = |sum: &[f64]| sum.iter().map(|s| (s / n).powi(2)).sum::<f64>();
        let residual = self.residual2 / n - square_of_mean(&self.residual);
        let variance = self.input2 / n - square_of_mean(&self.input);
        if !is_above_rounding(variance, self.input2 / n, n) {
            return f64::NAN;
        }
        1.0 - residual / variance
    }

    /// Returns 1 − mean over rows of ‖x − x̂‖²/‖x‖².
    pub fn explained_power(&self) -> f64 {
        1.0 - self.relative / self.nonzero_rows as f64
    }

    /// Returns the relative reconstruction bias.
    ///
    /// ```text
    /// γ = argmin_g E‖x̂/g − x‖² = E‖x̂‖²/E[x̂·x]
    /// ```
    /// The ratio of global sums: a mean of ratios over batches is another number. NaN if x̂ is orthogonal to x on average, in
    /// particular if it is zero: then no rescaling is the best one.
    ///
    /// # References
    /// Rajamanoharan et al. (2024), eq. 9–10.
    pub fn gamma(&self) -> f64 {
        if self.input_output == 0.0 {
            return f64::NAN;
        }
        self.output2 / self.input_output
    }

    /// Returns the mean cosine of x and x̂.
    pub fn mean_cosine(&self) -> f64 {
        self.cosine / self.rows as f64
    }

    /// Returns the mean of ‖x̂‖/‖x‖.
    pub fn mean_norm_ratio(&self) -> f64 {
        self.norm_ratio / self.nonzero_rows as f64
    }
}

/// Returns true if a variance is larger than the rounding of the sums over `n` rows from which it is the difference.
///
/// ```text
/// |rounding of Σ‖x‖²/n and of ‖Σx/n‖²| ≤ 4 n ε E‖x‖²        ε = 2⁻⁵²
/// ```
fn is_above_rounding(variance: f64, power: f64, n: f64) -> bool {
    variance > 4.0 * n * f64::EPSILON * power
}

/// One [`Sums`] a document, for resampling by document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DocumentSums {
    documents: BTreeMap<u32, Sums>,
}

impl DocumentSums {
    /// Returns the number of documents.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Returns true if there is no document.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Returns the documents in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Sums)> {
        self.documents.iter().map(|(&document, sums)| (document, sums))
    }

    /// Returns the sums of a document; it is added if it is new.
    pub fn of(&mut self, document: u32, d_model: usize) -> &mut Sums {
        self.documents.entry(document).or_insert_with(|| Sums::new(d_model))
    }

    /// Takes all documents of another set.
    pub fn merge(&mut self, other: &DocumentSums) {
        for (document, sums) in other.iter() {
            self.of(document, sums.input.len()).merge(sums);
        }
    }

    /// Draws as many documents as there are, with replacement, and returns their sums.
    ///
    /// # Determinism
    /// The draws depend on `stream` and the number of documents only, so two dictionaries evaluated on the same documents
    /// are resampled alike by two streams in the same state (a paired bootstrap).
    pub fn resample(&self, stream: &mut RngStream) -> Sums {
        let documents: Vec<&Sums> = self.documents.values().collect();
        let mut all = Sums::new(documents.first().map_or(0, |sums| sums.input.len()));
        for _ in 0..documents.len() {
            all.merge(documents[stream.below(documents.len())]);
        }
        all
    }

    /// Computes the standard error of a metric by leaving out one document at a time; `None` below two documents.
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
