//! Competing regions, models with known λ, and scaling laws.

use collimate_slt::{
    LearningCoefficient, Observation, Phase, Polynomial, Rational, ScalingLaw, SltError, fit_scaling_law,
    gaussian_mixture, learning_coefficient, levels_along, tanh_network, toy_model_polygon,
};

fn polygon(loss: f64, corners: usize, dead: usize, constant: f64) -> Phase {
    Phase { loss, coefficient: toy_model_polygon(corners, 6, dead).unwrap(), constant }
}

#[test]
fn the_pentagon_gives_way_to_the_hexagon_at_601() {
    let (pentagon, hexagon) = (polygon(0.06874, 5, 1, 0.0), polygon(0.04819, 6, 0, 2.7535));
    let n = pentagon.crossing(&hexagon).unwrap();
    assert!((n - 601.0).abs() < 1.0, "{n}");
    assert_eq!(hexagon.crossing(&pentagon), Some(n));
    assert_eq!(Phase::preferred(&[pentagon, hexagon], 0.9 * n).unwrap(), 0);
    assert_eq!(Phase::preferred(&[pentagon, hexagon], 1.1 * n).unwrap(), 1);
    // Phases with equal losses have no crossing, and log log 1 does not exist.
    assert_eq!(pentagon.crossing(&pentagon), None);
    assert!(pentagon.free_energy(1.0).is_nan() && Phase::preferred(&[], 10.0).is_err());
    // The pentagon with a positive sixth bias has a lower loss and a higher λ.
    let on = polygon(0.06180, 5, 0, 0.0);
    assert_eq!(on.coefficient.lambda - pentagon.coefficient.lambda, Rational::new(3, 2));
    assert_eq!(levels_along(&[0.0619, f64::NAN], &[pentagon, on], 1e-3), [Some(1), None]);
}

#[test]
fn models_have_their_known_coefficients() {
    for (hidden, numerator, denominator) in
        [(1, 1, 2), (2, 2, 3), (3, 5, 6), (4, 1, 1), (9, 3, 2), (10, 11, 7)]
    {
        assert_eq!(tanh_network(hidden).unwrap(), Rational::new(numerator, denominator), "{hidden}");
    }
    let square: Polynomial = "(a*b)^2".parse().unwrap();
    assert_eq!(learning_coefficient(&square).unwrap().coefficient, gaussian_mixture());
    assert_eq!(toy_model_polygon(8, 8, 0).unwrap(), LearningCoefficient::regular(23));
    assert!(
        tanh_network(0).is_err()
            && toy_model_polygon(4, 6, 2).is_err()
            && toy_model_polygon(5, 4, 0).is_err()
    );
    assert!(toy_model_polygon(5, 8, 1).is_err());
}

#[test]
fn a_scaling_law_needs_data_that_determine_it() {
    let law = ScalingLaw {
        irreducible: 1.7,
        parameter_scale: 400.0,
        parameter_exponent: 0.34,
        data_scale: 400.0,
        data_exponent: 0.28,
    };
    let grid = |sizes: &[f64]| -> Vec<Observation> {
        let tokens = [1e8, 1e9, 1e10, 1e11, 1e12];
        let pairs = sizes.iter().flat_map(|&n| tokens.map(|d| (n, d)));
        pairs
            .map(|(parameters, tokens)| Observation {
                parameters,
                tokens,
                loss: law.loss(parameters, tokens),
            })
            .collect()
    };
    let fit = fit_scaling_law(&grid(&[1e7, 1e8, 1e9, 1e10]), 0.95).unwrap();
    assert!((fit.law.parameter_exponent - 0.34).abs() < 1e-6 && (fit.law.irreducible - 1.7).abs() < 1e-5);
    assert!(matches!(fit_scaling_law(&grid(&[1e8, 1e8]), 0.95), Err(SltError::Undetermined { .. })));
    let mut bad = grid(&[1e7, 1e8]);
    bad[3].loss = f64::NAN;
    assert!(matches!(
        fit_scaling_law(&bad, 0.95),
        Err(SltError::NonFinite { argument: "loss", index: 3, .. })
    ));
    assert!(fit_scaling_law(&bad[..3], 0.95).is_err() && fit_scaling_law(&grid(&[1e7, 1e8]), 1.0).is_err());
}
