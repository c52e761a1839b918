//! Known values without a training, against values that were computed elsewhere and recorded.

use approx::{assert_abs_diff_eq, assert_relative_eq};
use collimate_studies::development::{
    LinearAttention, PhaseGrid, TrigonometricAddition, UnitFunction, conditional_entropy,
    quadratic_network_rank,
};
use collimate_studies::text::jargon_file;

#[test]
fn the_plateaus_of_linear_attention_are_the_recorded_ones() {
    let close = |eigenvalues: &[f64], examples: usize, noise: f64, expected: &[f64]| {
        let plateaus = LinearAttention::new(eigenvalues, examples, noise).unwrap().plateaus();
        assert_eq!(plateaus.len(), eigenvalues.len() + 1);
        for (found, expected) in plateaus.iter().zip(expected) {
            assert_relative_eq!(*found, *expected, max_relative = 1e-13);
        }
    };
    close(
        &[1.0, 0.5, 0.25, 0.1],
        16,
        0.0,
        &[1.85, 1.001193633952255, 0.6147202040005639, 0.4507857777710558],
    );
    close(&[2.0, 1.0, 0.3], 8, 0.0, &[3.3, 1.7976525821596243, 1.1472460780945837, 1.0272460780945836]);
    close(&[1.0; 4], 32, 0.0, &[4.0, 3.135135135135135, 2.27027027027027, 1.4054054054054053]);
    close(&[2.0, 1.0, 0.3], 4, 1.0, &[4.3, 3.181118881118881, 2.7510113542371606, 2.6889423887199193]);
    assert!(LinearAttention::new(&[0.0], 4, 0.0).is_err() && LinearAttention::new(&[1.0], 0, 0.0).is_err());
    assert!(LinearAttention::new(&[1.0], 4, f64::NAN).is_err());
}

#[test]
fn trigonometric_units_add_with_the_recorded_margins() {
    let margins = |p: usize, frequencies: &[usize], k: usize, grid: PhaseGrid, function: UnitFunction| {
        TrigonometricAddition::new(p, frequencies, k, grid, function).unwrap().margins()
    };
    let all: Vec<usize> = (1..=11).collect();
    let (pairs, sweep) = (PhaseGrid::Pairs, PhaseGrid::Sweep);
    let (square, relu) = (UnitFunction::Square, UnitFunction::Relu);
    // In pairs with squares: K² p/4 from K = 3 on; with one frequency K²/2 (1 − cos 2π/p).
    for k in [3, 4, 6] {
        let found = margins(23, &all, k, pairs, square);
        assert_relative_eq!(found.smallest, (k * k) as f64 * 23.0 / 4.0, max_relative = 1e-12);
        assert_eq!((found.right, found.ties), (1.0, 0.0));
        let one = margins(23, &[5], k, pairs, square);
        let expected = 0.5 * (k * k) as f64 * (1.0 - (std::f64::consts::TAU / 23.0).cos());
        assert_relative_eq!(one.smallest, expected, max_relative = 1e-11);
    }
    // The failing cases, of which K = 2 mostly ties.
    let two = margins(23, &all, 2, pairs, square);
    assert_abs_diff_eq!(two.smallest, -23.0, epsilon = 1e-10);
    assert_abs_diff_eq!(two.right, 1.0 / 23.0, epsilon = 1e-12);
    assert_abs_diff_eq!(two.ties, 0.914934, epsilon = 1e-6);
    // The recorded numbers have six digits.
    for (grid, function, k, smallest, right, ties) in [
        (pairs, relu, 2, -9.784355, 0.043478, 0.499055),
        (pairs, relu, 3, 10.669832, 1.0, 0.0),
        (sweep, square, 2, -23.0, 0.043478, 0.0),
        (sweep, square, 3, 8.625, 1.0, 0.0),
        (sweep, square, 4, 0.0, 0.043478, 0.956522),
        (sweep, square, 5, 14.375, 1.0, 0.0),
        (sweep, relu, 3, -9.930512, 0.085066, 0.0),
        (sweep, relu, 4, 0.0, 0.043478, 0.956522),
        (sweep, relu, 5, 4.892178, 1.0, 0.0),
        (sweep, relu, 7, 7.069402, 1.0, 0.0),
    ] {
        let found = margins(23, &all, k, grid, function);
        assert_abs_diff_eq!(found.smallest, smallest, epsilon = 1e-6);
        assert_abs_diff_eq!(found.right, right, epsilon = 1e-6);
        assert_abs_diff_eq!(found.ties, ties, epsilon = 1e-6);
    }
    let found = margins(23, &[1], 6, sweep, relu);
    assert_abs_diff_eq!(found.smallest, -0.005492, epsilon = 1e-6);
    assert_abs_diff_eq!(found.right, 0.652174, epsilon = 1e-6);
    assert!(TrigonometricAddition::new(23, &[12], 3, pairs, square).is_err());
    assert!(TrigonometricAddition::new(usize::MAX, &[1], 3, pairs, square).is_err());
}

#[test]
fn ranks_of_networks_of_squares_are_the_known_ones_and_the_defective_cases_are_seen() {
    for d in 2..=7 {
        for h in 1..=d + 2 {
            let expected = if h < d { h * d - h * (h - 1) / 2 } else { d * (d + 1) / 2 };
            assert_eq!(quadratic_network_rank(d, h, 1).unwrap(), expected, "d = {d}, H = {h}");
        }
    }
    for c in [2, 3] {
        for d in 3..=6 {
            for h in 1..=8 {
                let counted = (h * (d + c - 1)).min(c * d * (d + 1) / 2);
                let defect = usize::from(c == 3 && [(4, 5), (6, 8)].contains(&(d, h)));
                let found = quadratic_network_rank(d, h, c).unwrap();
                assert_eq!(found, counted - defect, "c = {c}, d = {d}, H = {h}");
            }
        }
    }
    assert!(quadratic_network_rank(0, 1, 1).is_err() && quadratic_network_rank(3, 33, 1).is_err());
}

#[test]
fn the_entropies_of_the_jargon_file_are_the_recorded_ones() {
    let text = jargon_file();
    let train = &text.as_bytes()[..(0.9 * text.len() as f64) as usize];
    for (order, whole, part) in [
        (1, 3.3296196654357573, 3.3285011848726214),
        (2, 2.496525458103789, 2.484321574149026),
        (3, 1.9437828315801342, 1.9303956230003552),
    ] {
        // Sums of up to 32,000 terms, each rounded by 1e-16 of the sum.
        assert_relative_eq!(
            conditional_entropy(text.as_bytes(), order).unwrap(),
            whole,
            max_relative = 1e-12
        );
        assert_relative_eq!(conditional_entropy(train, order).unwrap(), part, max_relative = 1e-12);
    }
    assert!(conditional_entropy(b"ab", 3).is_err() && conditional_entropy(b"ab", 0).is_err());
}
