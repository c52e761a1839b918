use anyhow::Context;
use collimate_transformer::Model;
use std::path::Path;

/// The precision of a computation.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub(crate) enum Precision {
    /// 32-bit floating point.
    F32,
    /// 64-bit floating point.
    F64,
}

/// Opens a model, with another configuration where one is given, or with its weights kept as the file stores them.
pub(crate) fn open<F: collimate_transformer::Precision>(
    place: &Path,
    configuration: Option<&Path>,
    as_stored: bool,
) -> anyhow::Result<Model<F>> {
    let model = match configuration {
        Some(configuration) => Model::open_with_configuration(place, configuration),
        None if as_stored => Model::open_as_stored(place),
        None => Model::open(place),
    };
    model.with_context(|| format!("the model {}", place.display()))
}
