//! The tiled kernels over more than one tile of queries and of keys, in batches, and joined results.

use crate::naive::{Case, attend, distance};
use collimate_attention::{Attention, Intervention, KeyValueCache, Mask, Offset, Partial, Tile, split_heads};
use collimate_stream::RngStream;
use ndarray::{Array2, Array3, Array4, Axis, concatenate, s};
use proptest::prelude::*;

/// Cases over several tiles.
fn cases() -> impl Strategy<Value = Case> {
    let shape = (1..3usize, 1..3usize, 1..200usize, 1..300usize, 1..40usize, 1..40usize);
    (shape, 0..80u64, any::<u64>()).prop_map(
        |((key_heads, group, queries, keys, width, value_width), choice, seed)| Case {
            key_heads,
            group,
            queries,
            keys,
            width,
            value_width,
            choice,
            magnitude: 1.0,
            seed,
        },
    )
}

fn normal(shape: (usize, usize, usize), seed: u64) -> Array3<f64> {
    let mut stream = RngStream::new(seed, 3);
    Array3::from_shape_simple_fn(shape, || stream.normal())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn tiles_add_up_to_the_definition(case in cases()) {
        let (attention, (q, k, v)) = (case.attention(), case.arrays());
        let (expected, _) = attend(&attention, &q, &k, &v);
        let (out, saved) = attention.forward(&q, &k, &v).unwrap();
        prop_assert!(distance(&out, &expected) < 1e-11, "{case:?}");
        let single = |x: &Array3<f64>| x.mapv(|x| x as f32);
        let (out32, saved32) = attention.forward(&single(&q), &single(&k), &single(&v)).unwrap();
        prop_assert!(distance(&out32.mapv(f64::from), &expected) < 2e-5, "{case:?}");
        // ⟨dO, J x⟩ = ⟨Jᵀ dO, x⟩, in both types.
        let (dq, dk, dv) = (normal(q.dim(), 1), normal(k.dim(), 2), normal(v.dim(), 3));
        let d_out = normal(out.dim(), 4);
        let jvp = attention.jvp(&saved, &dq, &dk, &dv).unwrap();
        let g = attention.backward(&saved, &d_out).unwrap();
        let inner = |a: &Array3<f64>, b: &Array3<f64>| (a * b).sum();
        let (forwards, backwards) = (inner(&d_out, &jvp), inner(&g.q, &dq) + inner(&g.k, &dk) + inner(&g.v, &dv));
        prop_assert!((forwards - backwards).abs() < 1e-9 * (1.0 + forwards.abs()), "{case:?}");
        let g32 = attention.backward(&saved32, &single(&d_out)).unwrap();
        for (a, b) in [(&g32.q, &g.q), (&g32.k, &g.k), (&g32.v, &g.v)] {
            let size = 1.0 + b.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            prop_assert!(distance(&a.mapv(f64::from), b) < 1e-4 * size, "{case:?}");
        }
    }

    #[test]
    fn partial_results_are_a_commutative_monoid(seed in any::<u64>(), cuts in prop::collection::vec(0..40usize, 2)) {
        let (q, k, v) = (normal((2, 3, 4), seed), normal((2, 40, 4), seed ^ 1), normal((2, 40, 5), seed ^ 2));
        let k = k * 4.0;
        let attention = Attention::scaled_dot_product();
        let part = |keys: std::ops::Range<usize>| {
            let (k, v) = (k.slice(s![.., keys.clone(), ..]), v.slice(s![.., keys, ..]));
            let (out, saved) = attention.forward(&q, &k, &v).unwrap();
            Partial::new(out, &saved)
        };
        let (low, high) = (cuts[0].min(cuts[1]), cuts[0].max(cuts[1]));
        let (a, b, c) = (part(0..low), part(low..high), part(high..40));
        let near = |x: &Partial<f64>, y: &Partial<f64>| {
            distance(x.out(), y.out()) < 1e-13 && x.log_sum_exp().iter().zip(y.log_sum_exp()).all(|(x, y)| x == y || (x - y).abs() < 1e-13)
        };
        let join = |x: &Partial<f64>, y: &Partial<f64>| x.clone().merge(y).unwrap();
        prop_assert!(near(&join(&join(&a, &b), &c), &part(0..40)), "the union");
        prop_assert!(near(&join(&join(&a, &b), &c), &join(&a, &join(&b, &c))), "associativity");
        prop_assert!(near(&join(&a, &b), &join(&b, &a)), "commutativity");
        let empty = Partial::empty(2, 3, 5);
        prop_assert!(join(&a, &empty) == a && join(&empty, &a) == a, "identity");
        prop_assert!(a.merge(&Partial::empty(2, 3, 4)).is_err());
    }
}

#[test]
fn a_batch_is_its_members() {
    let case = Case {
        key_heads: 2,
        group: 2,
        queries: 70,
        keys: 70,
        width: 6,
        value_width: 5,
        choice: 22,
        magnitude: 1.0,
        seed: 11,
    };
    let other = Case { seed: 12, ..case };
    let attention = case.attention();
    let batch = |a: &Array3<f64>, b: &Array3<f64>| -> Array4<f64> {
        ndarray::stack(Axis(0), &[a.view(), b.view()]).unwrap()
    };
    let ((q0, k0, v0), (q1, k1, v1)) = (case.arrays(), other.arrays());
    let (q, k, v) = (batch(&q0, &q1), batch(&k0, &k1), batch(&v0, &v1));
    let (out, saved) = attention.forward(&q, &k, &v).unwrap();
    let g = attention.backward(&saved, &out).unwrap();
    let jvp = attention.jvp(&saved, &q, &k, &v).unwrap();
    let mut into = Array4::zeros(out.dim());
    attention.forward_into(&q, &k, &v, &mut into).unwrap();
    assert_eq!(into, out);
    for (b, (q, k, v)) in [(q0, k0, v0), (q1, k1, v1)].iter().enumerate() {
        let (one, kept) = attention.forward(q, k, v).unwrap();
        assert_eq!(out.index_axis(Axis(0), b), one);
        assert_eq!(saved.pattern(b * 4 + 3).unwrap(), kept.pattern(3).unwrap());
        assert_eq!(saved.log_sum_exp().index_axis(Axis(0), b), kept.log_sum_exp());
        let of_one = attention.backward(&kept, &one).unwrap();
        assert_eq!(
            (g.q.index_axis(Axis(0), b), g.k.index_axis(Axis(0), b)),
            (of_one.q.view(), of_one.k.view())
        );
        assert_eq!(jvp.index_axis(Axis(0), b), attention.jvp(&kept, q, k, v).unwrap());
    }
    assert!(attention.forward(&q, &k.slice(s![..1, .., .., ..]), &v).is_err());
}

#[test]
fn a_cache_gives_what_the_whole_sequence_gives() {
    let (q, k, v) = (normal((2, 70, 4), 1), normal((1, 70, 4), 2), normal((1, 70, 3), 3));
    let attention = Attention::scaled_dot_product()
        .heads(collimate_attention::HeadMap::multi_query())
        .mask(Mask::causal(Offset::keys_minus_queries()));
    let (whole, _) = attention.forward(&q, &k, &v).unwrap();
    let mut cache = KeyValueCache::new(1, 4, 3);
    let mut outs = Vec::new();
    for (start, end) in [(0, 64), (64, 65), (65, 66), (66, 70)] {
        cache.append(&k.slice(s![.., start..end, ..]), &v.slice(s![.., start..end, ..])).unwrap();
        let (out, _) =
            attention.forward(&q.slice(s![.., start..end, ..]), &cache.keys(), &cache.values()).unwrap();
        outs.push(out);
    }
    let views: Vec<_> = outs.iter().map(|out| out.view()).collect();
    assert!(distance(&concatenate(Axis(1), &views).unwrap(), &whole) < 1e-13);
    assert!(cache.append(&k, &v.slice(s![.., 1.., ..])).is_err());
    assert_eq!(cache.len(), 70);
}

#[test]
fn strided_and_reversed_views_are_read_where_they_lie() {
    let case = Case {
        key_heads: 2,
        group: 1,
        queries: 90,
        keys: 90,
        width: 5,
        value_width: 7,
        choice: 1,
        magnitude: 1.0,
        seed: 6,
    };
    let (q, k, v) = case.arrays();
    let expected = case.attention().forward(&q, &k, &v).unwrap();
    // Columns first, and rows backwards in memory.
    let columns = |x: &Array3<f64>| {
        x.view().permuted_axes([2, 0, 1]).as_standard_layout().into_owned().permuted_axes([1, 2, 0])
    };
    let backwards = |x: &Array3<f64>| {
        let mut reversed = x.slice(s![.., ..;-1, ..]).to_owned();
        reversed.invert_axis(Axis(1));
        reversed
    };
    let (q, k, v) = (columns(&q), backwards(&k), columns(&v));
    let (out, saved) = case.attention().forward(&q, &k, &v).unwrap();
    assert_eq!(out, expected.0);
    let g = case.attention().backward(&saved, &columns(&out)).unwrap();
    assert_eq!(g, case.attention().backward(&expected.1, &expected.0).unwrap());
    let flat = Array2::<f64>::ones((3, 8));
    assert_eq!(split_heads(&flat, 4).unwrap().dim(), (2, 3, 4));
}

#[test]
fn a_window_and_edited_tiles_are_what_the_pattern_says() {
    let case = Case {
        key_heads: 1,
        group: 2,
        queries: 150,
        keys: 170,
        width: 4,
        value_width: 3,
        choice: 0,
        magnitude: 1.0,
        seed: 9,
    };
    let (q, k, v) = case.arrays();
    let offset = Offset::fixed(15);
    for back in [0, 5, 100, 1000] {
        let heads = collimate_attention::HeadMap::multi_query();
        let causal = Attention::scaled_dot_product().heads(heads).mask(Mask::causal(offset));
        let window = causal.mask(Mask::window(offset, back));
        let far = |query: usize, key: usize| key + back < query + 15;
        // The window is the causal pattern without the keys that are too far, normalised again.
        let (_, saved) = causal.forward(&q, &k, &v).unwrap();
        let mut pattern = Array3::zeros((2, 150, 170));
        for head in 0..2 {
            let mut of_head = saved.pattern(head).unwrap();
            for (query, mut row) in of_head.rows_mut().into_iter().enumerate() {
                (0..170).filter(|&key| far(query, key)).for_each(|key| row[key] = 0.0);
                let total = row.sum();
                row.mapv_inplace(|p| p / total);
            }
            pattern.index_axis_mut(Axis(0), head).assign(&of_head);
        }
        let expected = window.intervene(&q, &k, &v, Intervention::Replace(pattern.view())).unwrap();
        let (out, saved) = window.forward(&q, &k, &v).unwrap();
        assert!(distance(&out, &expected) < 1e-12, "back {back}");
        let tile = saved.pattern_tile(1, 60..90, 20..100).unwrap();
        assert!(distance(&tile, &pattern.slice(s![1, 60..90, 20..100])) < 1e-12);
        // An intervention on the scores of the causal form gives the same output.
        let mask_far = |mut tile: Tile<'_, f64>| {
            for ((i, j), score) in tile.values.indexed_iter_mut() {
                if far(tile.queries.start + i, tile.keys.start + j) {
                    *score = f64::NEG_INFINITY;
                }
            }
        };
        let masked = causal.intervene(&q, &k, &v, Intervention::Scores(&mask_far));
        assert!(distance(&masked.unwrap(), &expected) < 1e-12);
        // The changed pattern is multiplied by the values, and every pair is visited once.
        let write = |mut tile: Tile<'_, f64>| {
            for ((i, j), p) in tile.values.indexed_iter_mut() {
                *p = *p * 0.5 + pattern[[tile.head, tile.queries.start + i, tile.keys.start + j]] * 0.5 + 1.0;
            }
        };
        let written = window.intervene(&q, &k, &v, Intervention::Pattern(&write));
        let larger = &pattern + 1.0;
        let more = window.intervene(&q, &k, &v, Intervention::Replace(larger.view())).unwrap();
        assert!(distance(&written.unwrap(), &more) < 1e-10);
        let d_out = normal(out.dim(), 4);
        let (dq, dk, dv) = (normal(q.dim(), 1), normal(k.dim(), 2), normal(v.dim(), 3));
        let g = window.backward(&saved, &d_out).unwrap();
        let forwards = (&d_out * &window.jvp(&saved, &dq, &dk, &dv).unwrap()).sum();
        let backwards = (&g.q * &dq).sum() + (&g.k * &dk).sum() + (&g.v * &dv).sum();
        assert!((forwards - backwards).abs() < 1e-9 * (1.0 + forwards.abs()));
    }
}

#[test]
fn a_softcap_bounds_the_scores_in_every_pass() {
    let case = Case {
        key_heads: 2,
        group: 2,
        queries: 140,
        keys: 150,
        width: 6,
        value_width: 5,
        choice: 2,
        magnitude: 3.0,
        seed: 4,
    };
    let (q, k, v) = case.arrays();
    let (cap, attention) = (2.5, case.attention().softcap(2.5));
    // An intervention on the scores of the plain form gives the same output. Masked pairs stay masked.
    let through = |q: &Array3<f64>, k: &Array3<f64>, v: &Array3<f64>| {
        let edit = |mut tile: Tile<'_, f64>| tile.values.mapv_inplace(|z| cap * (z / cap).tanh());
        case.attention().intervene(q, k, v, Intervention::Scores(&edit)).unwrap()
    };
    let (out, saved) = attention.forward(&q, &k, &v).unwrap();
    assert!(distance(&out, &through(&q, &k, &v)) < 1e-12);
    let single = |x: &Array3<f64>| x.mapv(|x| x as f32);
    let (out32, _) = attention.forward(&single(&q), &single(&k), &single(&v)).unwrap();
    assert!(distance(&out32.mapv(f64::from), &out) < 1e-5);
    let pattern = Array3::from_shape_fn((4, 140, 150), |(h, i, j)| {
        saved.pattern_tile(h, i..i + 1, j..j + 1).unwrap()[[0, 0]]
    });
    let replaced = attention.intervene(&q, &k, &v, Intervention::Replace(pattern.view())).unwrap();
    assert!(distance(&replaced, &out) < 1e-12);
    assert!(saved.scores(0).unwrap().iter().all(|&z| z == f64::NEG_INFINITY || z.abs() <= cap));
    let (dq, dk, dv) = (normal(q.dim(), 1), normal(k.dim(), 2), normal(v.dim(), 3));
    let jvp = attention.jvp(&saved, &dq, &dk, &dv).unwrap();
    let step = 1e-6;
    let at = |s: f64| through(&(&q + &(&dq * s)), &(&k + &(&dk * s)), &(&v + &(&dv * s)));
    assert!(distance(&jvp, &((at(step) - at(-step)) / (2.0 * step))) < 1e-7);
    let d_out = normal(out.dim(), 4);
    let g = attention.backward(&saved, &d_out).unwrap();
    let backwards = (&g.q * &dq).sum() + (&g.k * &dk).sum() + (&g.v * &dv).sum();
    assert!(((&d_out * &jvp).sum() - backwards).abs() < 1e-9 * (1.0 + backwards.abs()));
    assert!(case.attention().softcap(-1.0).forward(&q, &k, &v).is_err());
}

#[test]
fn a_few_queries_over_long_keys() {
    for (queries, group, value_width) in [(1, 4, 16), (2, 4, 32), (1, 1, 16), (3, 3, 16), (1, 9, 16)] {
        let case = Case {
            key_heads: 2,
            group,
            queries,
            keys: 300,
            width: 8,
            value_width,
            choice: 2,
            magnitude: 1.0,
            seed: 5,
        };
        let (q, k, v) = case.arrays();
        let attention = case.attention().mask(Mask::causal(Offset::fixed(299)));
        let (expected, _) = attend(&attention, &q, &k, &v);
        let (out, saved) = attention.forward(&q, &k, &v).unwrap();
        assert!(distance(&out, &expected) < 1e-13, "{case:?}");
        let single = |x: &Array3<f64>| x.mapv(|x| x as f32);
        let (out32, _) = attention.forward(&single(&q), &single(&k), &single(&v)).unwrap();
        assert!(distance(&out32.mapv(f64::from), &expected) < 1e-5, "{case:?}");
        // A value row of NaN reaches every query here, in its own column.
        let mut poisoned = v.clone();
        poisoned[[1, 200, 3]] = f64::NAN;
        let (out, _) = attention.forward(&q, &k, &poisoned).unwrap();
        for ((head, _, column), x) in out.indexed_iter() {
            assert_eq!(x.is_nan(), attention.heads.key_head(head).unwrap() == 1 && column == 3);
        }
        assert!(saved.log_sum_exp().iter().all(|x| x.is_finite()));
    }
}
