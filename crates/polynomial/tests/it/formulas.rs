//! Closed formulas against published values, against each other, and under symmetries.

use crate::coefficients::{certified, coefficient, parse};
use collimate_polynomial::{
    LearningCoefficient, NormalCrossing, Product, Rational, deep_linear, free_gaussian_mixture,
    learning_coefficient, reduced_rank, tanh_network, vandermonde,
};
use proptest::prelude::*;

#[test]
fn normal_crossings_have_their_published_values() {
    for (powers, numerator, denominator, m) in [
        (&[1][..], 1, 2, 1),
        (&[0, 1], 1, 2, 1),
        (&[1, 1], 1, 2, 2),
        (&[0, 2], 1, 4, 1),
        (&[1, 2], 1, 4, 1),
        (&[2, 2], 1, 4, 2),
        (&[1, 3], 1, 6, 1),
        (&[3, 3], 1, 6, 2),
        (&[1, 1, 1], 1, 2, 3),
        (&[1, 1, 1, 1], 1, 2, 4),
    ] {
        let found = NormalCrossing::flat(powers).unwrap().learning_coefficient();
        assert_eq!(found, coefficient(numerator, denominator, m), "{powers:?}");
    }
    let with_prior = |h: &[u32]| NormalCrossing::new(vec![1, 1], h.to_vec()).unwrap().learning_coefficient();
    assert_eq!(with_prior(&[0, 1]), coefficient(1, 2, 1));
    assert_eq!(with_prior(&[1, 1]), coefficient(1, 1, 2));
    assert!(NormalCrossing::flat(&[0, 0]).is_err());
    assert!(NormalCrossing::new(vec![1], vec![]).is_err());
}

#[test]
fn sums_and_products_over_disjoint_variables_follow_their_rules() {
    let cusp = NormalCrossing::flat(&[2]).unwrap().learning_coefficient(); // w⁴
    let crossing = NormalCrossing::flat(&[1, 1]).unwrap().learning_coefficient(); // (xy)²
    assert_eq!(LearningCoefficient::regular(1).sum(&cusp), coefficient(3, 4, 1)); // w₁² + w₂⁴
    assert_eq!(crossing.sum(&crossing), coefficient(1, 1, 3)); // (xy)² + (zw)²
    assert_eq!(crossing.product(&cusp), coefficient(1, 4, 1));
}

#[test]
fn reduced_rank_regression_has_its_published_values() {
    for ((m, h, n, r), numerator, denominator, multiplicity) in [
        ((5, 3, 5, 0), 13, 2, 2),
        ((5, 4, 5, 0), 8, 1, 1),
        ((4, 3, 8, 0), 6, 1, 1),
        ((8, 3, 4, 0), 6, 1, 1),
        ((3, 8, 4, 0), 6, 1, 1),
        ((2, 2, 2, 0), 3, 2, 1),
        ((2, 2, 2, 1), 2, 1, 2),
        ((3, 3, 3, 0), 7, 2, 2),
        ((3, 3, 3, 1), 4, 1, 1),
        ((3, 3, 3, 2), 9, 2, 2),
        ((3, 2, 3, 1), 7, 2, 2),
        ((6, 2, 6, 0), 11, 2, 1),
        ((6, 2, 6, 1), 8, 1, 2),
        ((6, 2, 6, 2), 10, 1, 1),
        ((4, 2, 4, 0), 7, 2, 1),
        ((4, 2, 4, 1), 5, 1, 2),
        ((2, 1, 2, 0), 1, 1, 2),
        ((2, 1, 2, 1), 3, 2, 1),
        ((10, 4, 10, 2), 51, 2, 1),
    ] {
        let found = reduced_rank(m, h, n, r).unwrap();
        assert_eq!(found, coefficient(numerator, denominator, multiplicity), "{m} {h} {n} rank {r}");
    }
}

#[test]
fn deep_linear_networks_have_their_published_values() {
    for (widths, r, numerator, denominator, multiplicity) in [
        (&[1, 1, 1, 1][..], 0, 1, 2, 3),
        (&[2, 2, 2, 2], 0, 3, 2, 3),
        (&[2, 2, 2, 2], 1, 2, 1, 3),
        (&[3, 3, 3, 3], 0, 3, 1, 1),
        (&[3, 3, 3, 3], 1, 4, 1, 3),
        (&[3, 3, 3, 3], 2, 9, 2, 3),
        (&[4, 2, 2, 4], 1, 4, 1, 1),
        (&[2, 4, 4, 2], 1, 2, 1, 1),
        (&[5, 5, 5, 5], 2, 11, 1, 1),
        (&[5, 5, 5, 5, 5], 2, 11, 1, 4),
        (&[10, 8, 6, 4, 5], 2, 16, 1, 2),
        (&[10, 10, 10, 10], 5, 46, 1, 3),
        (&[100, 100, 100], 50, 9375, 2, 1),
    ] {
        let found = deep_linear(widths, r).unwrap();
        assert_eq!(found, coefficient(numerator, denominator, multiplicity), "{widths:?} rank {r}");
    }
    // A single layer is a regular model.
    assert_eq!(deep_linear(&[3, 4], 2).unwrap(), LearningCoefficient::regular(12));
}

#[test]
fn two_papers_agree_on_two_layers() {
    let mut compared = 0;
    for m in 1..=8 {
        for h in 1..=8 {
            for n in 1..=8 {
                for r in 0..=m.min(h).min(n) {
                    assert_eq!(reduced_rank(m, h, n, r), deep_linear(&[m, h, n], r), "{m} {h} {n} rank {r}");
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 1808);
}

/// Returns the codimension of `{W_L ⋯ W_1 = 0}`, the smallest over all rank patterns of a chain of maps.
///
/// A chain of maps between spaces of dimensions `H_0 … H_L` splits into intervals `[i, j]` with multiplicities `n_ij`. If
/// the product is zero, no interval spans all spaces. The codimension of an orbit is `dim Ext(V, V)`. For a chain it is the
/// number of ordered pairs of intervals in which one extends the other.
fn codimension_of_zero_product(widths: &[usize]) -> usize {
    fn extends(a: (usize, usize), b: (usize, usize)) -> bool {
        // Ext¹ of two intervals is one-dimensional if they overlap or touch and neither contains the other.
        b.0 < a.0 && a.0 <= b.1 + 1 && b.1 < a.1
    }
    let last = widths.len() - 1;
    let intervals: Vec<(usize, usize)> = (0..=last)
        .flat_map(|i| (i..=last).map(move |j| (i, j)))
        .filter(|&(i, j)| (i, j) != (0, last))
        .collect();
    fn search(
        at: usize,
        intervals: &[(usize, usize)],
        left: &mut Vec<usize>,
        chosen: &mut Vec<usize>,
        best: &mut usize,
    ) {
        if at == intervals.len() {
            if left.iter().all(|&x| x == 0) {
                let mut total = 0;
                for (a, &x) in intervals.iter().zip(&*chosen) {
                    for (b, &y) in intervals.iter().zip(&*chosen) {
                        total += if extends(*a, *b) { x * y } else { 0 };
                    }
                }
                *best = (*best).min(total);
            }
            return;
        }
        let (i, j) = intervals[at];
        let most = *left[i..=j].iter().min().unwrap();
        for x in 0..=most {
            left[i..=j].iter_mut().for_each(|l| *l -= x);
            chosen.push(x);
            search(at + 1, intervals, left, chosen, best);
            chosen.pop();
            left[i..=j].iter_mut().for_each(|l| *l += x);
        }
    }
    let mut best = usize::MAX;
    search(0, &intervals, &mut widths.to_vec(), &mut Vec::new(), &mut best);
    best
}

#[test]
fn at_rank_zero_lambda_is_half_the_codimension_of_the_zero_product() {
    let mut compared = 0;
    for a in 1..=3 {
        for b in 1..=3 {
            for c in 1..=3 {
                let found = deep_linear(&[a, b, c], 0).unwrap();
                let expected = Rational::new(codimension_of_zero_product(&[a, b, c]) as i128, 2);
                assert_eq!(found.lambda, expected, "{a} {b} {c}");
                for d in 1..=3 {
                    let found = deep_linear(&[a, b, c, d], 0).unwrap();
                    let expected = Rational::new(codimension_of_zero_product(&[a, b, c, d]) as i128, 2);
                    assert_eq!(found.lambda, expected, "{a} {b} {c} {d}");
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 81);
    // A wider layer in between can lower the codimension and λ.
    assert_eq!((codimension_of_zero_product(&[3, 3]), codimension_of_zero_product(&[3, 4, 3])), (9, 8));
    assert_eq!(deep_linear(&[3, 4, 3], 0).unwrap(), coefficient(4, 1, 1));
}

proptest! {
    #[test]
    fn the_defining_set_always_exists_and_lambda_is_at_most_half_the_parameters(
        widths in prop::collection::vec(1usize..30, 2..7),
        rank in 0usize..30,
    ) {
        let rank = rank.min(*widths.iter().min().unwrap());
        let found = deep_linear(&widths, rank).unwrap();
        let parameters: usize = widths.windows(2).map(|w| w[0] * w[1]).sum();
        prop_assert!(found.lambda <= Rational::new(parameters as i128, 2));
        prop_assert!(found.lambda > Rational::new(0, 1) || widths.is_empty());
        prop_assert!(found.multiplicity as usize <= parameters);
    }

    #[test]
    fn reversing_the_network_keeps_the_result(widths in prop::collection::vec(1usize..12, 2..6), rank in 0usize..6) {
        let rank = rank.min(*widths.iter().min().unwrap());
        let mut reversed = widths.clone();
        reversed.reverse();
        prop_assert_eq!(deep_linear(&widths, rank), deep_linear(&reversed, rank));
    }

    #[test]
    fn powers_of_the_coordinates_keep_the_result(
        k in prop::collection::vec((1u32..5, 0u32..4, 0u32..3), 1..5),
    ) {
        let crossing = NormalCrossing::new(k.iter().map(|t| t.0).collect(), k.iter().map(|t| t.1).collect()).unwrap();
        let p: Vec<u32> = k.iter().map(|t| 2 * t.2 + 1).collect();
        let moved = crossing.in_powers(&p).unwrap();
        prop_assert_eq!(crossing.learning_coefficient(), moved.learning_coefficient());
    }
}

#[test]
fn vandermonde_types_have_their_published_values() {
    // tanh units: λ = (H + i² + i)/(4i + 2) with i = ⌊√H⌋, and m = 2 if H is a square.
    for h in 1..200 {
        let found = vandermonde(h, 2, 1).unwrap();
        assert_eq!(found.lambda, tanh_network(h).unwrap(), "{h}");
        assert_eq!(found.multiplicity, 1 + u32::from(h.isqrt().pow(2) == h), "{h}");
    }
    // The rule of Aoyagi for any step: k is the largest i with 2H ≥ i(i − 1)Q + 2i, and m = 2 if both sides are equal.
    for (h, q) in (1..30i128).flat_map(|h| (1..9).map(move |q| (h, q))) {
        let fits = |i: &i128| 2 * h >= i * (i - 1) * q + 2 * i;
        let k = (0..=h).rev().find(fits).unwrap();
        let lambda = Rational::new(q * k * (k + 1) + 2 * h, 4 * (1 + k * q));
        let m = 1 + u32::from(k > 0 && 2 * h == k * (k - 1) * q + 2 * k);
        assert_eq!(
            vandermonde(h as usize, q as usize, 1).unwrap(),
            LearningCoefficient::new(lambda, m),
            "{h} {q}"
        );
    }
    // One unit with M outputs: Σ a_j² b², regular in a or in b.
    for (outputs, text) in [(1, "a^2*b^2"), (2, "a^2*b^2 + c^2*b^2"), (3, "(a^2 + c^2 + d^2)*b^2")] {
        let exact = learning_coefficient(text.parse::<Product>().unwrap()).unwrap();
        assert!(exact.certified());
        assert_eq!(vandermonde(1, 2, outputs).unwrap(), exact.coefficient, "{text}");
    }
    assert!(
        vandermonde(0, 2, 1).is_err() && vandermonde(2, 0, 1).is_err() && vandermonde(2, 2, 1001).is_err()
    );
}

#[test]
fn a_vandermonde_type_is_at_most_what_its_polynomial_allows() {
    for (h, q, text) in [
        (2, 2, "(a*b+c*d)^2 + (a*b^3+c*d^3)^2"),
        (2, 1, "(a*b+c*d)^2 + (a*b^2+c*d^2)^2"),
        (2, 3, "(a*b+c*d)^2 + (a*b^4+c*d^4)^2"),
    ] {
        let found = learning_coefficient(text.parse::<Product>().unwrap()).unwrap();
        let exact = vandermonde(h, q, 1).unwrap();
        assert!(exact.lambda <= found.coefficient.lambda, "{text}: {found}");
    }
}

#[test]
fn a_free_mixture_has_the_least_coefficient_of_its_moments() {
    // With u for the first moment, (1 − a) times the second is u² − 2uac + ac², so both moments generate (u, ac²).
    let second = parse("(1 - a)*((1 - a)*b^2 + a*c^2)");
    assert_eq!(second, parse("((1 - a)*b + a*c)^2 - 2*((1 - a)*b + a*c)*a*c + a*c^2"));
    // The third moment is (b + c) times the second one minus b c times the first one.
    let third = parse("(1 - a)*b^3 + a*c^3");
    assert_eq!(third, parse("(b + c)*((1 - a)*b^2 + a*c^2) - b*c*((1 - a)*b + a*c)"));
    // Near a = 0, near a = 1/2, and where the second component is away from the true mean.
    for (text, numerator, denominator, m) in [
        ("u^2 + (a*c^2)^2", 3, 4, 1),
        ("u^2 + ((1/2 + a)*c^2)^2", 3, 4, 1),
        ("u^2 + (a*(1 + c)^2)^2", 1, 1, 1),
    ] {
        certified(text, numerator, denominator, m);
        assert!(coefficient(numerator, denominator, m).lambda >= free_gaussian_mixture().lambda);
    }
}

#[test]
fn impossible_networks_give_an_error() {
    assert_eq!(
        deep_linear(&[3, 2, 3], 3).unwrap_err().to_string(),
        "the rank must be at most the smallest width, but is 3"
    );
    assert!(deep_linear(&[3], 0).is_err());
    assert!(reduced_rank(3, 0, 3, 0).is_err());
}
