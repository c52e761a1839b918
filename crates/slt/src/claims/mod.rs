//! The research claims about learning coefficients, samplers and estimators.

mod beginnings;
mod by_chains;
mod coefficients;
mod corrected;
mod estimates;
mod finite;
mod identities;
mod laplace;
mod phases;
mod polynomials;
mod responses;
mod sampler;
mod scaling;

use collimate_claims::Claims;

/// Returns the claims of singular learning theory, in reading order.
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
        .with(polynomials::sums_of_monomials())
        .with(polynomials::coordinates())
        .with(polynomials::units())
        .with(polynomials::newton_value())
        .with(finite::volume_scaling())
        .with(finite::free_energy_ratio())
        .with(finite::free_energy_differences())
        .with(finite::estimand_is_lambda())
        .with(finite::localisation_is_harmless())
        .with(phases::gaussian_tempered())
        .with(phases::temperature_slope())
        .with(phases::localisation_on_an_orbit())
        .with(phases::positive_prior())
        .with(phases::fibres())
        .with(phases::symmetries())
        .with(phases::unrealisable_law())
        .with(phases::unrealisable_everywhere())
        .with(phases::phase_crossing())
        .with(phases::crossing_without_constants())
        .with(phases::first_order())
        .with(scaling::overhang_at_fixed_data())
        .with(scaling::overhang_along_the_optimum())
        .with(scaling::compute_optimum())
        .with(scaling::intervals_cover())
        .with(sampler::euler_law())
        .with(sampler::sgld_samples_the_posterior())
        .with(sampler::intervals_cover())
        .with(sampler::chain_deviation_is_calibrated())
        .with(corrected::corrected_samplers())
        .with(corrected::clamping())
        .with(corrected::divergence_omitted())
        .with(corrected::divergence_included())
        .with(corrected::half_step())
        .with(estimates::calibration())
        .with(estimates::naive_error())
        .with(estimates::free_energy())
        .with(estimates::temperature_slope())
        .with(estimates::rescaling())
        .with(estimates::refined())
        .with(estimates::fluctuation_dissipation())
        .with(estimates::gibbs_gap())
        .with(estimates::waic())
        .with(estimates::order_of_architectures())
        .with(beginnings::whole_baseline())
        .with(beginnings::minibatch_baseline())
        .with(beginnings::after_burn_in())
        .with(beginnings::no_burn_in())
        .with(by_chains::priors())
        .with(by_chains::fibres())
        .with(by_chains::symmetries())
        .with(by_chains::unrealisable())
        .with(by_chains::no_best_point())
        .with(by_chains::first_order())
        .with(by_chains::four_errors())
        .with(identities::cross_validation_sum())
        .with(identities::gibbs_sum())
        .with(identities::waic_is_cross_validation())
        .with(identities::mirrored())
        .with(responses::influence())
        .with(responses::data_refined())
        .with(responses::point_alone())
}

#[cfg(test)]
mod tests {
    use collimate_claims::{Budget, examine};

    #[test]
    fn every_quick_claim_has_the_verdict_of_its_kind() {
        let claims = super::claims();
        claims.check().unwrap();
        let mut wrong = Vec::new();
        // Claims of higher tiers take seconds each, so they are run separately.
        for claim in claims.iter().filter(|claim| claim.meta().tier == collimate_claims::Tier::Quick) {
            let report = examine(claim, &Budget::quick());
            println!("{:>7.3} s  {}", report.seconds, report.meta.id);
            let supported = report.meta.kind != collimate_claims::Kind::Empirical || report.upheld();
            if !(report.as_expected() && supported) {
                wrong.push(report.to_string());
            }
        }
        assert!(wrong.is_empty(), "{} claims have another verdict:\n{}", wrong.len(), wrong.join("\n"));
    }
}
