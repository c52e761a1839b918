//! Models from files.

use super::weight_files::{WeightFiles, read_text};
use crate::architectures::gguf::FromGguf;
use crate::architectures::{self, Keys};
use crate::description::Description;
use crate::error::{ModelFileError, check_finite};
use crate::network::Model;
use crate::parameters::{ParameterName, Part, Source, collect};
use crate::pass::{Precision, Program};
use crate::program::build;
use collimate_tensor::files::{FileArray, FileError, Gguf};
use collimate_tensor::memory_fits;
use ndarray::ArrayD;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

/// The prefixes that some files leave out.
const PREFIXES: [&str; 4] = ["transformer.", "model.", "bert.", "gpt_neox."];

impl<F: Precision> Model<F> {
    /// Opens a folder with `config.json` and `model.safetensors` (or parts with an index), or a GGUF file.
    ///
    /// # Errors
    /// [`ModelFileError`] if a file cannot be read, a key or a tensor that bears on the function is missing, unknown or of the wrong
    /// shape, a weight is not finite, or the weights do not fit into memory.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelFileError> {
        let path = path.as_ref();
        if path.is_dir() {
            return Self::open_with_configuration(path, path.join("config.json"));
        }
        Self::from_gguf(&Gguf::open(path)?)
    }

    /// Reads a model from a GGUF file that is already open. Its tokenizer can be read from it too.
    ///
    /// # Errors
    /// The errors of [`Model::open`].
    pub fn from_gguf(file: &Gguf) -> Result<Self, ModelFileError> {
        let FromGguf { description, sources, read } = architectures::gguf::describe(file)?;
        let shapes =
            file.tensors().iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect();
        Self::load(description, &*sources, &read, shapes, |name| file.read(name))
    }

    /// Opens the weights of a folder with another configuration.
    ///
    /// # Errors
    /// The errors of [`Model::open`].
    pub fn open_with_configuration(
        path: impl AsRef<Path>,
        configuration: impl AsRef<Path>,
    ) -> Result<Self, ModelFileError> {
        let text = read_text(configuration.as_ref())?;
        let files = WeightFiles::open(path.as_ref())?;
        let shapes = files.shapes();
        let keys = Keys::parse(&text, shapes.clone())?;
        let architecture = architectures::find(&keys)?;
        let description = (architecture.describe)(&keys)?;
        keys.check_all_used()?;
        let mut model = Self::load(description, &architecture.place, &[], shapes, |name| files.read(name))?;
        model.configuration = Some(text);
        Ok(model)
    }

    /// Reads the parameters of a description from tensors. `known` names tensors that hold no parameter and were used otherwise.
    fn load(
        description: Description,
        place: &dyn Fn(ParameterName, &Description) -> Source,
        known: &[String],
        shapes: BTreeMap<String, Vec<usize>>,
        read: impl Fn(&str) -> Result<FileArray, FileError>,
    ) -> Result<Self, ModelFileError> {
        let program = build::<F>(&description);
        let sources = resolve(&program, &description, place, &shapes)?;
        check_shapes(&program, &sources, &shapes)?;
        let skipped = unused(&sources, known, &shapes)?;
        let numbers: u64 = program.parameters.iter().map(|(_, (a, b))| *a as u64 * *b as u64).sum();
        let needed = numbers * size_of::<F>() as u64;
        if !memory_fits(needed) {
            return Err(ModelFileError::Memory { needed });
        }
        let mut parameters = Vec::with_capacity(sources.len());
        let mut kept = Kept::default();
        for ((name, shape), source) in program.parameters.iter().zip(&sources) {
            for piece in source {
                kept.read(&piece.tensor, source.len(), &read)?;
            }
            let parameter =
                collect(source, *shape, |name| kept.get(name)).ok_or_else(|| missing(*name, source))?;
            check_finite(|| format!("tensor '{}'", source[0].tensor), parameter.iter())?;
            parameters.push(parameter);
        }
        Ok(Self {
            description,
            program,
            parameters,
            sources,
            shapes,
            skipped,
            configuration: None,
            fingerprint: OnceLock::new(),
        })
    }
}

/// Returns the numbers of a tensor in the precision of the model.
pub(crate) fn numbers_of<F: Precision>(array: &FileArray) -> ArrayD<F> {
    if F::NAME == "f64" {
        array.to_f64().mapv(F::from_f64)
    } else {
        array.to_f32().mapv(|x| F::from_f64(f64::from(x)))
    }
}

/// The tensors that were read last: the matrix and the bias of a fused product serve three parameters in a row.
struct Kept<F>(Vec<(String, ArrayD<F>)>);

impl<F> Default for Kept<F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F: Precision> Kept<F> {
    /// Reads a tensor of a parameter with `pieces` pieces, unless it is here.
    fn read(
        &mut self,
        name: &str,
        pieces: usize,
        read: &impl Fn(&str) -> Result<FileArray, FileError>,
    ) -> Result<(), FileError> {
        if self.get(name).is_none() {
            while self.0.len() > pieces.max(1) {
                self.0.remove(0);
            }
            self.0.push((name.into(), numbers_of(&read(name)?)));
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&ArrayD<F>> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, x)| x)
    }
}

fn missing(name: ParameterName, source: &Source) -> ModelFileError {
    let tensor = source.first().map_or_else(|| name.to_string(), |piece| piece.tensor.clone());
    ModelFileError::MissingTensor { name: tensor }
}

/// Finds the tensors of each parameter under the names that the file uses.
fn resolve<F>(
    program: &Program<F>,
    description: &Description,
    place: &dyn Fn(ParameterName, &Description) -> Source,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<Vec<Source>, ModelFileError> {
    let find = |wanted: &str| -> Option<String> {
        let old =
            wanted.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        let names = [wanted.to_owned(), old];
        let bare = names
            .iter()
            .flat_map(|name| PREFIXES.iter().filter_map(|p| name.strip_prefix(p)).map(String::from));
        names.iter().cloned().chain(bare).find(|name| shapes.contains_key(name))
    };
    let tied = description.head.as_ref().is_some_and(|head| head.tied);
    let mut sources = Vec::new();
    for (name, _) in &program.parameters {
        let mut source = place(*name, description);
        if name.part == Part::TokenEmbedding
            && tied
            && source.iter().all(|piece| find(&piece.tensor).is_none())
        {
            source = place(ParameterName { layer: None, part: Part::Head }, description);
        }
        for piece in &mut source {
            piece.tensor = find(&piece.tensor)
                .ok_or_else(|| ModelFileError::MissingTensor { name: piece.tensor.clone() })?;
        }
        if source.is_empty() {
            return Err(missing(*name, &source));
        }
        sources.push(source);
    }
    Ok(sources)
}

/// Checks that the tensors have the shapes that the description asks for, before anything is allocated.
fn check_shapes<F>(
    program: &Program<F>,
    sources: &[Source],
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<(), ModelFileError> {
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    for ((_, (rows, columns)), source) in program.parameters.iter().zip(sources) {
        let mut count = 0;
        for piece in source {
            let shape = &shapes[&piece.tensor];
            let taken = piece.count(shape);
            *used.entry(&piece.tensor).or_default() += taken;
            // The numbers of a vector are columns; the columns of a matrix are those of the parameter.
            let fits = match shape.len() {
                1 => taken % columns == 0,
                2 => shape[usize::from(!piece.transposed)] == *columns,
                _ => false,
            };
            count += if shape.len() == 1 { taken / columns } else { taken };
            if !fits || piece.groups == 0 {
                return Err(wrong_shape(piece.tensor.clone(), (*rows, *columns), shape));
            }
        }
        if count != *rows {
            let tensor = source[0].tensor.clone();
            let shape = &shapes[&tensor];
            return Err(wrong_shape(tensor, (*rows, *columns), shape));
        }
    }
    for (tensor, taken) in used {
        let shape = &shapes[tensor];
        let pieces = sources.iter().flatten().filter(|piece| piece.tensor == tensor);
        let rows = pieces.map(|piece| if piece.transposed { shape[shape.len() - 1] } else { shape[0] }).max();
        if rows != Some(taken) {
            return Err(wrong_shape(
                tensor.to_owned(),
                (taken, shape.iter().product::<usize>() / shape[0].max(1)),
                shape,
            ));
        }
    }
    Ok(())
}

fn wrong_shape(name: String, expected: (usize, usize), given: &[usize]) -> ModelFileError {
    let expected =
        if given.len() == 1 { vec![expected.0 * expected.1] } else { vec![expected.0, expected.1] };
    ModelFileError::TensorShape { name, expected, given: given.to_vec() }
}

/// Returns the tensors that hold no parameter. One that is not known to be without effect is refused.
fn unused(
    sources: &[Source],
    known: &[String],
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<Vec<String>, ModelFileError> {
    let mut skipped = Vec::new();
    for (name, shape) in shapes {
        if sources.iter().flatten().any(|piece| piece.tensor == *name) {
            continue;
        }
        let mask = (name.ends_with("attn.bias") || name.ends_with("attention.bias")) && shape.len() > 1;
        let idle = mask
            || known.contains(name)
            || name.ends_with("masked_bias")
            || name.ends_with("rotary_emb.inv_freq")
            || name.ends_with("position_ids")
            || name.ends_with("cls.predictions.decoder.bias");
        if !idle {
            return Err(ModelFileError::UnexpectedTensor { name: name.clone() });
        }
        skipped.push(name.clone());
    }
    Ok(skipped)
}
