use crate::error::StudyError;
use collimate_transformer::Tokenizer;
use std::ops::Range;

/// The largest number of tokens that are joined. A longer run of tokens spells no text.
const LONGEST: usize = 16;

/// Joins the tokens of a text, so that each part has whole characters: a letter such as λ or 日 may be spelled by several tokens.
///
/// Returns the positions of each part and its text. A single token that spells no text, such as a part of a character at the end of the
/// tokens, is shown like [`token_text`] does.
///
/// # Errors
/// [`StudyError::Model`] for a token that is not in the vocabulary.
pub fn characters(tokenizer: &Tokenizer, tokens: &[u32]) -> Result<Vec<(Range<usize>, String)>, StudyError> {
    let parts = joined(tokens.len(), |range| {
        tokenizer.decode(&tokens[range]).map_err(|error| StudyError::Model(error.into()))
    })?;
    let shown = |(range, text): (Range<usize>, String)| {
        let alone = range.len() == 1 && text.contains(char::REPLACEMENT_CHARACTER);
        Ok((range.clone(), if alone { token_text(tokenizer, tokens[range.start])? } else { text }))
    };
    parts.into_iter().map(shown).collect()
}

/// Returns the text of a single token. A token that is a part of a character is shown as the file of the model writes it, in brackets.
///
/// # Errors
/// [`StudyError::Model`] for a token that is not in the vocabulary.
pub fn token_text(tokenizer: &Tokenizer, token: u32) -> Result<String, StudyError> {
    let text = tokenizer.decode(&[token]).map_err(|error| StudyError::Model(error.into()))?;
    Ok(match tokenizer.piece(token) {
        Some(piece) if text.contains(char::REPLACEMENT_CHARACTER) => format!("‹{piece}›"),
        _ => text,
    })
}

/// Joins positions until their text has whole characters only.
fn joined(
    count: usize,
    decode: impl Fn(Range<usize>) -> Result<String, StudyError>,
) -> Result<Vec<(Range<usize>, String)>, StudyError> {
    let is_cut = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
    let mut parts = Vec::new();
    let mut start = 0;
    while start < count {
        let mut part = (start..start + 1, decode(start..start + 1)?);
        for end in start + 2..=count.min(start + LONGEST) {
            if !is_cut(&part.1) {
                break;
            }
            part = (start..end, decode(start..end)?);
        }
        // If no end helps, the token stands alone, and the next one may be whole.
        if is_cut(&part.1) {
            part = (start..start + 1, decode(start..start + 1)?);
        }
        start = part.0.end;
        parts.push(part);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Joins the tokens of a text that has one token for each of the given pieces of bytes.
    fn parts(pieces: &[&[u8]]) -> Vec<(Range<usize>, String)> {
        let decode = |range: Range<usize>| Ok(String::from_utf8_lossy(&pieces[range].concat()).into_owned());
        joined(pieces.len(), decode).unwrap()
    }

    fn part(range: Range<usize>, text: &str) -> (Range<usize>, String) {
        (range, text.to_owned())
    }

    #[test]
    fn characters_over_several_tokens_are_whole() {
        assert_eq!(
            parts(&[b"a", b" \xce", b"\xbb", b"b"]),
            [part(0..1, "a"), part(1..3, " λ"), part(3..4, "b")]
        );
        // A token that ends one character and begins the next one joins both.
        assert_eq!(
            parts(&[b"\xe6\x97", b"\xa5\xe6", b"\x9c\xac", b"!"]),
            [part(0..3, "日本"), part(3..4, "!")]
        );
        assert_eq!(parts(&[b"\xf0", b"\x9f", b"\x98", b"\x80"]), [part(0..4, "😀")]);
        assert!(parts(&[]).is_empty());
    }

    #[test]
    fn bytes_that_are_no_text_stand_alone() {
        assert_eq!(parts(&[b"\xff", b"a"]), [part(0..1, "\u{fffd}"), part(1..2, "a")]);
        // The text begins in the middle of a character.
        assert_eq!(parts(&[b"\xb1", b"\xce", b"\xb9"]), [part(0..1, "\u{fffd}"), part(1..3, "ι")]);
        assert_eq!(parts(&[b"a", b"\xce"]), [part(0..1, "a"), part(1..2, "\u{fffd}")]);
        let end: Vec<&[u8]> = [&b"\xff"[..]].repeat(20);
        assert_eq!(parts(&end).len(), 20);
    }
}
