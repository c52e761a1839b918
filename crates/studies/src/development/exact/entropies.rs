use collimate_measure::{OutOfRange, ensure};
use std::collections::HashMap;

/// Computes the entropy of a byte of a text given the `order − 1` bytes before it, in nats, over the text itself.
///
/// ```text
/// H = −Σ_{c,x} n(c x)/n · ln(n(c x)/n(c)),   c the last order − 1 bytes
/// ```
///
/// No model that reads only these bytes has a smaller mean loss on this text. It is no bound on other text: for high orders most
/// contexts occur once.
///
/// # Errors
/// [`OutOfRange`] for an order outside 1..=8, or one that is longer than the text.
///
/// # Examples
/// ```
/// use collimate_studies::development::conditional_entropy;
/// // After "a" comes "b" or "c" equally often, and after both comes "a": one half of the bytes are a coin.
/// let text = "abac".repeat(1000);
/// let entropy = conditional_entropy(text.as_bytes(), 2)?;
/// assert!((entropy - 0.5 * 2f64.ln()).abs() < 1e-3);
/// # Ok::<(), collimate_measure::OutOfRange>(())
/// ```
pub fn conditional_entropy(text: &[u8], order: usize) -> Result<f64, OutOfRange> {
    ensure((1..=8).contains(&order), "the order", "in 1..=8", order as f64)?;
    ensure(text.len() >= order, "the order", "at most the length of the text", order as f64)?;
    let mut grams: HashMap<u64, u64> = HashMap::new();
    for window in text.windows(order) {
        let key = window.iter().fold(0, |key: u64, &byte| key << 8 | u64::from(byte));
        *grams.entry(key).or_default() += 1;
    }
    let mut contexts: HashMap<u64, u64> = HashMap::new();
    for (key, count) in &grams {
        *contexts.entry(key >> 8).or_default() += count;
    }
    // Sorted, so that the sum has the same bits each time.
    let mut terms: Vec<(u64, u64)> = grams.into_iter().collect();
    terms.sort_unstable();
    let total = (text.len() - order + 1) as f64;
    let term = |(key, count): &(u64, u64)| {
        let (count, context) = (*count as f64, contexts[&(key >> 8)] as f64);
        count * (context / count).ln()
    };
    Ok(terms.iter().map(term).sum::<f64>() / total)
}
