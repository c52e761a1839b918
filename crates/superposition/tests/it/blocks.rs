//! Blocks against the plain definitions, and recognition of rotated and perturbed polytopes.

use collimate_stream::RngStream;
use collimate_superposition::{
    DirectionGeometry, Polytope, coherence, cosines, feature_dimensionality, frame_potential, interference,
    orthogonal_factors, orthoplex, polytopes_with_share, recognise_polytopes, regular_polygon, rotated_code,
    square_antiprism, tight_half_height,
};
use ndarray::{Array2, Axis, concatenate, s};
use proptest::prelude::*;

fn random(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut stream = RngStream::new(seed, 0);
    Array2::from_shape_fn((rows, columns), |_| stream.normal())
}

#[test]
fn blocks_agree_with_the_definitions() {
    // More than two blocks of 512, the last one partly filled, with a zero row.
    let mut rows = random(1100, 7, 1);
    rows.row_mut(600).fill(0.0);
    let large = DirectionGeometry::of(&rows.t()).unwrap();
    let w = rows.t();
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-10 * (1.0 + b.abs());
    let plain = feature_dimensionality(&w).unwrap();
    assert!(large.dimensionality.iter().zip(&plain).all(|(a, b)| close(*a, *b)));
    assert_eq!(large.dimensionality[600], 0.0);
    let plain = interference(&w).unwrap();
    assert!(large.interference.iter().zip(&plain).all(|(a, b)| close(*a, *b)));
    assert!(close(large.frame_potential, frame_potential(&w).unwrap()));
    assert!(close(large.coherence, coherence(&w).unwrap()));
    let cosines = cosines(&w);
    for i in [0, 511, 512, 1099] {
        let best = (0..1100).filter(|&j| j != i).map(|j| cosines[[i, j]].abs()).fold(0.0, f64::max);
        assert!(close(large.nearest[i], best));
    }
    let single = DirectionGeometry::of(&rows.t().mapv(|x| x as f32)).unwrap();
    assert!(single.nearest.iter().zip(&large.nearest).all(|(a, b)| (a - b).abs() < 1e-5));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(large, pool.install(|| DirectionGeometry::of(&rows.t())).unwrap());
}

#[test]
fn factors_reach_across_blocks() {
    // Rows 0 and 1199 are parallel, 600 alone, everything else zero.
    let mut rows = Array2::<f64>::zeros((1200, 3));
    rows[[0, 0]] = 1.0;
    rows[[1199, 0]] = -2.0;
    rows[[600, 1]] = 0.5;
    assert_eq!(orthogonal_factors(&rows.t(), 0.1).unwrap(), [vec![0, 1199], vec![600]]);
    assert!(orthogonal_factors(&rows.t(), 1.0).is_err());
}

/// Returns the polytope after a random rotation, with its corners shuffled and noise on every entry.
fn perturbed(w: &Array2<f64>, noise: f64, seed: u64) -> Array2<f64> {
    let mut stream = RngStream::new(seed, 1);
    let turn = rotated_code(w.nrows(), &mut stream).unwrap();
    let order = stream.permutation(w.ncols());
    let mut out = turn.dot(&w.select(Axis(1), &order));
    out.mapv_inplace(|x| x + noise * stream.normal());
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn shapes_are_recognised(which in 0usize..9, seed in any::<u64>().no_shrink()) {
        let shape = [
            Polytope::Line, Polytope::Digon, Polytope::Polygon(3), Polytope::Polygon(5), Polytope::Polygon(8), Polytope::Simplex(3),
            Polytope::Simplex(5), Polytope::Cube, Polytope::TightAntiprism,
        ][which];
        let found = recognise_polytopes(&perturbed(&shape.columns().unwrap(), 1e-3, seed), 0.02).unwrap();
        prop_assert_eq!(found.factors.len(), 1);
        prop_assert_eq!(found.factors[0].shape(), Some(shape));
        prop_assert!(!found.is_ambiguous());
    }
}

#[test]
fn a_square_is_also_two_digons() {
    for w in [regular_polygon(4).unwrap(), orthoplex(2).unwrap()] {
        let found = recognise_polytopes(&perturbed(&w, 1e-3, 3), 0.02).unwrap();
        assert!(found.factors.iter().all(|f| f.shape() == Some(Polytope::Digon)));
        assert_eq!(found.merged_readings(), [(Polytope::Square, vec![0, 1])]);
        assert!(found.is_ambiguous());
    }
    let bipyramid = recognise_polytopes(&Polytope::Bipyramid(3).columns().unwrap(), 1e-6).unwrap();
    assert_eq!(bipyramid.merged_readings()[0].0, Polytope::Bipyramid(3));
}

#[test]
fn a_wide_tolerance_makes_antiprisms_ambiguous() {
    let tight = square_antiprism(tight_half_height()).unwrap();
    let one = |tolerance| recognise_polytopes(&tight, tolerance).unwrap().factors[0].clone();
    assert_eq!(one(1e-6).shape(), Some(Polytope::TightAntiprism));
    let both = one(0.2);
    assert_eq!(both.shape(), None);
    assert!(both.candidates.len() >= 2 && both.candidates[0].0 == Polytope::TightAntiprism);
    // Eight random directions in three dimensions are no known polytope.
    let odd = recognise_polytopes(&random(3, 8, 4), 1e-3).unwrap();
    assert!(odd.factors.iter().all(|f| f.candidates.is_empty()));
}

#[test]
fn absent_features_are_listed_separately() {
    let pentagon = regular_polygon(5).unwrap();
    let w = concatenate![
        Axis(1),
        pentagon.slice(s![.., ..2]),
        Array2::zeros((2, 3)),
        pentagon.slice(s![.., 2..])
    ];
    let found = recognise_polytopes(&w, 0.01).unwrap();
    assert_eq!(found.absent, [2, 3, 4]);
    assert_eq!(found.factors[0].features, [0, 1, 5, 6, 7]);
    assert_eq!(found.factors[0].shape(), Some(Polytope::Polygon(5)));
}

#[test]
fn one_dimensionality_fits_several_polytopes() {
    assert!(polytopes_with_share(0.5, 1e-9).unwrap().len() > 5);
    assert_eq!(polytopes_with_share(0.4, 1e-9).unwrap(), [Polytope::Polygon(5)]);
    assert!(polytopes_with_share(0.0, 0.1).is_err());
}

#[test]
fn a_dense_set_of_directions_is_no_polygon() {
    let polygon = |moved: f64| {
        Array2::from_shape_fn((2, 57), |(k, i)| {
            let angle = std::f64::consts::TAU / 57.0 * (i as f64 + if i % 2 == 1 { moved } else { 0.0 });
            if k == 0 { angle.cos() } else { angle.sin() }
        })
    };
    // Moving every second corner changes no cosine by more than 0.05, which is more than the difference between two corners.
    for moved in [0.0, 0.4] {
        assert!(recognise_polytopes(&polygon(moved), 0.05).unwrap().factors[0].candidates.is_empty());
    }
    let exact = |moved| recognise_polytopes(&polygon(moved), 1e-3).unwrap().factors[0].shape();
    assert_eq!((exact(0.0), exact(0.4)), (Some(Polytope::Polygon(57)), None));
}
