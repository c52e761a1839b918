//! The generators have the stated structure.

use collimate_stream::RngStream;
use collimate_superposition::{
    ParityCode, circular_code, feature_dimensionality, interference, level_code, linear_r_squared,
    neuron_top_share, read_level, rotated_code, turned_code, variance_kept,
};
use proptest::prelude::*;
use std::collections::HashSet;

proptest! {
    #[test]
    fn rotations_are_orthogonal(n in 1..12usize, degrees in 0.0..90.0_f64, seed in any::<u64>().no_shrink()) {
        for q in [rotated_code(n, &mut RngStream::new(seed, 0)).unwrap(), turned_code(n, degrees).unwrap()] {
            for ((i, j), g) in q.t().dot(&q).indexed_iter() {
                prop_assert!((g - f64::from(u8::from(i == j))).abs() < 1e-13);
            }
            prop_assert!((feature_dimensionality(&q).unwrap().sum() - n as f64).abs() < 1e-12);
            prop_assert!(interference(&q).unwrap().iter().all(|x| x.abs() < 1e-25));
        }
    }

    #[test]
    fn parities_decode_without_a_linear_trace(k in 3..8usize, seed in any::<u64>().no_shrink()) {
        let code = ParityCode::random(k, &mut RngStream::new(seed, 0)).unwrap();
        let all = code.representation();
        let states: HashSet<Vec<bool>> =
            all.features.rows().into_iter().map(|row| row.iter().map(|&x| x > 0.5).collect()).collect();
        prop_assert_eq!(states.len(), 1 << k);
        for feature in all.features.columns() {
            prop_assert!(linear_r_squared(&all.activations, &feature).unwrap() < 1e-14);
        }
    }
}

#[test]
fn rotations_are_uniform_in_their_first_two_moments() {
    // E q_ij = 0 and E q_ij² = 1/n; five standard errors.
    const TRIALS: usize = 4000;
    let mut sum = ndarray::Array2::<f64>::zeros((4, 4));
    let mut square = sum.clone();
    for seed in 0..TRIALS {
        let q = rotated_code(4, &mut RngStream::new(seed as u64, 0)).unwrap();
        sum += &q;
        square += &q.mapv(|x| x * x);
    }
    let root = (TRIALS as f64).sqrt();
    assert!(sum.iter().all(|s| (s / TRIALS as f64).abs() < 5.0 * 0.5 / root));
    // Var q² = 2(n − 1)/(n²(n + 2)) = 1/16.
    assert!(square.iter().all(|s| (s / TRIALS as f64 - 0.25).abs() < 5.0 * 0.25 / root));
}

#[test]
fn levels_and_circles() {
    for q in 3..9 {
        let code = level_code(q).unwrap();
        for (state, h) in code.activations.iter().enumerate() {
            for feature in 0..q {
                assert_eq!(read_level(*h, feature + 1), f64::from(u8::from(state == feature)));
            }
        }
        let circle = circular_code(q).unwrap();
        assert!((variance_kept(&circle.activations, 1).unwrap() - 0.5).abs() < 1e-12);
        assert!((variance_kept(&circle.activations, 2).unwrap() - 1.0).abs() < 1e-12);
    }
    // Two opposite points are a line.
    assert!((variance_kept(&circular_code(2).unwrap().activations, 1).unwrap() - 1.0).abs() < 1e-15);
}

#[test]
fn top_shares_of_neurons() {
    let w = ndarray::array![[1.0, 0.0], [0.0, 0.0], [1.0, -1.0]];
    assert_eq!(neuron_top_share(&w).unwrap(), ndarray::array![1.0, 1.0, 0.5]);
    assert!(ParityCode::random(2, &mut RngStream::new(0, 0)).is_err());
    assert!(rotated_code(0, &mut RngStream::new(0, 0)).is_err());
}
