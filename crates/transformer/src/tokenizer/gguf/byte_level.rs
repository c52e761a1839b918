use super::super::pipeline::Tokenizer;
use super::patterns::{Cut, known_names};
use super::step::{join, template};
use super::vocabulary::{Defaults, Vocabulary, texts};
use crate::error::ModelFileError;
use crate::metadata::unusable;
use collimate_tensor::files::{Gguf, GgufValue};
use serde_json::{Value, json};
use tokenizers::models::bpe::BPE;

/// Builds a byte-level BPE tokenizer.
pub(super) fn build(file: &Gguf) -> Result<Tokenizer, ModelFileError> {
    const CUT: &str = "tokenizer.ggml.pre";
    let cut = file.value(CUT).and_then(GgufValue::as_text).and_then(Cut::named).ok_or_else(|| {
        let known = known_names().join(", ");
        unusable(
            file,
            CUT,
            &format!("one of {known}; for other tokenizers, open the tokenizer.json of the model instead"),
        )
    })?;
    let vocabulary = Vocabulary::read(file, Defaults::default())?;
    let by_piece = vocabulary.by_piece()?;
    let merges = texts(file, "tokenizer.ggml.merges")?;
    let merges = merges.iter().map(|merge| pair(merge, &by_piece)).collect::<Result<Vec<_>, _>>()?;
    let pieces: tokenizers::models::bpe::Vocab =
        by_piece.iter().map(|(&piece, &id)| (piece.to_owned(), id)).collect();
    let model = BPE::builder()
        .vocab_and_merges(pieces, merges)
        .ignore_merges(cut.whole_pieces_first)
        .build()
        .map_err(|error| ModelFileError::Tokenizer(error.to_string()))?;
    let nfc = vocabulary.truth("tokenizer.ggml.normalizer.nfc", cut.nfc)?;
    let normalizer = if nfc { json!({ "type": "NFC" }) } else { Value::Null };
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
    let split = |pattern: &&str| json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
    let mut steps: Vec<Value> = cut.patterns.iter().map(split).collect();
    steps.push(byte_level.clone());
    let pre_tokenizer = json!({ "type": "Sequence", "pretokenizers": steps });
    let ids = vocabulary.ids;
    let bos = vocabulary.around("tokenizer.ggml.add_bos_token", cut.begins, ids.bos)?;
    let eos = vocabulary.around("tokenizer.ggml.add_eos_token", false, ids.eos)?;
    let steps = join(model, normalizer, pre_tokenizer, template(bos, bos, eos), byte_level)?;
    vocabulary.finish(steps)
}

/// Returns the two parts of a merge, if both and their union are pieces.
fn pair(
    merge: &str,
    by_piece: &std::collections::HashMap<&str, u32>,
) -> Result<(String, String), ModelFileError> {
    let refuse = |what: String| Err(ModelFileError::Tokenizer(what));
    let Some((left, right)) = merge.split_once(' ') else {
        return refuse(format!("the merge '{merge}' is no pair"));
    };
    let union = [left, right].concat();
    match [left, right, &union].into_iter().find(|piece| !by_piece.contains_key(piece)) {
        Some(missing) => {
            refuse(format!("the merge '{merge}' needs the piece '{missing}', which is not in the vocabulary"))
        }
        None => Ok((left.to_owned(), right.to_owned())),
    }
}
