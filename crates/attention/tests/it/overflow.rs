//! Finite rows too large for their type give an error that names them, and never NaN.

use collimate_attention::{Attention, AttentionError, HeadMap, Mask, Offset, Overflow};
use ndarray::{Array3, Array4};

fn rows(heads: usize, rows: usize, width: usize) -> Array3<f32> {
    Array3::from_shape_fn((heads, rows, width), |(h, i, j)| ((h * 7 + i * 3 + j) % 5) as f32 * 0.3 - 0.5)
}

#[test]
fn scores_beyond_the_type_are_named() {
    // Twenty queries use the tiles, one query uses the loops of decoding.
    for (queries, width) in [(20, 16), (1, 16), (1, 5)] {
        let (q, k, v) = (rows(2, queries, width), rows(2, 300, width), rows(2, 300, 16));
        let attention = Attention::scaled_dot_product();
        let ask = |q: &Array3<f32>, k: &Array3<f32>| attention.forward(q, k, &v).map(|x| x.0).unwrap_err();
        let expected = AttentionError::from(Overflow::Score { head: 1, query: queries - 1, key: 131 });
        let (mut large_q, mut large_k) = (q.clone(), k.clone());
        large_q.slice_mut(ndarray::s![1, queries - 1, ..]).fill(1e30);
        large_k.slice_mut(ndarray::s![1, 131, ..]).fill(1e30);
        assert_eq!(ask(&large_q, &large_k), expected);
        // Products of both signs that overflow before they are summed: infinity minus infinity, unless the order prevents it.
        large_k.slice_mut(ndarray::s![1, 131, ..;2]).fill(-1e30);
        match attention.forward(&large_q, &large_k, &v) {
            Ok((out, _)) => assert!(out.iter().all(|x| x.is_finite())),
            Err(error) => {
                assert!(
                    matches!(error, AttentionError::Overflow(Overflow::Score { head: 1, key: 131, .. })),
                    "{error}"
                )
            }
        }
        // A score that overflows downwards gives its key no weight. If all scores of a query do, it is an error.
        large_k.slice_mut(ndarray::s![1, 131, ..]).fill(-1e30);
        let (out, _) = attention.forward(&large_q, &large_k, &v).unwrap();
        assert!(out.iter().all(|x| x.is_finite()));
        large_k.slice_mut(ndarray::s![1, .., ..]).fill(-1e30);
        assert!(matches!(
            ask(&large_q, &large_k),
            AttentionError::Overflow(Overflow::Score { head: 1, key: 0, .. })
        ));
        // With a softcap the limit of the cap is the score.
        large_k.slice_mut(ndarray::s![1, .., ..]).fill(1e30);
        let (out, _) = attention.softcap(30.0).forward(&large_q, &large_k, &v).unwrap();
        assert!(out.iter().all(|x| x.is_finite()));
    }
}

#[test]
fn sums_of_values_beyond_the_type_are_named() {
    let (q, k) = (rows(1, 3, 8), rows(1, 40, 8));
    let v = Array3::from_elem((1, 40, 4), f32::MAX);
    let error = Attention::scaled_dot_product().forward(&q, &k, &v).unwrap_err();
    assert_eq!(error, Overflow::Output { head: 0, query: 0 }.into());
    assert!(error.to_string().contains("query 0 of head 0"));
}

#[test]
fn large_logits_and_rows_that_were_not_finite_are_no_overflow() {
    let (mut q, mut k, v) = (rows(1, 70, 8), rows(1, 70, 8), rows(1, 70, 8));
    q *= 1e9;
    k *= 1e9;
    let causal = Attention::scaled_dot_product().mask(Mask::causal(Offset::zero()));
    assert!(causal.forward(&q, &k, &v).unwrap().0.iter().all(|x| x.is_finite()));
    k[[0, 40, 2]] = f32::INFINITY;
    let (out, _) = causal.forward(&q, &k, &v).unwrap();
    assert!(out.slice(ndarray::s![0, ..40, ..]).iter().all(|x| x.is_finite()));
    // An overflowing query is found after a query that a NaN has reached. In a batch the head number is `b·H + h`.
    q[[0, 3, 0]] = f32::NAN;
    q.slice_mut(ndarray::s![0, 30, ..]).fill(1e32);
    k.slice_mut(ndarray::s![0, 2, ..]).fill(1e32);
    let batch = |x: &Array3<f32>| -> Array4<f32> {
        let fine = rows(1, 70, 8);
        ndarray::stack(ndarray::Axis(0), &[fine.view(), x.view()]).unwrap()
    };
    let error = causal.heads(HeadMap::multi_query()).forward(&batch(&q), &batch(&k), &batch(&v)).unwrap_err();
    assert!(matches!(error, AttentionError::Overflow(Overflow::Score { head: 1, key: 2, .. })), "{error}");
}
