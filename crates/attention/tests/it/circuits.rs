use approx::assert_abs_diff_eq;
use collimate_attention::circuits::{
    Composition, Factored, composition, composition_above_random, composition_of_random_heads, copying_score,
    ov_circuit, own_token_in_top, qk_circuit, qk_circuit_at, rollout, rollout_share,
};
use collimate_attention::{AttentionError, Rotary};
use collimate_stream::RngStream;
use ndarray::{Array2, Array3, Axis, array};
use proptest::prelude::*;

fn normal(shape: (usize, usize), stream: &mut RngStream) -> Array2<f64> {
    Array2::from_shape_simple_fn(shape, || stream.normal())
}

fn frobenius(x: &Array2<f64>) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

proptest! {
    #[test]
    fn factored_is_dense(m in 1usize..8, r in 1usize..5, seed in 0u64..1000) {
        let mut stream = RngStream::new(seed, 0);
        let mut factored = || {
            let (a, b) = (normal((m, r), &mut stream), normal((r, m), &mut stream));
            (a.dot(&b), Factored::new(&a, &b).unwrap())
        };
        let ((a, fa), (b, fb)) = (factored(), factored());
        let near = |x: &Factored, y: &Array2<f64>| (x.dense().unwrap() - y).iter().all(|x| x.abs() < 1e-11);
        prop_assert!(near(&fa, &a) && near(&fa.transposed(), &a.t().to_owned()));
        prop_assert!(near(&fa.then(&fb).unwrap(), &a.dot(&b)));
        prop_assert!(near(&fa.after(&b).unwrap(), &b.dot(&a)) && near(&fa.before(&b).unwrap(), &a.dot(&b)));
        prop_assert!((fa.norm().unwrap() - frobenius(&a)).abs() < 1e-10);
        // The narrow product has the same trace, so the same sum of eigenvalues.
        prop_assert!((fa.core().unwrap().diag().sum() - a.diag().sum()).abs() < 1e-10);
        for (kind, product) in
            [(Composition::Query, a.dot(&b)), (Composition::Key, a.dot(&b.t())), (Composition::Value, a.dot(&b))]
        {
            let score = composition(kind, &fa, &fb).unwrap();
            let expected = frobenius(&product) / (frobenius(&a) * frobenius(&b));
            prop_assert!((score.value - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn rotary_circuits_are_scores_of_turned_rows(distance in -5i64..6, seed in 0u64..1000) {
        let mut stream = RngStream::new(seed, 0);
        let (w_q, w_k) = (normal((5, 4), &mut stream), normal((5, 4), &mut stream));
        let (x, y) = (normal((1, 5), &mut stream), normal((1, 5), &mut stream));
        let rotary = Rotary::half_split(4, 100.0);
        let circuit = qk_circuit_at(&w_q, &w_k, &rotary.table([distance]).unwrap()).unwrap();
        let turned = |row: Array2<f64>, position: i64| {
            let mut row = row.insert_axis(Axis(0));
            rotary.table([position]).unwrap().apply(&mut row).unwrap();
            row.index_axis_move(Axis(0), 0)
        };
        let score = turned(x.dot(&w_q), 7 + distance).dot(&turned(y.dot(&w_k), 7).t())[[0, 0]];
        let by_circuit = x.dot(&circuit.dense().unwrap()).dot(&y.t())[[0, 0]];
        prop_assert!((score - by_circuit).abs() < 1e-11);
    }
}

#[test]
fn random_heads_compose_a_little() {
    let mut stream = RngStream::new(4, 0);
    let mut head = |kind: bool| {
        let (a, b) = (normal((48, 6), &mut stream), normal((6, 48), &mut stream));
        if kind { qk_circuit(&a, &b.t()).unwrap() } else { ov_circuit(&a, &b).unwrap() }
    };
    let (earlier, later) = (head(false), head(true));
    for kind in [Composition::Query, Composition::Key] {
        let above = composition_above_random(kind, &earlier, &later, 40, &mut RngStream::new(5, 0)).unwrap();
        let random = composition_of_random_heads(kind, 48, [6, 6], 40, &mut RngStream::new(5, 0)).unwrap();
        let own = composition(kind, &earlier, &later).unwrap();
        assert_eq!(above.value, own.value - random.value);
        assert_eq!((above.standard_error, above.n), (random.standard_error, 40));
        assert!(above.value.abs() < 0.05 && own.value > 0.1, "{above}");
    }
}

#[test]
fn a_head_that_copies_and_one_that_does_not() {
    let n = 25;
    let tokens: Vec<u32> = (0..n as u32).map(|i| 3 * i + 1).collect();
    let pattern = Array2::from_shape_fn((n, n), |(i, j)| f64::from(u8::from(j == i / 2)));
    let logits = |up: &dyn Fn(usize) -> usize| {
        let mut logits = Array2::zeros((n, 80));
        for i in 0..n {
            logits[[i, tokens[up(i)] as usize]] = 5.0;
        }
        logits
    };
    let copies = copying_score(&pattern, &logits(&|i| i / 2), &tokens).unwrap();
    assert_eq!((copies.value, copies.n), (1.0, 25));
    let other = copying_score(&pattern, &logits(&|i| (i / 2 + 1) % n), &tokens).unwrap();
    assert_eq!(other.value, -1.0);
    // Equal logits for every token of the sample: a share of one in 25.
    let mut flat = Array2::zeros((n, 80));
    for (mut row, _) in flat.rows_mut().into_iter().zip(0..) {
        tokens.iter().for_each(|&token| row[token as usize] = 1.0);
    }
    let even = copying_score(&pattern, &flat, &tokens).unwrap();
    assert_abs_diff_eq!(even.value, 2.0 / 25.0 - 1.0, epsilon = 1e-12);
}

#[test]
fn rollout_of_uniform_heads() {
    let uniform = Array3::from_elem((3, 4, 4), 0.25);
    let r = rollout(&[uniform.clone(), uniform]).unwrap();
    assert!(r.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-15));
    // ½ survives one layer on the diagonal, ¼ two; the rest is spread evenly.
    assert_abs_diff_eq!(r[[1, 1]], 0.25 + 0.75 / 4.0, epsilon = 1e-15);
    assert_abs_diff_eq!(r[[1, 0]], 0.75 / 4.0, epsilon = 1e-15);
}

#[test]
fn what_has_no_value_is_an_error() {
    let a = Factored::new(&Array2::<f64>::ones((3, 1)), &Array2::ones((1, 3))).unwrap();
    let wide = Factored::new(&Array2::<f64>::ones((3, 1)), &Array2::ones((1, 4))).unwrap();
    let zero = Factored::new(&Array2::<f64>::zeros((3, 1)), &Array2::ones((1, 3))).unwrap();
    assert!(matches!(composition(Composition::Value, &a, &zero), Err(AttentionError::Undefined { .. })));
    assert!(matches!(composition(Composition::Key, &a, &wide), Err(AttentionError::Shape { .. })));
    assert!(wide.core().is_err());
    assert!(Factored::new(&Array2::<f64>::ones((3, 1)), &Array2::ones((2, 3))).is_err());
    assert!(Factored::new(&array![[f64::NAN]], &array![[1.0]]).is_err());
    assert!(
        composition_of_random_heads(Composition::Value, 4, [2, 2], 1, &mut RngStream::new(1, 0)).is_err()
    );
    assert!(
        composition_of_random_heads(Composition::Value, 4, [0, 2], 9, &mut RngStream::new(1, 0)).is_err()
    );
    let (pattern, logits) = (Array2::<f64>::ones((1, 2)), Array2::<f64>::zeros((1, 3)));
    assert!(matches!(copying_score(&pattern, &logits, &[1, 1]), Err(AttentionError::Undefined { .. })));
    assert!(matches!(copying_score(&pattern, &logits, &[1, 2]), Err(AttentionError::Undefined { .. })));
    assert!(matches!(copying_score(&pattern, &logits, &[1, 3]), Err(AttentionError::Index { .. })));
    assert!(copying_score(&pattern, &logits, &[1]).is_err());
    assert!(own_token_in_top(&logits, &[3], 1).is_err());
    assert!(own_token_in_top(&Array2::<f64>::zeros((0, 3)), &[], 1).is_err());
    assert!(rollout::<f64>(&[]).is_err());
    assert!(rollout(&[Array3::<f64>::zeros((0, 2, 2))]).is_err());
    assert!(rollout(&[Array3::<f64>::zeros((1, 2, 3))]).is_err());
    assert!(rollout(&[Array3::<f64>::from_elem((1, 2, 2), f64::NAN)]).is_err());
    assert!(rollout_share(&[Array3::<f64>::ones((1, 2, 2))], 2, 0).is_err());
}

/// The tests of the feature `decompositions`, which `cargo xtask test --slow` switches on.
#[cfg(feature = "decompositions")]
mod decompositions {
    use super::*;
    use collimate_attention::circuits::eigenvalue_copying;

    #[test]
    fn eigenvalue_copying_of_known_spectra() {
        let mut stream = RngStream::new(6, 0);
        for _ in 0..20 {
            // S D S⁻¹ with D = diag(3, −1) and a block with eigenvalues 1 ± 2i.
            let s = normal((4, 4), &mut stream) + Array2::<f64>::eye(4) * 4.0;
            let d = array![
                [3.0, 0.0, 0.0, 0.0],
                [0.0, -1.0, 0.0, 0.0],
                [0.0, 0.0, 1.0, 2.0],
                [0.0, 0.0, -2.0, 1.0]
            ];
            let circuit = Factored::new(&s.dot(&d), &inverse(&s)).unwrap();
            let expected = 4.0 / (4.0 + 2.0 * 5f64.sqrt());
            assert_abs_diff_eq!(eigenvalue_copying(&circuit).unwrap().value, expected, epsilon = 1e-9);
        }
        let nilpotent = Factored::new(&array![[1.0], [0.0]], &array![[0.0, 1.0]]).unwrap();
        assert!(matches!(eigenvalue_copying(&nilpotent), Err(AttentionError::Undefined { .. })));
    }

    /// Computes the inverse by Gauss–Jordan elimination with pivots.
    fn inverse(m: &Array2<f64>) -> Array2<f64> {
        let n = m.nrows();
        let (mut a, mut b) = (m.clone(), Array2::eye(n));
        for c in 0..n {
            let pivot = (c..n).max_by(|&i, &j| a[[i, c]].abs().total_cmp(&a[[j, c]].abs())).unwrap();
            for j in 0..n {
                a.swap([c, j], [pivot, j]);
                b.swap([c, j], [pivot, j]);
            }
            let p = a[[c, c]];
            for j in 0..n {
                a[[c, j]] /= p;
                b[[c, j]] /= p;
            }
            for i in (0..n).filter(|&i| i != c) {
                let f = a[[i, c]];
                for j in 0..n {
                    a[[i, j]] -= f * a[[c, j]];
                    b[[i, j]] -= f * b[[c, j]];
                }
            }
        }
        b
    }
}
