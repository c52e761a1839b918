use crate::naive::{Case, attend, distance};
use collimate_attention::{
    Attention, HeadMap, Intervention, Mask, Offset, PatternRow, split_heads, split_heads_mut,
};
use ndarray::{Array2, Array3, Axis, s};
use proptest::prelude::*;

pub(crate) fn cases() -> impl Strategy<Value = Case> {
    let shape = (1..4usize, 1..4usize, 1..12usize, 1..12usize, 1..8usize, 1..6usize);
    (shape, 0..80u64, prop_oneof![Just(1.0), Just(30.0), Just(100.0)], any::<u64>()).prop_map(
        |((key_heads, group, queries, keys, width, value_width), choice, magnitude, seed)| Case {
            key_heads,
            group,
            queries,
            keys,
            width,
            value_width,
            choice,
            magnitude,
            seed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn output_and_pattern_are_those_of_the_definition(case in cases()) {
        let (attention, (q, k, v)) = (case.attention(), case.arrays());
        let (expected, pattern) = attend(&attention, &q, &k, &v);
        let (out, saved) = attention.forward(&q, &k, &v).unwrap();
        // Logits reach 10⁴: a rounding of 1e-16 in the angle moves them by 1e-12.
        prop_assert!(distance(&out, &expected) < 1e-9, "{case:?}");
        for head in 0..q.dim().0 {
            let whole = saved.pattern(head).unwrap();
            prop_assert!(distance(&whole, &pattern.index_axis(Axis(0), head)) < 1e-9);
            for query in 0..case.queries {
                prop_assert!(distance(&saved.pattern_row(head, query).unwrap(), &whole.row(query)) < 1e-12);
                let scores = saved.scores(head).unwrap();
                let lse = saved.log_sum_exp()[[head, query]];
                let row = scores.row(query);
                let total: f64 = row.iter().map(|z| (z - lse).exp()).sum();
                let empty = row.iter().all(|&z| z == f64::NEG_INFINITY);
                let right = if empty { lse == f64::NEG_INFINITY } else { (total - 1.0).abs() < 1e-9 };
                prop_assert!(right);
            }
        }
        let edited = attention.intervene(&q, &k, &v, Intervention::Rows(&|_| ())).unwrap();
        prop_assert!(distance(&edited, &out) < 1e-12);
        let applied = attention.intervene(&q, &k, &v, Intervention::Replace(pattern.view())).unwrap();
        prop_assert!(distance(&applied, &expected) < 1e-12);
    }
}

#[test]
fn more_than_one_tile_of_queries() {
    let case = Case {
        key_heads: 2,
        group: 2,
        queries: 150,
        keys: 170,
        width: 8,
        value_width: 5,
        choice: 22,
        magnitude: 1.0,
        seed: 3,
    };
    let (q, k, v) = case.arrays();
    let (expected, _) = attend(&case.attention(), &q, &k, &v);
    assert!(distance(&case.attention().forward(&q, &k, &v).unwrap().0, &expected) < 1e-12);
    let single = |x: &Array3<f64>| x.mapv(|x| x as f32);
    let (out, _) = case.attention().forward(&single(&q), &single(&k), &single(&v)).unwrap();
    assert!(distance(&out.mapv(f64::from), &expected) < 1e-5);
}

#[test]
fn a_query_without_keys_gives_zeros() {
    let attention = Attention::scaled_dot_product().mask(Mask::causal(Offset::fixed(-1)));
    let x = Array3::<f64>::ones((1, 3, 2));
    let (out, saved) = attention.forward(&x, &x, &x).unwrap();
    assert_eq!(out.slice(s![0, 0, ..]).to_vec(), [0.0, 0.0]);
    assert_eq!(saved.log_sum_exp()[[0, 0]], f64::NEG_INFINITY);
    assert_eq!(saved.pattern_row(0, 0).unwrap().to_vec(), [0.0; 3]);
    let gradients = attention.backward(&saved, &Array3::ones((1, 3, 2))).unwrap();
    assert_eq!(gradients.q.slice(s![0, 0, ..]).to_vec(), [0.0, 0.0]);
    // No keys at all.
    let none = Array3::<f64>::zeros((1, 0, 2));
    assert_eq!(
        Attention::scaled_dot_product().forward(&x, &none, &none).unwrap().0,
        Array3::<f64>::zeros((1, 3, 2))
    );
    let saved = Attention::scaled_dot_product().forward(&none, &x, &x).unwrap().1;
    assert_eq!(saved.log_sum_exp().dim(), (1, 0));
}

#[test]
fn views_of_projections_are_read_and_written_in_place() {
    let case = Case {
        key_heads: 3,
        group: 3,
        queries: 7,
        keys: 7,
        width: 4,
        value_width: 4,
        choice: 2,
        magnitude: 1.0,
        seed: 5,
    };
    let (q, k, v) = case.arrays();
    // The fused projection (t, (h + 2 g) d) of a decoder.
    let mut fused = Array2::<f64>::zeros((7, 15 * 4));
    for (x, first) in [(&q, 0), (&k, 9), (&v, 12)] {
        let heads = x.dim().0;
        split_heads_mut(&mut fused, 4).unwrap().slice_mut(s![first..first + heads, .., ..]).assign(x);
    }
    let parts = split_heads(&fused, 4).unwrap();
    let part = |heads| parts.slice(s![heads, .., ..]);
    let mut flat = Array2::from_elem((7, 9 * 4), f64::NAN);
    let mut out = split_heads_mut(&mut flat, 4).unwrap();
    case.attention().forward_into(&part(0..9), &part(9..12), &part(12..15), &mut out).unwrap();
    let (expected, _) = case.attention().forward(&q, &k, &v).unwrap();
    assert_eq!(split_heads(&flat, 4).unwrap(), expected);
}

#[test]
fn an_edited_pattern_is_multiplied_by_the_values() {
    let case = Case {
        key_heads: 1,
        group: 2,
        queries: 5,
        keys: 5,
        width: 3,
        value_width: 2,
        choice: 2,
        magnitude: 1.0,
        seed: 8,
    };
    let (q, k, v) = case.arrays();
    let shift = |head: usize, query: usize, row: &mut [f64]| row[(query + head) % 5] += 0.5;
    let (_, mut pattern) = attend(&case.attention(), &q, &k, &v);
    for ((head, query), mut row) in (0..2).flat_map(|h| (0..5).map(move |t| (h, t))).zip(pattern.rows_mut()) {
        shift(head, query, row.as_slice_mut().unwrap());
    }
    let edit = |row: PatternRow<'_, f64>| shift(row.head, row.query, row.values);
    let edited = case.attention().intervene(&q, &k, &v, Intervention::Rows(&edit)).unwrap();
    let replace = Intervention::Replace(pattern.view());
    assert!(distance(&edited, &case.attention().intervene(&q, &k, &v, replace).unwrap()) < 1e-12);
}

#[test]
fn grouped_heads_are_repeated_key_heads() {
    let (q, k) = (
        Array3::from_shape_fn((4, 3, 2), |(h, t, d)| (h * 7 + t * 3 + d) as f64 * 0.1),
        Array3::ones((2, 3, 2)),
    );
    let v = Array3::from_shape_fn((2, 3, 1), |(g, _, _)| g as f64);
    let read = |map| {
        Attention::scaled_dot_product().heads(map).forward(&q, &k, &v).unwrap().0.slice(s![.., 0, 0]).to_vec()
    };
    let near = |a: Vec<f64>, b: [f64; 4]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
    assert!(near(read(HeadMap::grouped_by_floor(4, 2)), [0.0, 0.0, 1.0, 1.0]));
    assert!(near(read(HeadMap::grouped_by_modulo(4, 2)), [0.0, 1.0, 0.0, 1.0]));
}
