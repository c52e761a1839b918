//! Measures of concentration: how unequal the shares of latents, heads or machines are.

use crate::error::{MeasureError, ensure};
use crate::moments::Moments;

/// Computes the Gini coefficient of non-negative shares.
///
/// ```text
/// G = Σᵢ (2i − n − 1) x₍ᵢ₎ / (n Σ x),   x₍₁₎ ≤ … ≤ x₍ₙ₎
/// ```
/// It is 0 if all shares are equal, and (n − 1)/n if all but one are zero.
///
/// # Errors
/// [`MeasureError`] if there are no shares, one is negative or non-finite, or all are zero.
///
/// # Examples
/// ```
/// assert_eq!(collimate_measure::gini(&[0.0, 0.0, 0.0, 4.0]).unwrap(), 0.75);
/// ```
///
/// # References
/// Gini (1912).
pub fn gini(shares: &[f64]) -> Result<f64, MeasureError> {
    let total = check("Gini coefficient", shares)?;
    let mut sorted = shares.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let weighted: f64 = sorted.iter().enumerate().map(|(i, x)| (2.0 * (i + 1) as f64 - n - 1.0) * x).sum();
    Ok(weighted / (n * total))
}

/// Computes the Herfindahl index Σ (xᵢ/Σx)²: 1/n if all shares are equal, 1 if all but one are zero.
///
/// # Errors
/// Those of [`gini`].
///
/// # Examples
/// ```
/// assert_eq!(collimate_measure::herfindahl(&[1.0, 1.0]).unwrap(), 0.5);
/// ```
///
/// # References
/// Herfindahl (1950).
pub fn herfindahl(shares: &[f64]) -> Result<f64, MeasureError> {
    let total = check("Herfindahl index", shares)?;
    Ok(shares.iter().map(|x| (x / total).powi(2)).sum())
}

/// Computes the effective number 1/Σ (xᵢ/Σx)²: the number of equal shares with this Herfindahl index.
///
/// # Errors
/// Those of [`gini`].
///
/// # Examples
/// ```
/// assert_eq!(collimate_measure::effective_number(&[3.0, 3.0, 3.0]).unwrap(), 3.0);
/// ```
pub fn effective_number(shares: &[f64]) -> Result<f64, MeasureError> {
    Ok(1.0 / herfindahl(shares)?)
}

/// Returns the sum of the shares, or an error if they have no concentration.
fn check(quantity: &'static str, shares: &[f64]) -> Result<f64, MeasureError> {
    Moments::of(shares).check(quantity)?;
    for &share in shares {
        ensure(share >= 0.0, "a share", "at least 0", share)?;
    }
    let total: f64 = shares.iter().sum();
    ensure(total > 0.0, "the sum of the shares", "positive", total)?;
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_out_of_range_are_errors() {
        assert!(gini(&[]).is_err());
        assert!(gini(&[1.0, -1.0]).is_err());
        assert!(herfindahl(&[0.0, 0.0]).is_err());
        assert!(effective_number(&[f64::NAN]).is_err());
        assert_eq!(gini(&[2.0; 5]).unwrap(), 0.0);
    }
}
