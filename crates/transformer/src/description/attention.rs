use super::norm::Norm;
use super::rotary::Rotary;
use collimate_attention::algebra::{Slopes, alibi_slopes};

/// The attention of a layer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AttentionDescription {
    /// The number of query heads h.
    pub heads: usize,
    /// The number of key and value heads g, a divisor of h. Query head i reads key head ⌊i·g/h⌋.
    pub key_heads: usize,
    /// The width of a head e.
    pub head_width: usize,
    /// True if queries, keys and values have biases.
    pub input_bias: bool,
    /// True if the output matrix has a bias.
    pub output_bias: bool,
    /// The norm of queries and keys before they are turned.
    pub head_norm: Option<HeadNorm>,
    /// The rotary positions.
    pub rotary: Option<Rotary>,
    /// The factor on the scores.
    pub scale: f64,
    /// The bound c of c·tanh(score/c), before the mask.
    pub softcap: Option<f64>,
    /// The number of keys that a query sees, with its own.
    pub window: Option<usize>,
    /// True if a query sees no later key.
    pub causal: bool,
    /// The biases that grow with the position of the key.
    pub alibi: Option<Alibi>,
    /// True if each head has a learned sink.
    pub sinks: bool,
    /// The difference of two softmaxes.
    pub differential: Option<Differential>,
}

impl AttentionDescription {
    /// Returns causal attention with the scale 1/√e, without biases, norms and positions.
    pub fn new(heads: usize, key_heads: usize, head_width: usize) -> Self {
        Self {
            heads,
            key_heads,
            head_width,
            input_bias: false,
            output_bias: false,
            head_norm: None,
            rotary: None,
            scale: 1.0 / (head_width as f64).sqrt(),
            softcap: None,
            window: None,
            causal: true,
            alibi: None,
            sinks: false,
            differential: None,
        }
    }
}

/// A norm of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct HeadNorm {
    /// The norm.
    pub norm: Norm,
    /// The numbers that are normalised together.
    pub over: HeadNormOver,
}

impl HeadNorm {
    /// Returns a norm over the given numbers.
    pub fn new(norm: Norm, over: HeadNormOver) -> Self {
        Self { norm, over }
    }
}

/// The numbers that a norm of queries or keys takes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadNormOver {
    /// One head, with one gain `[e]` for all heads.
    SharedGain,
    /// One head, with a gain of its own for each head, `[h, e]`.
    OwnGain,
    /// All heads together, with a gain `[h·e]`.
    AllHeads,
}

/// Biases of the scores that grow with the position of the key (Press et al., 2022): slope·position·factor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Alibi {
    /// The slope of each head.
    pub slopes: Vec<f64>,
    /// The factor on the biases.
    pub factor: f64,
    /// True if slopes and products are rounded to bfloat16 before the factor (Falcon).
    pub rounded: bool,
}

impl Alibi {
    /// Returns the biases of the paper for a number of heads.
    pub fn new(heads: usize) -> Self {
        let slopes = alibi_slopes(Slopes::Geometric, heads).unwrap_or_default();
        Self { slopes, factor: 1.0, rounded: false }
    }

    /// Returns the bias of each key of a head. A position counts the keys before it that are not padding.
    pub(crate) fn biases(&self, head: usize, places: &[usize]) -> Vec<f64> {
        let round = |x: f64| if self.rounded { f64::from(half::bf16::from_f64(x)) } else { x };
        let slope = round(self.slopes[head]);
        places.iter().map(|&place| round(slope * place as f64) * self.factor).collect()
    }
}

/// Differential attention (Ye et al., 2024): the heads form pairs j and j + h/2 whose outputs are subtracted.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Differential {
    /// The constant λ₀ in λ = exp(q₁·k₁) − exp(q₂·k₂) + λ₀. The output is multiplied by 1 − λ₀.
    pub lambda_init: f64,
    /// The ε of the norm of each pair.
    pub epsilon: f64,
}

impl Differential {
    /// Returns differential attention with the constant λ₀ and the ε of the norm of each pair.
    pub fn new(lambda_init: f64, epsilon: f64) -> Self {
        Self { lambda_init, epsilon }
    }
}
