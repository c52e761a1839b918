//! Measurements of a head from its pattern.

use crate::AttentionError;
use crate::error::check_shape;
use collimate_measure::{Fingerprint, Measurement, Quantity, Unit};
use collimate_tensor::Scalar;
use ndarray::ArrayRef2;

const PREFIX_MATCHING: Quantity = Quantity {
    name: "prefix-matching score",
    definition: "mean over the queries whose token occurred before of the attention to the tokens that followed those occurrences",
    unit: Unit::Fraction,
};

const PREVIOUS_TOKEN: Quantity = Quantity {
    name: "previous-token score",
    definition: "mean over the queries after position 0 of the attention to the position before",
    unit: Unit::Fraction,
};

const DUPLICATE_TOKEN: Quantity = Quantity {
    name: "duplicate-token score",
    definition: "mean over the queries whose token occurred before of the attention to those occurrences",
    unit: Unit::Fraction,
};

const ENTROPY: Quantity = Quantity {
    name: "attention entropy",
    definition: "mean over the queries of −Σ p log p over the keys",
    unit: Unit::Nats,
};

const FIRST_POSITION: Quantity = Quantity {
    name: "attention to the first position",
    definition: "mean over the queries after position 0 of the attention to position 0",
    unit: Unit::Fraction,
};

/// Measures how much a head attends to the tokens that followed earlier occurrences of the current token, as induction heads do.
///
/// ```text
/// mean over queries i of Σ { pattern(i, j) : x_{j−1} = x_i, j ≤ i }, over the i for which such a j exists
/// ```
/// On `[start] T T` with a run `T` of different tokens this is the mean of the stripe |T| − 1 behind the diagonal.
///
/// # Shapes
/// `pattern [t, s]`, `tokens` of length s. Query `i` has position `i + s − t`.
///
/// # Units and range
/// A share of the attention, 0 to 1. `n` counts the queries. There is no standard error, since queries of one
/// sequence are not independent: average over several sequences to get one.
///
/// # Errors
/// [`AttentionError::Shape`] if the lengths differ or t > s, [`AttentionError::Undefined`] if no token occurs twice.
///
/// # Examples
/// ```
/// use collimate_attention::prefix_matching;
/// use ndarray::array;
/// let pattern = array![
///     [1.0, 0.0, 0.0, 0.0],
///     [0.5, 0.5, 0.0, 0.0],
///     [0.1, 0.8, 0.1, 0.0], // token 7 again: 8 followed it before
///     [0.0, 0.0, 0.6, 0.4], // token 8 again: 7 followed it before
/// ];
/// let score = prefix_matching(&pattern, &[7, 8, 7, 8])?;
/// assert!((score.value - (0.8 + 0.6) / 2.0_f64).abs() < 1e-15);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Olsson et al. (2022), "In-context Learning and Induction Heads", with its erratum: the tokens that followed.
pub fn prefix_matching<F: Scalar>(
    pattern: &ArrayRef2<F>,
    tokens: &[u32],
) -> Result<Measurement, AttentionError> {
    let followed = |i: usize, j: usize| j >= 1 && j <= i && tokens[j - 1] == tokens[i];
    mean_attention(&PREFIX_MATCHING, pattern, tokens, followed, "no token occurs twice")
}

/// Measures how much a head attends to the previous position, as the first half of an induction circuit does.
///
/// # Shapes
/// Like [`prefix_matching`].
///
/// # Errors
/// [`AttentionError::Shape`]; [`AttentionError::Undefined`] if every query has position 0.
///
/// # Examples
/// ```
/// use collimate_attention::previous_token;
/// let pattern = ndarray::array![[1.0, 0.0], [0.75, 0.25]];
/// assert_eq!(previous_token(&pattern, &[4, 5])?.value, 0.75);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
pub fn previous_token<F: Scalar>(
    pattern: &ArrayRef2<F>,
    tokens: &[u32],
) -> Result<Measurement, AttentionError> {
    mean_attention(&PREVIOUS_TOKEN, pattern, tokens, |i, j| j + 1 == i, "every query has position 0")
}

/// Measures how much a head attends to earlier occurrences of the current token.
///
/// # Shapes
/// Like [`prefix_matching`].
///
/// # Errors
/// Like [`prefix_matching`].
///
/// # Examples
/// ```
/// use collimate_attention::duplicate_token;
/// let pattern = ndarray::array![[1.0, 0.0], [0.75, 0.25]];
/// assert_eq!(duplicate_token(&pattern, &[4, 4])?.value, 0.75);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
pub fn duplicate_token<F: Scalar>(
    pattern: &ArrayRef2<F>,
    tokens: &[u32],
) -> Result<Measurement, AttentionError> {
    let same = |i: usize, j: usize| j < i && tokens[j] == tokens[i];
    mean_attention(&DUPLICATE_TOKEN, pattern, tokens, same, "no token occurs twice")
}

/// Measures how much a head attends to the first position, the usual sink of unused attention.
///
/// Query 0 of a causal pattern does not count, because it sees no other key.
///
/// # Shapes
/// `pattern [t, s]`, t ≤ s. Query `i` has position `i + s − t`.
///
/// # Errors
/// Like [`previous_token`].
///
/// # Examples
/// ```
/// use collimate_attention::first_position_mass;
/// let pattern = ndarray::array![[1.0, 0.0], [0.75, 0.25]];
/// assert_eq!(first_position_mass(&pattern)?.value, 0.75);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
pub fn first_position_mass<F: Scalar>(pattern: &ArrayRef2<F>) -> Result<Measurement, AttentionError> {
    let tokens = vec![0; pattern.ncols()];
    mean_attention(&FIRST_POSITION, pattern, &tokens, |i, j| j == 0 && i > 0, "every query has position 0")
}

/// Measures the mean entropy of the rows of a pattern. Its `exp` is an effective number of keys.
///
/// # Shapes
/// `pattern [t, s]`.
///
/// # Units and range
/// Nats, from 0 to log s. A row of zeros (a query without any key) counts as 0.
///
/// # Errors
/// [`AttentionError::Undefined`] if there is no query or the pattern has a negative entry or NaN.
///
/// # Examples
/// ```
/// use collimate_attention::attention_entropy;
/// let pattern = ndarray::array![[1.0, 0.0], [0.5, 0.5]];
/// assert!((attention_entropy(&pattern)?.value - 2f64.ln() / 2.0).abs() < 1e-15);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
pub fn attention_entropy<F: Scalar>(pattern: &ArrayRef2<F>) -> Result<Measurement, AttentionError> {
    let undefined = |reason| Err(AttentionError::Undefined { quantity: ENTROPY.name, reason });
    if pattern.nrows() == 0 {
        return undefined("there is no query");
    }
    let mut total = 0.0;
    for p in pattern.iter().map(|&p| p.to_f64()) {
        if p.is_nan() || p < 0.0 {
            return undefined("an entry of the pattern is negative or NaN");
        }
        if p > 0.0 {
            total -= p * p.ln();
        }
    }
    let mean = total / pattern.nrows() as f64;
    Ok(exact(&ENTROPY, mean, pattern.nrows(), pattern, &[]))
}

/// Computes the mean attention to the keys j with `counts(i, j)`, over the queries i that have such a key.
fn mean_attention<F: Scalar>(
    quantity: &'static Quantity,
    pattern: &ArrayRef2<F>,
    tokens: &[u32],
    counts: impl Fn(usize, usize) -> bool,
    reason: &'static str,
) -> Result<Measurement, AttentionError> {
    let (queries, keys) = pattern.dim();
    check_shape("tokens", "[s]", &[keys], &[tokens.len()])?;
    if queries > keys {
        return Err(AttentionError::Shape {
            argument: "pattern",
            axes: "[t, s] with t ≤ s",
            expected: vec![keys, keys],
            given: vec![queries, keys],
        });
    }
    let (mut total, mut n) = (0.0, 0);
    for (query, row) in pattern.rows().into_iter().enumerate() {
        let position = query + keys - queries;
        let mut seen = (0..keys).filter(|&j| counts(position, j)).peekable();
        if seen.peek().is_some() {
            total += seen.map(|j| row[j].to_f64()).sum::<f64>();
            n += 1;
        }
    }
    if n == 0 {
        return Err(AttentionError::Undefined { quantity: quantity.name, reason });
    }
    Ok(exact(quantity, total / n as f64, n, pattern, tokens))
}

/// Makes the measurement of one pattern, with the fingerprint of the pattern and the tokens.
fn exact<F: Scalar>(
    quantity: &Quantity,
    value: f64,
    n: usize,
    pattern: &ArrayRef2<F>,
    tokens: &[u32],
) -> Measurement {
    let numbers: Vec<f64> = pattern.iter().map(|&p| p.to_f64()).collect();
    let tokens: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    let object = Fingerprint::of(&tokens).and_numbers(&numbers);
    Measurement { n: n as u64, ..Measurement::exact(quantity, value, object) }
}
