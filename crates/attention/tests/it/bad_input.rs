use collimate_attention::{Attention, HeadMap, Intervention, Mask, Offset, Rotary, Scale, split_heads};
use ndarray::{Array2, Array3};

fn zeros(h: usize, t: usize, d: usize) -> Array3<f64> {
    Array3::zeros((h, t, d))
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let attention = Attention::scaled_dot_product();
    let message = |q: Array3<f64>, k: Array3<f64>, v: Array3<f64>| {
        attention.forward(&q, &k, &v).unwrap_err().to_string()
    };
    assert_eq!(
        message(zeros(2, 3, 4), zeros(2, 3, 5), zeros(2, 3, 4)),
        "k must have the shape [2, 3, 4] [g, s, d], but has [2, 3, 5]"
    );
    assert_eq!(
        message(zeros(2, 3, 4), zeros(2, 3, 4), zeros(2, 4, 6)),
        "v must have the shape [2, 3, 6] [g, s, e], but has [2, 4, 6]"
    );
    assert_eq!(
        message(zeros(4, 3, 4), zeros(2, 3, 4), zeros(2, 3, 4)),
        "multi-head cannot join 4 query heads to 2 key heads: the two counts must be equal"
    );
    assert!(message(zeros(1, 3, 0), zeros(1, 3, 0), zeros(1, 3, 4)).contains("the scale must be finite"));
    let (_, saved) = attention.forward(&zeros(2, 3, 4), &zeros(2, 3, 4), &zeros(2, 3, 5)).unwrap();
    assert_eq!(
        attention.backward(&saved, &zeros(2, 3, 4)).unwrap_err().to_string(),
        "d_out must have the shape [2, 3, 5] [h, t, e], but has [2, 3, 4]"
    );
    assert!(attention.jvp(&saved, &zeros(2, 3, 4), &zeros(2, 2, 4), &zeros(2, 3, 5)).is_err());
    assert!(saved.pattern(2).unwrap_err().to_string().contains("head 2 does not exist: there are 2"));
    assert!(saved.pattern_row(0, 3).unwrap_err().to_string().contains("query 3"));
    let x = zeros(2, 3, 4);
    assert!(
        attention.forward_into(&x, &x, &x, &mut zeros(2, 4, 4)).unwrap_err().to_string().starts_with("out ")
    );
    let pattern = zeros(2, 3, 5);
    assert_eq!(
        attention.intervene(&x, &x, &x, Intervention::Replace(pattern.view())).unwrap_err().to_string(),
        "the pattern must have the shape [2, 3, 3] [h, t, s], but has [2, 3, 5]"
    );
}

#[test]
fn head_maps_that_do_not_divide_are_refused() {
    let ask = |map: HeadMap, h, g| map.check(h, g).is_err();
    assert!(ask(HeadMap::grouped_by_floor(9, 4), 9, 4));
    assert!(ask(HeadMap::grouped_by_floor(9, 0), 9, 0));
    assert!(ask(HeadMap::grouped_by_modulo(9, 3), 6, 3));
    assert!(ask(HeadMap::multi_query(), 4, 2));
    assert!(!ask(HeadMap::grouped_by_floor(9, 3), 9, 3));
    assert!(!ask(HeadMap::multi_query(), 4, 1));
}

#[test]
fn key_heads_of_maps_that_do_not_divide_are_errors() {
    for (h, g) in [(9, 0), (0, 0), (9, 4), (2, 3)] {
        for map in [HeadMap::grouped_by_floor(h, g), HeadMap::grouped_by_modulo(h, g)] {
            let error = map.key_head(0).unwrap_err();
            assert!(error.to_string().contains("must divide") || h == 0, "{error}");
        }
    }
    for map in [HeadMap::grouped_by_floor(6, 3), HeadMap::grouped_by_modulo(6, 3)] {
        assert!(map.key_head(5).is_ok());
        assert_eq!(map.key_head(6).unwrap_err().to_string(), "query head 6 does not exist: there are 6");
    }
    assert_eq!(HeadMap::grouped_by_floor(6, 3).key_head(5).unwrap(), 2);
    assert_eq!(HeadMap::multi_head().key_head(7).unwrap(), 7);
    assert_eq!(HeadMap::multi_query().key_head(7).unwrap(), 0);
}

#[test]
fn rotary_parameters_are_checked() {
    assert!(Rotary::interleaved(3, 100.0).table::<f64>([0]).is_err());
    assert!(Rotary::interleaved(2, 0.0).table::<f64>([0]).is_err());
    assert!(Rotary::interleaved(2, f64::NAN).table::<f64>([0]).is_err());
    let table = Rotary::interleaved(4, 100.0).table::<f64>(0..3).unwrap();
    assert!(table.apply(&mut zeros(1, 4, 4)).unwrap_err().to_string().contains("position 3 does not exist"));
    assert!(table.apply(&mut zeros(1, 3, 3)).unwrap_err().to_string().contains("at least the rotary width"));
    // Without a causal mask the positions of two queries among three keys are unknown.
    let attention = Attention::scaled_dot_product().rotary(Rotary::interleaved(4, 100.0));
    let given = (zeros(1, 2, 4), zeros(1, 3, 4));
    assert!(
        attention
            .forward(&given.0, &given.1, &given.1)
            .unwrap_err()
            .to_string()
            .contains("the positions of the queries are unknown")
    );
    let attention = attention.mask(Mask::causal(Offset::keys_minus_queries()));
    assert!(attention.forward(&given.0, &given.1, &given.1).is_ok());
    let attention = attention.scale(Scale::Fixed(f64::NAN));
    assert!(attention.forward(&given.0, &given.1, &given.1).is_err());
    assert!(split_heads(&Array2::<f64>::zeros((2, 7)), 3).is_err());
    assert!(split_heads(&Array2::<f64>::zeros((2, 6)).t(), 2).is_err());
}
