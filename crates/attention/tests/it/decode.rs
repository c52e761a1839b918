//! Few queries over many keys, which are cut into shares.

use crate::naive::{Case, attend, distance};
use collimate_attention::{Attention, KeyValueCache, Mask, Offset};
use ndarray::{Array3, s};

fn single(x: &Array3<f64>) -> Array3<f32> {
    x.mapv(|x| x as f32)
}

#[test]
fn shares_of_the_keys_add_up_to_the_definition() {
    for (queries, group, width, keys) in
        [(1, 4, 128, 2500), (1, 1, 40, 1025), (2, 4, 3, 1024), (3, 1, 17, 3000), (1, 7, 20, 2047)]
    {
        let case = Case {
            key_heads: 2,
            group,
            queries,
            keys,
            width,
            value_width: 32,
            choice: 2,
            magnitude: 1.0,
            seed: 8,
        };
        let (q, k, v) = case.arrays();
        let attention = case.attention().mask(Mask::causal(Offset::fixed(keys as isize)));
        let (expected, _) = attend(&attention, &q, &k, &v);
        let (out, saved) = attention.forward(&q, &k, &v).unwrap();
        assert!(distance(&out, &expected) < 1e-13, "{case:?}");
        let (out32, _) = attention.forward(&single(&q), &single(&k), &single(&v)).unwrap();
        assert!(distance(&out32.mapv(f64::from), &expected) < 2e-5, "{case:?}");
        // The log-sum-exp agrees with the scores, so the tiles compute the same gradients.
        let scores = saved.scores(0).unwrap();
        let sum = scores.row(0).iter().map(|z| z.exp()).sum::<f64>().ln();
        assert!((saved.log_sum_exp()[[0, 0]] - sum).abs() < 1e-12);
        // A window skips the early shares.
        let window = attention.mask(Mask::window(Offset::fixed(keys as isize - 1), 1200));
        if queries == 1 {
            let first = keys.saturating_sub(1201);
            let (near_k, near_v) = (k.slice(s![.., first.., ..]), v.slice(s![.., first.., ..]));
            let (near, _) = attention.mask(Mask::none()).forward(&q, &near_k, &near_v).unwrap();
            let mut poisoned = v.clone();
            poisoned.slice_mut(s![.., ..first, ..]).fill(f64::NAN);
            assert!(distance(&window.forward(&q, &k, &poisoned).unwrap().0, &near) < 1e-13);
        }
    }
}

/// Returns the same numbers in memory of another order: the axis `first` is the outermost, the axis `last` the innermost.
fn in_order(x: &Array3<f32>, [first, middle, last]: [usize; 3]) -> Array3<f32> {
    let mut back = [0; 3];
    [first, middle, last].into_iter().enumerate().for_each(|(place, axis)| back[axis] = place);
    let stored = x.view().permuted_axes([first, middle, last]).as_standard_layout().into_owned();
    stored.permuted_axes(back)
}

#[test]
fn strides_change_no_bit() {
    // The last case is not a decoding step, and runs by blocks.
    for (queries, group, keys) in [(1, 4, 1500), (2, 1, 300), (1, 1, 5), (70, 1, 300)] {
        let (key_heads, width, value_width) = (2, 24, 32);
        let case =
            Case { key_heads, group, queries, keys, width, value_width, choice: 2, magnitude: 1.0, seed: 10 };
        let (q, k, v) = case.arrays();
        let (q, k, v) = (single(&q), single(&k), single(&v));
        // The queries see all keys.
        let attention = case.attention().mask(Mask::causal(Offset::fixed(keys as isize)));
        let run = |q: &Array3<f32>, k: &Array3<f32>, v: &Array3<f32>| {
            let mut out = Array3::zeros((2 * group, queries, value_width));
            attention.forward_into(q, k, v, &mut out).unwrap();
            out.mapv(f32::to_bits)
        };
        let plain = run(&q, &k, &v);
        // As `split_heads` gives them, as columns, and with heads innermost.
        for order in [[1, 0, 2], [0, 2, 1], [2, 1, 0]] {
            let (other_k, other_v) = (in_order(&k, order), in_order(&v, order));
            assert_eq!((&other_k, &other_v), (&k, &v));
            assert!(other_v.strides() != v.strides() && other_k.strides() != k.strides());
            assert_eq!(run(&in_order(&q, order), &k, &v), plain, "queries in the order {order:?}");
            assert_eq!(run(&q, &other_k, &v), plain, "keys in the order {order:?}");
            assert_eq!(run(&q, &k, &other_v), plain, "values in the order {order:?}");
        }
    }
}

#[test]
fn threads_change_no_bit_and_a_cache_is_read_where_it_lies() {
    let case = Case {
        key_heads: 2,
        group: 4,
        queries: 1,
        keys: 5000,
        width: 64,
        value_width: 64,
        choice: 2,
        magnitude: 1.0,
        seed: 9,
    };
    let (q, k, v) = case.arrays();
    let (q, k, v) = (single(&q), single(&k), single(&v));
    let attention = case.attention().mask(Mask::causal(Offset::keys_minus_queries()));
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (out, saved) = attention.forward(&q, &k, &v).unwrap();
            out.iter().chain(saved.log_sum_exp()).map(|x| x.to_bits()).collect::<Vec<_>>()
        })
    };
    let alone = run(1);
    assert!(alone == run(2) && alone == run(3));
    let mut cache = KeyValueCache::new(2, 64, 64);
    cache.append(&k.slice(s![.., ..4000, ..]), &v.slice(s![.., ..4000, ..])).unwrap();
    cache.append(&k.slice(s![.., 4000.., ..]), &v.slice(s![.., 4000.., ..])).unwrap();
    let mut out = Array3::zeros((8, 1, 64));
    attention.forward_into(&q, &cache.keys(), &cache.values(), &mut out).unwrap();
    assert_eq!(out, attention.forward(&q, &k, &v).unwrap().0);
    // Cases without any key, and without any query.
    let none = Attention::scaled_dot_product();
    let (zeros, _) = none
        .forward(&Array3::<f32>::ones((2, 1, 4)), &Array3::ones((2, 0, 4)), &Array3::ones((2, 0, 16)))
        .unwrap();
    assert_eq!(zeros, Array3::<f32>::zeros((2, 1, 16)));
    assert_eq!(
        none.forward(&Array3::<f32>::ones((0, 1, 4)), &Array3::ones((0, 3, 4)), &Array3::ones((0, 3, 16)))
            .unwrap()
            .0
            .len(),
        0
    );
}
