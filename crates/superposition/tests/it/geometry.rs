//! Dimensionalities of ideal arrangements, and the inequalities between measures.

use collimate_stream::RngStream;
use collimate_superposition::{
    capacity, coherence, cube, equal_edge_half_height, feature_dimensionality, feature_norms,
    frame_potential, interference, leverage_scores, mean_max_cosine, orthoplex, rank, regular_polygon,
    simplex, square_antiprism, tight_half_height, welch_bound,
};
use ndarray::{Array2, ArrayRef2, array};
use proptest::prelude::*;

fn random(m: usize, n: usize, seed: u64) -> Array2<f64> {
    let mut stream = RngStream::new(seed, 0);
    Array2::from_shape_fn((m, n), |_| stream.normal())
}

fn all_equal(w: &ArrayRef2<f64>, share: f64, tolerance: f64) {
    for d in feature_dimensionality(w).unwrap() {
        assert!((d - share).abs() < tolerance, "{d} is not {share}");
    }
}

#[test]
fn ideal_arrangements_have_the_known_dimensionalities() {
    for k in 3..50 {
        all_equal(&regular_polygon(k).unwrap(), 2.0 / k as f64, 1e-13);
    }
    for d in 1..9 {
        all_equal(&simplex(d).unwrap(), d as f64 / (d as f64 + 1.0), 1e-13);
        all_equal(&orthoplex(d).unwrap(), 0.5, 1e-14);
    }
    all_equal(&cube(), 0.375, 1e-14);
    all_equal(&square_antiprism(tight_half_height()).unwrap(), 0.375, 1e-14);
    all_equal(&square_antiprism(equal_edge_half_height()).unwrap(), 0.366421, 1e-6);
}

#[test]
fn the_equal_edge_antiprism_has_equal_edges() {
    let w = square_antiprism(equal_edge_half_height()).unwrap();
    let mut lengths: Vec<f64> = (0..8)
        .flat_map(|i| (0..i).map(move |j| (i, j)))
        .map(|(i, j)| (&w.column(i) - &w.column(j)).mapv(|x| x * x).sum().sqrt())
        .collect();
    lengths.sort_by(f64::total_cmp);
    assert!((lengths[15] - lengths[0]).abs() < 1e-14, "sixteen edges");
    assert!(lengths[16] > lengths[0] + 0.1, "and no seventeenth");
}

#[test]
fn zero_columns_and_bad_numbers() {
    let w = array![[0.0, 1.0], [0.0, 1.0]];
    let zero_first = |v: ndarray::Array1<f64>| v[0] == 0.0 && v[1] > 0.0;
    assert!(zero_first(feature_dimensionality(&w).unwrap()));
    assert!(zero_first(capacity(&w).unwrap()));
    assert!(zero_first(leverage_scores(&w).unwrap()));
    assert_eq!(interference(&w).unwrap(), array![0.0, 0.0]);
    let bad = array![[0.0, f64::INFINITY]];
    assert!(frame_potential(&bad).is_err() && coherence(&bad).is_err());
    assert!(welch_bound(3, 0).is_err());
}

#[test]
fn mean_max_cosine_runs_over_the_learned_directions() {
    let truth = orthoplex(2).unwrap();
    assert_eq!(mean_max_cosine(&truth, &truth).unwrap(), 1.0);
    // A true direction without a match does not lower it. A learned direction without a match does.
    assert_eq!(mean_max_cosine(&array![[3.0], [0.0]], &truth).unwrap(), 1.0);
    assert!((mean_max_cosine(&array![[1.0], [1.0]], &truth).unwrap() - 0.5_f64.sqrt()).abs() < 1e-15);
    assert!(mean_max_cosine(&array![[1.0]], &truth).is_err());
    assert!(mean_max_cosine(&Array2::zeros((2, 0)), &truth).is_err());
}

#[test]
fn tiny_columns_do_not_underflow() {
    let w = array![[1e-170, 0.0], [0.0, 2e-170]];
    assert_eq!(feature_dimensionality(&w).unwrap(), array![1.0, 1.0]);
}

proptest! {
    #[test]
    fn dimensionalities_sum_to_between_one_and_the_rank(m in 1..7usize, n in 1..13usize, seed in any::<u64>().no_shrink()) {
        let w = random(m, n, seed);
        let d = feature_dimensionality(&w).unwrap();
        let leverage = leverage_scores(&w).unwrap();
        let rank = rank(&w).unwrap();
        prop_assert_eq!(rank, m.min(n));
        prop_assert!((leverage.sum() - rank as f64).abs() < 1e-11);
        prop_assert!(d.sum() <= rank as f64 + 1e-12 && d.sum() >= 1.0 - 1e-12);
        prop_assert!(d.iter().zip(&leverage).all(|(d, l)| *d <= l + 1e-11));
        let capacity = capacity(&w).unwrap();
        prop_assert!(d.iter().zip(&capacity).all(|(d, c)| (d - c).abs() < 1e-12));
    }

    #[test]
    fn interference_and_squared_norm_give_the_dimensionality(m in 1..5usize, n in 1..9usize, seed in any::<u64>().no_shrink()) {
        let w = random(m, n, seed);
        let d = feature_dimensionality(&w).unwrap();
        let (norms, other) = (feature_norms(&w), interference(&w).unwrap());
        for i in 0..n {
            let square = norms[i] * norms[i];
            prop_assert!((d[i] - square / (square + other[i])).abs() < 1e-13);
        }
    }

    #[test]
    fn a_product_of_low_rank_has_that_rank(m in 1..6usize, r in 1..4usize, n in 1..9usize, seed in any::<u64>().no_shrink()) {
        let w = random(m, r, seed).dot(&random(r, n, seed ^ 1));
        prop_assert_eq!(rank(&w).unwrap(), m.min(r).min(n));
    }
}
