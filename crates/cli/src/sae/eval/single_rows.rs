//! The measurement of a dictionary of single rows.

use super::plan::Plan;
use crate::sae::rows::Rows;
use anyhow::{bail, ensure};
use collimate_sae::formats::{Dictionary, Target};
use collimate_sae::{Evaluation, Size, Usage, WithNull};
use ndarray::s;

/// Returns an error if the dictionary does not fit the widths of the rows.
pub(super) fn check(dictionary: &Dictionary<f32>, rows: &Rows) -> anyhow::Result<()> {
    let (d, d_out, width) = (dictionary.size().d_model, dictionary.d_out(), rows.width());
    let transcoder = dictionary.target() == Target::Other;
    ensure!(d == width, "the dictionary takes rows of width {d}, but the activations have width {width}");
    match rows.target()? {
        None => {
            ensure!(!transcoder, "a transcoder is measured by the rows it predicts; give them with --target");
        }
        Some(_) if !transcoder => bail!("an autoencoder is measured by its input; it takes no --target"),
        Some(given) => {
            ensure!(
                d_out == given,
                "the transcoder predicts rows of width {d_out}, but the target has width {given}"
            );
        }
    }
    Ok(())
}

/// Encodes and reconstructs the rows with the dictionary and with its null model, and returns the metrics of both.
pub(super) fn measure(
    plan: &Plan<'_>,
    dictionary: &Dictionary<f32>,
) -> anyhow::Result<(Vec<WithNull>, Usage)> {
    let d = dictionary.size().d_model;
    // The columns of a transcoder's outputs follow those of its inputs.
    let outputs = if dictionary.target() == Target::Other { d } else { 0 };
    let centre = plan.mean.slice(s![outputs..]).mapv(f64::from).to_vec();
    let size = Size { d_model: dictionary.d_out(), ..dictionary.size() };
    let new = || Evaluation::sized(size, dictionary.fingerprint()).centred_at(centre.clone());
    let (mut evaluation, mut null) = (new()?, new()?);
    let shuffled = dictionary.null(plan.seed);
    plan.each_block(2048, |block, documents| {
        let (x, y) = (block.slice(s![.., ..d]), block.slice(s![.., outputs..]));
        let out = dictionary.forward(&x)?;
        evaluation.push_codes(&y, &out.codes, &out.reconstruction, documents)?;
        let out = shuffled.forward(&x)?;
        Ok(null.push_codes(&y, &out.codes, &out.reconstruction, documents)?)
    })?;
    plan.metrics(&evaluation, &null)
}
