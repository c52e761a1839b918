use approx::assert_abs_diff_eq;
use collimate_attention::{
    AttentionError, attention_entropy, duplicate_token, first_position_mass, prefix_matching, previous_token,
};
use ndarray::{Array2, array};

/// Returns a causal pattern that is uniform over the keys that a query sees.
fn uniform(n: usize) -> Array2<f64> {
    Array2::from_shape_fn((n, n), |(i, j)| if j <= i { 1.0 / (i + 1) as f64 } else { 0.0 })
}

#[test]
fn the_stripe_of_repeated_tokens() {
    // [start] a b c a b c: an ideal induction head puts all of query i on i − 2.
    let tokens = [0, 11, 12, 13, 11, 12, 13];
    let ideal =
        Array2::from_shape_fn((7, 7), |(i, j)| if i < 4 { f64::from(j == 0) } else { f64::from(j + 2 == i) });
    let score = prefix_matching(&ideal, &tokens).unwrap();
    assert_eq!((score.value, score.n, score.standard_error), (1.0, 3, None));
    let score = prefix_matching(&uniform(7), &tokens).unwrap();
    assert_abs_diff_eq!(score.value, (1.0 / 5.0 + 1.0 / 6.0 + 1.0 / 7.0) / 3.0, epsilon = 1e-15);
    // Only the last two queries, with all keys: as in decoding.
    let last = ideal.slice(ndarray::s![5.., ..]).to_owned();
    assert_eq!(prefix_matching(&last, &tokens).unwrap().value, 1.0);
    // A token that occurs three times has two followers.
    let score = prefix_matching(&uniform(5), &[5, 6, 5, 7, 5]).unwrap();
    assert_abs_diff_eq!(score.value, (1.0 / 3.0 + 2.0 / 5.0) / 2.0, epsilon = 1e-15);
}

#[test]
fn a_token_twice_in_a_row_counts_itself_as_the_follower() {
    // x = [5, 5]: j = 1 follows the 5 at 0, and j ≤ i holds.
    assert_eq!(prefix_matching(&array![[1.0, 0.0], [0.3, 0.7]], &[5, 5]).unwrap().value, 0.7);
}

#[test]
fn previous_duplicate_first_and_entropy() {
    let pattern = array![[1.0, 0.0, 0.0], [0.2, 0.8, 0.0], [0.1, 0.6, 0.3]];
    let near = |a: f64, b: f64| (a - b).abs() < 1e-15;
    assert!(near(previous_token(&pattern, &[1, 2, 3]).unwrap().value, (0.2 + 0.6) / 2.0));
    assert!(near(duplicate_token(&pattern, &[1, 1, 1]).unwrap().value, (0.2 + 0.7) / 2.0));
    assert!(near(first_position_mass(&pattern).unwrap().value, (0.2 + 0.1) / 2.0));
    let entropy = attention_entropy(&uniform(4)).unwrap();
    assert!(near(entropy.value, 24f64.ln() / 4.0));
    assert_eq!(attention_entropy(&Array2::<f32>::zeros((2, 2))).unwrap().value, 0.0);
}

#[test]
fn what_has_no_value_is_an_error() {
    let pattern = uniform(3);
    assert!(matches!(prefix_matching(&pattern, &[1, 2, 3]), Err(AttentionError::Undefined { .. })));
    assert!(matches!(prefix_matching(&pattern, &[1, 2]), Err(AttentionError::Shape { .. })));
    let tall = Array2::<f64>::zeros((4, 3));
    assert!(matches!(previous_token(&tall, &[1, 2, 3]), Err(AttentionError::Shape { .. })));
    assert!(first_position_mass(&uniform(1)).is_err());
    assert!(attention_entropy(&array![[f64::NAN]]).is_err());
    assert!(attention_entropy(&array![[-0.5, 1.5]]).is_err());
    let message = prefix_matching(&pattern, &[1, 2, 3]).unwrap_err().to_string();
    assert_eq!(message, "prefix-matching score: no token occurs twice");
}

#[test]
fn the_fingerprint_knows_pattern_and_tokens() {
    let one = duplicate_token(&uniform(3), &[1, 1, 2]).unwrap();
    let other = duplicate_token(&uniform(3), &[1, 1, 3]).unwrap();
    assert_eq!(one.value, other.value);
    assert_ne!(one.object, other.object);
}
