//! The finite-n oracles against tables, closed forms and direct integration.

use collimate_slt::{Beta, CrossingOracle, LocalisedCrossing, NBeta, NormalCrossing, QuadraticOracle};
use proptest::prelude::*;

fn oracle(powers: &[u32], prior: &[u32]) -> CrossingOracle {
    CrossingOracle::new(&NormalCrossing::new(powers.to_vec(), prior.to_vec()).unwrap())
}

#[test]
fn tempered_values_agree_with_a_table() {
    for (powers, prior, expected) in [
        (&[1][..], &[0][..], [0.5000, 0.5000, 0.5000, 0.5000, 0.5000]),
        (&[1, 1], &[0, 0], [0.3016, 0.3559, 0.3883, 0.4094, 0.4240]),
        (&[2, 2], &[0, 0], [0.1131, 0.1413, 0.1609, 0.1748, 0.1851]),
        (&[1, 2], &[0, 0], [0.1768, 0.2090, 0.2267, 0.2367, 0.2423]),
        (&[3, 3], &[0, 0], [0.0604, 0.0782, 0.0916, 0.1017, 0.1096]),
        (&[1, 3], &[0, 0], [0.1237, 0.1451, 0.1560, 0.1614, 0.1641]),
        (&[1, 1, 1], &[0, 0, 0], [0.1678, 0.2386, 0.2896, 0.3258, 0.3522]),
        (&[1, 1, 1, 1], &[0, 0, 0, 0], [0.0854, 0.1490, 0.2056, 0.2505, 0.2854]),
        (&[1, 1], &[0, 1], [0.4311, 0.4754, 0.4913, 0.4970, 0.4989]),
        (&[1, 1], &[1, 1], [0.7264, 0.8199, 0.8679, 0.8963, 0.9150]),
    ] {
        let oracle = oracle(powers, prior);
        for (exponent, expected) in (2..).zip(expected) {
            let found = oracle.tempered_llc_at(10usize.pow(exponent), Beta::InverseLogN).unwrap();
            assert!((found - expected).abs() < 5.1e-5, "{powers:?} {prior:?} n = 1e{exponent}: {found}");
        }
    }
}

#[test]
fn localised_values_agree_with_a_table() {
    // Columns: the powers, w*, nβ, and the tempered values at γ = 1, 10 and 100.
    for (powers, centre, n_beta, expected) in [
        (&[1][..], &[0.0][..], 145.0f64, [0.4983, 0.4833, 0.3718]),
        (&[2], &[0.0], 145.0, [0.2431, 0.1903, 0.0311]),
        (&[3], &[0.0], 145.0, [0.1569, 0.0913, 0.0020]),
        (&[1, 1], &[0.0, 0.0], 145.0, [0.3614, 0.2021, 0.0131]),
        (&[1, 1], &[1.0, 0.0], 145.0, [0.3805, 0.4609, 0.3684]),
        (&[1, 1], &[1.0, 0.0], 8686.0, [0.4197, 0.4919, 0.4970]),
    ] {
        let crossing = NormalCrossing::flat(powers).unwrap();
        for (gamma, expected) in [1.0, 10.0, 100.0].into_iter().zip(expected) {
            let found = LocalisedCrossing::new(&crossing, centre, gamma).unwrap().tempered_llc(n_beta.ln());
            assert!(
                (found - expected).abs() < 5.1e-5,
                "{powers:?} at {centre:?}, nβ = {n_beta}, γ = {gamma}: {found}"
            );
        }
    }
}

#[test]
fn one_variable_agrees_with_closed_forms() {
    // For K = w², Z(t) = √π erf(√t)/(2√t), and V(ε) = √ε.
    let one = oracle(&[1], &[0]);
    for t in [10.0f64, 100.0, 1e6] {
        // The only visible correction is erfc(√10) = 7.7e-6.
        let erf = if t == 10.0 { 1.0 - 7.744_216_431e-6 } else { 1.0 };
        let exact = (std::f64::consts::PI.sqrt() * erf / (2.0 * t.sqrt())).ln();
        assert!((one.log_partition(t.ln()) - exact).abs() < 1e-12, "{t}");
    }
    assert!((one.log_volume(-7.0) + 3.5).abs() < 1e-12);
    // For K = (w₁w₂)², V(ε) = √ε (1 − ½ log ε).
    let two = oracle(&[1, 1], &[0, 0]);
    for log_epsilon in [-1.0, -10.0, -2000.0f64] {
        let exact = 0.5 * log_epsilon + (1.0 - 0.5 * log_epsilon).ln();
        assert!((two.log_volume(log_epsilon) - exact).abs() < 1e-10 * exact.abs().max(1.0), "{log_epsilon}");
    }
}

/// Returns Z(t) by a midpoint rule over the unit square.
fn brute_force(powers: [u32; 2], prior: [u32; 2], t: f64) -> f64 {
    let n = 1500;
    let h = 1.0 / n as f64;
    let (mut z, mut mass) = (0.0, 0.0);
    for i in 0..n {
        for j in 0..n {
            let (x, y) = ((i as f64 + 0.5) * h, (j as f64 + 0.5) * h);
            let phi = x.powi(prior[0] as i32) * y.powi(prior[1] as i32);
            let k = x.powi(2 * powers[0] as i32) * y.powi(2 * powers[1] as i32);
            z += phi * (-t * k).exp();
            mass += phi;
        }
    }
    (z / mass).ln()
}

#[test]
fn two_variables_agree_with_direct_integration() {
    for (powers, prior) in [([1, 2], [0, 0]), ([2, 3], [1, 0]), ([1, 1], [2, 1])] {
        let oracle = oracle(&powers, &prior);
        for t in [0.5f64, 5.0, 200.0] {
            let expected = brute_force(powers, prior, t);
            let found = oracle.log_partition(t.ln());
            assert!((found - expected).abs() < 2e-5, "{powers:?} {prior:?} t = {t}: {found} {expected}");
        }
    }
}

#[test]
fn the_quadratic_chain_agrees_with_closed_forms() {
    let oracle = |step| QuadraticOracle::new(vec![1.0], NBeta::new(145.0).unwrap(), 1.0, step).unwrap();
    assert!((oracle(1e-3).posterior_llc() - 0.49658).abs() < 5e-6);
    assert!((oracle(1e-3).stationary_llc() - 0.51539).abs() < 5e-6);
    assert!((oracle(1e-2).stationary_llc() - 0.78201).abs() < 5e-6);
    assert!((oracle(1e-3).autocorrelation_time(0) - 13.2).abs() < 0.05);
    assert!(QuadraticOracle::new(vec![1.0], NBeta::new(145.0).unwrap(), 1.0, 0.03).is_err());
    assert!(QuadraticOracle::new(vec![0.0], NBeta::new(1.0).unwrap(), 0.0, 0.1).is_err());
}

#[test]
fn temperatures_outside_their_range_are_errors() {
    assert!(Beta::InverseLogN.n_beta(1).is_err());
    assert!(Beta::Value(-1.0).n_beta(10).is_err());
    assert!(Beta::Value(f64::NAN).n_beta(10).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn the_tempered_value_is_the_slope_of_the_free_energy(
        k in prop::collection::vec((1u32..5, 0u32..3), 1..5),
        log_t in 0.5f64..40.0,
    ) {
        let oracle = oracle(&k.iter().map(|t| t.0).collect::<Vec<_>>(), &k.iter().map(|t| t.1).collect::<Vec<_>>());
        let h = 1e-4;
        let slope = (oracle.log_partition(log_t - h) - oracle.log_partition(log_t + h)) / (2.0 * h);
        prop_assert!((slope - oracle.tempered_llc(log_t)).abs() < 1e-7, "{} {}", slope, oracle.tempered_llc(log_t));
    }

    #[test]
    fn coordinates_do_not_matter_at_finite_n_either(
        k in prop::collection::vec((1u32..4, 0u32..3, 0u32..2), 1..4),
        log_t in 0.5f64..20.0,
    ) {
        let crossing = NormalCrossing::new(k.iter().map(|t| t.0).collect(), k.iter().map(|t| t.1).collect()).unwrap();
        let p: Vec<u32> = k.iter().map(|t| 2 * t.2 + 1).collect();
        let moved = CrossingOracle::new(&crossing.in_powers(&p).unwrap());
        let here = CrossingOracle::new(&crossing);
        prop_assert!((here.log_partition(log_t) - moved.log_partition(log_t)).abs() < 1e-10);
    }
}
