use crate::diagnostics::mean;

/// Returns the integrated autocorrelation time inside the chains, in draws.
///
/// ```text
/// τ = −1 + 2 Σ_k min-so-far(ρ_2k + ρ_2k+1) while positive
/// ρ_t = Σ_c Σ_i (x_ci − x̄_c)(x_c,i+t − x̄_c) / Σ_c Σ_i (x_ci − x̄_c)²
/// ```
///
/// Each chain is centred at its own mean. So chains that disagree do not make it longer, in contrast to
/// [`crate::autocorrelation_time`], and the spread between chains must be counted beside it. The result is NaN if no chain varies.
///
/// # References
/// Geyer (1992), section 3.3.
pub(super) fn within_chain_time(chains: &[Vec<f64>]) -> f64 {
    let centred: Vec<Vec<f64>> = chains
        .iter()
        .map(|chain| {
            let centre = mean(chain);
            chain.iter().map(|x| x - centre).collect()
        })
        .collect();
    let n = centred.first().map_or(0, Vec::len);
    let covariance = |lag: usize| -> f64 {
        centred.iter().map(|x| x.iter().zip(&x[lag..]).map(|(a, b)| a * b).sum::<f64>()).sum()
    };
    let variance = covariance(0);
    if variance.is_nan() || variance <= 0.0 {
        return f64::NAN;
    }
    let (mut time, mut smallest) = (-1.0, f64::INFINITY);
    for lag in (0..n.saturating_sub(1)).step_by(2) {
        let pair = (covariance(lag) + covariance(lag + 1)) / variance;
        if pair <= 0.0 {
            break;
        }
        smallest = pair.min(smallest);
        time += 2.0 * smallest;
    }
    time
}

#[cfg(test)]
mod tests {
    use super::*;
    use collimate_stream::RngStream;

    #[test]
    fn an_autoregression_has_its_known_time_whatever_the_means_of_the_chains() {
        // x ← ρx + √(1 − ρ²) z has τ = (1 + ρ)/(1 − ρ).
        let mut stream = RngStream::new(5, 0);
        for rho in [0.0, 0.5, 0.8_f64] {
            let chains: Vec<Vec<f64>> = (0..4)
                .map(|chain| {
                    let mut x = stream.normal();
                    let mut next = || {
                        x = rho * x + (1.0 - rho * rho).sqrt() * stream.normal();
                        x + 100.0 * f64::from(chain)
                    };
                    (0..20_000).map(|_| next()).collect()
                })
                .collect();
            let (found, exact) = (within_chain_time(&chains), (1.0 + rho) / (1.0 - rho));
            // The relative error of the windowed estimate is near √(2 (2 w + 1)/80000) with w some 5 τ: below 5 % here.
            assert!((found / exact - 1.0).abs() < 0.15, "ρ = {rho}: {found}, exact {exact}");
        }
    }

    #[test]
    fn draws_that_do_not_vary_have_no_time() {
        assert!(within_chain_time(&[vec![1.0; 5], vec![2.0; 5]]).is_nan());
    }
}
