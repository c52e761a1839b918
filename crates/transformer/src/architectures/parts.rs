//! The parts of configurations and files that several architectures share.

use super::keys::Keys;
use crate::description::{AttentionDescription, Description, Experts, Frequencies, Rotary};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Piece, Source};
use collimate_attention::{RotaryLayout, RotaryScaling, YarnAmplitude, YarnRamp};
use collimate_grad::primitive::activation::Activation;
use serde_json::Value;

/// Reads the name of a nonlinearity.
pub(super) fn activation(
    keys: &Keys,
    names: &[&str],
    default: Activation,
) -> Result<Activation, ModelFileError> {
    for key in names {
        let Some(name) = keys.text(key)? else { continue };
        return match name.as_str() {
            "gelu" => Ok(Activation::GeluErf),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Activation::GeluTanh),
            "silu" | "swish" => Ok(Activation::Silu),
            "relu" => Ok(Activation::Relu),
            "tanh" => Ok(Activation::Tanh),
            _ => Err(keys.unusable(key, "one of gelu, gelu_new, gelu_pytorch_tanh, silu, relu, tanh")),
        };
    }
    Ok(default)
}

/// The sizes that nearly all configurations have.
pub(super) struct Sizes {
    pub(super) vocabulary: usize,
    pub(super) width: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) key_heads: usize,
    pub(super) head_width: usize,
    pub(super) context: usize,
}

impl Sizes {
    /// Reads the sizes. `key_heads` is the number when the key is absent (0: as many as heads), `head_width` likewise (0: the width of
    /// the stream over the number of heads).
    pub(super) fn read(
        keys: &Keys,
        [context, key_heads, head_width]: [usize; 3],
    ) -> Result<Self, ModelFileError> {
        let width = keys.need(&["hidden_size", "n_embd"])?;
        let heads = keys.need(&["num_attention_heads", "n_head", "num_heads"])?;
        let layers = keys.need(&["num_hidden_layers", "n_layer", "num_layers"])?;
        // Before anything is made of these sizes: no file means what its tensors do not hold.
        if let Some((tensors, longest)) = keys.bounds() {
            for (name, value, most) in [
                ("hidden_size", width, longest),
                ("num_attention_heads", heads, longest),
                ("num_hidden_layers", layers, tensors),
            ] {
                if value > most {
                    return Err(keys.unusable(
                        name,
                        &format!("at most {most}, by the tensors of the file (given: {value})"),
                    ));
                }
            }
        }
        let key_heads = match keys.whole("num_key_value_heads")? {
            Some(n) => n,
            None if key_heads == 0 => heads,
            None => key_heads,
        };
        let head_width = match keys.whole("head_dim")? {
            Some(n) => n,
            None if head_width == 0 => {
                if !width.is_multiple_of(heads) {
                    return Err(
                        keys.unusable("num_attention_heads", &format!("a divisor of the width {width}"))
                    );
                }
                width / heads
            }
            None => head_width,
        };
        if !heads.is_multiple_of(key_heads) {
            let expected =
                format!("a divisor of the {heads} query heads; without the key, {key_heads} is meant");
            return Err(keys.unusable("num_key_value_heads", &expected));
        }
        Ok(Self {
            vocabulary: keys.need(&["vocab_size"])?,
            width,
            layers,
            heads,
            key_heads,
            head_width,
            context: keys.first_whole(&["max_position_embeddings", "n_positions"])?.unwrap_or(context),
        })
    }

    /// Returns the attention of these sizes.
    pub(super) fn attention(&self) -> AttentionDescription {
        AttentionDescription::new(self.heads, self.key_heads, self.head_width)
    }

    /// Returns a description of these sizes without layers.
    pub(super) fn description(&self, keys: &Keys) -> Result<Description, ModelFileError> {
        let name = keys.text("model_type")?.unwrap_or_default();
        Ok(Description::new(&name, self.vocabulary, self.width, self.context))
    }
}

/// Decides whether the head is the table of tokens. A head in the file counts, whatever the configuration says.
pub(super) fn is_tied(keys: &Keys, default: bool, head: &str, table: &str) -> Result<bool, ModelFileError> {
    let says = keys.flag("tie_word_embeddings", default)?;
    if keys.is_alone() {
        return Ok(says);
    }
    match (keys.has_tensor(head), keys.has_tensor(table)) {
        // Only the head is in the file: it serves for both.
        (true, false) if says => Ok(true),
        (true, _) => Ok(false),
        (false, _) if says => Ok(true),
        (false, _) => {
            let given = "nothing".into();
            Err(ModelFileError::Metadata {
                key: head.into(),
                expected: "the matrix of the head, because tie_word_embeddings is false".into(),
                given,
            })
        }
    }
}

/// The facts about rotary positions that an architecture fixes.
pub(super) struct RotaryDefaults {
    pub(super) layout: RotaryLayout,
    pub(super) base: f64,
    /// The part of a head that is turned.
    pub(super) part: f64,
    /// The names of the keys of the base and of the part.
    pub(super) base_key: &'static str,
    pub(super) part_key: &'static str,
    /// True if `yarn` means LongRoPE (Phi-3).
    pub(super) yarn_is_longrope: bool,
}

impl RotaryDefaults {
    /// Returns the halves layout with a base, turning whole heads.
    pub(super) fn halves(base: f64) -> Self {
        Self {
            layout: RotaryLayout::HalfSplit,
            base,
            part: 1.0,
            base_key: "rope_theta",
            part_key: "partial_rotary_factor",
            yarn_is_longrope: false,
        }
    }

    /// Reads the rotary positions of a configuration.
    pub(super) fn read(&self, keys: &Keys, sizes: &Sizes) -> Result<Rotary, ModelFileError> {
        let scaling = keys.value("rope_scaling").cloned();
        let parameters = keys.value("rope_parameters").cloned();
        let chosen = scaling.or(parameters).unwrap_or(Value::Null);
        let base = keys.number_or(self.base_key, self.base)?;
        let part = keys.number_or(self.part_key, self.part)?;
        self.read_value(keys, &chosen, (base, part), sizes)
    }

    /// Reads the rotary positions from the value of `rope_parameters` or `rope_scaling`.
    pub(super) fn read_value(
        &self,
        keys: &Keys,
        value: &Value,
        (base, part): (f64, f64),
        sizes: &Sizes,
    ) -> Result<Rotary, ModelFileError> {
        let inner = keys.part(value);
        let base = inner.number_or("rope_theta", base)?;
        let part = inner.number_or("partial_rotary_factor", part)?;
        let width = (sizes.head_width as f64 * part) as usize;
        if width == 0 || !width.is_multiple_of(2) || width > sizes.head_width {
            let expected =
                format!("an even number of channels of a head of {} (this gives {width})", sizes.head_width);
            return Err(keys.unusable(self.part_key, &expected));
        }
        if base <= 0.0 {
            return Err(keys.unusable(self.base_key, "a positive number"));
        }
        let mut rotary = Rotary::new(self.layout, width, base);
        rotary.frequencies = self.frequencies(keys, &inner, &rotary, sizes)?;
        inner.check_all_used()?;
        Ok(rotary)
    }

    fn frequencies(
        &self,
        keys: &Keys,
        inner: &Keys,
        rotary: &Rotary,
        sizes: &Sizes,
    ) -> Result<Frequencies, ModelFileError> {
        let old = inner.text("type")?;
        let kind = inner.text("rope_type")?.or(old).unwrap_or_else(|| "default".into());
        let length = sizes.context as f64;
        let inside = inner.number("original_max_position_embeddings")?;
        let original = keys.number("original_max_position_embeddings")?.or(inside).unwrap_or(length);
        let factor = inner.number("factor")?;
        let need = |key: &str| inner.number(key)?.ok_or_else(|| inner.unusable(key, "a number"));
        if factor.is_some_and(|factor| factor <= 0.0) || original <= 0.0 {
            return Err(inner.unusable("factor", "a positive number"));
        }
        let fixed = |scaling| Ok(Frequencies::Fixed(scaling));
        match kind.as_str() {
            "default" => fixed(RotaryScaling::None),
            "linear" => fixed(RotaryScaling::Linear { factor: need("factor")? }),
            "dynamic" => {
                let factor = need("factor")?;
                if rotary.width <= 2 {
                    return Err(inner
                        .unusable("rope_type", "another scaling, because dynamic scaling needs two pairs"));
                }
                Ok(Frequencies::Dynamic { factor, length })
            }
            "llama3" => fixed(RotaryScaling::Llama3 {
                factor: need("factor")?,
                low: need("low_freq_factor")?,
                high: need("high_freq_factor")?,
                original_length: original,
            }),
            "longrope" | "su" => self.divided(inner, rotary, length, original, factor),
            "yarn" if self.yarn_is_longrope => self.divided(inner, rotary, length, original, factor),
            "yarn" => {
                let factor = factor.unwrap_or(length / original);
                let (scale, all) = (inner.number("mscale")?, inner.number("mscale_all_dim")?);
                let given = inner.number("attention_factor")?;
                let of = |k: f64| if factor > 1.0 { 0.1 * k * factor.ln() + 1.0 } else { 1.0 };
                let amplitude = given.unwrap_or_else(|| match (scale, all) {
                    (Some(scale), Some(all)) if scale != 0.0 && all != 0.0 => of(scale) / of(all),
                    _ => of(1.0),
                });
                let whole = inner.flag("truncate", true)?;
                fixed(RotaryScaling::Yarn {
                    factor,
                    beta_fast: inner.number_or("beta_fast", 32.0)?,
                    beta_slow: inner.number_or("beta_slow", 1.0)?,
                    original_length: original,
                    ramp: if whole { YarnRamp::WholePairs } else { YarnRamp::Exact },
                    amplitude: YarnAmplitude::Fixed(amplitude),
                })
            }
            _ => Err(inner.unusable(
                if inner.value("rope_type").is_some() { "rope_type" } else { "type" },
                "one of default, linear, dynamic, llama3, yarn, longrope",
            )),
        }
    }

    fn divided(
        &self,
        inner: &Keys,
        rotary: &Rotary,
        length: f64,
        original: f64,
        factor: Option<f64>,
    ) -> Result<Frequencies, ModelFileError> {
        let list = |key: &str| {
            let expected = format!("a list of {} positive numbers", rotary.width / 2);
            match inner.numbers(key)? {
                Some(list) if list.len() == rotary.width / 2 && list.iter().all(|&x| x > 0.0) => Ok(list),
                _ => Err(inner.unusable(key, &expected)),
            }
        };
        let s = factor.unwrap_or(length / original);
        let amplitude = match inner.number("attention_factor")? {
            Some(amplitude) => amplitude,
            None if s <= 1.0 => 1.0,
            None => (1.0 + s.ln() / original.ln()).sqrt(),
        };
        Ok(Frequencies::Divided {
            short: list("short_factor")?,
            long: list("long_factor")?,
            original,
            amplitude,
        })
    }
}

/// Reads the number of experts and the number of them that each token is sent to.
pub(super) fn experts(
    keys: &Keys,
    count_keys: &[&str],
    (count, chosen): (usize, usize),
) -> Result<Experts, ModelFileError> {
    let count = keys.first_whole(count_keys)?.unwrap_or(count);
    // No file means more experts than its tensors hold.
    if let Some((tensors, longest)) = keys.bounds().filter(|(tensors, longest)| count > *tensors.max(longest))
    {
        let expected =
            format!("at most {}, by the tensors of the file (given: {count})", tensors.max(longest));
        return Err(keys.unusable(count_keys[0], &expected));
    }
    let chosen = keys.first_whole(&["num_experts_per_tok", "experts_per_token"])?.unwrap_or(chosen);
    if chosen > count {
        return Err(keys.unusable("num_experts_per_tok", &format!("at most the number of experts, {count}")));
    }
    Ok(Experts::new(count, chosen))
}

/// Returns the places of the matrices of all experts, which are tensors of their own: `{}` in the pattern stands for the layer, `{expert}`
/// for the expert.
pub(super) fn of_experts(pattern: &str, name: ParameterName, d: &Description) -> Source {
    let experts = d.layers[name.layer.unwrap_or_default()].mlp.experts;
    let one = |expert: usize| Piece::whole(fill(&pattern.replace("{expert}", &expert.to_string()), name));
    (0..experts.map_or(0, |experts| experts.count)).map(one).collect()
}

/// Returns the place of a parameter that is a tensor of its own: `{}` in the pattern stands for the layer.
pub(super) fn whole(pattern: &str, name: ParameterName) -> Source {
    vec![Piece::whole(fill(pattern, name))]
}

/// Puts the layer into a pattern.
pub(super) fn fill(pattern: &str, name: ParameterName) -> String {
    pattern.replace("{}", &name.layer.unwrap_or_default().to_string())
}

/// The order of queries, keys and values in a fused tensor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fused {
    /// All queries, all keys, all values.
    Blocks,
    /// For each key head: its queries, its key, its value.
    ByKeyHead,
}

/// Returns the place of the queries, keys or values in a fused tensor.
pub(super) fn fused(tensor: String, name: ParameterName, d: &Description, order: Fused) -> Source {
    let a = &d.layers[name.layer.unwrap_or_default()].attention;
    let (groups, queries, keys) = match order {
        Fused::Blocks => (1, a.heads * a.head_width, a.key_heads * a.head_width),
        Fused::ByKeyHead => (a.key_heads, a.heads / a.key_heads * a.head_width, a.head_width),
    };
    let rows = match name.part {
        Part::Query | Part::QueryBias => 0..queries,
        Part::Key | Part::KeyBias => queries..queries + keys,
        _ => queries + keys..queries + 2 * keys,
    };
    vec![Piece { groups, rows: Some(rows), ..Piece::whole(tensor) }]
}

/// Reads the window of each layer from `layer_types`, or by a rule when the list is absent.
pub(super) fn windows(
    keys: &Keys,
    layers: usize,
    window: Option<usize>,
    slides: impl Fn(usize) -> bool,
) -> Result<Vec<Option<usize>>, ModelFileError> {
    let Some(types) = keys.texts("layer_types")? else {
        return Ok((0..layers).map(|layer| window.filter(|_| slides(layer))).collect());
    };
    if types.len() != layers {
        return Err(keys.unusable("layer_types", &format!("one word for each of {layers} layers")));
    }
    types
        .iter()
        .map(|kind| match kind.as_str() {
            "full_attention" => Ok(None),
            "sliding_attention" => Ok(window),
            _ => Err(keys.unusable("layer_types", "full_attention or sliding_attention")),
        })
        .collect()
}
