use super::super::pipeline::Tokenizer;
use super::step::{join, template};
use super::vocabulary::{Defaults, PieceType, Vocabulary};
use crate::error::ModelFileError;
use collimate_tensor::files::Gguf;
use serde_json::json;
use std::mem::take;
use tokenizers::models::wordpiece::WordPiece;

/// The beginning of pieces that continue a word.
const CONTINUES: &str = "##";

/// Builds a WordPiece tokenizer. A file marks the beginning of a word with `▁`, and the pieces here mark the rest of a word with `##`.
pub(super) fn build(file: &Gguf) -> Result<Tokenizer, ModelFileError> {
    let defaults = Defaults {
        bos: Some(101),
        unk: Some(100),
        sep: Some(102),
        pad: Some(0),
        mask: Some(103),
        ..Defaults::default()
    };
    let mut vocabulary = Vocabulary::read(file, defaults)?;
    // The token at the beginning of a text is the one that stands for the text.
    vocabulary.ids.cls = vocabulary.ids.cls.or(vocabulary.ids.bos);
    for (piece, kind) in vocabulary.pieces.iter_mut().zip(&vocabulary.types) {
        if matches!(kind, PieceType::Normal | PieceType::Unused) {
            *piece = with_continuation(take(piece));
        }
    }
    let ids = vocabulary.ids;
    let Some(unknown) = ids.unk else {
        let what = "a vocabulary of words needs an unknown token; expected the entry tokenizer.ggml.unknown_token_id";
        return Err(ModelFileError::Tokenizer(what.into()));
    };
    let pieces: tokenizers::models::bpe::Vocab =
        vocabulary.by_piece()?.into_iter().map(|(piece, id)| (piece.to_owned(), id)).collect();
    let model = WordPiece::builder()
        .vocab(pieces)
        .unk_token(vocabulary.pieces[unknown as usize].clone())
        .continuing_subword_prefix(CONTINUES.into())
        .build()
        .map_err(|error| ModelFileError::Tokenizer(error.to_string()))?;
    let lowercase = vocabulary.truth("tokenizer.ggml.normalizer.lowercase", true)?;
    let strip_accents = vocabulary.truth("tokenizer.ggml.normalizer.strip_accents", lowercase)?;
    let cls = vocabulary.around("tokenizer.ggml.add_bos_token", true, ids.cls)?;
    let sep = vocabulary.around("tokenizer.ggml.add_sep_token", true, ids.sep)?;
    let steps = join(
        model,
        json!({
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": strip_accents, "lowercase": lowercase,
        }),
        json!({ "type": "BertPreTokenizer" }),
        template(cls, None, sep),
        json!({ "type": "WordPiece", "prefix": CONTINUES, "cleanup": true }),
    )?;
    vocabulary.finish(steps)
}

/// Returns a piece with `##` in front if it continues a word. Names in brackets are neither.
fn with_continuation(piece: String) -> String {
    match piece.strip_prefix('\u{2581}') {
        Some(word) => word.to_owned(),
        None if piece.starts_with('[') && piece.ends_with(']') => piece,
        None => format!("{CONTINUES}{piece}"),
    }
}
