//! Models written as folders that the reference library loads.

use crate::architectures::{self, Keys};
use crate::error::ModelFileError;
use crate::network::Model;
use crate::parameters::{ParameterName, Part, Source};
use crate::precision::Precision;
use collimate_output::{Existing, write};
use collimate_stream::RngStream;
use collimate_tensor::Scalar;
use collimate_tensor::files::{FileArray, FileData, write_safetensors};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

impl<F: Precision> Model<F> {
    /// Makes a model of the architecture that the text of a `config.json` describes, with random weights as [`Model::random`] draws them.
    /// It can be saved under the names of that architecture.
    ///
    /// # Errors
    /// [`ModelFileError`] if the configuration cannot be read or describes sizes that do not fit into memory.
    pub fn random_of_configuration(text: &str, stream: &RngStream) -> Result<Self, ModelFileError> {
        let keys = Keys::parse(text, BTreeMap::new())?.without_tensors();
        let architecture = architectures::find(&keys)?;
        let description = (architecture.describe)(&keys)?;
        keys.check_all_used()?;
        let program = F::build(&description);
        let needed: u64 = program
            .parameters
            .iter()
            .map(|(_, (a, b))| (*a as u64).saturating_mul(*b as u64))
            .fold(0, u64::saturating_add)
            .saturating_mul(size_of::<F>() as u64);
        if !collimate_tensor::memory_fits(needed) {
            return Err(ModelFileError::Memory { needed });
        }
        let sources: Vec<Source> =
            program.parameters.iter().map(|(name, _)| (architecture.place)(*name, &description)).collect();
        let shapes = shapes(&program.parameters, &sources);
        let mut model = Self::random(description, stream);
        (model.sources, model.shapes) = (sources, shapes);
        model.configuration = Some(text.into());
        Ok(model)
    }

    /// Writes the model as a folder: `config.json`, and `model.safetensors` in the precision of the model.
    ///
    /// # Errors
    /// [`ModelFileError::Configuration`] for a model that did not come with a configuration (a GGUF file or a description);
    /// [`ModelFileError::File`] if a file cannot be written.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), ModelFileError> {
        let folder = folder.as_ref();
        let expanded = self.check_expanded("writing the model");
        expanded.map_err(|error| ModelFileError::Configuration(format!("cannot be written: {error}")))?;
        let text = self.configuration.as_ref().ok_or_else(|| {
            ModelFileError::Configuration(
                "is missing: only a model that was made from a config.json can be written".into(),
            )
        })?;
        let mut value: Value =
            serde_json::from_str(text).map_err(|error| ModelFileError::Configuration(error.to_string()))?;
        let kind = if <F as Scalar>::NAME == "f64" { "float64" } else { "float32" };
        for key in ["dtype", "torch_dtype"] {
            if value.get(key).is_some() || key == "dtype" {
                value[key] = json!(kind);
            }
        }
        collimate_output::create_folder(folder).map_err(collimate_tensor::files::FileError::from)?;
        let tensors = self.as_tensors(&self.parameters);
        let tensors = tensors
            .into_iter()
            .map(|(name, x)| {
                let shape = x.shape().to_vec();
                let numbers = x.iter().map(|&x| Scalar::to_f64(x));
                let data = match kind {
                    "float64" => FileData::F64(numbers.collect()),
                    _ => FileData::F32(numbers.map(|x| x as f32).collect()),
                };
                Ok((name, FileArray::new(shape, data)?))
            })
            .collect::<Result<Vec<_>, ModelFileError>>()?;
        let tensors: Vec<(&str, FileArray)> =
            tensors.iter().map(|(name, x)| (name.as_str(), x.clone())).collect();
        write_safetensors(folder.join("model.safetensors"), &tensors, &[("format", "pt")])?;
        let text = format!("{value:#}\n");
        let written =
            write(&folder.join("config.json"), Existing::Replace, |out| out.write_all(text.as_bytes()));
        written.map_err(collimate_tensor::files::FileError::from)?;
        Ok(())
    }
}

/// A tensor that parameters are stored in.
#[derive(Default)]
struct Stored {
    rows: usize,
    columns: usize,
    transposed: bool,
    vector: bool,
    /// The number of slices on the first axis, or 0 for a tensor without such an axis.
    slices: usize,
}

impl Stored {
    fn shape(&self) -> Vec<usize> {
        let rows = self.rows / self.slices.max(1);
        let inner = match (self.vector, self.transposed) {
            (true, _) => vec![rows],
            (false, true) => vec![self.columns, rows],
            (false, false) => vec![rows, self.columns],
        };
        let slices = (self.slices > 0).then_some(self.slices);
        slices.into_iter().chain(inner).collect()
    }
}

/// Returns the shapes of the tensors of a file that holds these parameters in these places.
fn shapes(
    parameters: &[(ParameterName, (usize, usize))],
    sources: &[Source],
) -> BTreeMap<String, Vec<usize>> {
    let mut tensors: BTreeMap<&str, Stored> = BTreeMap::new();
    for ((name, (r, c)), source) in parameters.iter().zip(sources) {
        for piece in source {
            // A gain of each head, and a bias of each expert, is a piece of its own.
            let vector = is_vector(name.part) && (*r == 1 || source.len() > 1);
            let taken = match &piece.rows {
                Some(rows) => rows.len() * piece.groups,
                None if vector => *c,
                None => *r / source.len(),
            };
            let to = tensors.entry(&piece.tensor).or_default();
            to.rows += taken;
            (to.columns, to.transposed, to.vector) = (*c, piece.transposed, vector);
            to.slices = to.slices.max(piece.slice.map_or(0, |index| index + 1));
        }
    }
    tensors.into_iter().map(|(name, stored)| (name.to_owned(), stored.shape())).collect()
}

/// Returns true for parameters that files store with one axis.
fn is_vector(part: Part) -> bool {
    let lambda =
        matches!(part, Part::LambdaQuery1 | Part::LambdaKey1 | Part::LambdaQuery2 | Part::LambdaKey2);
    lambda || part == Part::Sinks || part.is_gain() || part.is_bias()
}
