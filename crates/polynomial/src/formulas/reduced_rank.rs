use super::deep_linear::check;
use crate::error::PolynomialError;
use crate::learning_coefficient::LearningCoefficient;
use crate::rational::Rational;

/// Returns λ and m of reduced-rank regression `y = B A x` at a true map of rank `r`.
///
/// ```text
/// x ∈ R^M → R^H → R^N
/// 1  N+r ≤ M+H, M+r ≤ N+H, H+r ≤ M+N:  λ = [2(H+r)(M+N) − (M−N)² − (H+r)²]/8, m = 1   when M+H+N+r is even,
///                                       λ larger by 1/8,                        m = 2   when it is odd
/// 2  M+H < N+r:   λ = (HM − Hr + Nr)/2, m = 1
/// 3  N+H < M+r:   λ = (HN − Hr + Mr)/2, m = 1
/// 4  M+N < H+r:   λ = MN/2,             m = 1
/// ```
///
/// λ is the smallest value over all true parameters. Other true parameters can have larger local values.
///
/// # Errors
/// [`PolynomialError::OutOfRange`] for a width of 0 or a rank above the smallest width.
///
/// # Examples
/// ```
/// use collimate_polynomial::reduced_rank;
/// assert_eq!(reduced_rank(5, 3, 5, 0)?.to_string(), "λ = 13/2, multiplicity 2"); // of 30 parameters
/// # Ok::<(), collimate_polynomial::PolynomialError>(())
/// ```
///
/// # References
/// Aoyagi & Watanabe (2005), main theorem.
pub fn reduced_rank(
    inputs: usize,
    hidden: usize,
    outputs: usize,
    rank: usize,
) -> Result<LearningCoefficient, PolynomialError> {
    check(&[inputs, hidden, outputs], rank)?;
    let [m, h, n, r] = [inputs, hidden, outputs, rank].map(|x| x as i128);
    let simple = |twice: i128| LearningCoefficient::new(Rational::new(twice, 2), 1);
    Ok(if m + h < n + r {
        simple(h * m - h * r + n * r)
    } else if n + h < m + r {
        simple(h * n - h * r + m * r)
    } else if m + n < h + r {
        simple(m * n)
    } else {
        let eighths = 2 * (h + r) * (m + n) - (m - n) * (m - n) - (h + r) * (h + r);
        let odd = (m + h + n + r) % 2;
        LearningCoefficient::new(Rational::new(eighths + odd, 8), 1 + odd as u32)
    })
}
