//! A model of any architecture: its weights, and the passes through it.

mod derivative;
mod files;
mod fingerprint;
mod folding;
mod generation;
mod gradients;
mod loss_gradient;
mod objective;
mod pull_back;
mod random;
mod runs;

pub use derivative::Derivative;
pub use folding::HeadWeights;
pub use generation::{Choice, Generation, Sampling};
pub use gradients::{Along, Gradients, Targets};
pub(crate) use loss_gradient::shifted;
pub use loss_gradient::{Activations, LossGradient};
pub use objective::SequenceObjective;
pub use pull_back::PullBack;
pub use runs::{Outputs, Run};

use crate::arrays::{StoredParameter, Weights};
use crate::description::Description;
use crate::error::RunError;
use crate::parameters::{ParameterName, Part, Source};
use crate::pass::Program;
use crate::precision::Precision;
use collimate_measure::Fingerprint;
use ndarray::{Array2, ArrayRef2, CowArray, Ix2};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A transformer of any architecture, in f32 or f64.
///
/// # Determinism
/// The bits are the same on any number of threads.
///
/// # Examples
/// ```no_run
/// use collimate_transformer::{Input, Model};
/// let model = Model::<f32>::open("some-folder")?; // config.json and model.safetensors
/// let outputs = model.run(&Input::new(ndarray::array![[7, 3, 9]]), &mut ())?;
/// assert_eq!(outputs.logits.unwrap().dim().1, 3);
/// # Ok::<(), collimate_transformer::TransformerError>(())
/// ```
pub struct Model<F> {
    description: Description,
    program: Program<F>,
    parameters: Vec<Array2<F>>,
    /// The parameters that are kept as their file stores them; their arrays are empty.
    stored: Vec<Option<StoredParameter>>,
    /// The place of each parameter in the tensors of its file.
    sources: Vec<Source>,
    /// The shapes of the tensors of the file.
    shapes: BTreeMap<String, Vec<usize>>,
    /// The tensors that were passed over because they hold no parameter.
    skipped: Vec<String>,
    /// The text of the configuration, for a model that came with one.
    configuration: Option<String>,
    /// The fingerprint, once it was asked for.
    fingerprint: OnceLock<Fingerprint>,
}

impl<F: Precision> Model<F> {
    /// Returns the description of the architecture.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Returns the parameters in the order in which the model uses them, each with its name. Matrices are `[outputs, inputs]`.
    ///
    /// A parameter that is kept as its file stores it is an empty array; [`Model::read_parameter`] expands it.
    pub fn parameters(&self) -> impl Iterator<Item = (ParameterName, &ArrayRef2<F>)> {
        self.program.parameters.iter().map(|(name, _)| *name).zip(self.parameters.iter().map(|x| &**x))
    }

    /// Returns the parameters, to be changed in place.
    pub(crate) fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Array2<F>> {
        self.fingerprint = OnceLock::new();
        self.parameters.iter_mut()
    }

    /// Returns one parameter, if the model has it in memory.
    pub fn parameter(&self, name: ParameterName) -> Option<&ArrayRef2<F>> {
        let index = self.index_of(name).filter(|&index| self.stored[index].is_none())?;
        Some(&self.parameters[index])
    }

    /// Returns a copy of one parameter, if the model has it, expanded where it is kept as its file stores it.
    pub fn read_parameter(&self, name: ParameterName) -> Option<Array2<F>> {
        let index = self.index_of(name)?;
        Some(match &self.stored[index] {
            Some(stored) => stored.expand(0..stored.dim().0),
            None => self.parameters[index].clone(),
        })
    }

    fn index_of(&self, name: ParameterName) -> Option<usize> {
        self.program.parameters.iter().position(|(other, _)| *other == name)
    }

    /// Returns the parameters of a pass.
    fn weights(&self) -> Weights<'_, F> {
        self.weights_of(&self.parameters)
    }

    /// Returns the parameters of a pass with other numbers.
    fn weights_of<'a>(&'a self, arrays: &'a [Array2<F>]) -> Weights<'a, F> {
        Weights { arrays, stored: &self.stored }
    }

    /// Returns an error if a parameter is kept as its file stores it.
    pub(crate) fn check_expanded(&self, operation: &'static str) -> Result<(), RunError> {
        match self.stored.iter().any(Option::is_some) {
            true => Err(RunError::Stored { operation }),
            false => Ok(()),
        }
    }

    /// Returns this model with other numbers, one array for each parameter in the order of [`Model::parameters`].
    ///
    /// # Errors
    /// [`RunError::Shape`] if a shape differs; [`RunError::Stored`] if parameters are kept as their file stores them.
    pub fn with_parameters(&self, parameters: Vec<Array2<F>>) -> Result<Self, RunError> {
        self.check_expanded("a change of the parameters")?;
        self.check_shapes("the parameters", &parameters)?;
        let program = F::build(&self.description);
        let (description, sources) = (self.description.clone(), self.sources.clone());
        let (shapes, skipped) = (self.shapes.clone(), self.skipped.clone());
        let configuration = self.configuration.clone();
        Ok(Self {
            description,
            program,
            stored: vec![None; parameters.len()],
            parameters,
            sources,
            shapes,
            skipped,
            configuration,
            fingerprint: OnceLock::new(),
        })
    }

    /// Checks that there is one array for each parameter, with its shape.
    fn check_shapes(&self, argument: &'static str, arrays: &[Array2<F>]) -> Result<(), RunError> {
        let differs = arrays.iter().zip(&self.parameters).find(|(a, b)| a.dim() != b.dim());
        let (expected, given) = match differs {
            Some((given, expected)) => (expected.shape().to_vec(), given.shape().to_vec()),
            None if arrays.len() == self.parameters.len() => return Ok(()),
            None => (vec![self.parameters.len()], vec![arrays.len()]),
        };
        Err(RunError::Shape { argument, expected, given })
    }

    /// Returns the table of tokens `[v, w]`. A model that ties the two uses it for the logits too.
    pub fn embedding(&self) -> CowArray<'_, F, Ix2> {
        let name = ParameterName { layer: None, part: Part::TokenEmbedding };
        let copy = || self.read_parameter(name).expect("every model has a table of tokens").into();
        self.parameter(name).map_or_else(copy, |x| x.view().into())
    }

    /// Returns the number of numbers in all parameters.
    pub fn n_parameters(&self) -> usize {
        self.program.parameters.iter().map(|(_, (rows, columns))| rows * columns).sum()
    }

    /// Returns the names of the tensors of the file that hold no parameter, such as stored masks.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }
}
