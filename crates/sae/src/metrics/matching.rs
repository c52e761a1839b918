use super::null::{WithNull, random_directions};
use crate::mmcs;
use collimate_measure::{Fingerprint, Measurement, Quantity, Unit};
use collimate_tensor::{Scalar, matmul};
use ndarray::{Array2, ArrayRef2};

/// The share of the truth that was found.
pub const MMCS_FOUND: Quantity = Quantity {
    name: "MMCS (truth to dictionary)",
    definition: "mean over the true directions of the largest cosine with a dictionary row",
    unit: Unit::One,
};
/// The share of the dictionary that is true.
pub const MMCS_TRUE: Quantity = Quantity {
    name: "MMCS (dictionary to truth)",
    definition: "mean over the dictionary rows of the largest cosine with a true direction",
    unit: Unit::One,
};
/// One-to-one agreement.
pub const MCC: Quantity = Quantity {
    name: "MCC",
    definition: "mean |cosine| over the one-to-one matching of largest total |cosine|, min(n, m) pairs",
    unit: Unit::One,
};
/// The uniqueness of the latents; it is low where several latents find one feature.
pub const UNIQUENESS: Quantity = Quantity {
    name: "uniqueness",
    definition: "number of true directions that are the nearest (by |cosine|) of some dictionary row, over min(n, m)",
    unit: Unit::Fraction,
};

/// A dictionary compared with known directions, or with another dictionary.
///
/// # Examples
/// ```
/// use collimate_sae::Matching;
/// use ndarray::array;
/// let truth = array![[1.0, 0.0], [0.0, 1.0]];
/// let twice = array![[1.0, 0.0], [0.8, 0.6]]; // both rows are nearest to the first direction
/// let matching = Matching::new(&twice, &truth);
/// assert_eq!(matching.pairs, [(0, 0), (1, 1)]);
/// assert!((matching.mcc() - 0.8).abs() < 1e-12);
/// assert_eq!(matching.uniqueness(), 0.5);
/// ```
///
/// # References
/// Sharkey et al. (2022) for MMCS; the matching by Kuhn (1955), used for dictionaries as in arXiv 2505.20254.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// The matched pairs (row of the dictionary, row of the truth), in ascending order of the first.
    pub pairs: Vec<(usize, usize)>,
    cosines: Array2<f64>,
    dictionary: Array2<f64>,
    truth: Array2<f64>,
}

impl Matching {
    /// Compares the rows of two sets of directions.
    ///
    /// # Shapes
    /// `dictionary` `[n, d]`, `truth` `[m, d]`; the matching takes n·m·min(n, m) operations.
    ///
    /// # Panics
    /// When the widths differ.
    pub fn new(dictionary: &ArrayRef2<f64>, truth: &ArrayRef2<f64>) -> Self {
        let cosines = cosines(dictionary, truth);
        let weights = cosines.mapv(f64::abs);
        let pairs = if weights.nrows() <= weights.ncols() {
            assign(&weights)
        } else {
            let mut pairs: Vec<_> = assign(&weights.t()).into_iter().map(|(j, i)| (i, j)).collect();
            pairs.sort_unstable();
            pairs
        };
        let (dictionary, truth) = (dictionary.to_owned(), truth.to_owned());
        Self { pairs, cosines, dictionary, truth }
    }

    /// Returns the mean absolute cosine of the matched pairs.
    pub fn mcc(&self) -> f64 {
        self.pairs.iter().map(|&pair| self.cosines[pair].abs()).sum::<f64>() / self.pairs.len() as f64
    }

    /// Returns the number of true directions that are the nearest of some row, over the largest possible number.
    pub fn uniqueness(&self) -> f64 {
        let (n, m) = self.cosines.dim();
        let mut taken = vec![false; m];
        for row in self.cosines.rows() {
            let nearest = (0..m).fold(0, |best, j| if row[j].abs() > row[best].abs() { j } else { best });
            taken[nearest] = true;
        }
        taken.iter().filter(|taken| **taken).count() as f64 / n.min(m) as f64
    }

    /// Returns MMCS in both directions, MCC and uniqueness.
    pub fn measurements(&self) -> Vec<Measurement> {
        let object = Fingerprint::of(b"matching")
            .and_numbers(&self.dictionary.iter().copied().collect::<Vec<_>>())
            .and_numbers(&self.truth.iter().copied().collect::<Vec<_>>());
        let pairs = self.pairs.len() as u64;
        let exact = |quantity, value, n| Measurement { n, ..Measurement::exact(quantity, value, object) };
        let (n, m) = self.cosines.dim();
        vec![
            exact(&MMCS_FOUND, mmcs(&self.truth, &self.dictionary).expect("equal widths"), m as u64),
            exact(&MMCS_TRUE, mmcs(&self.dictionary, &self.truth).expect("equal widths"), n as u64),
            exact(&MCC, self.mcc(), pairs),
            exact(&UNIQUENESS, self.uniqueness(), pairs),
        ]
    }

    /// Returns the measurements, each with that of random directions instead of the dictionary.
    ///
    /// # Determinism
    /// The directions are drawn from `seed` alone.
    pub fn with_null(&self, seed: u64) -> Vec<WithNull> {
        let null = Matching::new(&random_directions(self.dictionary.dim(), seed), &self.truth);
        WithNull::pairs(self.measurements(), null.measurements(), "random directions")
    }
}

/// Computes the cosines of the rows of two sets; rows of zeros have cosine 0.
pub(crate) fn cosines<F: Scalar>(a: &ArrayRef2<F>, b: &ArrayRef2<F>) -> Array2<F> {
    let units = |rows: &ArrayRef2<F>| {
        let mut rows = rows.as_standard_layout().into_owned();
        rows.rows_mut()
            .into_iter()
            .for_each(|mut r| crate::normalise(r.as_slice_mut().expect("standard layout")));
        rows
    };
    matmul(&units(a), &units(b).t()).expect("rows of one width")
}

/// Finds the matching of all rows (no more than columns) with the largest sum, by shortest augmenting paths.
fn assign(weights: &ArrayRef2<f64>) -> Vec<(usize, usize)> {
    let (n, m) = weights.dim();
    // Potentials of rows and columns; column 0 stands for "unmatched", so indices are shifted by one.
    let (mut u, mut v) = (vec![0.0; n + 1], vec![0.0; m + 1]);
    let mut row_of = vec![0; m + 1];
    let mut previous = vec![0; m + 1];
    for i in 1..=n {
        row_of[0] = i;
        let mut column = 0;
        let mut shortest = vec![f64::INFINITY; m + 1];
        let mut used = vec![false; m + 1];
        loop {
            used[column] = true;
            let row = row_of[column];
            let (mut delta, mut next) = (f64::INFINITY, 0);
            for j in (1..=m).filter(|&j| !used[j]) {
                let cost = -weights[[row - 1, j - 1]] - u[row] - v[j];
                if cost < shortest[j] {
                    shortest[j] = cost;
                    previous[j] = column;
                }
                if shortest[j] < delta {
                    delta = shortest[j];
                    next = j;
                }
            }
            for j in 0..=m {
                if used[j] {
                    u[row_of[j]] += delta;
                    v[j] -= delta;
                } else {
                    shortest[j] -= delta;
                }
            }
            column = next;
            if row_of[column] == 0 {
                break;
            }
        }
        while column != 0 {
            let before = previous[column];
            row_of[column] = row_of[before];
            column = before;
        }
    }
    let mut pairs: Vec<_> = (1..=m).filter(|&j| row_of[j] != 0).map(|j| (row_of[j] - 1, j - 1)).collect();
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use collimate_stream::RngStream;

    /// Finds the best sum over all ways to give each row a column of its own.
    fn by_trying(weights: &Array2<f64>, row: usize, taken: &mut Vec<bool>) -> f64 {
        if row == weights.nrows() {
            return 0.0;
        }
        let mut best = f64::NEG_INFINITY;
        for j in 0..weights.ncols() {
            if !taken[j] {
                taken[j] = true;
                best = best.max(weights[[row, j]] + by_trying(weights, row + 1, taken));
                taken[j] = false;
            }
        }
        best
    }

    #[test]
    fn the_matching_is_the_best_of_all() {
        let mut stream = RngStream::new(1, 0);
        for n in 1..=5 {
            for m in n..=6 {
                let weights = Array2::from_shape_fn((n, m), |_| stream.uniform());
                let sum: f64 = assign(&weights).iter().map(|&pair| weights[pair]).sum();
                assert!((sum - by_trying(&weights, 0, &mut vec![false; m])).abs() < 1e-12);
            }
        }
    }
}
