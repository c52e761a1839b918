//! The ranges of numbers on the command line.

use anyhow::bail;
use clap::builder::RangedU64ValueParser;

/// Returns a parser of counts from 1 to `most`.
pub(super) fn count(most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=most)
}

/// Parses a number above 0.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x > 0.0 && x.is_finite() => Ok(x),
        _ => Err("expected a positive number".to_owned()),
    }
}

/// Parses a number above 0 and at most 1.
pub(super) fn probability(text: &str) -> Result<f64, String> {
    at_most(1.0, text)
}

/// Parses a number above 0 and at most 0.5.
pub(super) fn tolerance(text: &str) -> Result<f64, String> {
    at_most(0.5, text)
}

fn at_most(most: f64, text: &str) -> Result<f64, String> {
    positive(text)
        .ok()
        .filter(|&x| x <= most)
        .ok_or_else(|| format!("expected a number above 0 and at most {most}"))
}

/// The largest number of numbers (1.6 GB as `f64`). More are refused before anything is allocated.
const NUMBERS: usize = 200_000_000;

/// Returns an error if an array of these sizes would not fit into the memory of an ordinary machine.
pub(super) fn affordable(description: &str, sizes: &[usize]) -> anyhow::Result<()> {
    let numbers = sizes.iter().fold(1, |product: usize, &size| product.saturating_mul(size));
    if numbers > NUMBERS {
        let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
        bail!("{description}: {} numbers are too many to hold; the limit is 2·10⁸", sizes.join(" × "));
    }
    Ok(())
}
