//! The scaling and the whitening of inputs that SAELens keeps beside a dictionary.
//!
//! ```text
//! z = (s·x − μ) M        x̂ = (ẑ M⁻¹ + μ)/s
//! ```
//! Both are folded in f64, so that the dictionary takes unscaled rows.

use super::checkpoint::Checkpoint;
use super::place::Place;
use super::tensors::Tensors;
use crate::{Precision, SaeError};

const SCALER: &str = "activation_scaler.json";
const WHITENING: &str = "activation_whitening.safetensors";

/// Folds what lies beside the weights into the dictionary, and returns a note.
pub(super) fn apply<F: Precision>(place: &Place, checkpoint: &mut Checkpoint<F>) -> Result<String, SaeError> {
    let Some(config) = place.config(SCALER)? else { return Ok(String::new()) };
    let scale =
        config.get("scaling_factor").is_some().then(|| config.number("scaling_factor")).transpose()?;
    let whitens = config.flag("has_whitening", false)?;
    if let Some(unknown) = config.unused(&[]) {
        return Err(config.wrong(unknown));
    }
    let mut dictionary = checkpoint.dictionary.cast::<f64>();
    let mut done = Vec::new();
    if whitens {
        let path = place.beside(WHITENING);
        if !path.is_file() {
            return Err(config.wrong(format!("has_whitening is true, but {WHITENING} is not in the folder")));
        }
        let file = Tensors::open(path)?;
        let (mean, matrix) = (file.vector::<f64>("mean")?, file.matrix::<f64>("matrix")?);
        let inverse = file.matrix::<f64>("inverse_matrix")?;
        file.all_used("whitening")?;
        dictionary = dictionary.fold_whitening(&mean, &matrix, &inverse)?;
        done.push(format!("the whitening of {WHITENING}"));
    } else if place.lies_beside(WHITENING) {
        return Err(
            config.wrong(format!("has_whitening is false, but {WHITENING} lies in the folder; remove one"))
        );
    }
    if let Some(scale) = scale {
        dictionary = dictionary.fold_input_scale(scale)?;
        done.push(format!("the scaling factor {scale} of {SCALER}"));
    }
    if done.is_empty() {
        return Ok(format!("{SCALER} holds no scaling and no whitening"));
    }
    checkpoint.dictionary = dictionary.cast();
    Ok(format!("{} is folded in: the dictionary takes unscaled rows", done.join(" and ")))
}
