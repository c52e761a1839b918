use super::super::pipeline::Steps;
use crate::error::ModelFileError;
use serde_json::{Value, json};
use tokenizers::{
    DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
};

/// A special token around a text: its id and its piece.
type Token<'a> = Option<(u32, &'a str)>;

fn refuse(error: impl ToString) -> ModelFileError {
    ModelFileError::Tokenizer(error.to_string())
}

/// Joins a model with steps as a `tokenizer.json` describes them. A description that is null stands for no step.
pub(super) fn join(
    model: impl Into<ModelWrapper>,
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
) -> Result<Steps, ModelFileError> {
    let mut steps = Steps::new(model.into());
    if !normalizer.is_null() {
        let step: NormalizerWrapper = serde_json::from_value(normalizer).map_err(refuse)?;
        steps.with_normalizer(Some(step)).map_err(refuse)?;
    }
    if !pre_tokenizer.is_null() {
        let step: PreTokenizerWrapper = serde_json::from_value(pre_tokenizer).map_err(refuse)?;
        steps.with_pre_tokenizer(Some(step));
    }
    if !post_processor.is_null() {
        let step: PostProcessorWrapper = serde_json::from_value(post_processor).map_err(refuse)?;
        steps.with_post_processor(Some(step));
    }
    let step: DecoderWrapper = serde_json::from_value(decoder).map_err(refuse)?;
    steps.with_decoder(Some(step));
    Ok(steps)
}

/// Returns the description of a template: `first`, the text and `last`. A second text has `again`, the text and `last`, of type 1.
pub(super) fn template(first: Token, again: Token, last: Token) -> Value {
    if first.is_none() && last.is_none() {
        return Value::Null;
    }
    let text = |name: &str, kind: u32| json!({ "Sequence": { "id": name, "type_id": kind } });
    let special = |token: Token, kind: u32| {
        token.map(|(_, piece)| json!({ "SpecialToken": { "id": piece, "type_id": kind } }))
    };
    let one: Vec<Value> =
        [special(first, 0), Some(text("A", 0)), special(last, 0)].into_iter().flatten().collect();
    let other = [special(again, 1), Some(text("B", 1)), special(last, 1)].into_iter().flatten();
    let pair: Vec<Value> = one.iter().cloned().chain(other).collect();
    let mut named = serde_json::Map::new();
    for (id, piece) in [first, again, last].into_iter().flatten() {
        named.insert(piece.into(), json!({ "id": piece, "ids": [id], "tokens": [piece] }));
    }
    json!({ "type": "TemplateProcessing", "single": one, "pair": pair, "special_tokens": named })
}
