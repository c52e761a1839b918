use super::attention::AttentionDescription;
use super::experts::Experts;
use super::norm::Norm;
use collimate_grad::primitive::activation::Activation;

/// One layer: attention and an MLP, added to the residual stream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerDescription {
    /// The attention A.
    pub attention: AttentionDescription,
    /// The MLP M.
    pub mlp: MlpDescription,
    /// The order of the two.
    pub arrangement: Arrangement,
    /// The norm of the input of attention.
    pub attention_norm: Option<Norm>,
    /// The norm of the output of attention, before it is added.
    pub attention_post_norm: Option<Norm>,
    /// The norm of the input of the MLP.
    pub mlp_norm: Option<Norm>,
    /// The norm of the output of the MLP, before it is added.
    pub mlp_post_norm: Option<Norm>,
    /// The norm of the residual stream after each of the two sums (BERT, and OPT with norms after the sums).
    pub sum_norm: Option<Norm>,
    /// The factor on what attention and the MLP add.
    pub branch_scale: f64,
    /// True if the residual stream goes on with the normed input instead of the input (Bloom).
    pub residual_is_normed: bool,
}

/// The order of attention and MLP in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrangement {
    /// First attention, then the MLP on the sum.
    Sequential,
    /// Both on the input of the layer, with one norm.
    ParallelOneNorm,
    /// Both on the input of the layer, each with a norm of its own.
    ParallelTwoNorms,
}

impl LayerDescription {
    /// Returns a layer whose two branches read the residual stream through the same kind of norm.
    pub fn new(attention: AttentionDescription, mlp: MlpDescription, norm: Norm) -> Self {
        Self {
            attention,
            mlp,
            arrangement: Arrangement::Sequential,
            attention_norm: Some(norm),
            attention_post_norm: None,
            mlp_norm: Some(norm),
            mlp_post_norm: None,
            sum_norm: None,
            branch_scale: 1.0,
            residual_is_normed: false,
        }
    }
}

/// The MLP of a layer: W_down (act(W_gate y) ∘ W_up y), or W_down act(W_up y) without a gate.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct MlpDescription {
    /// The number of hidden neurons f.
    pub width: usize,
    /// True if there is a gate.
    pub gated: bool,
    /// The nonlinearity.
    pub activation: Activation,
    /// True if every matrix has a bias.
    pub bias: bool,
    /// The mixture of experts, each of which is an MLP of this description; none for one MLP that takes every token.
    pub experts: Option<Experts>,
}

impl MlpDescription {
    /// Returns an MLP without biases.
    pub fn new(width: usize, gated: bool, activation: Activation) -> Self {
        Self { width, gated, activation, bias: false, experts: None }
    }
}
