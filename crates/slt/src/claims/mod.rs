//! The crate's research claims.

mod coefficients;
mod finite;
mod sampler;

use collimate_claims::Claims;

/// The claims of singular learning theory, in reading order.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, examine};
/// let claims = collimate_slt::claims();
/// let report = examine(claims.get("slt/two-papers-on-reduced-rank").unwrap(), &Budget::quick());
/// assert!(report.upheld());
/// ```
pub fn claims() -> Claims {
    Claims::new()
        .with(coefficients::normal_crossing())
        .with(coefficients::vanishing_prior())
        .with(coefficients::any_prior())
        .with(coefficients::disjoint_sum())
        .with(coefficients::at_most_half_the_parameters())
        .with(coefficients::coordinates())
        .with(coefficients::two_papers())
        .with(coefficients::width_order_at_rank_zero())
        .with(coefficients::width_order_at_any_rank())
        .with(coefficients::wider_layer_does_not_raise())
        .with(coefficients::wider_layer_keeps_lambda())
        .with(finite::volume_scaling())
        .with(finite::free_energy_ratio())
        .with(finite::free_energy_differences())
        .with(finite::estimand_is_lambda())
        .with(finite::localisation_is_harmless())
        .with(sampler::euler_law())
        .with(sampler::sgld_samples_the_posterior())
        .with(sampler::intervals_cover())
        .with(sampler::chain_deviation_is_calibrated())
}

#[cfg(test)]
mod tests {
    use collimate_claims::{Budget, examine};

    #[test]
    fn every_claim_comes_out_as_its_kind_demands() {
        let claims = super::claims();
        claims.check().unwrap();
        for claim in claims.iter() {
            let report = examine(claim, &Budget::quick());
            println!("{:>7.3} s  {}", report.seconds, report.meta.id);
            assert!(report.as_expected(), "{report}");
            assert!(report.meta.kind != collimate_claims::Kind::Empirical || report.upheld(), "{report}");
        }
    }
}
