use super::attention_table::HEADS;
use super::fourier::FourierMeasures;
use super::modular_addition::{ModularAddition, PairSplit};
use super::network::AdditionNetwork;
use super::one_layer::OneLayer;
use super::two_layer::{TwoLayer, Unit};
use crate::StudyError;
use crate::development::numbers::Numbers;
use collimate_grad::{Adam, AdamConfig, Optimiser, Precision, WeightDecay, global_norm};
use collimate_measure::ensure;
use collimate_tensor::Scalar;
use ndarray::{Array2, s};

/// The network that learns modular addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdditionModel {
    /// The network `logits = W (A_a + B_b)²`, with the square of each hidden unit.
    Quadratic,
    /// The network `logits = W max(A_a + B_b, 0)`.
    Relu,
    /// A transformer of one layer on the tokens a, b and "=", with 4 heads and an MLP of ReLU units four times as wide, without norms and
    /// biases. The answer is read at the last token.
    Transformer,
}

/// The settings of a run on modular addition. The optimiser is AdamW with β = (0.9, 0.98) on the whole training set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdditionConfig {
    /// The network.
    pub model: AdditionModel,
    /// The modulus p.
    pub modulus: usize,
    /// The number of hidden units, or the width of the stream of the transformer, a multiple of 4.
    pub width: usize,
    /// The share of the pairs that train.
    pub share: f64,
    /// The division of the pairs.
    pub split: PairSplit,
    /// The learning rate.
    pub learning_rate: f64,
    /// The decoupled weight decay of all tensors; each step multiplies them by 1 − rate·decay.
    pub weight_decay: f64,
    /// The seed of weights and pairs.
    pub seed: u64,
    /// The generator of weights and pairs.
    pub numbers: Numbers,
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AdditionStep {
    /// The number of steps before this one.
    pub step: u64,
    /// The mean loss of the training pairs before the step, in nats.
    pub loss: f64,
    /// The share of right answers on the training pairs before the step.
    pub accuracy: f64,
    /// The norm of the gradient.
    pub gradient_norm: f64,
}

/// The state of a run, measured without a step.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AdditionMeasures {
    /// The mean loss of the training pairs, in nats.
    pub training_loss: f64,
    /// The mean loss of the test pairs, in nats.
    pub test_loss: f64,
    /// The share of right answers on the training pairs.
    pub training_accuracy: f64,
    /// The share of right answers on the test pairs.
    pub test_accuracy: f64,
    /// The sum of the squares of all weights.
    pub squared_weights: f64,
    /// The concentration of the embedding of the first number on few frequencies.
    pub fourier: FourierMeasures,
}

/// A network on its way to learn modular addition.
///
/// # Determinism
/// The bits depend on the settings alone, and not on the number of threads.
///
/// # Examples
/// ```
/// use collimate_studies::development::{AdditionConfig, AdditionModel, AdditionTraining, Numbers, PairSplit};
/// let config = AdditionConfig {
///     model: AdditionModel::Quadratic,
///     modulus: 7,
///     width: 32,
///     share: 0.6,
///     split: PairSplit::Ordered,
///     learning_rate: 0.01,
///     weight_decay: 1.0,
///     seed: 1,
///     numbers: Numbers::SplitMix,
/// };
/// let mut training = AdditionTraining::<f64>::new(&config)?;
/// for _ in 0..100 {
///     training.step()?;
/// }
/// assert_eq!(training.measures()?.training_accuracy, 1.0);
/// # Ok::<(), collimate_studies::StudyError>(())
/// ```
pub struct AdditionTraining<F> {
    task: ModularAddition,
    learning_rate: f64,
    network: Box<dyn AdditionNetwork<F>>,
    optimisers: Vec<Adam<F>>,
    gradient: Vec<Array2<F>>,
    /// The sums of the training pairs.
    sums: Vec<usize>,
    step: u64,
}

/// The largest number of activations of the training pairs. They take 8 GB in double precision.
const LARGEST: usize = 1_000_000_000;

impl<F: Precision> AdditionTraining<F> {
    /// Begins a run.
    ///
    /// # Errors
    /// [`StudyError::OutOfRange`] for a modulus outside 2..=2000, a width of 0 or one that the heads of a transformer do not divide, a share
    /// that leaves one side without pairs, more than 10⁹ activations, or numbers of the optimiser out of range.
    pub fn new(config: &AdditionConfig) -> Result<Self, StudyError> {
        let AdditionConfig { model, modulus, width, share, split, seed, numbers, .. } = *config;
        ensure(width > 0, "the width", "at least 1", width as f64)?;
        let task = ModularAddition::new(modulus, share, split, seed, numbers)?;
        let activations = (modulus * modulus).saturating_mul(width.saturating_mul(8));
        ensure(activations <= LARGEST, "the number of activations", "at most 10⁹", activations as f64)?;
        let network: Box<dyn AdditionNetwork<F>> = match model {
            AdditionModel::Quadratic => Box::new(TwoLayer::new(Unit::Square, modulus, width, seed, numbers)),
            AdditionModel::Relu => Box::new(TwoLayer::new(Unit::Relu, modulus, width, seed, numbers)),
            AdditionModel::Transformer => {
                let allowed = "a multiple of the 4 heads";
                ensure(width.is_multiple_of(HEADS), "the width", allowed, width as f64)?;
                Box::new(OneLayer::new(modulus, width, seed, numbers))
            }
        };
        let decay = WeightDecay::Decoupled(config.weight_decay);
        let adam = AdamConfig { beta2: 0.98, weight_decay: decay, ..AdamConfig::default() };
        let optimisers =
            network.tensors().iter().map(|x| Adam::new(x.len(), adam)).collect::<Result<_, _>>()?;
        let gradient = network.tensors().iter().map(|x| Array2::zeros(x.dim())).collect();
        let sums = task.training().iter().map(|&pair| task.sum(pair)).collect();
        Ok(Self { task, learning_rate: config.learning_rate, network, optimisers, gradient, sums, step: 0 })
    }

    /// Takes one step on all training pairs.
    ///
    /// # Errors
    /// [`StudyError::Training`] if a gradient is not finite; then the weights of the tensors before it have changed.
    pub fn step(&mut self) -> Result<AdditionStep, StudyError> {
        let entropy = self.network.gradient(self.task.training(), &self.sums, &mut self.gradient);
        let slices: Vec<&[F]> =
            self.gradient.iter().map(|x| x.as_slice().expect("standard layout")).collect();
        let gradient_norm = global_norm(&slices);
        let tensors = self.network.tensors_mut().iter_mut();
        for ((optimiser, weights), gradient) in self.optimisers.iter_mut().zip(tensors).zip(slices) {
            optimiser.step(self.learning_rate, gradient, weights.as_slice_mut().expect("standard layout"))?;
        }
        self.step += 1;
        Ok(AdditionStep {
            step: self.step - 1,
            loss: entropy.loss,
            accuracy: entropy.accuracy,
            gradient_norm,
        })
    }

    /// Measures the network on all pairs.
    ///
    /// # Errors
    /// [`StudyError::Measure`] if the weights are not finite.
    pub fn measures(&mut self) -> Result<AdditionMeasures, StudyError> {
        let training = self.network.entropy(self.task.training(), &self.sums);
        let sums: Vec<usize> = self.task.test().iter().map(|&pair| self.task.sum(pair)).collect();
        let test = self.network.entropy(self.task.test(), &sums);
        let tensors = self.network.tensors();
        let squared = tensors.iter().flatten().map(|&x| Scalar::to_f64(x).powi(2)).sum();
        Ok(AdditionMeasures {
            training_loss: training.loss,
            test_loss: test.loss,
            training_accuracy: training.accuracy,
            test_accuracy: test.accuracy,
            squared_weights: squared,
            fourier: FourierMeasures::of(&tensors[0].slice(s![..self.task.modulus(), ..]))?,
        })
    }

    /// Returns the pairs.
    pub fn task(&self) -> &ModularAddition {
        &self.task
    }

    /// Returns the number of steps that were taken.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Returns the tensors: A, B and W of a two-layer network; embedding, positions, query, key, value, output, up, down and unembedding
    /// of the transformer. Matrices are `[outputs, inputs]`.
    pub fn tensors(&self) -> &[Array2<F>] {
        self.network.tensors()
    }

    /// Returns the gradient of the last step by each tensor; zeros before the first step.
    pub fn last_gradient(&self) -> &[Array2<F>] {
        &self.gradient
    }
}
