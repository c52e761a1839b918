use crate::error::PolynomialError;
use crate::learning_coefficient::LearningCoefficient;
use crate::rational::Rational;
use collimate_measure::ensure;

/// Returns λ and m of a deep linear network with the given widths at a true map of rank `r`.
///
/// ```text
/// W_L ⋯ W_1 x,  widths H_0 … H_L,  M_s = H_s − r
/// Σ ⊆ {0…L}, l = |Σ| − 1 ≥ 1:   max_Σ M < min_{¬Σ} M,   Σ_Σ M ≥ l·max_Σ M,   Σ_Σ M < l·min_{¬Σ} M
/// S = Σ_Σ M,  c = ⌈S/l⌉,  a = S − (c − 1) l
/// λ = [r(H_0 + H_L) − r²]/2 + a(l − a)/4l − (l − 1)/(4l) S² + ½ Σ_{i<j∈Σ} M_i M_j,   m = a(l − a) + 1
/// ```
///
/// Σ holds the narrowest layers. Sorting the widths finds it in O(L log L).
///
/// # Errors
/// [`PolynomialError::OutOfRange`] for fewer than two widths, a width of 0 or above 2³¹, or a rank above the smallest
/// width.
///
/// # Examples
/// ```
/// use collimate_polynomial::deep_linear;
/// assert_eq!(deep_linear(&[10, 8, 6, 4, 5], 2)?.to_string(), "λ = 16, multiplicity 2"); // of 172 parameters
/// # Ok::<(), collimate_polynomial::PolynomialError>(())
/// ```
///
/// # References
/// Aoyagi (2024), theorem 1.
pub fn deep_linear(widths: &[usize], rank: usize) -> Result<LearningCoefficient, PolynomialError> {
    check(widths, rank)?;
    let r = rank as i128;
    let mut slack: Vec<i128> = widths.iter().map(|&h| h as i128 - r).collect();
    slack.sort_unstable();
    // Σ is a prefix of the sorted widths. It ends between two different values, or at the end.
    let (l, chosen) = (2..=slack.len())
        .filter(|&size| size == slack.len() || slack[size - 1] < slack[size])
        .map(|size| (size as i128 - 1, &slack[..size]))
        .find(|(l, chosen)| {
            let total: i128 = chosen.iter().sum();
            let fits_inside = total >= l * chosen[chosen.len() - 1];
            let fits_outside = slack.get(chosen.len()).is_none_or(|next| total < l * next);
            fits_inside && fits_outside
        })
        .expect("exactly one such set exists (Aoyagi 2024)");
    let total: i128 = chosen.iter().sum();
    let squares: i128 = chosen.iter().map(|m| m * m).sum();
    let pairs = (total * total - squares) / 2;
    let ceiling = (total + l - 1) / l;
    let a = total - (ceiling - 1) * l;
    let outer = (widths[0] + widths[widths.len() - 1]) as i128;
    let lambda = Rational::new(r * outer - r * r, 2)
        + Rational::new(a * (l - a) - (l - 1) * total * total, 4 * l)
        + Rational::new(pairs, 2);
    Ok(LearningCoefficient::new(lambda, (a * (l - a) + 1) as u32))
}

/// Returns an error unless a network has at least two widths, all positive, and none below the rank.
pub(super) fn check(widths: &[usize], rank: usize) -> Result<(), PolynomialError> {
    ensure(widths.len() >= 2, "the number of widths", "at least 2", widths.len() as f64)?;
    for &width in widths {
        ensure((1..=1 << 31).contains(&width), "a width", "in 1..=2³¹", width as f64)?;
    }
    let smallest = widths.iter().all(|&h| h >= rank);
    ensure(smallest, "the rank", "at most the smallest width", rank as f64)?;
    Ok(())
}
