use collimate_measure::{MeasureError, effective_number, gini};
use collimate_tensor::Scalar;
use ndarray::ArrayRef2;
use std::f64::consts::TAU;

/// The concentration of an embedding of the numbers modulo p on few frequencies.
///
/// ```text
/// e_k = Σ_i |Σ_a E_ai exp(−2πi·k·a/p)|²,   k = 1 … ⌊p/2⌋, as shares of their sum
/// ```
///
/// # Examples
/// ```
/// use collimate_studies::development::FourierMeasures;
/// // One frequency: cos(2π·3·a/11).
/// let wave = ndarray::Array2::from_shape_fn((11, 1), |(a, _)| (6.0 * std::f64::consts::PI * a as f64 / 11.0).cos());
/// let found = FourierMeasures::of(&wave)?;
/// assert!((found.participation - 1.0).abs() < 1e-12);
/// assert!((found.gini - 0.8).abs() < 1e-12); // one of five frequencies has everything
/// # Ok::<(), collimate_measure::MeasureError>(())
/// ```
///
/// # References
/// Nanda et al. (2023), arXiv 2301.05217.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FourierMeasures {
    /// The share of the five strongest frequencies.
    pub top5: f64,
    /// The Gini coefficient of the shares: 0 if all are equal, near 1 if one has everything.
    pub gini: f64,
    /// The effective number of frequencies, `1/Σ share²`.
    pub participation: f64,
}

impl FourierMeasures {
    /// Computes the measures of an embedding.
    ///
    /// # Shapes
    /// `embedding` `[p, width]`.
    ///
    /// # Errors
    /// [`MeasureError`] for an embedding with NaN or infinity, or without any frequency but 0.
    pub fn of<F: Scalar>(embedding: &ArrayRef2<F>) -> Result<Self, MeasureError> {
        let (p, width) = embedding.dim();
        let numbers = embedding.mapv(Scalar::to_f64);
        let energies: Vec<f64> = (1..=p / 2)
            .map(|k| {
                let (mut real, mut imaginary) = (vec![0.0; width], vec![0.0; width]);
                for (a, row) in numbers.rows().into_iter().enumerate() {
                    // The remainder keeps the angle small, and so exact.
                    let (sine, cosine) = (TAU * ((k * a) % p) as f64 / p as f64).sin_cos();
                    for ((real, imaginary), x) in real.iter_mut().zip(&mut imaginary).zip(row) {
                        *real += cosine * x;
                        *imaginary += sine * x;
                    }
                }
                real.iter().chain(&imaginary).map(|x| x * x).sum()
            })
            .collect();
        let (gini, participation) = (gini(&energies)?, effective_number(&energies)?);
        let total: f64 = energies.iter().sum();
        let mut sorted = energies;
        sorted.sort_by(|a, b| b.total_cmp(a));
        let top5 = sorted.iter().take(5).sum::<f64>() / total;
        Ok(Self { top5, gini, participation })
    }
}
