//! The checks of a `tokenizer.json` before the `tokenizers` library builds its steps, which trust the file.

use super::charsmap;
use serde_json::{Map, Value};
use std::collections::HashMap;

const MODELS: [&str; 4] = ["BPE", "Unigram", "WordLevel", "WordPiece"];
const NORMALIZERS: [&str; 14] = [
    "BertNormalizer",
    "ByteLevel",
    "Lowercase",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Nmt",
    "Precompiled",
    "Prepend",
    "Replace",
    "Sequence",
    "Strip",
    "StripAccents",
];
const PRE_TOKENIZERS: [&str; 13] = [
    "BertPreTokenizer",
    "ByteLevel",
    "CharDelimiterSplit",
    "Delimiter",
    "Digits",
    "FixedLength",
    "Metaspace",
    "Punctuation",
    "Sequence",
    "Split",
    "UnicodeScripts",
    "Whitespace",
    "WhitespaceSplit",
];
const POST_PROCESSORS: [&str; 5] =
    ["BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"];
const DECODERS: [&str; 10] = [
    "BPEDecoder",
    "ByteFallback",
    "ByteLevel",
    "CTC",
    "Fuse",
    "Metaspace",
    "Replace",
    "Sequence",
    "Strip",
    "WordPiece",
];

/// Checks the parts of a file on which the library would panic or allocate without a limit.
///
/// # Errors
/// The reason, with the name of the part.
pub(super) fn check(file: &Map<String, Value>) -> Result<(), String> {
    let part = |name: &str| file.get(name).unwrap_or(&Value::Null);
    if part("model").is_null() {
        return Err("there is no 'model'; expected the file tokenizer.json of a model".into());
    }
    known("the model", part("model"), &MODELS)?;
    merges(part("model"))?;
    each_step(part("normalizer"), &mut |step| {
        known("a step of the normalizer", step, &NORMALIZERS)?;
        match text(step, "type") {
            Some("Precompiled") => {
                let table = text(step, "precompiled_charsmap").unwrap_or_default();
                charsmap::check(&base64(table).ok_or("the table of normalisations is not base64")?)
            }
            _ => Ok(()),
        }
    })?;
    each_step(part("pre_tokenizer"), &mut |step| {
        known("a step of the pre-tokenizer", step, &PRE_TOKENIZERS)?;
        match text(step, "type") {
            Some("FixedLength") if step.get("length") == Some(&Value::from(0)) => {
                Err("the pre-tokenizer FixedLength has the length 0; expected at least 1".into())
            }
            _ => Ok(()),
        }
    })?;
    each_step(part("post_processor"), &mut |step| {
        known("a step of the post-processor", step, &POST_PROCESSORS)?;
        match text(step, "type") {
            Some("TemplateProcessing") => template(step),
            _ => Ok(()),
        }
    })?;
    each_step(part("decoder"), &mut |step| {
        known("a step of the decoder", step, &DECODERS)?;
        match text(step, "type") {
            Some("Strip") if step.get("stop").is_some_and(|stop| stop != &Value::from(0)) => {
                Err("the decoder Strip removes letters at the end of pieces, which is not supported".into())
            }
            _ => Ok(()),
        }
    })
}

/// Checks that a part names a type that the library knows, if it names one.
fn known(place: &str, part: &Value, types: &[&str]) -> Result<(), String> {
    match text(part, "type") {
        Some(given) if !types.contains(&given) => {
            Err(format!("{place} has the type '{given}'; expected one of {}", types.join(", ")))
        }
        _ => Ok(()),
    }
}

fn text<'a>(step: &'a Value, key: &str) -> Option<&'a str> {
    step.get(key).and_then(Value::as_str)
}

/// Calls `visit` with a step, and with each step inside it if it is a sequence.
fn each_step(step: &Value, visit: &mut impl FnMut(&Value) -> Result<(), String>) -> Result<(), String> {
    visit(step)?;
    for list in ["normalizers", "pretokenizers", "processors", "decoders"] {
        for inner in step.get(list).and_then(Value::as_array).into_iter().flatten() {
            each_step(inner, visit)?;
        }
    }
    Ok(())
}

/// Checks that both parts and the result of every merge are pieces.
fn merges(model: &Value) -> Result<(), String> {
    let (Some(merges), Some(vocabulary)) =
        (model.get("merges").and_then(Value::as_array), model.get("vocab").and_then(Value::as_object))
    else {
        return Ok(());
    };
    let prefix = text(model, "continuing_subword_prefix").unwrap_or_default();
    let mut joined = String::new();
    for (index, merge) in merges.iter().enumerate() {
        let pair = match merge {
            Value::String(merge) => merge.split_once(' '),
            Value::Array(pair) => match &pair[..] {
                [Value::String(left), Value::String(right)] => Some((&left[..], &right[..])),
                _ => None,
            },
            _ => None,
        };
        let Some((left, right)) = pair else {
            return Err(format!("merge {index} is no pair of pieces: {merge}"));
        };
        let Some(rest) = right.strip_prefix(prefix) else {
            return Err(format!("merge {index}: the right part '{right}' does not begin with '{prefix}'"));
        };
        joined.clear();
        joined.push_str(left);
        joined.push_str(rest);
        if let Some(missing) =
            [left, right, &joined].into_iter().find(|piece| !vocabulary.contains_key(*piece))
        {
            return Err(format!("merge {index} needs the piece '{missing}', which is not in the vocabulary"));
        }
    }
    Ok(())
}

/// Checks that the template of a single text asks for no second text.
fn template(step: &Value) -> Result<(), String> {
    let parts = step.get("single").and_then(Value::as_array).into_iter().flatten();
    let second = |part: &Value| part.pointer("/Sequence/id").is_some_and(|id| id != "A");
    match parts.into_iter().any(second) {
        true => Err("the template of a single text asks for a second text".into()),
        false => Ok(()),
    }
}

/// Checks that every added token has the id that the file gives it.
///
/// # Errors
/// The reason: the library numbers added tokens itself, and only warns if the numbers differ.
pub(super) fn added_ids(file: &Map<String, Value>, id: impl Fn(&str) -> Option<u32>) -> Result<(), String> {
    let mut seen = HashMap::new();
    for token in file.get("added_tokens").and_then(Value::as_array).into_iter().flatten() {
        let content = text(token, "content").unwrap_or_default();
        let expected = token.get("id").and_then(Value::as_u64);
        let given = id(content).map(u64::from);
        if expected != given {
            let given = given.map_or("none".into(), |id| id.to_string());
            return Err(format!(
                "the added token '{content}' has the id {} in the file, but its place in the vocabulary gives {given}",
                expected.unwrap_or_default()
            ));
        }
        if let Some(other) = seen.insert(expected, content) {
            return Err(format!("the added tokens '{other}' and '{content}' have the same id"));
        }
    }
    Ok(())
}

/// Returns the bytes that a text in base64 stands for.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for &digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let bytes = (bits << (6 * (4 - group.len()))).to_be_bytes();
        out.extend(&bytes[1..group.len()]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_read_as_the_standard_says() {
        for (text, bytes) in
            [("", &b""[..]), ("Zg==", b"f"), ("Zm8=", b"fo"), ("Zm9v", b"foo"), ("+/8=", &[0xfb, 0xff])]
        {
            assert_eq!(base64(text).unwrap(), bytes, "{text}");
        }
        assert_eq!(base64("Zm9*"), None);
    }
}
