//! Files that are no tokenizers, damaged ones and hostile ones.

use super::metadata::{Metadata, letters};
use super::recorded;
use collimate_transformer::Tokenizer;
use serde_json::{Value, json};

/// Checks that a file is refused for a reason.
fn refused(file: &Value, reason: &str) {
    let text = match Tokenizer::from_json(&file.to_string()) {
        Ok(_) => panic!("accepted, but: {reason}"),
        Err(error) => error.to_string(),
    };
    assert!(text.contains(reason), "{text} (expected {reason})");
}

#[test]
fn damaged_files_of_the_library_are_refused_with_the_reason() {
    let good = recorded("bpe_byte_fallback", "tokenizer.json");
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut file = good.clone();
        change(&mut file);
        file
    };
    for (file, reason) in [
        (json!({}), "there is no 'model'"),
        (
            json!({ "model": { "type": "Runes", "vocab": {} } }),
            "the model has the type 'Runes'; expected one of BPE",
        ),
        (
            changed(&|file| file["normalizer"]["normalizers"][1]["type"] = "Rot13".into()),
            "a step of the normalizer has the type 'Rot13'; expected one of BertNormalizer",
        ),
        (changed(&|file| file["pre_tokenizer"] = json!({ "type": "Scissors" })), "'Scissors'"),
        (changed(&|file| file["post_processor"]["type"] = "Glue".into()), "'Glue'"),
        (changed(&|file| file["decoder"]["decoders"][0]["type"] = "Rot13".into()), "'Rot13'"),
        (changed(&|file| file["version"] = "7.0".into()), "7.0"),
        (changed(&|file| file["model"]["merges"] = json!([["r", "zz"]])), "the piece 'zz'"),
        (changed(&|file| file["model"]["merges"] = json!([["r", "r"]])), "the piece 'rr'"),
        (changed(&|file| file["model"]["merges"] = json!(["rr"])), "merge 0 is no pair"),
        (changed(&|file| file["model"]["merges"] = json!([[1, 2]])), "merge 0 is no pair"),
        (
            changed(&|file| file["model"]["continuing_subword_prefix"] = "▁▁▁▁".into()),
            "does not begin with '▁▁▁▁'",
        ),
        (changed(&|file| file["model"]["vocab"]["e"] = 300.into()), "have the same id 300"),
        (changed(&|file| file["model"]["vocab"]["e"] = (-1).into()), "-1"),
        (changed(&|file| file["added_tokens"][1]["id"] = 7.into()), "'<s>' has the id 7"),
        (changed(&|file| file["added_tokens"][1]["content"] = "<new>".into()), "'<new>' has the id 1"),
        (
            changed(&|file| {
                file["post_processor"]["single"] = json!([{ "Sequence": { "id": "B", "type_id": 0 } }]);
            }),
            "asks for a second text",
        ),
        (
            changed(&|file| {
                file["normalizer"] = json!({ "type": "Precompiled", "precompiled_charsmap": "AAAA8A==" });
            }),
            "cut off",
        ),
        (
            changed(&|file| {
                file["normalizer"] = json!({ "type": "Sequence", "normalizers": [
                    { "type": "Precompiled", "precompiled_charsmap": "*" },
                ] });
            }),
            "not base64",
        ),
        (changed(&|file| file["pre_tokenizer"] = json!({ "type": "FixedLength", "length": 0 })), "length 0"),
        (
            changed(&|file| {
                file["decoder"] = json!({ "type": "Strip", "content": " ", "start": 0, "stop": 1 });
            }),
            "Strip",
        ),
        (
            changed(&|file| {
                file["pre_tokenizer"] = json!({ "type": "Split", "pattern": { "Regex": "(" }, "behavior": "Isolated", "invert": false });
            }),
            "",
        ),
    ] {
        refused(&file, reason);
    }
    for text in ["", "[]", "{\"model\":", "\u{0}"] {
        let error = Tokenizer::from_json(text).map(drop).unwrap_err().to_string();
        assert!(error.contains("no JSON object"), "{text:?}: {error}");
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = |place: &std::path::Path| Tokenizer::open(place).map(drop).unwrap_err().to_string();
    let file = folder.path().join("tokenizer.json");
    assert!(error(&file).contains("tokenizer.json"));
    let refused = error(folder.path());
    assert!(refused.contains("has no tokenizer.json") && refused.contains("save_pretrained"), "{refused}");
    for (content, reason) in [
        ("", "Empty"),
        ("plain text", "Text"),
        ("version https://git-lfs.github.com/spec/v1\n", "LfsPointer"),
        ("{\"model\": 7}", "tokenizer.json"),
        ("{\"model\"", "no JSON object"),
    ] {
        std::fs::write(&file, content).unwrap();
        let refused = error(&file);
        assert!(refused.contains(reason) && refused.contains("tokenizer.json"), "{refused}");
    }
    std::fs::write(&file, recorded("bytelevel_gpt2", "tokenizer.json").to_string()).unwrap();
    std::fs::write(folder.path().join("tokenizer_config.json"), "[").unwrap();
    assert!(error(&file).contains("tokenizer_config.json"));
}

#[test]
fn metadata_of_another_kind_is_refused_by_name() {
    let letters = letters();
    let sound = Metadata::new("gpt2")
        .text("tokenizer.ggml.pre", "smollm")
        .texts("tokenizer.ggml.tokens", &letters)
        .texts::<&str>("tokenizer.ggml.merges", &[]);
    assert!(Tokenizer::from_gguf(&sound.clone().open()).is_ok());
    let byte_level = |pre: &str, pieces: &[&str], merges: &[&str]| {
        Metadata::new("gpt2")
            .text("tokenizer.ggml.pre", pre)
            .texts("tokenizer.ggml.tokens", pieces)
            .texts("tokenizer.ggml.merges", merges)
    };
    let scored = |model: &str, pieces: &[&str]| {
        Metadata::new(model)
            .texts("tokenizer.ggml.tokens", pieces)
            .numbers("tokenizer.ggml.scores", &vec![-1.0; pieces.len()])
    };
    let long = "a".repeat(2000);
    for (file, reason) in [
        (Metadata::new("none"), "'tokenizer.ggml.model': expected one of gpt2, llama, bert, t5"),
        (Metadata::new("rwkv"), "rwkv"),
        (Metadata::new("gpt2"), "'tokenizer.ggml.pre': expected one of default, gpt-2"),
        (byte_level("kimi-k2", &["a"], &[]), "kimi-k2"),
        (
            Metadata::new("gpt2").text("tokenizer.ggml.pre", "gpt-2"),
            "'tokenizer.ggml.tokens': expected a list of texts",
        ),
        (byte_level("gpt-2", &["a", "a"], &[]), "'a' is listed twice"),
        (byte_level("gpt-2", &["a"], &["aa"]), "the merge 'aa' is no pair"),
        (byte_level("gpt-2", &["a"], &["a a"]), "needs the piece 'aa'"),
        (byte_level("gpt-2", &["a"], &["b a"]), "needs the piece 'b'"),
        (
            sound.clone().natural("tokenizer.ggml.bos_token_id", 256),
            "'tokenizer.ggml.bos_token_id': expected an id below 256",
        ),
        (
            sound.clone().truth("tokenizer.ggml.add_bos_token", true),
            "'tokenizer.ggml.add_bos_token': expected false",
        ),
        (
            sound.clone().natural("tokenizer.ggml.add_bos_token", 1),
            "'tokenizer.ggml.add_bos_token': expected true or false",
        ),
        (
            sound.clone().integers("tokenizer.ggml.token_type", &[1]),
            "'tokenizer.ggml.token_type': expected a list of 256 types",
        ),
        (sound.clone().integers("tokenizer.ggml.token_type", &[9; 256]), "types from 0 to 6"),
        (Metadata::new("llama").texts("tokenizer.ggml.tokens", &["a", "b", "c"]), "'tokenizer.ggml.scores'"),
        (scored("llama", &["?", "<s>", "</s>", &long]), "piece 3 has 2000 bytes"),
        (
            Metadata::new("t5")
                .texts("tokenizer.ggml.tokens", &["a"])
                .numbers("tokenizer.ggml.scores", &[f32::NAN]),
            "'tokenizer.ggml.scores': expected a list of 1 finite numbers",
        ),
        (
            scored("t5", &["_", "</s>", "?"]).bytes("tokenizer.ggml.precompiled_charsmap", &[9, 9, 9, 9, 1]),
            "cut off",
        ),
        (Metadata::new("bert").texts("tokenizer.ggml.tokens", &["▁a"]), "needs an unknown token"),
    ] {
        let text = match Tokenizer::from_gguf(&file.open()) {
            Ok(_) => panic!("accepted, but: {reason}"),
            Err(error) => error.to_string(),
        };
        assert!(text.contains(reason), "{text} (expected {reason})");
    }
}
