use super::check;
use super::encode::letter_of;
use super::pipeline::{Steps, Tokenizer};
use super::special::SpecialIds;
use crate::error::ModelFileError;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The name of the end of a text in [`Tokenizer::of_bytes`].
const END: &str = "<|endoftext|>";

impl Tokenizer {
    /// Builds the tokenizer of single bytes: the id of a byte is its value, and 256 is the special token `<|endoftext|>`.
    ///
    /// It spells every text, so a small model can be trained from scratch without a tokenizer from elsewhere.
    ///
    /// # Errors
    /// None for a sound build of the library.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::Tokenizer;
    /// let tokenizer = Tokenizer::of_bytes()?;
    /// assert_eq!(tokenizer.encode("né\n")?, [110, 195, 169, 10]);
    /// assert_eq!((tokenizer.len(), tokenizer.special_ids().eos), (257, Some(256)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_bytes() -> Result<Self, ModelFileError> {
        let vocabulary: Map<String, Value> =
            (0..=255).map(|byte| (letter_of(byte).to_string(), json!(byte))).collect();
        let end = json!({ "id": 256, "content": END, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false });
        let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
        let file = json!({ "version": "1.0", "added_tokens": [end], "normalizer": null, "pre_tokenizer": bytes,
            "post_processor": null, "decoder": bytes,
            "model": { "type": "BPE", "vocab": vocabulary, "merges": [] } });
        let named = Map::from_iter(["bos_token", "eos_token"].map(|key| (key.to_owned(), json!(END))));
        Self::from_json_and_config(&file.to_string(), &named)
    }

    /// Builds the tokenizer from the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`ModelFileError::Tokenizer`] when the text is no such file, or when its parts contradict each other.
    pub fn from_json(text: &str) -> Result<Self, ModelFileError> {
        Self::from_json_and_config(text, &Map::new())
    }

    /// Builds the tokenizer from a `tokenizer.json` and the `tokenizer_config.json` beside it.
    pub(super) fn from_json_and_config(
        text: &str,
        config: &Map<String, Value>,
    ) -> Result<Self, ModelFileError> {
        let refuse = |error: &dyn std::fmt::Display| ModelFileError::Tokenizer(error.to_string());
        let mut file: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| refuse(&format!("no JSON object: {error}")))?;
        // They belong to training: a text is never cut, filled up or merged at random here.
        file.remove("truncation");
        file.remove("padding");
        if let Some(Value::Object(model)) = file.get_mut("model") {
            model.remove("dropout");
        }
        check::check(&file).map_err(|error| refuse(&error))?;
        let unknown = unknown_token(&file);
        let added = file.get("added_tokens").cloned();
        let steps: Steps = serde_json::from_value(Value::Object(file)).map_err(|error| refuse(&error))?;
        let added = Map::from_iter(added.map(|tokens| ("added_tokens".to_owned(), tokens)));
        check::added_ids(&added, |piece| steps.token_to_id(piece)).map_err(|error| refuse(&error))?;
        let named = |key: &str| token_name(config.get(key)?).and_then(|piece| steps.token_to_id(piece));
        let ids = SpecialIds {
            bos: named("bos_token"),
            eos: named("eos_token"),
            eot: named("eot_token"),
            pad: named("pad_token"),
            unk: match &unknown {
                Some(Unknown::Id(id)) => Some(*id),
                Some(Unknown::Piece(piece)) => steps.token_to_id(piece),
                None => named("unk_token"),
            },
            sep: named("sep_token"),
            cls: named("cls_token"),
            mask: named("mask_token"),
        };
        Self::new(steps, ids, chat_templates(config))
    }
}

/// The unknown token as a model names it.
enum Unknown {
    Id(u32),
    Piece(String),
}

/// Returns the unknown token that the model itself uses.
fn unknown_token(file: &Map<String, Value>) -> Option<Unknown> {
    let model = file.get("model")?;
    match (model.get("unk_id"), model.get("unk_token")) {
        (Some(id), _) => id.as_u64().and_then(|id| u32::try_from(id).ok()).map(Unknown::Id),
        (None, Some(Value::String(piece))) => Some(Unknown::Piece(piece.clone())),
        _ => None,
    }
}

/// Returns the name of a token: a text, or the content of an object.
fn token_name(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// Returns the templates of a configuration: one text, or a list of named texts.
fn chat_templates(config: &Map<String, Value>) -> BTreeMap<String, String> {
    match config.get("chat_template") {
        Some(Value::String(text)) => BTreeMap::from([("default".to_owned(), text.clone())]),
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(|entry| {
                let field = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
                Some((field("name")?, field("template")?))
            })
            .collect(),
        _ => BTreeMap::new(),
    }
}
