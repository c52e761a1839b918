//! Gemma Scope 2: `params.safetensors`, JumpReLU, with `config.json` and for transcoders a skip connection `[d_in, d_out]`.

use super::checkpoint::Checkpoint;
use super::format::Format;
use super::gemma_scope::ENCODER;
use super::given::Given;
use super::parts::{Activation, Parts};
use super::place::Place;
use crate::dictionary::{RowNormalisation, Target};
use crate::{InputBias, Precision, SaeError};

const ABOUT: &[&str] = &["model_name", "hf_hook_point_in", "hf_hook_point_out", "width", "l0", "type"];
const SKIP: &str = "affine_skip_connection";

pub(super) fn recognises(place: &Place) -> bool {
    let file = &place.tensors;
    !file.is_npz()
        && file.has_all(&["w_enc", "w_dec"])
        && file.shape("w_dec").is_none_or(|shape| shape.len() == 2)
}

pub(super) fn read<F: Precision>(place: &Place, given: &Given) -> Result<Checkpoint<F>, SaeError> {
    let file = &place.tensors;
    given.only(&file.path, Format::GemmaScope2.name(), false, false)?;
    let mut notes = vec![ENCODER.to_owned()];
    let (mut about, mut other, mut affine) = (Default::default(), None, None);
    match place.config("config.json")? {
        Some(config) => {
            match config.text("architecture")? {
                Some("jump_relu") | None => {}
                Some(architecture) => {
                    return Err(config.wrong(format!(
                        "the architecture '{architecture}' is not 'jump_relu', the only one of this release that is read"
                    )));
                }
            }
            let (from, to) = (config.text("hf_hook_point_in")?, config.text("hf_hook_point_out")?);
            other = match config.text("type")? {
                Some("sae") => Some(false),
                Some("transcoder") => Some(true),
                None => to.map(|to| from.is_some_and(|from| from != to)),
                Some(kind) => {
                    return Err(config.wrong(format!(
                        "the type '{kind}' is not read from a single file (sae and transcoder are)"
                    )));
                }
            };
            affine = config.truth("affine_connection")?;
            about = config.about(ABOUT);
            notes.extend(config.unused(&["dtype", "layer"]));
        }
        None => notes.push("there is no config.json that says the kind of dictionary".to_owned()),
    }
    let w_skip = match (file.has(SKIP), affine) {
        (true, Some(false)) => {
            return Err(
                file.wrong(format!("config.json says affine_connection false, but the file has '{SKIP}'"))
            );
        }
        (false, Some(true)) => {
            return Err(
                file.wrong(format!("config.json says affine_connection true, but '{SKIP}' is missing"))
            );
        }
        (true, _) => Some(file.matrix::<F>(SKIP)?.reversed_axes()),
        (false, _) => None,
    };
    let (w_enc, w_dec) = (file.matrix::<F>("w_enc")?.reversed_axes(), file.matrix::<F>("w_dec")?);
    let other = other.unwrap_or_else(|| {
        let other = w_skip.is_some() || w_enc.ncols() != w_dec.ncols();
        let kind = if other { "a transcoder" } else { "an autoencoder" };
        notes.push(format!("taken to be {kind} by its tensors"));
        other
    });
    let mut checkpoint = Parts {
        w_enc,
        w_dec,
        b_dec: file.vector("b_dec")?,
        activation: Activation::jump_relu(file.vector("b_enc")?, file.vector("threshold")?),
        input_bias: InputBias::NotSubtracted,
        row_normalisation: RowNormalisation::None,
        target: if other { Target::Other } else { Target::Input },
        w_skip,
    }
    .checkpoint(Format::GemmaScope2)?;
    file.all_used("jump_relu of Gemma Scope 2")?;
    checkpoint.about = about;
    checkpoint.notes.splice(0..0, notes);
    Ok(checkpoint)
}
