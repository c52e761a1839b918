//! Features that are correlated through a few common causes.

use super::source::Source;
use crate::error::{SuperpositionError, require_finite, require_shape};
use collimate_measure::ensure;
use collimate_stream::RngStream;
use ndarray::Array2;

/// Correlated features with exact on-probabilities: a Gaussian copula with a few common causes.
///
/// ```text
/// g_i = Σ_k L_ik z_k + √(1 − Σ_k L_ik²) ε_i      z, ε standard normal;      feature i is on where g_i > Φ⁻¹(1 − p_i)
/// ```
///
/// Values are uniform on `[0, 1]` and independent. With `L = 0` the features are independent.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::{LowRank, Source};
/// use ndarray::array;
/// let pair = LowRank::new(vec![0.3, 0.3], array![[0.9], [-0.9]])?;
/// let x = pair.rows(2000, &mut RngStream::new(1, 0));
/// let both = x.rows().into_iter().filter(|row| row[0] > 0.0 && row[1] > 0.0).count();
/// assert!(both < 20); // two independent features would both be on in 180 rows
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    on_probability: Vec<f64>,
    threshold: Vec<f64>,
    /// The loadings `[rank, n]`, so that the inner loop runs over features.
    loadings: Array2<f64>,
    own: Vec<f64>,
}

/// The number of features in a block. The sums of a block stay in the cache.
const BLOCK: usize = 256;

impl LowRank {
    /// Creates features with these on-probabilities and loadings.
    ///
    /// # Shapes
    /// `loadings`: `[n, rank]`.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] if the numbers of features differ, [`SuperpositionError::NotFinite`] for NaN or
    /// infinite loadings, [`SuperpositionError::OutOfRange`] for no feature, a probability outside `(0, 1)`, or a row
    /// of loadings longer than 1.
    pub fn new(on_probability: Vec<f64>, loadings: Array2<f64>) -> Result<Self, SuperpositionError> {
        let n = on_probability.len();
        ensure(n > 0, "on_probability.len()", "at least 1", 0.0)?;
        require_shape("loadings", &[n, loadings.ncols()], loadings.shape())?;
        require_finite("loadings", loadings.iter())?;
        for &p in &on_probability {
            ensure(p > 0.0 && p < 1.0, "on_probability", "above 0 and below 1", p)?;
        }
        let own = loadings
            .rows()
            .into_iter()
            .map(|row| {
                let rest = 1.0 - row.dot(&row);
                ensure(rest >= -1e-12, "squared length of a row of loadings", "at most 1", 1.0 - rest)?;
                Ok(rest.max(0.0).sqrt())
            })
            .collect::<Result<_, SuperpositionError>>()?;
        let threshold = on_probability.iter().map(|&p| -normal_quantile(p)).collect();
        let loadings = loadings.t().as_standard_layout().into_owned();
        Ok(Self { on_probability, threshold, loadings, own })
    }

    /// Creates features with these on-probabilities and random loadings: each row is uniform on a sphere of radius `strength`.
    ///
    /// # Errors
    /// The errors of [`LowRank::new`], and [`SuperpositionError::OutOfRange`] for rank 0.
    pub fn random(
        on_probability: Vec<f64>,
        rank: usize,
        strength: f64,
        stream: &mut RngStream,
    ) -> Result<Self, SuperpositionError> {
        ensure(rank > 0, "rank", "at least 1", 0.0)?;
        let mut loadings = Array2::from_shape_simple_fn((on_probability.len(), rank), || stream.normal());
        for mut row in loadings.rows_mut() {
            let norm = row.dot(&row).sqrt();
            row.mapv_inplace(|x| strength * x / norm);
        }
        Self::new(on_probability, loadings)
    }

    /// Returns the on-probability of each feature.
    pub fn on_probability(&self) -> &[f64] {
        &self.on_probability
    }

    /// Draws one sample and calls `on` with each index, in order, and whether the feature is on.
    pub(super) fn switch(&self, stream: &mut RngStream, mut on: impl FnMut(usize, bool)) {
        let mut causes = [0.0; 64];
        let rank = self.loadings.nrows();
        let mut more = Vec::new();
        let causes = if rank <= causes.len() {
            &mut causes[..rank]
        } else {
            more.resize(rank, 0.0);
            &mut more[..]
        };
        stream.fill_normal(causes);
        let mut common = [0.0; BLOCK];
        for start in (0..self.own.len()).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(self.own.len());
            common.fill(0.0);
            for (row, &z) in self.loadings.rows().into_iter().zip(causes.iter()) {
                let row = &row.to_slice().expect("the constructor stores row-major data")[block.clone()];
                common.iter_mut().zip(row).for_each(|(sum, l)| *sum += l * z);
            }
            for (i, common) in block.zip(common) {
                let rest = if self.own[i] > 0.0 { self.own[i] * stream.normal() } else { 0.0 };
                on(i, common + rest > self.threshold[i]);
            }
        }
    }
}

impl Source for LowRank {
    fn features(&self) -> usize {
        self.on_probability.len()
    }

    fn fill_row(&self, row: &mut [f64], stream: &mut RngStream) {
        self.switch(stream, |i, on| row[i] = f64::from(u8::from(on)));
        for x in row.iter_mut().filter(|x| **x > 0.0) {
            *x = 1.0 - stream.uniform();
        }
    }
}

/// Returns the quantile of the standard normal distribution to about nine digits, by a rational approximation on three pieces.
///
/// # References
/// P. J. Acklam (2003), "An algorithm for computing the inverse normal cumulative distribution function".
pub(super) fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |q: f64| {
        let r = (-2.0 * q.ln()).sqrt();
        horner(&C, r) / horner(&D, r)
    };
    if p < 0.02425 {
        tail(p)
    } else if p > 1.0 - 0.02425 {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        q * horner(&A, q * q) / horner(&B, q * q)
    }
}

#[cfg(test)]
mod tests {
    use super::normal_quantile;

    #[test]
    fn quantiles_equal_the_tabulated_values() {
        for (p, z) in [
            (0.975, 1.959_963_984_540_054),
            (0.5, 0.0),
            (0.999, 3.090_232_306_167_813),
            (1e-5, -4.264_890_793_922_602),
            (0.01, -2.326_347_874_040_841),
        ] {
            assert!((normal_quantile(p) - z).abs() < 1e-8, "{p}: {}", normal_quantile(p));
        }
    }
}
