//! The choices of a caller: the names of special tokens in texts, and text without a piece.

use super::metadata::{Metadata, letters};
use super::{from_gguf, from_json, path};
use collimate_transformer::{EncodeOptions, SpecialIds, SpecialText, SpecialTokens, Tokenizer, Unspelt};

const NAMES_ARE_TOKENS: EncodeOptions = EncodeOptions {
    special_tokens: SpecialTokens::Omitted,
    special_text: SpecialText::Tokens,
    unspelt: Unspelt::Refused,
};

#[test]
fn names_of_special_tokens_are_text_unless_the_caller_chooses_tokens() {
    for (name, special) in [
        ("bytelevel_gpt2", "<|end|>"),
        ("bytelevel_split", "<|begin|>"),
        ("bpe_byte_fallback", "</s>"),
        ("wordpiece_bert", "[MASK]"),
        ("unigram_metaspace", "</s>"),
    ] {
        for tokenizer in [from_json(name), from_gguf(name)] {
            let id = tokenizer.id(special).unwrap();
            assert!(tokenizer.is_special(id), "{name}");
            let given = format!("the {special} reader");
            let text = tokenizer.encode(&given).unwrap();
            assert!(!text.contains(&id), "{name}: {text:?}");
            let tokens = tokenizer.encode_with(&given, NAMES_ARE_TOKENS).unwrap();
            let at = tokens.ids.iter().position(|&other| other == id).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(tokens.byte_ranges[at], 4..4 + special.len(), "{name}");
            assert_eq!(tokens.pieces[at], special, "{name}");
            // A name that became a token stands in the text, so it is no special token around the text.
            assert!(!tokens.special[at], "{name}");
        }
    }
}

#[test]
fn the_name_of_the_unknown_token_is_text_too() {
    let tokenizer = from_json("unigram_metaspace");
    let (unknown, spelt) = (tokenizer.id("<unk>").unwrap(), tokenizer.encode("a<unk>b").unwrap());
    // The vocabulary has no piece for the sign <, so the first letter of the name is unknown, and the others are spelt.
    assert_eq!(tokenizer.decode(&spelt).unwrap(), "a<unk>unk>b");
    assert_eq!(spelt.iter().filter(|&&id| id == unknown).count(), 1);
    let tokens = tokenizer.encode_with("a<unk>b", NAMES_ARE_TOKENS).unwrap();
    assert_eq!(tokens.pieces, ["▁a", "<unk>", "▁b"]);
}

/// Returns a byte-level tokenizer without pieces for the bytes `!` and 0x04, and with an unknown token that the model does not use.
fn without_two_bytes() -> Tokenizer {
    let mut pieces = letters();
    pieces.remove(usize::from(b'!'));
    pieces.remove(4);
    pieces.extend(["Ġa".to_owned(), "<?>".to_owned()]);
    let mut types = vec![1; pieces.len()];
    types[255] = 3;
    let file = Metadata::new("gpt2")
        .text("tokenizer.ggml.pre", "smollm")
        .texts("tokenizer.ggml.tokens", &pieces)
        .texts("tokenizer.ggml.merges", &["Ġ a"])
        .integers("tokenizer.ggml.token_type", &types)
        .natural("tokenizer.ggml.unknown_token_id", 255);
    Tokenizer::from_gguf(&file.open()).unwrap()
}

#[test]
fn a_byte_without_a_piece_is_refused_dropped_or_a_token() {
    let tokenizer = without_two_bytes();
    let error = tokenizer.encode("é a!!b").unwrap_err().to_string();
    assert!(error.contains("the byte 0x21 at position 4"), "{error}");
    let error = tokenizer.encode("end of transmission \u{4}").unwrap_err().to_string();
    assert!(error.contains("the byte 0x04 at position 20"), "{error}");
    assert_eq!(tokenizer.special_ids(), SpecialIds { unk: Some(255), ..SpecialIds::default() });
    let with = |unspelt| {
        let found =
            tokenizer.encode_with("é a!!b", EncodeOptions { unspelt, ..EncodeOptions::default() }).unwrap();
        (found.pieces, found.byte_ranges, found.character_ranges)
    };
    let pieces = |found: &[&str]| found.iter().map(|&piece| piece.to_owned()).collect::<Vec<_>>();
    assert_eq!(with(Unspelt::Dropped).0, pieces(&["Ã", "©", "Ġa", "b"]));
    let (found, bytes, characters) = with(Unspelt::Token(255));
    assert_eq!(found, pieces(&["Ã", "©", "Ġa", "<?>", "<?>", "b"]));
    assert_eq!(bytes, [0..2, 0..2, 2..4, 4..5, 5..6, 6..7]);
    assert_eq!(characters, [0..1, 0..1, 1..3, 3..4, 4..5, 5..6]);
    // Here the letter that is spelt stands in one part with the byte before it.
    let chosen = EncodeOptions { unspelt: Unspelt::Token(255), ..EncodeOptions::default() };
    let found = tokenizer.encode_with("\u{4}.", chosen).unwrap();
    assert_eq!((found.pieces, found.byte_ranges), (pieces(&["<?>", "."]), vec![0..1, 1..2]));
    let foreign = EncodeOptions { unspelt: Unspelt::Token(256), ..EncodeOptions::default() };
    let error = tokenizer.encode_with("a", foreign).unwrap_err().to_string();
    assert!(error.contains("token 256"), "{error}");
}

#[test]
fn a_file_with_an_unknown_token_leaves_nothing_open() {
    let tokenizer = from_json("wordpiece_bert");
    for unspelt in [Unspelt::Refused, Unspelt::Dropped, Unspelt::Token(5)] {
        let options = EncodeOptions { unspelt, ..EncodeOptions::default() };
        assert_eq!(tokenizer.encode_with("Ω", options).unwrap().pieces, ["[UNK]"]);
    }
}

#[test]
fn a_special_token_that_only_the_model_would_spell_is_refused() {
    let file = r#"{
        "added_tokens": [{"id": 1, "content": "stop", "special": true, "single_word": false, "lstrip": false, "rstrip": false,
                          "normalized": false}],
        "model": {"type": "WordLevel", "vocab": {"go": 0, "stop": 1, "?": 2}, "unk_token": "?"},
        "pre_tokenizer": {"type": "WhitespaceSplit"}
    }"#;
    let tokenizer = Tokenizer::from_json(file).unwrap();
    assert_eq!(tokenizer.encode("go on").unwrap(), [0, 2]);
    let error = tokenizer.encode("go stop").unwrap_err().to_string();
    assert!(error.contains("\"stop\""), "{error}");
    assert_eq!(tokenizer.encode_with("go stop", NAMES_ARE_TOKENS).unwrap().ids, [0, 1]);
}

#[test]
fn a_folder_names_the_tokens_with_a_role_and_the_templates() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(path("bpe_byte_fallback", "tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let unnamed = Tokenizer::open(folder.path()).unwrap();
    assert_eq!(unnamed.special_ids(), SpecialIds { unk: Some(0), ..SpecialIds::default() });
    assert!(unnamed.chat_templates().is_empty());
    let config = r#"{"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "pad_token": null, "sep_token": "<none>",
        "chat_template": [{"name": "default", "template": "a"}, {"name": "tools", "template": "b"}]}"#;
    std::fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
    let named = Tokenizer::open(folder.path().join("tokenizer.json")).unwrap();
    let expected = SpecialIds { bos: Some(1), eos: Some(2), unk: Some(0), ..SpecialIds::default() };
    assert_eq!(named.special_ids(), expected);
    assert_eq!(named.chat_templates()["tools"], "b");
    assert_eq!(named.encode("Hello").unwrap(), unnamed.encode("Hello").unwrap());
    std::fs::write(folder.path().join("chat_template.jinja"), "c").unwrap();
    assert_eq!(Tokenizer::open(folder.path()).unwrap().chat_templates()["default"], "c");
}

#[test]
fn truncation_padding_and_random_merges_are_not_applied() {
    let mut file = super::recorded("bytelevel_gpt2", "tokenizer.json");
    file["model"]["dropout"] = 0.5.into();
    file["truncation"] =
        serde_json::json!({ "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0 });
    file["padding"] = serde_json::json!({
        "strategy": { "Fixed": 50 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "<|end|>",
    });
    let changed = Tokenizer::from_json(&file.to_string()).unwrap();
    let plain = from_json("bytelevel_gpt2");
    for _ in 0..5 {
        let given = "one two three, one two three, measured by a reader";
        assert_eq!(changed.encode(given).unwrap(), plain.encode(given).unwrap());
    }
}
