//! The description of an architecture as a plain value.

mod attention;
mod experts;
mod layer;
mod norm;
mod rotary;

pub use attention::{Alibi, AttentionDescription, Differential, HeadNorm, HeadNormOver};
pub use experts::{BoundedGate, ExpertWeights, Experts};
pub use layer::{Arrangement, LayerDescription, MlpDescription};
pub use norm::{GainForm, Norm, NormKind};
pub use rotary::{Frequencies, Rotary};

use crate::site::HookPoint;
#[cfg(doc)]
use crate::site::Site;
use collimate_attention::RotaryLayout;
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
    /// The number of positions that the model was made for. Longer inputs are refused, unless they ask for it
    /// ([`Input::beyond_context`](crate::Input::beyond_context)) and the model has no table of positions, or the base of the rotary
    /// angles grows with the input.
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

    /// Returns three Llama layers of width 32 with four query heads, two key heads and 61 words, for tests and toy models.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::Description;
    /// let description = Description::small();
    /// assert_eq!((description.layers.len(), description.width, description.context), (3, 32, 96));
    /// ```
    pub fn small() -> Self {
        let norm = Norm::root_mean_square(1e-5);
        let mlp = MlpDescription::new(48, true, Activation::Silu);
        let mut attention = AttentionDescription::new(4, 2, 8);
        attention.rotary = Some(Rotary::new(RotaryLayout::Interleaved, 8, 10_000.0));
        let mut small = Self::new("llama", 61, 32, 96);
        small.layers = vec![LayerDescription::new(attention, mlp, norm); 3];
        small.final_norm = Some(norm);
        small.head.iter_mut().for_each(|head| head.tied = true);
        small
    }

    /// Returns the size of an axis of an activation by its letter ([`Site::axes`]); none for `b`, `t` and `s`, which depend on the input,
    /// and for a layer that does not exist.
    pub fn axis(&self, point: HookPoint, letter: &str) -> Option<usize> {
        let of_the_model = match letter {
            "1" => Some(1),
            "d" => Some(self.width),
            "v" => Some(self.vocabulary),
            _ => None,
        };
        let of_a_layer = || {
            let layer = self.layers.get(point.layer)?;
            match letter {
                "h" => Some(layer.attention.heads),
                "g" => Some(layer.attention.key_heads),
                "e" => Some(layer.attention.head_width),
                "f" => Some(layer.mlp.width),
                "n" => layer.mlp.experts.map(|experts| experts.count),
                _ => None,
            }
        };
        of_the_model.or_else(of_a_layer)
    }

    /// Returns the number of numbers that each token has at a point, those of all heads together; none for scores and patterns, whose
    /// number depends on the input.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Description, Site};
    /// let description = Description::small();
    /// assert_eq!(description.numbers_at(Site::HeadOutput.of_layer(1)), Some(32)); // 4 heads of width 8
    /// assert_eq!(description.numbers_at(Site::Pattern.of_layer(1)), None);
    /// ```
    pub fn numbers_at(&self, point: HookPoint) -> Option<usize> {
        let letters = point.site.axes().trim_matches(['[', ']']).split(", ");
        letters
            .filter(|letter| !matches!(*letter, "b" | "t"))
            .map(|letter| self.axis(point, letter))
            .product()
    }

    /// Returns true if the rotary base grows with the length of the input, so that the context is no bound.
    pub(crate) fn grows_with_the_input(&self) -> bool {
        let rotaries = self.layers.iter().filter_map(|layer| layer.attention.rotary.as_ref());
        rotaries.into_iter().any(|rotary| matches!(rotary.frequencies, Frequencies::Dynamic { .. }))
    }

    /// Returns true if no position reads a later one.
    pub fn is_causal(&self) -> bool {
        self.layers.iter().all(|layer| layer.attention.causal)
    }
}
