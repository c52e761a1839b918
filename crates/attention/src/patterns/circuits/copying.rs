use crate::AttentionError;
use crate::error::check_shape;
use collimate_measure::{Fingerprint, Measurement, Quantity, Unit};
use collimate_tensor::Scalar;
use ndarray::ArrayRef2;

const COPYING: Quantity = Quantity {
    name: "copying score",
    definition: "2 · share − 1, with the share of what a head's direct logits (less their mean, positive part) give to the \
                 attended among the tokens of the sample, mean over queries",
    unit: Unit::One,
};

const OWN_TOKEN: Quantity = Quantity {
    name: "own token in the top",
    definition: "share of the rows whose own token is among the k largest logits of the row",
    unit: Unit::Fraction,
};

/// Measures how strongly a head raises the logits of the tokens it attends to.
///
/// ```text
/// r_i = max(0, logits_i − mean over the vocabulary)
/// share_i = Σ_j pattern(i, j) r_i[x_j] / Σ_j r_i[x_j],   score = 2 · mean_i share_i − 1
/// ```
/// `logits` are the logits that the head alone adds at each query: its output through W_O and the unembedding. The sample has
/// different random tokens, so that each occurs once. Queries that raise the logit of no token of the sample do not count.
///
/// # Shapes
/// `pattern [t, s]`, `logits [t, vocabulary]`, `tokens` of length s.
///
/// # Units and range
/// From −1 (the head raises only tokens that it does not attend to) to 1.
///
/// # Errors
/// [`AttentionError::Shape`]; [`AttentionError::Index`] for a token outside the vocabulary; [`AttentionError::Undefined`]
/// when a token occurs twice or no query raises a token of the sample.
///
/// # Examples
/// ```
/// use collimate_attention::circuits::copying_score;
/// use ndarray::array;
/// let pattern = array![[1.0, 0.0], [0.5, 0.5]];
/// let logits = array![[2.0, 0.0, -2.0], [3.0, 3.0, -6.0]];
/// // Query 0 raises what it attends to, query 1 both halves of it: shares 1 and 1/2.
/// assert_eq!(copying_score(&pattern, &logits, &[0, 1])?.value, 0.5);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Olsson et al. (2022), "In-context Learning and Induction Heads", appendix on head activation evaluators. Its text leaves
/// the normaliser open; this one is the definition above.
pub fn copying_score<F: Scalar>(
    pattern: &ArrayRef2<F>,
    logits: &ArrayRef2<F>,
    tokens: &[u32],
) -> Result<Measurement, AttentionError> {
    let (t, s) = pattern.dim();
    let vocabulary = logits.ncols();
    check_shape("tokens", "[s]", &[s], &[tokens.len()])?;
    check_shape("logits", "[t, vocabulary]", &[t, vocabulary], logits.shape())?;
    in_vocabulary(tokens, vocabulary)?;
    let undefined = |reason| Err(AttentionError::Undefined { quantity: COPYING.name, reason });
    let mut sorted = tokens.to_vec();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return undefined("a token of the sample occurs twice");
    }
    let (mut total, mut n) = (0.0, 0u64);
    for (attention, logits) in pattern.rows().into_iter().zip(logits.rows()) {
        let mean = logits.iter().map(|x| (*x).to_f64()).sum::<f64>() / vocabulary as f64;
        let raised = |token: u32| (logits[token as usize].to_f64() - mean).max(0.0);
        let all: f64 = tokens.iter().map(|&token| raised(token)).sum();
        let attended: f64 = tokens.iter().zip(attention).map(|(&token, &a)| a.to_f64() * raised(token)).sum();
        if all > 0.0 {
            total += attended / all;
            n += 1;
        }
    }
    if n == 0 {
        return undefined("no query raises a token of the sample");
    }
    let object = fingerprint(pattern, tokens).and_numbers(&numbers(logits));
    Ok(Measurement { n, ..Measurement::exact(&COPYING, 2.0 * total / n as f64 - 1.0, object) })
}

/// Measures how often the token of a row is among the `k` largest logits of the row. Ties count in its favour.
///
/// For rows of names, each mapped through the first MLP, a head's W_OV, the final norm and the unembedding, this is the copy
/// score of name movers (k = 5). With −W_OV it is the score of negative name movers.
///
/// # Shapes
/// `logits [n, vocabulary]`, `tokens` of length n.
///
/// # Errors
/// [`AttentionError::Shape`]; [`AttentionError::Index`] for a token outside the vocabulary; [`AttentionError::Undefined`]
/// without rows.
///
/// # Examples
/// ```
/// use collimate_attention::circuits::own_token_in_top;
/// let logits = ndarray::array![[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]];
/// assert_eq!(own_token_in_top(&logits, &[1, 2], 2)?.value, 0.5);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Wang et al. (2022), "Interpretability in the Wild", section 3.1.
pub fn own_token_in_top<F: Scalar>(
    logits: &ArrayRef2<F>,
    tokens: &[u32],
    k: usize,
) -> Result<Measurement, AttentionError> {
    check_shape("tokens", "[n]", &[logits.nrows()], &[tokens.len()])?;
    in_vocabulary(tokens, logits.ncols())?;
    if tokens.is_empty() {
        return Err(AttentionError::Undefined { quantity: OWN_TOKEN.name, reason: "there is no row" });
    }
    let hits = logits.rows().into_iter().zip(tokens).filter(|(row, token)| {
        let own = row[**token as usize];
        !own.is_nan() && row.iter().filter(|&&x| x > own).count() < k
    });
    let n = tokens.len();
    let value = hits.count() as f64 / n as f64;
    let object = fingerprint(logits, tokens).and_numbers(&[k as f64]);
    Ok(Measurement { n: n as u64, ..Measurement::exact(&OWN_TOKEN, value, object) })
}

fn in_vocabulary(tokens: &[u32], vocabulary: usize) -> Result<(), AttentionError> {
    match tokens.iter().find(|&&token| token as usize >= vocabulary) {
        None => Ok(()),
        Some(&token) => {
            Err(AttentionError::Index { axis: "token", index: token as usize, length: vocabulary })
        }
    }
}

fn numbers<F: Scalar>(x: &ArrayRef2<F>) -> Vec<f64> {
    x.iter().map(|x| (*x).to_f64()).collect()
}

fn fingerprint<F: Scalar>(x: &ArrayRef2<F>, tokens: &[u32]) -> Fingerprint {
    let tokens: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    Fingerprint::of(&tokens).and_numbers(&numbers(x))
}
