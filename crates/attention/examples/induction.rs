//! An induction head built by hand from two heads, and what is left of it when the first one is knocked out.
//!
//! Run with `cargo run -p collimate-attention --example induction`.

use collimate_attention::{Attention, AttentionError, Mask, Offset, Scale, prefix_matching};
use ndarray::{Array2, Array3, Axis};

const RUN: [usize; 5] = [3, 1, 4, 5, 2];

fn main() -> Result<(), AttentionError> {
    // A start token, then a run of different tokens twice.
    let tokens: Vec<usize> = [0].into_iter().chain(RUN).chain(RUN).collect();
    let ids: Vec<u32> = tokens.iter().map(|&token| token as u32).collect();
    let n = tokens.len();
    let token = one_hot(&tokens, 6);
    let position = one_hot(&(0..n).collect::<Vec<_>>(), n);
    let before = one_hot(&(0..n).map(|i| i.saturating_sub(1)).collect::<Vec<_>>(), n);

    // One-hot rows have scores 0 and 1; the scale is an inverse temperature.
    let head = Attention::scaled_dot_product().scale(Scale::Fixed(12.0)).mask(Mask::causal(Offset::zero()));

    // Layer 1: every position looks at the one before it and carries its token.
    let (previous, _) = head.forward(&before, &position, &token)?;
    // Layer 2: every position looks for one whose previous token is its own, and copies the token it finds.
    let (prediction, saved) = head.forward(&token, &previous, &token)?;
    let score = prefix_matching(&saved.pattern(0)?, &ids)?;
    println!("{score}");
    for i in RUN.len() + 1..n - 1 {
        let best =
            (0..6).max_by(|&a, &b| prediction[[0, i, a]].total_cmp(&prediction[[0, i, b]])).unwrap_or(0);
        println!("after token {} it predicts {best}, the next one is {}", tokens[i], tokens[i + 1]);
        assert_eq!(best, tokens[i + 1]);
    }
    assert!(score.value > 0.999);

    // The same with the first head knocked out: each row of its pattern is spread evenly over what it may see.
    let previous = head.forward_editing(&before, &position, &token, |_, query, row| {
        row[..=query].fill(1.0 / (query + 1) as f64);
    })?;
    let (_, saved) = head.forward(&token, &previous, &token)?;
    let without = prefix_matching(&saved.pattern(0)?, &ids)?;
    println!("without the first head: {without}");
    assert!((without.value - EXPECTED).abs() < 1e-6, "{}", without.value);
    Ok(())
}

/// What is left of the prefix-matching score without the first head.
const EXPECTED: f64 = 0.147_569_632;

/// One head of one-hot rows: row `i` has a 1 in column `columns[i]`.
fn one_hot(columns: &[usize], width: usize) -> Array3<f64> {
    Array2::from_shape_fn((columns.len(), width), |(i, j)| if columns[i] == j { 1.0 } else { 0.0 })
        .insert_axis(Axis(0))
}
