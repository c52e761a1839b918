use crate::naive::Case;
use ndarray::{Array3, s};

const CASE: Case = Case {
    key_heads: 1,
    group: 2,
    queries: 70,
    keys: 70,
    width: 4,
    value_width: 3,
    choice: 2,
    magnitude: 1.0,
    seed: 2,
};

/// Returns the case with the number `poison` in the whole key and value row `key`.
fn poisoned(key: usize, poison: f64) -> (Array3<f64>, Array3<f64>, Array3<f64>) {
    let (q, mut k, mut v) = CASE.arrays();
    k.slice_mut(s![.., key, ..]).fill(poison);
    v.slice_mut(s![.., key, ..]).fill(poison);
    (q, k, v)
}

#[test]
fn a_masked_key_full_of_nan_changes_nothing() {
    let (q, k, v) = CASE.arrays();
    let attention = CASE.attention();
    let (clean, _) = attention.forward(&q, &k, &v).unwrap();
    for poison in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for key in [1, 40, 69] {
            let (q, k, v) = poisoned(key, poison);
            let (out, saved) = attention.forward(&q, &k, &v).unwrap();
            assert_eq!(out.slice(s![.., ..key, ..]), clean.slice(s![.., ..key, ..]), "key {key}");
            // A NaN at an attending pair reaches the output.
            assert!(out.slice(s![.., key, ..]).iter().all(|x| x.is_nan()));
            let pattern = saved.pattern(0).unwrap();
            assert!(pattern.slice(s![..key, ..]).iter().all(|p| p.is_finite()));
            assert!(pattern.slice(s![key, key + 1..]).iter().all(|&p| p == 0.0));
        }
    }
}

#[test]
fn a_nan_value_reaches_exactly_the_queries_that_attend() {
    let (q, k, mut v) = CASE.arrays();
    v[[0, 30, 1]] = f64::NAN;
    let (out, _) = CASE.attention().forward(&q, &k, &v).unwrap();
    for ((_, query, column), x) in out.indexed_iter() {
        assert_eq!(x.is_nan(), query >= 30 && column == 1, "query {query}, column {column}");
    }
}

#[test]
fn derivatives_of_queries_before_a_nan_key_are_untouched() {
    let (q, k, v) = CASE.arrays();
    let attention = CASE.attention();
    // The loss depends only on the queries before the NaN.
    let key = 66;
    let mut d_out = Array3::from_elem((2, 70, 3), 0.7);
    d_out.slice_mut(s![.., key.., ..]).fill(0.0);
    let (_, saved) = attention.forward(&q, &k, &v).unwrap();
    let clean = attention.backward(&saved, &d_out).unwrap();
    let clean_jvp = attention.jvp(&saved, &q, &k, &v).unwrap();
    let (pq, pk, pv) = poisoned(key, f64::NAN);
    let (_, saved) = attention.forward(&pq, &pk, &pv).unwrap();
    let g = attention.backward(&saved, &d_out).unwrap();
    assert_eq!(g.q.slice(s![.., ..key, ..]), clean.q.slice(s![.., ..key, ..]));
    let jvp = attention.jvp(&saved, &pq, &pk, &pv).unwrap();
    assert_eq!(jvp.slice(s![.., ..key, ..]), clean_jvp.slice(s![.., ..key, ..]));
}

#[test]
fn a_nan_query_or_gradient_spares_the_keys_it_does_not_see() {
    let (mut q, k, v) = CASE.arrays();
    q.slice_mut(s![0, 3, ..]).fill(f64::NAN);
    let attention = CASE.attention();
    let (out, saved) = attention.forward(&q, &k, &v).unwrap();
    assert!(out.slice(s![0, 4.., ..]).iter().all(|x| x.is_finite()));
    let g = attention.backward(&saved, &Array3::ones((2, 70, 3))).unwrap();
    for gradient in [&g.k, &g.v] {
        assert!(gradient.slice(s![0, 4.., ..]).iter().all(|x| x.is_finite()));
        assert!(gradient.slice(s![0, ..4, ..]).iter().all(|x| x.is_nan()));
    }
    let (q, k, v) = CASE.arrays();
    let (_, saved) = attention.forward(&q, &k, &v).unwrap();
    let mut d_out = Array3::ones((2, 70, 3));
    d_out.slice_mut(s![1, 5, ..]).fill(f64::NAN);
    let g = attention.backward(&saved, &d_out).unwrap();
    assert!(g.v.slice(s![0, 6.., ..]).iter().all(|x| x.is_finite()));
    assert!(g.v.slice(s![0, ..6, ..]).iter().all(|x| x.is_nan()));
}
