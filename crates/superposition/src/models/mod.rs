//! Models that are trained on features: toy models, two-layer networks, attention heads, shared neurons.

mod adam;
mod head;
mod incidental;
mod skip_trigrams;
mod toy_model;
mod two_layer;
mod universal_and;

pub use head::HeadBehaviours;
pub use incidental::{IncidentalNeurons, largest_neurons, neuron_collisions, polysemantic_neurons};
pub use skip_trigrams::{SkipTrigrams, TrainedTrigrams, TrigramLoss, TrigramSample};
pub use toy_model::{
    Activation, ToyLoss, ToyModel, ToyTrainingConfig, linear_expected_loss, linear_lowest_loss,
};
pub use two_layer::{DecoderWeights, TwoLayer, TwoLayerConfig, TwoLayerLoss, TwoLayerTarget};
pub use universal_and::UniversalAnd;
