//! Sets of transcoders, one file for each layer (circuit-tracer).

use super::super::any_checkpoint::AnyCheckpoint;
use super::super::format::Format;
use super::super::refusal::wrong;
use super::super::tensors::Tensors;
use super::cross_layer::{
    Description, agrees, axes_of, description, disagreement, folder_of, kind_of_activation, one_set, only,
    shaped,
};
use super::yaml::Yaml;
use crate::SaeError;
use crate::arranged::transcoder::{LayerActivation, LayeredTranscoder, Reach, TranscoderLayer};
use collimate_tensor::Scalar;
use ndarray::{Array2, Axis};
use std::path::Path;

const NAMES: [&str; 6] = ["W_enc", "W_dec", "b_enc", "b_dec", "W_skip", "activation_function.threshold"];

/// Reads the files of all layers; or if the path names the only file of its kind, that layer as a transcoder of single rows.
pub(in super::super) fn read<F: Scalar>(path: &Path) -> Result<AnyCheckpoint<F>, SaeError> {
    let folder = folder_of(path);
    let (name, files) = one_set(path, "W_dec", 2)?;
    let alone = !path.is_dir() && files.len() == 1 && files.layers() > 1;
    let files = if alone {
        vec![Tensors::open(path.to_owned())?]
    } else {
        files.open(folder, &name, files.layers())?
    };
    let Description { about, mut notes, activation } = description(folder, "transcoder_set")?;
    let (thresholds, skip) = (files[0].has(NAMES[5]), files[0].has(NAMES[4]));
    let k = match activation {
        Some((name, Some(k))) if name == "topk" && !thresholds => Some(k),
        Some((name, None)) if name == "topk" => {
            return Err(wrong(
                folder,
                "config.yaml names the activation 'topk', but no 'k'; add it to that file",
            ));
        }
        Some((name, _)) if !agrees(&name, thresholds) => {
            return Err(wrong(folder, disagreement(&name, thresholds)));
        }
        _ => None,
    };
    notes.extend(of_training(folder, thresholds));
    // The encoder and the decoder have the latents first; every shape is compared before anything is read.
    let ([n, d], [_, d_out]) = (axes_of(&files[0], "W_enc")?, axes_of(&files[0], "W_dec")?);
    for file in &files {
        only(file, &NAMES)?;
        shaped(file, "W_enc", &[n, d], " (latents, width), as in the first layer")?;
        shaped(file, "W_dec", &[n, d_out], " (latents, width)")?;
        if [NAMES[5], NAMES[4]].map(|name| file.has(name)) != [thresholds, skip] {
            return Err(file.wrong("either every layer has a skip or none, and likewise thresholds"));
        }
        if skip {
            shaped(file, "W_skip", &[d_out, d], " (output, input)")?;
        }
    }
    let layers = files.iter().map(|file| layer(file, thresholds, skip, k)).collect::<Result<_, _>>()?;
    let set = LayeredTranscoder::new(layers, Reach::OwnLayer)?;
    notes.push(match k {
        Some(k) => format!("the {k} largest latents keep their signs, as in the library of this format"),
        None => kind_of_activation(thresholds).to_owned(),
    });
    let dictionary = if alone {
        notes.push("one layer alone: the files of the other layers are not in the folder".into());
        set.dictionary(0)?.into()
    } else {
        set.into()
    };
    Ok(AnyCheckpoint { about, notes, ..AnyCheckpoint::of(dictionary, Format::PerLayer) })
}

fn layer<F: Scalar>(
    file: &Tensors,
    thresholds: bool,
    skip: bool,
    k: Option<usize>,
) -> Result<TranscoderLayer<F>, SaeError> {
    let w_dec: Array2<F> = file.matrix("W_dec")?;
    Ok(TranscoderLayer {
        w_enc: file.matrix("W_enc")?,
        b_enc: file.vector("b_enc")?,
        activation: match (k, thresholds) {
            (Some(k), _) => LayerActivation::TopK(k),
            (None, true) => LayerActivation::JumpRelu(file.vector(NAMES[5])?),
            (None, false) => LayerActivation::Relu,
        },
        w_dec: w_dec.insert_axis(Axis(1)),
        b_dec: file.vector("b_dec")?,
        w_skip: skip.then(|| file.matrix("W_skip")).transpose()?,
    })
}

/// Returns a note if the configuration of the training names another activation than the tensors. The library of this format does not
/// read that file.
fn of_training(folder: &Path, thresholds: bool) -> Option<String> {
    let path = ["wandb-config.yaml", "wanb-config.yaml"].map(|name| folder.join(name));
    let path = path.iter().find(|path| path.is_file())?;
    let mut config = Yaml::open(path).ok()?;
    let trained = config.text("activation.value")?.to_ascii_lowercase();
    (!agrees(&trained, thresholds)).then(|| {
        format!(
            "the configuration of the training names the activation '{trained}'; the library of this format does not read it, and \
             neither does this reader"
        )
    })
}
