use crate::error::ModelFileError;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The keys of a configuration, and the names of the tensors beside it. A key counts as used once it is read.
pub(crate) struct Keys {
    values: Map<String, Value>,
    tensors: BTreeMap<String, Vec<usize>>,
    used: RefCell<BTreeSet<String>>,
    /// True if there are no tensors yet, so that the configuration alone decides.
    alone: bool,
}

/// The keys that have no bearing on the function of a trained model.
const NEUTRAL: [&str; 71] = [
    "_name_or_path",
    "_remove_final_layer_norm",
    "add_bos_token",
    "architectures",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "bos_token_id",
    "cache_implementation",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "dtype",
    "embd_pdrop",
    "embed_dropout",
    "eos_token_id",
    "finetuning_task",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "id2label",
    "init_std",
    "initializer_cutoff_factor",
    "initializer_range",
    "is_llama_config",
    "label2id",
    "lambda_std_dev",
    "layerdrop",
    "dropout",
    "masked_softmax_fusion",
    "bias_dropout_fusion",
    "skip_bias_add",
    "skip_bias_add_qkv",
    "model_type",
    "offset_alibi",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_router_logits",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "quantization",
    "reorder_and_upcast_attn",
    "resid_dropout",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "rope_interleaved",
    "seq_length",
    "slow_but_exact",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "unk_token_id",
    "unk_index",
    "use_cache",
    "use_return_dict",
    "torchscript",
    "transformers.js_config",
    "n_ctx",
    "gradient_accumulation",
    "mup_width",
];

/// Parts of names of keys that bear on the function.
const BEARING: [&str; 30] = [
    "rope",
    "rotary",
    "scale",
    "scaling",
    "multiplier",
    "softcap",
    "window",
    "norm",
    "bias",
    "alibi",
    "parallel",
    "expert",
    "moe",
    "clip",
    "qkv",
    "activation",
    "hidden_act",
    "residual",
    "head",
    "sink",
    "attention",
    "attn",
    "layer",
    "hidden_size",
    "position",
    "inner",
    "embed",
    "cross",
    "decoder",
    "quantization",
];

impl Keys {
    /// Parses the text of a `config.json`.
    pub(crate) fn parse(text: &str, tensors: BTreeMap<String, Vec<usize>>) -> Result<Self, ModelFileError> {
        let broken = |what: String| ModelFileError::Configuration(what);
        let value: Value =
            serde_json::from_str(text).map_err(|error| broken(format!("is not JSON: {error}")))?;
        match value {
            Value::Object(values) => Ok(Self { values, tensors, used: RefCell::default(), alone: false }),
            other => Err(broken(format!("must hold an object of keys, but holds {other}"))),
        }
    }

    /// Makes the keys of values that were collected elsewhere.
    pub(crate) fn new(values: Map<String, Value>, tensors: BTreeMap<String, Vec<usize>>) -> Self {
        Self { values, tensors, used: RefCell::default(), alone: false }
    }

    /// Returns the keys of a part of the configuration. What it uses does not count for the whole.
    pub(crate) fn part(&self, value: &Value) -> Self {
        let values = value.as_object().cloned().unwrap_or_default();
        Self { values, tensors: BTreeMap::new(), used: RefCell::default(), alone: false }
    }

    /// Returns these keys for a model whose tensors are still to be made: the configuration alone decides.
    pub(crate) fn without_tensors(self) -> Self {
        Self { alone: true, ..self }
    }

    /// Returns true if there are no tensors to look at.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Returns true if the file has a tensor whose name ends like this.
    pub(crate) fn has_tensor(&self, end: &str) -> bool {
        self.tensors.keys().any(|name| name == end || name.ends_with(&format!(".{end}")))
    }

    /// Returns the number of tensors, and the length of the longest axis of them. Larger sizes cannot be true.
    pub(crate) fn bounds(&self) -> Option<(usize, usize)> {
        let longest = self.tensors.values().flatten().max()?;
        Some((self.tensors.len(), *longest))
    }

    /// Returns true if the key is there, even with the value null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Returns a value; null counts as absent.
    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        self.used.borrow_mut().insert(key.into());
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Returns a number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>, ModelFileError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.as_f64().filter(|x| x.is_finite()) {
            Some(x) => Ok(Some(x)),
            None => Err(self.unusable(key, "a finite number")),
        }
    }

    /// Returns a number, or a default.
    pub(crate) fn number_or(&self, key: &str, default: f64) -> Result<f64, ModelFileError> {
        Ok(self.number(key)?.unwrap_or(default))
    }

    /// Returns a whole number of at least 1.
    pub(crate) fn whole(&self, key: &str) -> Result<Option<usize>, ModelFileError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        // No size of a model is beyond 2³¹; larger claims would only ask for memory.
        match value.as_u64().filter(|&n| n > 0 && n < 1 << 31) {
            Some(n) => Ok(Some(n as usize)),
            None => Err(self.unusable(key, "a whole number from 1 to 2³¹")),
        }
    }

    /// Returns the whole number under the first of the keys that is there.
    pub(crate) fn first_whole(&self, keys: &[&str]) -> Result<Option<usize>, ModelFileError> {
        let mut found = None;
        for key in keys {
            let value = self.whole(key)?;
            found = found.or(value);
        }
        Ok(found)
    }

    /// Returns the whole number under one of the keys, which must be there.
    pub(crate) fn need(&self, keys: &[&str]) -> Result<usize, ModelFileError> {
        self.first_whole(keys)?.ok_or_else(|| self.unusable(keys[0], "a whole number"))
    }

    /// Returns true or false, or a default.
    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool, ModelFileError> {
        let Some(value) = self.value(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.unusable(key, "true or false"))
    }

    /// Returns a text.
    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, ModelFileError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.as_str().map(|text| Some(text.into())).ok_or_else(|| self.unusable(key, "a text"))
    }

    /// Returns a list of texts.
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, ModelFileError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let texts =
            value.as_array().and_then(|list| list.iter().map(|x| x.as_str().map(String::from)).collect());
        texts.map(Some).ok_or_else(|| self.unusable(key, "a list of texts"))
    }

    /// Returns a list of numbers.
    pub(crate) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, ModelFileError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let numbers = value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        numbers.map(Some).ok_or_else(|| self.unusable(key, "a list of numbers"))
    }

    /// Demands that a key is absent or has a value without effect.
    pub(crate) fn refuse(&self, key: &str, expected: &str) -> Result<(), ModelFileError> {
        let idle = match self.value(key) {
            None | Some(Value::Bool(false)) => true,
            Some(value) => value.as_f64() == Some(0.0),
        };
        if idle { Ok(()) } else { Err(self.unusable(key, expected)) }
    }

    /// Returns the error of a key that is missing or cannot be used.
    pub(crate) fn unusable(&self, key: &str, expected: &str) -> ModelFileError {
        let mut given = self.values.get(key).map_or("nothing".into(), ToString::to_string);
        if let Some((end, _)) = given.char_indices().nth(100) {
            given.truncate(end);
            given.push('…');
        }
        ModelFileError::Metadata { key: key.into(), expected: expected.into(), given }
    }

    /// Demands that every key that bears on the function was read.
    pub(crate) fn check_all_used(&self) -> Result<(), ModelFileError> {
        let used = self.used.borrow();
        for (key, value) in &self.values {
            let idle = value.is_null()
                || value == &Value::Bool(false)
                || value.as_f64() == Some(0.0)
                || value.as_array().is_some_and(Vec::is_empty)
                || value.as_object().is_some_and(Map::is_empty);
            let neutral =
                NEUTRAL.contains(&key.as_str()) || key.contains("dropout") || key.ends_with("token_id");
            if !idle && !neutral && !used.contains(key) && BEARING.iter().any(|part| key.contains(part)) {
                let expected = "no such key: its effect on this architecture is unknown here";
                return Err(self.unusable(key, expected));
            }
        }
        Ok(())
    }
}
