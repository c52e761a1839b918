//! Small models of every architecture that is read from folders.

use super::models::Models;
use crate::description::Description;
use crate::network::Model;
use crate::parameters::Part;
use collimate_stream::RngStream;
use ndarray::Array2;
use std::sync::Arc;

/// The sizes that all small models share.
const SIZES: &str = r#""vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 10, "max_position_embeddings": 24"#;

/// The architectures by `model_type`, with the keys beside the sizes. The parts in which architectures differ are switched on.
const ARCHITECTURES: [(&str, &str); 28] = [
    ("llama", r#""num_key_value_heads": 1"#),
    ("mistral", r#""num_key_value_heads": 1, "sliding_window": 3"#),
    ("qwen2", r#""num_key_value_heads": 1, "tie_word_embeddings": true"#),
    ("qwen3", r#""num_key_value_heads": 1, "head_dim": 6"#),
    ("gemma", r#""num_key_value_heads": 1, "head_dim": 6"#),
    (
        "gemma2",
        r#""num_key_value_heads": 1, "head_dim": 6, "query_pre_attn_scalar": 5, "attn_logit_softcapping": 2.0,
           "final_logit_softcapping": 3.0, "sliding_window": 3, "layer_types": ["sliding_attention", "full_attention"]"#,
    ),
    (
        "gemma3_text",
        r#""num_key_value_heads": 1, "head_dim": 6, "query_pre_attn_scalar": 5, "sliding_window": 3,
           "layer_types": ["sliding_attention", "full_attention"]"#,
    ),
    ("gpt2", r#""tie_word_embeddings": false"#),
    ("gpt_neo", r#""window_size": 3, "attention_types": [[["local", "global"], 1]]"#),
    ("gpt_neox", r#""rotary_pct": 0.5, "use_parallel_residual": true"#),
    ("gptj", r#""rotary_dim": 2"#),
    ("opt", r#""ffn_dim": 10, "activation_function": "gelu", "word_embed_proj_dim": 8"#),
    (
        "opt",
        r#""ffn_dim": 10, "activation_function": "gelu", "word_embed_proj_dim": 6, "do_layer_norm_before": false"#,
    ),
    (
        "opt",
        r#""ffn_dim": 10, "activation_function": "relu", "word_embed_proj_dim": 8, "enable_bias": false"#,
    ),
    ("phi", r#""partial_rotary_factor": 0.5"#),
    ("phi3", r#""num_key_value_heads": 1, "tie_word_embeddings": false"#),
    ("olmo2", r#""num_key_value_heads": 1"#),
    ("smollm3", r#""num_key_value_heads": 1, "no_rope_layers": [1, 0]"#),
    (
        "granite",
        r#""num_key_value_heads": 1, "attention_multiplier": 0.4, "embedding_multiplier": 3.0, "logits_scaling": 2.0,
           "residual_multiplier": 0.7"#,
    ),
    ("stablelm", r#""num_key_value_heads": 2, "partial_rotary_factor": 0.5, "use_qkv_bias": true"#),
    (
        "falcon",
        r#""new_decoder_architecture": true, "num_kv_heads": 1, "alibi": false, "bias": false, "parallel_attn": true"#,
    ),
    ("bloom", r#""apply_residual_connection_post_layernorm": true"#),
    ("cohere", r#""num_key_value_heads": 1, "use_qk_norm": true, "logit_scale": 0.5"#),
    ("mixtral", r#""num_key_value_heads": 1, "num_local_experts": 3, "num_experts_per_tok": 2"#),
    (
        "qwen3_moe",
        r#""num_key_value_heads": 1, "moe_intermediate_size": 6, "num_experts": 4, "num_experts_per_tok": 2, "mlp_only_layers": [1]"#,
    ),
    (
        "gpt_oss",
        r#""num_key_value_heads": 1, "head_dim": 4, "num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": 3,
           "swiglu_limit": 1.0"#,
    ),
    ("diffllama", r#""num_key_value_heads": 2, "head_dim": 4"#),
    ("bert", r#""architectures": ["BertForMaskedLM"], "type_vocab_size": 2"#),
];

/// Random small models of the architectures that this crate reads, or of some of them.
///
/// Every gain, bias and other vector is drawn too, so that no part of a model is without effect.
///
/// # Examples
/// ```
/// use collimate_transformer::claims::{Models, SmallModels};
/// assert_eq!(SmallModels::all().count(), 28);
/// assert_eq!(SmallModels::of(|d| !d.is_causal()).count(), 1); // BERT
/// ```
pub struct SmallModels {
    chosen: Vec<usize>,
    change: fn(&mut Description),
}

impl SmallModels {
    /// Returns models of all architectures.
    pub fn all() -> Self {
        Self::of(|_| true)
    }

    /// Returns models of the architectures whose description the function accepts.
    pub fn of(accepts: impl Fn(&Description) -> bool) -> Self {
        let chosen = (0..ARCHITECTURES.len()).filter(|&index| accepts(&description(index))).collect();
        Self { chosen, change: |_| {} }
    }

    /// Returns these models with a change of their description.
    #[must_use]
    pub fn changed(self, change: fn(&mut Description)) -> Self {
        Self { change, ..self }
    }
}

/// Returns the description of an architecture of the table.
fn description(index: usize) -> Description {
    let (name, more) = ARCHITECTURES[index];
    let text = format!("{{\"model_type\": \"{name}\", {SIZES}, {more}}}");
    let model = Model::<f64>::random_of_configuration(&text, &RngStream::new(0, 0));
    model.unwrap_or_else(|error| panic!("{name}: {error}")).description().clone()
}

impl Models for SmallModels {
    fn count(&self) -> usize {
        self.chosen.len()
    }

    fn model(&self, architecture: usize, stream: &mut RngStream) -> Arc<Model<f64>> {
        let mut description = description(self.chosen[architecture]);
        (self.change)(&mut description);
        let model = Model::random(description, &stream.child(0));
        let drawn = |(name, x): (crate::ParameterName, &ndarray::ArrayRef2<f64>)| -> Array2<f64> {
            let is_vector = name.part.is_gain() || name.part.is_bias() || name.part == Part::Sinks;
            let mut noise = || if is_vector { 0.3 * stream.normal() } else { 0.0 };
            x.map(|x| x + noise())
        };
        let parameters = model.parameters().map(drawn).collect();
        Arc::new(model.with_parameters(parameters).expect("the shapes are those of the model"))
    }
}
