//! Blocks against the plain definitions, and recognition of turned and shaken polytopes.

use collimate_stream::RngStream;
use collimate_superposition::large::{LargeGeometry, orthogonal_factors};
use collimate_superposition::polysemanticity::rotated_code;
use collimate_superposition::recognition::{Shape, recognise, shapes_with_share};
use collimate_superposition::{geometry, polytope};
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
    let large = LargeGeometry::of(&rows).unwrap();
    let w = rows.t();
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-10 * (1.0 + b.abs());
    let plain = geometry::feature_dimensionality(&w).unwrap();
    assert!(large.dimensionality.iter().zip(&plain).all(|(a, b)| close(*a, *b)));
    assert_eq!(large.dimensionality[600], 0.0);
    let plain = geometry::interference(&w).unwrap();
    assert!(large.interference.iter().zip(&plain).all(|(a, b)| close(*a, *b)));
    assert!(close(large.frame_potential, geometry::frame_potential(&w).unwrap()));
    assert!(close(large.coherence, geometry::coherence(&w).unwrap()));
    let cosines = geometry::cosines(&w);
    for i in [0, 511, 512, 1099] {
        let best = (0..1100).filter(|&j| j != i).map(|j| cosines[[i, j]].abs()).fold(0.0, f64::max);
        assert!(close(large.nearest[i], best));
    }
    let single = LargeGeometry::of(&rows.mapv(|x| x as f32)).unwrap();
    assert!(single.nearest.iter().zip(&large.nearest).all(|(a, b)| (a - b).abs() < 1e-5));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(large, pool.install(|| LargeGeometry::of(&rows)).unwrap());
}

#[test]
fn factors_reach_across_blocks() {
    // Rows 0 and 1199 are parallel, 600 alone, everything else zero.
    let mut rows = Array2::<f64>::zeros((1200, 3));
    rows[[0, 0]] = 1.0;
    rows[[1199, 0]] = -2.0;
    rows[[600, 1]] = 0.5;
    assert_eq!(orthogonal_factors(&rows, 0.1).unwrap(), [vec![0, 1199], vec![600]]);
    assert!(orthogonal_factors(&rows, 1.0).is_err());
}

/// The shape turned at random, with its corners shuffled and every entry moved a little.
fn shaken(w: &Array2<f64>, noise: f64, seed: u64) -> Array2<f64> {
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
            Shape::Line, Shape::Digon, Shape::Polygon(3), Shape::Polygon(5), Shape::Polygon(8), Shape::Simplex(3),
            Shape::Simplex(5), Shape::Cube, Shape::TightAntiprism,
        ][which];
        let found = recognise(&shaken(&shape.columns().unwrap(), 1e-3, seed), 0.02).unwrap();
        prop_assert_eq!(found.factors.len(), 1);
        prop_assert_eq!(found.factors[0].shape(), Some(shape));
        prop_assert!(!found.is_ambiguous());
    }
}

#[test]
fn a_square_is_also_two_digons() {
    for w in [polytope::regular_polygon(4).unwrap(), polytope::orthoplex(2).unwrap()] {
        let found = recognise(&shaken(&w, 1e-3, 3), 0.02).unwrap();
        assert!(found.factors.iter().all(|f| f.shape() == Some(Shape::Digon)));
        assert_eq!(found.merged_readings(), [(Shape::Square, vec![0, 1])]);
        assert!(found.is_ambiguous());
    }
    let bipyramid = recognise(&Shape::Bipyramid(3).columns().unwrap(), 1e-6).unwrap();
    assert_eq!(bipyramid.merged_readings()[0].0, Shape::Bipyramid(3));
}

#[test]
fn a_wide_tolerance_makes_antiprisms_ambiguous() {
    let tight = polytope::square_antiprism(polytope::tight_half_height()).unwrap();
    let one = |tolerance| recognise(&tight, tolerance).unwrap().factors[0].clone();
    assert_eq!(one(1e-6).shape(), Some(Shape::TightAntiprism));
    let both = one(0.2);
    assert_eq!(both.shape(), None);
    assert!(both.candidates.len() >= 2 && both.candidates[0].0 == Shape::TightAntiprism);
    // No known shape: eight directions in three dimensions, but not these.
    let odd = recognise(&random(3, 8, 4), 1e-3).unwrap();
    assert!(odd.factors.iter().all(|f| f.candidates.is_empty()));
}

#[test]
fn absent_features_are_set_apart() {
    let pentagon = polytope::regular_polygon(5).unwrap();
    let w = concatenate![
        Axis(1),
        pentagon.slice(s![.., ..2]),
        Array2::zeros((2, 3)),
        pentagon.slice(s![.., 2..])
    ];
    let found = recognise(&w, 0.01).unwrap();
    assert_eq!(found.absent, [2, 3, 4]);
    assert_eq!(found.factors[0].features, [0, 1, 5, 6, 7]);
    assert_eq!(found.factors[0].shape(), Some(Shape::Polygon(5)));
}

#[test]
fn shares_leave_several_shapes_open() {
    assert!(shapes_with_share(0.5, 1e-9).unwrap().len() > 5);
    assert_eq!(shapes_with_share(0.4, 1e-9).unwrap(), [Shape::Polygon(5)]);
    assert!(shapes_with_share(0.0, 0.1).is_err());
}

#[test]
fn a_crowd_of_directions_is_no_polygon() {
    let polygon = |moved: f64| {
        Array2::from_shape_fn((2, 57), |(k, i)| {
            let angle = std::f64::consts::TAU / 57.0 * (i as f64 + if i % 2 == 1 { moved } else { 0.0 });
            if k == 0 { angle.cos() } else { angle.sin() }
        })
    };
    // Pairs that nearly meet move no cosine by more than 0.05, which is more than between two corners of the polygon.
    for moved in [0.0, 0.4] {
        assert!(recognise(&polygon(moved), 0.05).unwrap().factors[0].candidates.is_empty());
    }
    let exact = |moved| recognise(&polygon(moved), 1e-3).unwrap().factors[0].shape();
    assert_eq!((exact(0.0), exact(0.4)), (Some(Shape::Polygon(57)), None));
}
