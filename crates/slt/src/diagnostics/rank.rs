use super::ess::equal_lengths;
use super::{effective_sample_size, split_r_hat};
use collimate_measure::WrongLength;

/// Returns the effective sample size for the bulk of the distribution, from rank-normalised half chains.
///
/// ```text
/// z = Φ⁻¹((rank − 3/8) / (S + 1/4)),   ranks over all S draws, ties at their mean
/// ```
///
/// Unlike [`effective_sample_size`] it exists for heavy tails too, and a monotone map does not change it.
///
/// # Errors
/// [`WrongLength`] if the chains differ in length.
///
/// # References
/// Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), eq. 14 and section 4.
pub fn bulk_ess(chains: &[Vec<f64>]) -> Result<f64, WrongLength> {
    equal_lengths(chains)?;
    effective_sample_size(&halves(&normal_scores(chains)))
}

/// Returns the effective sample size for the tails, the smaller one of `x ≤ q₀.₀₅` and `x ≤ q₀.₉₅`.
///
/// # Errors
/// [`WrongLength`] if the chains differ in length.
///
/// # References
/// Vehtari et al. (2021), section 4.3.
pub fn tail_ess(chains: &[Vec<f64>]) -> Result<f64, WrongLength> {
    equal_lengths(chains)?;
    let mut sorted: Vec<f64> = chains.iter().flatten().copied().collect();
    if sorted.is_empty() {
        return Ok(f64::NAN);
    }
    sorted.sort_by(f64::total_cmp);
    let below = |share: f64| {
        let cut = sorted[((sorted.len() - 1) as f64 * share).round() as usize];
        let indicators: Vec<Vec<f64>> = chains
            .iter()
            .map(|chain| chain.iter().map(|x| f64::from(u8::from(*x <= cut))).collect())
            .collect();
        effective_sample_size(&halves(&indicators))
    };
    let (low, high) = (below(0.05)?, below(0.95)?);
    Ok(if low.is_nan() || high.is_nan() { f64::NAN } else { low.min(high) })
}

/// Returns R̂ of the rank-normalised draws or of their distances from the median, whichever is larger.
///
/// # Errors
/// [`WrongLength`] if the chains differ in length.
///
/// # References
/// Vehtari et al. (2021), section 4.2.
pub fn rank_normalised_r_hat(chains: &[Vec<f64>]) -> Result<f64, WrongLength> {
    equal_lengths(chains)?;
    let mut sorted: Vec<f64> = chains.iter().flatten().copied().collect();
    if sorted.is_empty() {
        return Ok(f64::NAN);
    }
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let folded: Vec<Vec<f64>> =
        chains.iter().map(|chain| chain.iter().map(|x| (x - median).abs()).collect()).collect();
    let (bulk, tail) = (split_r_hat(&normal_scores(chains))?, split_r_hat(&normal_scores(&folded))?);
    Ok(if bulk.is_nan() || tail.is_nan() { f64::NAN } else { bulk.max(tail) })
}

/// Cuts each chain into two halves.
fn halves(chains: &[Vec<f64>]) -> Vec<Vec<f64>> {
    chains
        .iter()
        .flat_map(|chain| {
            let half = chain.len() / 2;
            [chain[..half].to_vec(), chain[chain.len() - half..].to_vec()]
        })
        .collect()
}

/// Replaces each draw by the normal quantile of its rank.
fn normal_scores(chains: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut order: Vec<(f64, usize, usize)> = Vec::new();
    for (c, chain) in chains.iter().enumerate() {
        order.extend(chain.iter().enumerate().map(|(i, &x)| (x, c, i)));
    }
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total = order.len() as f64;
    let mut scores: Vec<Vec<f64>> = chains.iter().map(|chain| vec![0.0; chain.len()]).collect();
    let mut start = 0;
    while start < order.len() {
        let mut end = start + 1;
        while end < order.len() && order[end].0 == order[start].0 {
            end += 1;
        }
        // Ranks start + 1 ..= end, at their mean.
        let rank = 0.5 * (start + 1 + end) as f64;
        let score = normal_quantile((rank - 0.375) / (total + 0.25));
        for &(_, c, i) in &order[start..end] {
            scores[c][i] = score;
        }
        start = end;
    }
    scores
}

/// Returns Φ⁻¹(p) to about 1e-9.
///
/// # References
/// P. J. Acklam's rational approximation (2003), one part for the middle and one for each tail.
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.383_577_518_672_69e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 5] = [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 4] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    if p < 0.02425 {
        let q = (-2.0 * p.ln()).sqrt();
        horner(&C, q) / (horner(&D, q) * q + 1.0)
    } else if p > 1.0 - 0.02425 {
        -normal_quantile(1.0 - p)
    } else {
        let q = p - 0.5;
        let r = q * q;
        horner(&A, r) * q / (horner(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::normal_quantile;

    #[test]
    fn normal_quantiles_have_their_known_values() {
        for (p, z) in [(0.5, 0.0), (0.975, 1.959963984540054), (0.01, -2.326347874040841)] {
            assert!((normal_quantile(p) - z).abs() < 4e-9, "{p}");
        }
    }
}
