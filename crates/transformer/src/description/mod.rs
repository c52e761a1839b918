//! The description of an architecture as a plain value.

mod attention;
mod layer;
mod norm;
mod rotary;

pub use attention::{Alibi, AttentionDescription, Differential, HeadNorm, HeadNormOver};
pub use layer::{Arrangement, LayerDescription, MlpDescription};
pub use norm::{GainForm, Norm, NormKind};
pub use rotary::{Frequencies, Rotary};

use collimate_grad::primitive::activation::Activation;

/// The description of a transformer: everything that the forward pass depends on, apart from the weights.
///
/// ```text
/// x ← (scale · E[token]) W_in + P[position + offset] + T[type],   x ← norm x,   x ← layer_l(x) for each layer,   x ← norm x
/// logits = softcap(scale · (x W_out Uᵀ + β))
/// ```
///
/// # Shapes
/// `E` `[v, w]`, `W_in` `[d, w]` and `W_out` `[w, d]` where w differs from d, `P` `[n, d]`, `U` `[v, w]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Description {
    /// The name of the architecture, as `model_type` writes it.
    pub name: String,
    /// The number of words v.
    pub vocabulary: usize,
    /// The width of the residual stream d.
    pub width: usize,
    /// The number of positions that the model was made for. A model with a table of learned positions refuses longer inputs; one with
    /// rotary positions or ALiBi goes on, with positions that it was not trained on.
    pub context: usize,
    /// The way from tokens to the residual stream.
    pub embedding: Embedding,
    /// The layers, in order.
    pub layers: Vec<LayerDescription>,
    /// The norm after the last layer.
    pub final_norm: Option<Norm>,
    /// The way from the residual stream to the logits, or none for a model without a vocabulary head.
    pub head: Option<Head>,
    /// True if there is a pooler: tanh of a product with the row of position 0.
    pub pooler: bool,
    /// True if there is a head that tells whether two texts follow each other, on top of the pooler.
    pub next_sentence: bool,
}

/// The way from tokens to the residual stream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Embedding {
    /// The width of a row of the table, where it differs from the width of the residual stream; then two projections lead there and
    /// back.
    pub projected_from: Option<usize>,
    /// The factor on the rows of tokens.
    pub scale: f64,
    /// The table of learned positions.
    pub positions: Option<LearnedPositions>,
    /// The number of token types, or none.
    pub token_types: Option<usize>,
    /// The norm of the sum.
    pub norm: Option<Norm>,
}

/// A table of learned positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LearnedPositions {
    /// The number of rows.
    pub rows: usize,
    /// The row of position 0.
    pub offset: usize,
    /// True if a position counts the tokens before it that are not padding (OPT); false if it is the place in the sequence.
    pub skip_padding: bool,
}

impl LearnedPositions {
    /// Returns a table of `rows` positions, of which position 0 has the first row.
    pub fn new(rows: usize) -> Self {
        Self { rows, offset: 0, skip_padding: false }
    }
}

/// The way from the residual stream to the logits.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Head {
    /// True if the table of tokens is the matrix of the head.
    pub tied: bool,
    /// True if each word has a bias.
    pub bias: bool,
    /// The factor on the logits.
    pub scale: f64,
    /// The bound c of c·tanh(logit/c), after the factor.
    pub softcap: Option<f64>,
    /// The layer before the product: a dense layer, a nonlinearity and a norm (BERT).
    pub transform: Option<(Activation, Norm)>,
}

impl Description {
    /// Returns a description with the given sizes and without layers: no scale, no norm, an untied head.
    pub fn new(name: &str, vocabulary: usize, width: usize, context: usize) -> Self {
        Self {
            name: name.into(),
            vocabulary,
            width,
            context,
            embedding: Embedding {
                projected_from: None,
                scale: 1.0,
                positions: None,
                token_types: None,
                norm: None,
            },
            layers: Vec::new(),
            final_norm: None,
            head: Some(Head { tied: false, bias: false, scale: 1.0, softcap: None, transform: None }),
            pooler: false,
            next_sentence: false,
        }
    }

    /// Returns true if no position reads a later one.
    pub fn is_causal(&self) -> bool {
        self.layers.iter().all(|layer| layer.attention.causal)
    }
}
