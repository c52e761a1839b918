//! Sparse probes: labels read from a few features.

use collimate_tensor::SparseRows;
use collimate_tensor::small::solve_positive_definite;
use ndarray::Array2;

/// The feature values of tokens, one row a token: dense (neurons) or mostly zero (latents).
pub enum Features {
    /// All values `[b, n]`.
    Dense(Array2<f32>),
    /// The active latents of each row.
    Sparse(SparseRows<f32>),
}

impl Features {
    fn n_columns(&self) -> usize {
        match self {
            Self::Dense(x) => x.ncols(),
            Self::Sparse(x) => x.n_columns(),
        }
    }

    fn n_rows(&self) -> usize {
        match self {
            Self::Dense(x) => x.nrows(),
            Self::Sparse(x) => x.n_rows(),
        }
    }

    /// Calls `take(column, value)` for each value of a row that is not zero.
    fn each(&self, row: usize, mut take: impl FnMut(usize, f64)) {
        match self {
            Self::Dense(x) => x.row(row).iter().enumerate().for_each(|(j, &v)| take(j, f64::from(v))),
            Self::Sparse(x) => {
                let (columns, values) = x.row(row);
                columns.iter().zip(values).for_each(|(&j, &v)| take(j as usize, f64::from(v)));
            }
        }
    }

    /// Returns the chosen columns as a dense matrix, with a leading 1 for the intercept.
    fn gather(&self, chosen: &[usize]) -> Array2<f64> {
        let mut out = Array2::zeros((self.n_rows(), chosen.len() + 1));
        for i in 0..self.n_rows() {
            out[[i, 0]] = 1.0;
            self.each(i, |j, v| {
                if let Some(at) = chosen.iter().position(|&c| c == j) {
                    out[[i, at + 1]] = v;
                }
            });
        }
        out
    }
}

/// A logistic probe of one label on a few features.
#[derive(Clone, Debug)]
pub struct SparseProbe {
    /// The columns that the probe reads.
    pub columns: Vec<usize>,
    /// The intercept, then one weight for each column.
    weights: Vec<f64>,
    /// The threshold: scores above it are predicted positive.
    threshold: f64,
}

/// Computes, for each class and feature, the correlation of the feature with "the label is this class".
///
/// ```text
/// r = (E[x·1] − E[x]·p) / √(var x · p(1 − p))      (0 where a feature or a class is constant)
/// ```
pub fn class_correlations(features: &Features, labels: &[usize], n_classes: usize) -> Array2<f64> {
    let (rows, columns) = (features.n_rows(), features.n_columns());
    let (mut sum, mut square) = (vec![0.0; columns], vec![0.0; columns]);
    let mut by_class = Array2::<f64>::zeros((n_classes, columns));
    let mut share = vec![0.0; n_classes];
    for (i, &label) in labels.iter().enumerate().take(rows) {
        share[label] += 1.0;
        features.each(i, |j, v| {
            sum[j] += v;
            square[j] += v * v;
            by_class[[label, j]] += v;
        });
    }
    let n = rows as f64;
    Array2::from_shape_fn((n_classes, columns), |(c, j)| {
        let (p, mean) = (share[c] / n, sum[j] / n);
        let spread = ((square[j] / n - mean * mean) * p * (1.0 - p)).sqrt();
        if spread > 1e-12 { (by_class[[c, j]] / n - mean * p) / spread } else { 0.0 }
    })
}

impl SparseProbe {
    /// Fits a probe of `class` on the `k` features with the largest absolute correlation.
    ///
    /// The fit is a logistic regression by Newton's method on standardised features with a ridge of 10⁻³ per sample. The threshold
    /// maximises F1 on the training rows.
    ///
    /// # References
    /// Gurnee et al. (2023), Finding Neurons in a Haystack, section 3 (selection by class means).
    pub fn fit(
        features: &Features,
        labels: &[usize],
        class: usize,
        correlations: &Array2<f64>,
        k: usize,
    ) -> Self {
        let row = correlations.row(class);
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].abs().total_cmp(&row[a].abs()).then(a.cmp(&b)));
        order.truncate(k);
        let mut x = features.gather(&order);
        let scales: Vec<f64> = (1..x.ncols()).map(|j| x.column(j).std(0.0).max(1e-9)).collect();
        for (j, scale) in scales.iter().enumerate() {
            x.column_mut(j + 1).mapv_inplace(|v| v / scale);
        }
        let y: Vec<f64> = labels.iter().map(|&l| f64::from(u8::from(l == class))).collect();
        let mut weights = logistic(&x, &y);
        let scores: Vec<f64> =
            x.rows().into_iter().map(|r| r.iter().zip(&weights).map(|(a, b)| a * b).sum()).collect();
        let threshold = best_threshold(&scores, &y);
        for (w, scale) in weights[1..].iter_mut().zip(&scales) {
            *w /= scale;
        }
        Self { columns: order, weights, threshold }
    }

    /// Returns the prediction of the probe for each row.
    pub fn predict(&self, features: &Features) -> Vec<bool> {
        let x = features.gather(&self.columns);
        x.rows()
            .into_iter()
            .map(|r| r.iter().zip(&self.weights).map(|(a, b)| a * b).sum::<f64>() > self.threshold)
            .collect()
    }
}

/// Computes the weights of a logistic regression with a small ridge (none on the intercept).
fn logistic(x: &Array2<f64>, y: &[f64]) -> Vec<f64> {
    let (n, d) = x.dim();
    let ridge = 1e-3 * n as f64;
    let mut w = vec![0.0; d];
    for _ in 0..25 {
        let mut gradient = Array2::<f64>::zeros((d, 1));
        let mut hessian = Array2::<f64>::zeros((d, d));
        for (row, &target) in x.rows().into_iter().zip(y) {
            let score: f64 = row.iter().zip(&w).map(|(a, b)| a * b).sum();
            let p = 1.0 / (1.0 + (-score).exp());
            for i in 0..d {
                gradient[[i, 0]] += (p - target) * row[i];
                for j in 0..=i {
                    hessian[[i, j]] += p * (1.0 - p) * row[i] * row[j];
                }
            }
        }
        for i in 1..d {
            gradient[[i, 0]] += ridge * w[i];
            hessian[[i, i]] += ridge;
        }
        hessian[[0, 0]] += 1e-9 * n as f64;
        let Some(step) = solve_positive_definite(&hessian, &gradient) else { break };
        let size = step.iter().fold(0.0_f64, |m, s| m.max(s.abs()));
        // The step is damped where a full step would overshoot a flat likelihood.
        let damping = if size > 5.0 { 5.0 / size } else { 1.0 };
        w.iter_mut().zip(&step).for_each(|(w, s)| *w -= damping * s);
        if size < 1e-8 {
            break;
        }
    }
    w
}

/// Finds the threshold on the scores with the best F1.
fn best_threshold(scores: &[f64], y: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let total: f64 = y.iter().sum();
    let (mut hits, mut best, mut threshold) = (0.0, -1.0, f64::INFINITY);
    for (rank, &i) in order.iter().enumerate() {
        hits += y[i];
        let next = order.get(rank + 1).map_or(f64::NEG_INFINITY, |&j| scores[j]);
        let f1 = 2.0 * hits / ((rank + 1) as f64 + total);
        if next < scores[i] && f1 > best {
            best = f1;
            threshold = if next.is_finite() { 0.5 * (next + scores[i]) } else { scores[i] - 1.0 };
        }
    }
    threshold
}

/// The numbers of true positives, false positives and false negatives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// The number of true positives.
    pub hits: u64,
    /// The number of false positives.
    pub false_alarms: u64,
    /// The number of false negatives.
    pub misses: u64,
}

impl Confusion {
    /// Counts one prediction.
    pub fn count(&mut self, predicted: bool, truth: bool) {
        match (predicted, truth) {
            (true, true) => self.hits += 1,
            (true, false) => self.false_alarms += 1,
            (false, true) => self.misses += 1,
            (false, false) => {}
        }
    }

    /// Returns the sum of two counts.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            false_alarms: self.false_alarms + other.false_alarms,
            misses: self.misses + other.misses,
        }
    }

    /// Returns F1 = 2·hits/(2·hits + false alarms + misses); 0 where nothing is true or predicted.
    pub fn f1(self) -> f64 {
        let of = 2 * self.hits + self.false_alarms + self.misses;
        if of == 0 { 0.0 } else { 2.0 * self.hits as f64 / of as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use collimate_stream::RngStream;

    /// Draws noise with two informative columns for class 1.
    fn planted(rows: usize, seed: u64) -> (Features, Vec<usize>) {
        let mut stream = RngStream::new(seed, 0);
        let labels: Vec<usize> = (0..rows).map(|_| stream.below(3)).collect();
        let x = Array2::from_shape_fn((rows, 12), |(i, j)| {
            let signal = if labels[i] == 1 && (j == 4 || j == 7) { 2.0 } else { 0.0 };
            (signal + stream.normal()) as f32
        });
        (Features::Dense(x), labels)
    }

    #[test]
    fn planted_features_are_found_and_read() {
        let (train, labels) = planted(3000, 1);
        let correlations = class_correlations(&train, &labels, 3);
        let probe = SparseProbe::fit(&train, &labels, 1, &correlations, 2);
        let mut columns = probe.columns.clone();
        columns.sort_unstable();
        assert_eq!(columns, [4, 7]);
        let (test, truth) = planted(3000, 2);
        let mut counts = Confusion::default();
        probe.predict(&test).iter().zip(&truth).for_each(|(&p, &t)| counts.count(p, t == 1));
        // d′ = 2√2 at a prior of one third: the best linear rule reaches an F1 of about 0.88.
        assert!((0.82..0.92).contains(&counts.f1()), "{}", counts.f1());
    }

    #[test]
    fn sparse_and_dense_features_give_the_same_probe() {
        let (dense, labels) = planted(500, 3);
        let Features::Dense(x) = &dense else { unreachable!() };
        let sparse = Features::Sparse(SparseRows::from_dense(x));
        let correlations = class_correlations(&dense, &labels, 3);
        assert_eq!(correlations, class_correlations(&sparse, &labels, 3));
        let a = SparseProbe::fit(&dense, &labels, 1, &correlations, 5).predict(&dense);
        assert_eq!(a, SparseProbe::fit(&sparse, &labels, 1, &correlations, 5).predict(&sparse));
    }

    #[test]
    fn logistic_regression_fulfils_its_optimality_condition() {
        let (dense, labels) = planted(400, 4);
        let x = dense.gather(&[4, 7, 0]);
        let y: Vec<f64> = labels.iter().map(|&l| f64::from(u8::from(l == 1))).collect();
        let w = logistic(&x, &y);
        for j in 0..4 {
            let residual: f64 = x
                .rows()
                .into_iter()
                .zip(&y)
                .map(|(r, t)| {
                    let s: f64 = r.iter().zip(&w).map(|(a, b)| a * b).sum();
                    (1.0 / (1.0 + (-s).exp()) - t) * r[j]
                })
                .sum();
            let ridge = if j == 0 { 0.0 } else { 0.4 * w[j] };
            assert!((residual + ridge).abs() < 1e-6, "coordinate {j}: {residual} + {ridge}");
        }
    }
}
