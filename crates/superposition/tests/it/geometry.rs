//! Dimensionalities of ideal arrangements, and the inequalities between measures.

use collimate_stream::RngStream;
use collimate_superposition::{
    DirectionGeometry, Polytope, Spectrum, capacity, coherence, cube, dimensions_per_feature,
    equal_edge_half_height, feature_dimensionality, feature_norms, frame_potential, interference,
    leverage_scores, matching_pursuit, mean_max_cosine, orthoplex, rank, recognise_polytopes,
    regular_polygon, simplex, square_antiprism, tight_half_height, welch_bound,
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

#[test]
fn the_geometry_does_not_depend_on_the_scale() {
    let shapes = [regular_polygon(5).unwrap(), cube(), random(3, 7, 1), random(2, 600, 2)];
    for (w, scale) in shapes.iter().flat_map(|w| [1e-300, 1e-170, 1e-100, 1e80, 1e150, 1e300].map(|s| (w, s)))
    {
        let scaled = w * scale;
        let close = |a: &ndarray::Array1<f64>, b: &ndarray::Array1<f64>| {
            a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12 * b.abs().max(1.0))
        };
        let (all, plain) = (DirectionGeometry::of(&scaled).unwrap(), DirectionGeometry::of(w).unwrap());
        assert!(close(&all.dimensionality, &plain.dimensionality), "{scale:e}: {}", all.dimensionality);
        assert!(close(&(&all.norms / scale), &plain.norms));
        assert!(close(&all.nearest, &plain.nearest));
        assert!((all.frame_potential - plain.frame_potential).abs() <= 1e-12 * plain.frame_potential);
        let within = rank(w).unwrap() as f64;
        assert!(all.dimensionality.sum() <= within + 1e-9, "{scale:e}: {}", all.dimensionality.sum());
        assert!(close(&feature_dimensionality(&scaled).unwrap(), &plain.dimensionality));
        assert!(close(&capacity(&scaled).unwrap(), &plain.dimensionality));
        if w.ncols() < 100 {
            assert!(close(&leverage_scores(&scaled).unwrap(), &leverage_scores(w).unwrap()));
            assert_eq!(rank(&scaled).unwrap(), rank(w).unwrap());
            let [a, b] = [&scaled, w].map(|w| Spectrum::of(w).singular_values);
            assert!(close(&(a / scale), &b), "{scale:e}");
        }
    }
    // The sum over a pentagon is its rank.
    let tiny = DirectionGeometry::of(&(regular_polygon(5).unwrap() * 1e-100)).unwrap();
    assert!((tiny.dimensionality.sum() - 2.0).abs() < 1e-12, "{}", tiny.dimensionality.sum());
    // The interference is a square of the scale, where numbers have room for it.
    let [a, b] = [1e-100, 1.0].map(|s| DirectionGeometry::of(&(regular_polygon(5).unwrap() * s)).unwrap());
    assert!(a.interference.iter().zip(&b.interference).all(|(a, b)| (a / 1e-200 - b).abs() < 1e-12));
    let density = dimensions_per_feature(&(regular_polygon(5).unwrap() * 1e-120)).unwrap();
    assert!((density / 1e240 - 0.4).abs() < 1e-12, "{density:e}");
}

#[test]
fn short_columns_beside_long_ones_keep_their_capacity() {
    // Two pairs of orthogonal planes: a unit vector, and a pentagon that is shorter by two hundred orders of magnitude.
    let mut w = Array2::zeros((3, 6));
    w[[0, 0]] = 1.0;
    w.slice_mut(ndarray::s![1.., 1..]).assign(&(regular_polygon(5).unwrap() * 1e-200));
    for measure in [capacity(&w).unwrap(), feature_dimensionality(&w).unwrap()] {
        assert!((measure[0] - 1.0).abs() < 1e-14);
        assert!(measure.iter().skip(1).all(|d| (d - 0.4).abs() < 1e-13), "{measure}");
    }
    let extreme = array![[1e-300, 0.0], [0.0, 1e300]];
    assert_eq!(capacity(&extreme).unwrap(), array![1.0, 1.0]);
}

#[test]
fn norms_of_columns_with_nan_or_infinity_name_them() {
    let nan = f64::NAN;
    let norms = feature_norms(&array![[nan, nan, 3.0, f64::INFINITY, 0.0], [nan, 1.0, 4.0, -1.0, 0.0]]);
    assert!(norms[0].is_nan() && norms[1].is_nan());
    assert_eq!(norms.slice(ndarray::s![2..]), array![5.0, f64::INFINITY, 0.0]);
    assert!(feature_norms(&array![[1.0], [nan]])[0].is_nan());
}

#[test]
fn a_sparse_code_is_found_at_any_scale() {
    let w = simplex(5).unwrap();
    let x = array![0.0, 0.0, 1.5, 0.0, -0.5, 0.0];
    for scale in [1e-300, 1e-200, 1.0, 1e200] {
        let found = matching_pursuit(&w, &(w.dot(&x) * scale), 2).unwrap();
        assert!((found / scale - &x).iter().all(|e| e.abs() < 1e-12), "{scale:e}");
    }
    // More features than there are columns are no obstacle.
    assert!(matching_pursuit(&w, &w.dot(&x), usize::MAX).is_ok());
}

#[test]
fn arrangements_are_recognised_at_any_scale() {
    for scale in [1e-250, 1e-100, 1e200] {
        let found = recognise_polytopes(&(regular_polygon(5).unwrap() * scale), 1e-6).unwrap();
        assert_eq!(found.factors[0].shape(), Some(Polytope::Polygon(5)), "{scale:e}");
        assert_eq!(found.factors[0].dimensions, 2);
    }
}
