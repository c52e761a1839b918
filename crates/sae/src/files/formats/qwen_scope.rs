//! Qwen Scope: `…-L0_K/layerN.sae.pt`, TopK codes of x itself. The number k of latents stands in the name of the folder only.

use super::checkpoint::Checkpoint;
use super::format::Format;
use super::given::Given;
use super::parts::{Activation, Parts};
use super::place::Place;
use crate::{InputBias, Precision, SaeError};
use std::path::Path;

const TENSORS: [&str; 4] = ["W_enc", "W_dec", "b_enc", "b_dec"];

pub(super) fn recognises(place: &Place) -> bool {
    let file = &place.tensors;
    let same = |a: &str, axis: usize, b: &str| match (file.shape(a), file.shape(b)) {
        (Some(a), Some(b)) => a.len() == 2 && a.get(axis) == b.last(),
        _ => false,
    };
    // W_enc is [n, d] and W_dec is [d, n] here, unlike in files of other libraries with these names.
    file.is_torch()
        && file.names().count() == TENSORS.len()
        && file.has_all(&TENSORS)
        && !place.lies_beside("cfg.json")
        && file.config().is_ok_and(|config| config.is_none())
        && same("W_enc", 0, "b_enc")
        && same("W_dec", 1, "b_enc")
}

pub(super) fn read<F: Precision>(place: &Place, given: &Given) -> Result<Checkpoint<F>, SaeError> {
    let file = &place.tensors;
    let named = of_folder(&file.path);
    given.only(&file.path, Format::QwenScope.name(), named.is_none(), false)?;
    let k = named.or(given.k).ok_or_else(|| {
        file.wrong(
            "the number k of active latents of a Qwen Scope file stands in the name of its folder only (…-L0_50), and here \
             nothing says it; give k (in the commands: --k, and --start-k with --start-from), or put the file into a folder of its original \
             name",
        )
    })?;
    let matrices = [file.matrix::<F>("W_enc")?, file.matrix::<F>("W_dec")?.reversed_axes()];
    let activation = Activation::top_k(file.vector("b_enc")?, k);
    let b_dec = file.vector("b_dec")?;
    let mut checkpoint = Parts::autoencoder(matrices, b_dec, activation, InputBias::NotSubtracted)
        .checkpoint(Format::QwenScope)?;
    file.all_used("Qwen Scope")?;
    let source = if named.is_some() { "from the name of its folder" } else { "as was given" };
    checkpoint.notes.push(format!("TopK codes of x itself with k = {k}, {source}"));
    Ok(checkpoint)
}

/// Returns the k at the end of the name of the repository: the folder of the file, or the one in a cache of downloads
/// (`models--Qwen--…-L0_50/snapshots/REVISION`).
fn of_folder(path: &Path) -> Option<usize> {
    let absolute = std::path::absolute(path).ok()?;
    let mut folders = absolute.ancestors().skip(1).filter_map(|folder| folder.file_name()?.to_str());
    let (own, above, repository) = (folders.next(), folders.next(), folders.next());
    let cached = repository.filter(|name| above == Some("snapshots") && name.starts_with("models--"));
    own.into_iter().chain(cached).find_map(|name| {
        let (_, digits) = name.rsplit_once("L0_")?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    })
}
