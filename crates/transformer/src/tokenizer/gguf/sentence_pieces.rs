use super::super::charsmap;
use super::super::pipeline::Tokenizer;
use super::step::{join, template};
use super::vocabulary::{Defaults, PieceType, Vocabulary};
use crate::error::ModelFileError;
use crate::metadata::unusable;
use collimate_tensor::files::{Gguf, GgufValue};
use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::Precompiled;

/// The letter that stands for a blank in pieces.
const BLANK: &str = "\u{2581}";
/// The largest length in bytes of a piece that merges may make.
const LONGEST: usize = 1024;

fn refuse(error: impl ToString) -> ModelFileError {
    ModelFileError::Tokenizer(error.to_string())
}

/// Builds a tokenizer that joins neighbouring pieces in the order of the scores of their unions, with bytes for unknown characters.
pub(super) fn by_merges(file: &Gguf) -> Result<Tokenizer, ModelFileError> {
    let defaults = Defaults { bos: Some(1), eos: Some(2), unk: Some(0), ..Defaults::default() };
    let vocabulary = Vocabulary::read(file, defaults)?;
    let pieces: Vocab =
        vocabulary.by_piece()?.into_iter().map(|(piece, id)| (piece.to_owned(), id)).collect();
    let mut model = BPE::builder()
        .vocab_and_merges(pieces, merges(&vocabulary)?)
        .fuse_unk(true)
        .byte_fallback(vocabulary.types.contains(&PieceType::Byte));
    let ids = vocabulary.ids;
    if let Some(id) = ids.unk {
        model = model.unk_token(vocabulary.pieces[id as usize].clone());
    }
    let blanks = json!({ "type": "Replace", "pattern": { "String": " " }, "content": BLANK });
    let back = json!({ "type": "Replace", "pattern": { "String": BLANK }, "content": " " });
    let (mut normalizers, mut decoders) =
        (vec![blanks], vec![back, json!({ "type": "ByteFallback" }), json!({ "type": "Fuse" })]);
    if vocabulary.truth("tokenizer.ggml.add_space_prefix", true)? {
        normalizers.insert(0, json!({ "type": "Prepend", "prepend": BLANK }));
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    let bos = vocabulary.around("tokenizer.ggml.add_bos_token", true, ids.bos)?;
    let eos = vocabulary.around("tokenizer.ggml.add_eos_token", false, ids.eos)?;
    let steps = join(
        model.build().map_err(refuse)?,
        json!({ "type": "Sequence", "normalizers": normalizers }),
        Value::Null,
        template(bos, bos, eos),
        json!({ "type": "Sequence", "decoders": decoders }),
    )?;
    vocabulary.finish(steps)
}

/// Returns every way in which two pieces join to a third, in the order in which they are tried: by the score of the union, then by ids.
fn merges(vocabulary: &Vocabulary) -> Result<Vec<(String, String)>, ModelFileError> {
    let scores = vocabulary.scores()?;
    // Special tokens are not made from text, and byte pieces stand for bytes, not for their names.
    let joins = |id: u32| {
        let kind = vocabulary.types[id as usize];
        matches!(kind, PieceType::Normal | PieceType::UserDefined | PieceType::Unused)
    };
    let by_piece = vocabulary.by_piece()?;
    let find = |piece: &str| by_piece.get(piece).copied().filter(|&id| joins(id));
    let mut found = Vec::new();
    for (id, piece) in (0_u32..).zip(&vocabulary.pieces).filter(|&(id, _)| joins(id)) {
        if piece.len() > LONGEST {
            return Err(refuse(format!(
                "piece {id} has {} bytes; expected at most {LONGEST} for a piece that is made from text",
                piece.len()
            )));
        }
        for (at, _) in piece.char_indices().skip(1) {
            if let (Some(left), Some(right)) = (find(&piece[..at]), find(&piece[at..])) {
                found.push((id, left, right));
            }
        }
    }
    let score = |id: u32| scores[id as usize];
    found.sort_by(|a, b| score(b.0).total_cmp(&score(a.0)).then_with(|| a.cmp(b)));
    let name = |id: u32| vocabulary.pieces[id as usize].clone();
    Ok(found.into_iter().map(|(_, left, right)| (name(left), name(right))).collect())
}

/// Builds a tokenizer that chooses the pieces with the largest sum of scores.
pub(super) fn by_score(file: &Gguf) -> Result<Tokenizer, ModelFileError> {
    let defaults = Defaults { eos: Some(1), unk: Some(2), pad: Some(0), ..Defaults::default() };
    let vocabulary = Vocabulary::read(file, defaults)?;
    vocabulary.by_piece()?;
    // A piece that a user defined has the score 0, so that it is preferred.
    let scored = vocabulary.scores()?.into_iter().zip(&vocabulary.types).zip(&vocabulary.pieces).map(
        |((score, kind), piece)| match kind {
            PieceType::UserDefined => (piece.clone(), 0.0),
            _ => (piece.clone(), score),
        },
    );
    let ids = vocabulary.ids;
    let model = Unigram::from(scored.collect(), ids.unk.map(|id| id as usize), false).map_err(refuse)?;
    let mut normalizers = Vec::new();
    if let Some(table) = table(file)? {
        charsmap::check(&table).map_err(refuse)?;
        let table = Precompiled::from(&table).map_err(refuse)?;
        normalizers.push(serde_json::to_value(table).map_err(refuse)?);
    }
    let replaced = |pattern: &str, content: &str| json!({ "type": "Replace", "pattern": { "Regex": pattern }, "content": content });
    if vocabulary.truth("tokenizer.ggml.remove_extra_whitespaces", false)? {
        normalizers.extend([replaced("^ +| +$", ""), replaced(" {2,}", " ")]);
    }
    let prefix = vocabulary.truth("tokenizer.ggml.add_space_prefix", false)?;
    if prefix {
        normalizers.push(json!({ "type": "Prepend", "prepend": " " }));
    }
    normalizers.push(replaced(" ", BLANK));
    let scheme = if prefix { "always" } else { "never" };
    let bos = vocabulary.around("tokenizer.ggml.add_bos_token", false, ids.bos)?;
    let eos = vocabulary.around("tokenizer.ggml.add_eos_token", true, ids.eos)?;
    let steps = join(
        model,
        json!({ "type": "Sequence", "normalizers": normalizers }),
        Value::Null,
        template(bos, bos, eos),
        json!({ "type": "Metaspace", "replacement": BLANK, "prepend_scheme": scheme, "split": true }),
    )?;
    vocabulary.finish(steps)
}

/// Returns the table of normalisations, which a file stores as a list of bytes.
fn table(file: &Gguf) -> Result<Option<Vec<u8>>, ModelFileError> {
    let key = "tokenizer.ggml.precompiled_charsmap";
    let Some(value) = file.value(key) else { return Ok(None) };
    // Some writers store the bytes as numbers with a sign.
    let byte = |&number: &i64| u8::try_from(number).or_else(|_| i8::try_from(number).map(|byte| byte as u8));
    let bytes = match value {
        GgufValue::Integers(numbers) => numbers.iter().map(byte).collect::<Result<Vec<u8>, _>>().ok(),
        _ => None,
    };
    bytes
        .map(|bytes| Some(bytes).filter(|bytes| !bytes.is_empty()))
        .ok_or_else(|| unusable(file, key, "a list of bytes"))
}
