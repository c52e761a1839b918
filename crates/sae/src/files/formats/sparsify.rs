//! sparsify: TopK and groupmax, autoencoders and transcoders, each with or without a skip connection.

use super::checkpoint::Checkpoint;
use super::format::Format;
use super::given::Given;
use super::json::Config;
use super::parts::{Activation, Parts};
use super::place::Place;
use crate::dictionary::{RowNormalisation, Target};
use crate::{InputBias, Precision, SaeError};

/// The keys that later releases added. The release that trained signed dictionaries had none of them.
const LATER: [&str; 3] = ["activation", "skip_connection", "transcode"];
/// The keys of training.
const TRAINING: &[&str] = &["normalize_decoder", "normalize_io", "init_seeds"];

pub(super) fn recognises(place: &Place) -> bool {
    let file = &place.tensors;
    let flat = file.shape("encoder.weight").is_none_or(|shape| shape.len() == 2);
    flat && file.has_all(&["encoder.weight", "W_dec"])
}

pub(super) fn read<F: Precision>(place: &Place, given: &Given) -> Result<Checkpoint<F>, SaeError> {
    let file = &place.tensors;
    given.only(&file.path, Format::Sparsify.name(), false, false)?;
    let config = place.config("cfg.json")?.ok_or_else(|| {
        file.wrong("a dictionary of sparsify needs its cfg.json, which says k; put it into the same folder")
    })?;
    let mut notes = Vec::new();
    let w_enc = file.matrix::<F>("encoder.weight")?;
    let (n, d) = w_enc.dim();
    config.expect("d_in", d)?;
    // Zero latents in the configuration mean that the expansion factor decides.
    match config.get("num_latents").and_then(|n| n.as_u64()).unwrap_or(0) {
        0 => {
            if config.get("expansion_factor").is_some() {
                let expansion = config.count("expansion_factor")?;
                if expansion.checked_mul(d) != Some(n) {
                    let what =
                        format!("{d} × expansion_factor {expansion} is not the {n} latents of the tensors");
                    return Err(config.wrong(what));
                }
            }
        }
        _ => {
            config.expect("num_latents", n)?;
            config.get("expansion_factor");
        }
    }
    let b_enc = file.vector("encoder.bias")?;
    let k = config.count("k")?;
    let activation = match config.text("activation")? {
        _ if signed(&config)? => {
            notes.push(
                "signed: the k codes that are largest in magnitude keep their signs, as in the release that trained such \
                 files; later releases ignore the key"
                    .to_owned(),
            );
            Activation::abs_top_k(b_enc, k)
        }
        Some("topk") | None => Activation::top_k(b_enc, k),
        Some("groupmax") => Activation::group_max(b_enc, k),
        Some(other) => {
            return Err(config.wrong(format!("the activation '{other}' is neither 'topk' nor 'groupmax'")));
        }
    };
    let transcode = config.flag("transcode", false)?;
    let skip = config.flag("skip_connection", false)?;
    let (input_bias, target) = if transcode {
        (InputBias::NotSubtracted, Target::Other)
    } else {
        (InputBias::Subtracted, Target::Input)
    };
    if config.flag("multi_topk", false)? {
        notes.push(
            "multi_topk belongs to the training loss: codes and reconstructions use k latents (the library's own forward \
             returns a reconstruction from 4k)"
                .to_owned(),
        );
    }
    let mut checkpoint = Parts {
        w_enc,
        w_dec: file.matrix("W_dec")?,
        b_dec: file.vector("b_dec")?,
        w_skip: skip.then(|| file.matrix("W_skip")).transpose()?,
        activation,
        input_bias,
        row_normalisation: RowNormalisation::None,
        target,
    }
    .checkpoint(Format::Sparsify)?;
    file.all_used("sparsify")?;
    notes.extend(config.unused(TRAINING));
    checkpoint.notes.splice(0..0, notes);
    Ok(checkpoint)
}

/// Returns true if the codes are signed.
///
/// # Errors
/// [`SaeError::File`] for the key in a configuration of a later release, which ignored it while it trained.
fn signed(config: &Config) -> Result<bool, SaeError> {
    let signed = config.flag("signed", false)?;
    let later: Vec<&str> = LATER.into_iter().filter(|key| config.get(key).is_some()).collect();
    if signed && !later.is_empty() {
        return Err(config.wrong(format!(
            "'signed' is true beside {later:?}: releases with these keys ignore 'signed', so the file does not say whether its \
             codes are signed; remove 'signed' if it was trained by such a release, or the other keys if not"
        )));
    }
    Ok(signed)
}
