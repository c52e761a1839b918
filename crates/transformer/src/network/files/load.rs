//! Models from files.

use super::weight_files::{WeightFiles, read_text};
use crate::architectures::gguf::FromGguf;
use crate::architectures::{self, Keys};
use crate::arrays::StoredParameter;
use crate::description::Description;
use crate::error::{ModelFileError, check_finite};
use crate::network::Model;
use crate::parameters::{ParameterName, Part, Piece, Source, collect, row_order};
use crate::pass::Program;
use crate::precision::Precision;
use collimate_tensor::files::{FileArray, FileError, Gguf, StoredMatrix};
use collimate_tensor::memory_fits;
use ndarray::{Array2, ArrayD};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The prefixes that some files leave out.
const PREFIXES: [&str; 4] = ["transformer.", "model.", "bert.", "gpt_neox."];

impl<F: Precision> Model<F> {
    /// Opens a folder with `config.json` and `model.safetensors` (or parts with an index), or a GGUF file.
    ///
    /// # Errors
    /// [`ModelFileError`] if a file cannot be read, a key or a tensor that bears on the function is missing, unknown or of the wrong
    /// shape, a weight is not finite, or the weights do not fit into memory.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelFileError> {
        Self::open_with(path.as_ref(), None, false)
    }

    /// Opens a model like [`Model::open`], but keeps the matrices of products and the table of tokens as the file stores them: in half
    /// precision, or in quantised blocks. Each pass expands them tile by tile, so that the memory is that of the files.
    ///
    /// Matrices that the file stores transposed (GPT-2) are expanded. The results are those of the expanded weights but for the order of
    /// sums. Gradients by activations are possible; gradients by weights, training and saving are not.
    ///
    /// # Errors
    /// The errors of [`Model::open`].
    pub fn open_as_stored(path: impl AsRef<Path>) -> Result<Self, ModelFileError> {
        Self::open_with(path.as_ref(), None, true)
    }

    fn open_with(path: &Path, configuration: Option<&Path>, as_stored: bool) -> Result<Self, ModelFileError> {
        if !path.is_dir() && configuration.is_none() {
            return Self::read_gguf(&Gguf::open(path)?, as_stored);
        }
        let own = path.join("config.json");
        let text = read_text(configuration.unwrap_or(&own))?;
        let files = WeightFiles::open(path)?;
        let shapes = files.shapes();
        let keys = Keys::parse(&text, shapes.clone())?;
        let architecture = architectures::find(&keys)?;
        let description = (architecture.describe)(&keys)?;
        keys.check_all_used()?;
        let read = Reader { array: &|name| files.read(name), stored: &|name| files.read_stored(name) };
        let mut model = Self::load(description, &architecture.place, &[], shapes, &read, as_stored)?;
        model.configuration = Some(text);
        Ok(model)
    }

    /// Reads a model from a GGUF file that is already open. Its tokenizer can be read from it too.
    ///
    /// # Errors
    /// The errors of [`Model::open`].
    pub fn from_gguf(file: &Gguf) -> Result<Self, ModelFileError> {
        Self::read_gguf(file, false)
    }

    fn read_gguf(file: &Gguf, as_stored: bool) -> Result<Self, ModelFileError> {
        let FromGguf { description, sources, read } = architectures::gguf::describe(file)?;
        let shapes =
            file.tensors().iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect();
        let reader = Reader { array: &|name| file.read(name), stored: &|name| file.read_stored(name) };
        Self::load(description, &*sources, &read, shapes, &reader, as_stored)
    }

    /// Opens the weights of a folder with another configuration.
    ///
    /// # Errors
    /// The errors of [`Model::open`].
    pub fn open_with_configuration(
        path: impl AsRef<Path>,
        configuration: impl AsRef<Path>,
    ) -> Result<Self, ModelFileError> {
        Self::open_with(path.as_ref(), Some(configuration.as_ref()), false)
    }

    /// Reads the parameters of a description from tensors. `known` names tensors that hold no parameter and were used otherwise. With
    /// `as_stored`, matrices stay as the file stores them where that is possible.
    fn load(
        description: Description,
        place: &dyn Fn(ParameterName, &Description) -> Source,
        known: &[String],
        shapes: BTreeMap<String, Vec<usize>>,
        read: &Reader<'_>,
        as_stored: bool,
    ) -> Result<Self, ModelFileError> {
        let program = F::build(&description);
        let sources = resolve(&program, &description, place, &shapes)?;
        check_shapes(&program, &sources, &shapes)?;
        let skipped = unused(&sources, known, &shapes)?;
        let numbers: u64 = program.parameters.iter().map(|(_, (a, b))| *a as u64 * *b as u64).sum();
        // A stored number takes two bytes at most, but for files in f32, whose bytes are read one tensor after another.
        let bytes = if as_stored { 2 } else { size_of::<F>() as u64 };
        let needed = numbers.saturating_mul(bytes);
        if !memory_fits(needed) {
            return Err(ModelFileError::Memory { needed });
        }
        let mut parameters = Vec::with_capacity(sources.len());
        let mut stored = Vec::with_capacity(sources.len());
        let (mut kept, mut matrices) = (Kept::default(), BTreeMap::new());
        for ((name, shape), source) in program.parameters.iter().zip(&sources) {
            if as_stored && can_stay(*name, source) {
                parameters.push(Array2::zeros((0, 0)));
                stored.push(Some(stay(*name, source, *shape, read, &mut matrices)?));
                continue;
            }
            stored.push(None);
            for piece in source {
                kept.read(&piece.tensor, source.len(), read.array)?;
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
            stored,
            sources,
            shapes,
            skipped,
            configuration: None,
            fingerprint: OnceLock::new(),
        })
    }
}

/// The tensors of a file.
struct Reader<'a> {
    /// Reads a tensor, expanded.
    array: &'a dyn Fn(&str) -> Result<FileArray, FileError>,
    /// Reads a matrix as it is stored.
    stored: &'a dyn Fn(&str) -> Result<StoredMatrix, FileError>,
}

/// Returns true if a parameter is read by products and tables alone, and its rows are rows of the file.
fn can_stay(name: ParameterName, source: &Source) -> bool {
    let read_by_products = matches!(
        name.part,
        Part::TokenEmbedding
            | Part::ProjectIn
            | Part::ProjectOut
            | Part::Query
            | Part::Key
            | Part::Value
            | Part::AttentionOutput
            | Part::Gate
            | Part::Up
            | Part::Down
            | Part::ExpertGate
            | Part::ExpertUp
            | Part::ExpertDown
            | Part::Head
    );
    read_by_products && source.iter().all(|piece| !piece.transposed && piece.slice.is_none())
}

/// Reads the rows of a parameter without expanding them, and checks that they are finite.
fn stay(
    name: ParameterName,
    source: &Source,
    shape: (usize, usize),
    read: &Reader<'_>,
    matrices: &mut BTreeMap<String, Arc<StoredMatrix>>,
) -> Result<StoredParameter, ModelFileError> {
    let mut pieces = Vec::new();
    for piece in source {
        let matrix = match matrices.get(&piece.tensor) {
            Some(matrix) => matrix.clone(),
            None => Arc::new((read.stored)(&piece.tensor)?),
        };
        matrices.insert(piece.tensor.clone(), matrix.clone());
        let rows = row_order(piece, matrix.shape()[0]);
        pieces.push((matrix, rows));
    }
    let parameter = StoredParameter::new(pieces).filter(|parameter| parameter.dim() == shape);
    let parameter = parameter.ok_or_else(|| missing(name, source))?;
    for start in (0..shape.0).step_by(CHECKED_ROWS) {
        let tile = parameter.expand::<f32>(start..shape.0.min(start + CHECKED_ROWS));
        check_finite(|| format!("tensor '{}'", source[0].tensor), tile.iter())?;
    }
    Ok(parameter)
}

/// The number of rows that are expanded at once to be checked.
const CHECKED_ROWS: usize = 4096;

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
        read: &dyn Fn(&str) -> Result<FileArray, FileError>,
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
            let whole = &shapes[&piece.tensor];
            let (shape, taken) = (piece.inner(whole), piece.count(whole));
            let exists = piece.slice.is_none_or(|index| whole.first().is_some_and(|&count| index < count));
            *used.entry(&piece.tensor).or_default() += taken;
            // The numbers of a vector are columns; the columns of a matrix are those of the parameter.
            let fits = match shape.len() {
                1 => taken % columns == 0,
                2 => shape[usize::from(!piece.transposed)] == *columns,
                _ => false,
            };
            count += if shape.len() == 1 { taken / columns } else { taken };
            if !fits || !exists || piece.groups == 0 {
                return Err(wrong_shape(piece, (*rows, *columns), source.len(), whole));
            }
        }
        if count != *rows {
            return Err(wrong_shape(&source[0], (*rows, *columns), source.len(), &shapes[&source[0].tensor]));
        }
    }
    for (tensor, taken) in used {
        let shape = &shapes[tensor];
        let pieces = sources.iter().flatten().filter(|piece| piece.tensor == tensor);
        let slices = |piece: &Piece| if piece.slice.is_some() { shape[0] } else { 1 };
        let most = pieces.max_by_key(|piece| piece.rows_of(shape) * slices(piece));
        let Some(piece) = most.filter(|piece| piece.rows_of(shape) * slices(piece) != taken) else {
            continue;
        };
        if piece.slice.is_some() {
            // The slices that no expert reads.
            let mut expected = shape.clone();
            expected[0] = taken / piece.rows_of(shape).max(1);
            return Err(ModelFileError::TensorShape {
                name: tensor.to_owned(),
                expected,
                given: shape.clone(),
            });
        }
        let columns = shape.iter().product::<usize>() / piece.rows_of(shape).max(1);
        return Err(wrong_shape(piece, (taken, columns), 1, shape));
    }
    Ok(())
}

/// Returns the error of a tensor that does not have the rows of a parameter of `pieces` pieces.
fn wrong_shape(
    piece: &Piece,
    (rows, columns): (usize, usize),
    pieces: usize,
    given: &[usize],
) -> ModelFileError {
    let rows_here = if piece.every_second.is_some() { 2 * rows } else { rows };
    let expected = match (piece.slice, given.len()) {
        (Some(_), 2) => vec![pieces, rows_here * columns / pieces.max(1)],
        (Some(_), _) if piece.transposed => vec![pieces, columns, rows_here / pieces.max(1)],
        (Some(_), _) => vec![pieces, rows_here / pieces.max(1), columns],
        (None, 1) => vec![rows * columns],
        (None, _) => vec![rows, columns],
    };
    ModelFileError::TensorShape { name: piece.tensor.clone(), expected, given: given.to_vec() }
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
