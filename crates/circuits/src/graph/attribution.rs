use super::replacement::{Feature, FirstPosition, Replaced};
use super::rows::Rows;
use super::targets::{Target, Targets, directions};
use super::transcoders::Transcoders;
use crate::error::CircuitError;
use collimate_measure::ensure;
use collimate_sae::Precision as CodePrecision;
use collimate_tensor::Scalar;
use collimate_transformer::{Model, Precision};
use ndarray::{Array2, Array3, Axis, s};

/// The settings of an attribution graph.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphSettings {
    /// The logits that the graph explains.
    pub targets: Targets,
    /// The treatment of the first position.
    pub first: FirstPosition,
    /// The number of targets whose gradients are carried together, at least 1. It changes the memory and not the graph.
    pub block: usize,
}

impl Default for GraphSettings {
    /// Returns at most 10 tokens that reach 0.95 of the probability, the first position cut, and blocks of 64.
    fn default() -> Self {
        let targets = Targets::Likely { at_most: 10, mass: 0.95 };
        Self { targets, first: FirstPosition::Cut, block: 64 }
    }
}

/// A node of a graph. The nodes are in the order of the variants; errors are ordered by layer, then by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// An active feature, by its number in [`AttributionGraph::features`].
    Feature(usize),
    /// The error of the transcoder of a layer at a position.
    Error {
        /// The layer.
        layer: usize,
        /// The position.
        position: usize,
    },
    /// A token.
    Token {
        /// The position.
        position: usize,
    },
    /// A target, by its number in [`AttributionGraph::targets`].
    Target(usize),
}

/// The direct effects between features, errors, tokens and targets of one prompt, in the model whose MLPs are replaced by transcoders.
///
/// ```text
/// Σ_s effect[t, s] + constant_t + bias_t = pre-activation of t
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AttributionGraph {
    /// The settings.
    pub settings: GraphSettings,
    /// The tokens.
    pub tokens: Vec<u32>,
    /// The active features by layer, position and latent.
    pub features: Vec<Feature>,
    /// The targets.
    pub targets: Vec<Target>,
    /// The number of layers.
    pub layers: usize,
    /// The direct effects on the features, `[feature, node]`.
    pub into_features: Array2<f64>,
    /// The direct effects on the targets, `[target, node]`.
    pub into_targets: Array2<f64>,
    /// The effect of everything that is no node, on each feature and then each target: biases of the decoders and of attention, positions,
    /// and the MLPs at a first position that is cut. The bias of the head is not among them.
    pub constants: Vec<f64>,
    /// The bias of the encoder of each feature.
    pub biases: Vec<f64>,
    /// The errors of the transcoders, `[layer, position, d]`.
    pub errors: Array3<f64>,
    /// The embeddings of the tokens, `[position, d]`.
    pub token_vectors: Array2<f64>,
    /// The logits, `[position, word]`.
    pub logits: Array2<f64>,
    /// The pre-activations of all latents, `[layer, position, latent]`, zero in a first position that is cut.
    pub pre_activations: Array3<f64>,
}

impl AttributionGraph {
    /// Computes the graph of a prompt.
    ///
    /// Attention patterns, the divisors of all norms, the set of active features and the errors are held at their values in the run. Then
    /// every effect is a product of a vector that the source writes, a linear map, and a vector that the target reads.
    ///
    /// # Errors
    /// [`CircuitError::Architecture`] for a model whose frozen form is no sum; [`CircuitError::Argument`] for transcoders of another model;
    /// [`CircuitError::OutOfRange`] for a block of zero; the errors of a run.
    ///
    /// # Examples
    /// ```
    /// use collimate_circuits::{AttributionGraph, GraphSettings, ReadSite, Transcoders};
    /// # use collimate_sae::{LayerActivation, LayeredTranscoder, Reach, TranscoderLayer};
    /// # use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm, RngStream};
    /// # use ndarray::{Array1, Array2, Array3};
    /// # let mlp = MlpDescription::new(16, true, Activation::Silu);
    /// # let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
    /// # let mut description = Description::new("toy", 11, 8, 32);
    /// # description.layers = vec![layer; 2];
    /// # let model = Model::<f64>::random(description, &RngStream::new(1, 0));
    /// # let mut stream = RngStream::new(2, 0);
    /// # let mut one = || TranscoderLayer {
    /// #     w_enc: Array2::from_shape_simple_fn((6, 8), || stream.normal()),
    /// #     b_enc: Array1::zeros(6),
    /// #     activation: LayerActivation::TopK(2),
    /// #     w_dec: Array3::from_shape_simple_fn((6, 1, 8), || stream.normal()),
    /// #     b_dec: Array1::zeros(8),
    /// #     w_skip: None,
    /// # };
    /// # let layers = LayeredTranscoder::new(vec![one(), one()], Reach::OwnLayer)?;
    /// let transcoders = Transcoders { layers, reads: ReadSite::MlpInput }; // or Transcoders::open("some-folder", None)?
    /// let graph = AttributionGraph::new(&model, &transcoders, &[3, 5, 8], GraphSettings::default())?;
    /// assert_eq!(graph.features.len(), 8); // two features at two positions in two layers; the first position is cut
    /// for (t, feature) in graph.features.iter().enumerate() {
    ///     let sum = graph.into_features.row(t).sum() + graph.constants[t] + graph.biases[t];
    ///     assert!((sum - feature.activation).abs() < 1e-12);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new<F: Precision + CodePrecision>(
        model: &Model<F>,
        transcoders: &Transcoders<F>,
        ids: &[u32],
        settings: GraphSettings,
    ) -> Result<Self, CircuitError> {
        ensure(settings.block > 0, "block", "at least 1", 0.0)?;
        let replaced = Replaced::new(model, transcoders, ids, settings.first)?;
        let frozen = &replaced.frozen;
        let targets = settings.targets.choose(frozen.logits.row(ids.len() - 1))?;
        let (layers, n) = (frozen.layers.len(), replaced.features.len());
        let nodes = n + (layers + 1) * ids.len() + targets.len();
        let mut into_features = Array2::zeros((n, nodes));
        let mut into_targets = Array2::zeros((targets.len(), nodes));
        let mut constants = Vec::with_capacity(n + targets.len());
        let rows = Rows::new(&replaced, transcoders);
        for layer in 0..layers {
            let own: Vec<usize> = (0..n).filter(|&index| replaced.features[index].layer == layer).collect();
            for some in own.chunks(settings.block) {
                let place = s![some[0]..some[0] + some.len(), ..];
                constants.extend(rows.of_features(layer, some, into_features.slice_mut(place))?);
            }
        }
        let directions = directions(&frozen.head, &targets);
        let chunks = directions.axis_chunks_iter(Axis(0), settings.block);
        for (chunk, out) in chunks.zip(into_targets.axis_chunks_iter_mut(Axis(0), settings.block)) {
            constants.extend(rows.of_targets(&chunk.to_owned(), out)?);
        }
        let wide = |x: &ndarray::ArrayRef2<F>| x.map(|&x| Scalar::to_f64(x));
        let set = transcoders.layers.layers();
        let biases = replaced.features.iter().map(|f| Scalar::to_f64(set[f.layer].b_enc[f.latent])).collect();
        let mut pre_activations = Array3::zeros((layers, ids.len(), transcoders.layers.n_latents()));
        for (layer, mut out) in pre_activations.outer_iter_mut().enumerate() {
            out.assign(&wide(&transcoders.pre_activations(
                layer,
                &frozen.layers[layer].read,
                settings.first,
            )?));
        }
        Ok(Self {
            settings,
            tokens: ids.to_vec(),
            targets,
            layers,
            into_features,
            into_targets,
            constants,
            biases,
            errors: replaced.errors.map(|&x| Scalar::to_f64(x)),
            token_vectors: wide(&frozen.tokens),
            logits: wide(&frozen.logits),
            pre_activations,
            features: replaced.features,
        })
    }

    /// Returns the number of nodes.
    pub fn n_nodes(&self) -> usize {
        self.into_features.ncols()
    }

    /// Returns a node by its number, which is its column.
    pub fn node(&self, index: usize) -> Node {
        let (n, positions) = (self.features.len(), self.tokens.len());
        let errors = self.layers * positions;
        match index {
            _ if index < n => Node::Feature(index),
            _ if index < n + errors => {
                Node::Error { layer: (index - n) / positions, position: (index - n) % positions }
            }
            _ if index < n + errors + positions => Node::Token { position: index - n - errors },
            _ => Node::Target(index - n - errors - positions),
        }
    }

    /// Returns the number of the first error, of the first token and of the first target.
    pub(super) fn starts(&self) -> [usize; 3] {
        let errors = self.features.len();
        let tokens = errors + self.layers * self.tokens.len();
        [errors, tokens, tokens + self.tokens.len()]
    }
}
