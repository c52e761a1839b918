use crate::entries::{self, unusable};
use crate::error::TransformerError;
use collimate_measure::{OutOfRange, ensure};
use collimate_tensor::files::{Gguf, GgufValue};

/// The sizes and constants of a Llama-style decoder.
///
/// ```text
/// x ← x + W_O·attention(norm(x)),   x ← x + W_down(silu(W_gate·norm(x)) ∘ W_up·norm(x))       per layer
/// norm(x) = gain ∘ x / √(mean(x²) + norm_epsilon)
/// ```
///
/// # Examples
/// ```
/// use collimate_transformer::Config;
/// let config = Config::small();
/// assert!(config.check().is_ok());
/// assert!(Config { n_key_heads: 3, ..config }.check().is_err()); // 3 does not divide the 4 query heads
/// assert_eq!(Config::smollm2_135m().n_parameters(), 134_515_008);
/// ```
///
/// # References
/// Touvron et al. (2023), "LLaMA", section 2.2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// The number of layers.
    pub n_layers: usize,
    /// The width of the residual stream.
    pub d_model: usize,
    /// The number of query heads.
    pub n_heads: usize,
    /// The number of key and value heads, a divisor of the query heads; neighbouring query heads share one.
    pub n_key_heads: usize,
    /// The width of a head, an even number.
    pub d_head: usize,
    /// The width of the gated hidden layer.
    pub d_ff: usize,
    /// The size of the vocabulary.
    pub n_vocab: usize,
    /// The largest number of tokens.
    pub context: usize,
    /// The base of the rotary angles; neighbouring numbers form a pair.
    pub rotary_base: f64,
    /// The constant under the root of the norms.
    pub norm_epsilon: f64,
}

/// The largest size: far above any real model, and small enough that the product of two sizes does not overflow.
const LARGEST: usize = 1 << 31;

impl Config {
    /// Returns the configuration of SmolLM2-135M-Instruct.
    pub fn smollm2_135m() -> Self {
        Self {
            n_layers: 30,
            d_model: 576,
            n_heads: 9,
            n_key_heads: 3,
            d_head: 64,
            d_ff: 1536,
            n_vocab: 49_152,
            context: 8192,
            rotary_base: 100_000.0,
            norm_epsilon: 1e-5,
        }
    }

    /// Returns three layers of width 32, for tests and toy models.
    pub fn small() -> Self {
        Self {
            n_layers: 3,
            d_model: 32,
            n_heads: 4,
            n_key_heads: 2,
            d_head: 8,
            d_ff: 48,
            n_vocab: 61,
            context: 96,
            rotary_base: 10_000.0,
            norm_epsilon: 1e-5,
        }
    }

    /// Returns the number of parameters; the embedding counts once.
    pub fn n_parameters(&self) -> usize {
        let attention = self.d_model * self.d_head * 2 * (self.n_heads + self.n_key_heads);
        let layer = attention + 3 * self.d_model * self.d_ff + 2 * self.d_model;
        self.n_vocab * self.d_model + self.n_layers * layer + self.d_model
    }

    /// Checks that the numbers fit together.
    ///
    /// # Errors
    /// [`OutOfRange`] for the first number that does not fit.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let sizes = [
            ("n_layers", self.n_layers),
            ("d_model", self.d_model),
            ("n_heads", self.n_heads),
            ("n_key_heads", self.n_key_heads),
            ("d_head", self.d_head),
            ("d_ff", self.d_ff),
            ("n_vocab", self.n_vocab),
            ("context", self.context),
        ];
        for (name, size) in sizes {
            ensure((1..=LARGEST).contains(&size), name, "from 1 to 2³¹", size as f64)?;
        }
        let divides = self.n_heads.is_multiple_of(self.n_key_heads);
        ensure(divides, "n_key_heads", "a divisor of n_heads", self.n_key_heads as f64)?;
        ensure(self.d_head.is_multiple_of(2), "d_head", "even, for the rotary pairs", self.d_head as f64)?;
        for (name, value) in [("rotary_base", self.rotary_base), ("norm_epsilon", self.norm_epsilon)] {
            ensure(value.is_finite() && value > 0.0, name, "positive and finite", value)?;
        }
        let widest = (self.n_heads + 2 * self.n_key_heads) as u128 * self.d_head as u128;
        let largest_matrix =
            self.d_model as u128 * widest.max(2 * self.d_ff as u128).max(self.n_vocab as u128);
        let fits = largest_matrix * self.n_layers as u128 <= isize::MAX as u128 / 64;
        ensure(fits, "d_model", "small enough for the weights to fit into memory", self.d_model as f64)
    }

    /// Reads the configuration from the metadata of a GGUF file of architecture `llama`.
    ///
    /// # Errors
    /// [`TransformerError::File`] for an entry that is missing or cannot be used, such as another architecture, a scaling of the
    /// rotary angles or an entry of the architecture that is not known; [`TransformerError::OutOfRange`] when the numbers do not fit
    /// together.
    pub fn from_gguf(file: &Gguf) -> Result<Self, TransformerError> {
        let key = "general.architecture";
        if file.value(key).and_then(GgufValue::as_text) != Some("llama") {
            return Err(unusable(file, key, "the text 'llama'").into());
        }
        let size = |key: &str| match file.value(key).and_then(GgufValue::as_u64).map(usize::try_from) {
            Some(Ok(size)) => Ok(size),
            _ => Err(unusable(file, key, "a natural number")),
        };
        let or = |key: &str, other: usize| if file.value(key).is_some() { size(key) } else { Ok(other) };
        let number = |key: &str| {
            file.value(key).and_then(GgufValue::as_f64).ok_or_else(|| unusable(file, key, "a number"))
        };
        let (d_model, n_heads) = (size("llama.embedding_length")?, size("llama.attention.head_count")?);
        let d_head = or("llama.attention.key_length", d_model.checked_div(n_heads).unwrap_or(0))?;
        for key in ["llama.rope.dimension_count", "llama.attention.value_length"] {
            if or(key, d_head)? != d_head {
                return Err(unusable(file, key, &format!("the width of a head, {d_head}")).into());
            }
        }
        let n_vocab = match file.tensors().get("token_embd.weight").map(|tensor| tensor.shape.as_slice()) {
            Some(&[rows, _]) => rows,
            _ => 0,
        };
        if or("llama.vocab_size", n_vocab)? != n_vocab {
            let expected = format!("the rows of token_embd.weight, {n_vocab}");
            return Err(unusable(file, "llama.vocab_size", &expected).into());
        }
        let rotary_base = match file.value("llama.rope.freq_base") {
            Some(_) => number("llama.rope.freq_base")?,
            None => 10_000.0, // the default of the format
        };
        let config = Self {
            n_layers: size("llama.block_count")?,
            d_model,
            n_heads,
            n_key_heads: or("llama.attention.head_count_kv", n_heads)?,
            d_head,
            d_ff: size("llama.feed_forward_length")?,
            n_vocab,
            context: size("llama.context_length")?,
            rotary_base,
            norm_epsilon: number("llama.attention.layer_norm_rms_epsilon")?,
        };
        config.check()?;
        entries::check(file, config.context, config.d_head)?;
        Ok(config)
    }
}
