//! How unevenly something is shared out: over latents, heads, or machines.

use crate::{MeasureError, OutOfRange};

/// The Gini coefficient of non-negative shares.
///
/// ```text
/// G = Σᵢ (2i − n − 1) x₍ᵢ₎ / (n Σ x),   x₍₁₎ ≤ … ≤ x₍ₙ₎
/// ```
/// 0 when all are equal, (n − 1)/n when one has everything.
///
/// # Errors
/// [`MeasureError`] when there are no shares, one is negative or not finite, or all are zero.
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

/// The Herfindahl index Σ (xᵢ/Σx)²: 1/n when all are equal, 1 when one has everything.
///
/// # Errors
/// As [`gini`].
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

/// The effective number 1/Σ (xᵢ/Σx)²: how many equal shares are as concentrated as these.
///
/// # Errors
/// As [`gini`].
///
/// # Examples
/// ```
/// assert_eq!(collimate_measure::effective_number(&[3.0, 3.0, 3.0]).unwrap(), 3.0);
/// ```
pub fn effective_number(shares: &[f64]) -> Result<f64, MeasureError> {
    Ok(1.0 / herfindahl(shares)?)
}

fn check(quantity: &'static str, shares: &[f64]) -> Result<f64, MeasureError> {
    crate::Moments::of(shares).check(quantity)?;
    if let Some(&given) = shares.iter().find(|x| **x < 0.0) {
        return Err(OutOfRange { argument: "a share", allowed: "not negative", given }.into());
    }
    let total: f64 = shares.iter().sum();
    if total > 0.0 {
        Ok(total)
    } else {
        Err(OutOfRange { argument: "the sum of the shares", allowed: "positive", given: total }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_shares_are_errors() {
        assert!(gini(&[]).is_err());
        assert!(gini(&[1.0, -1.0]).is_err());
        assert!(herfindahl(&[0.0, 0.0]).is_err());
        assert!(effective_number(&[f64::NAN]).is_err());
        assert_eq!(gini(&[2.0; 5]).unwrap(), 0.0);
    }
}
