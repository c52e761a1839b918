//! The commands that run, train and measure language models.

use super::run;
use collimate_tensor::files::{FileArray, FileData, Safetensors, write_npy, write_safetensors};
use serde_json::Value;
use std::path::Path;

const CONFIGURATION: &str = r#"{"model_type": "llama", "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 12, "max_position_embeddings": 32}"#;

/// Makes a folder with a configuration and tokens.
fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), CONFIGURATION).unwrap();
    let tokens = FileArray::new(vec![200], FileData::I64((0..200).map(|i| i * i % 11).collect())).unwrap();
    write_npy(folder.path().join("tokens.npy"), &tokens).unwrap();
    let ids = FileArray::new(vec![1, 5], FileData::I64(vec![1, 4, 9, 5, 3])).unwrap();
    write_safetensors(folder.path().join("ids.safetensors"), &[("input_ids", ids)], &[]).unwrap();
    folder
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const TRAIN: &str = "lm train --description config.json --tokens tokens.npy --context 6 --batch 4 --learning-rate 0.02 --seed 3";

#[test]
fn a_model_is_trained_measured_run_and_continued() {
    let folder = prepare();
    let at = folder.path();
    let (status, out, said) =
        run(at, &words(&format!("{TRAIN} --steps 40 --held-out tokens.npy --output small")));
    assert_eq!(status, 0, "{said}");
    let steps = lines(&out);
    let losses: Vec<f64> = steps.iter().filter_map(|line| line["loss"].as_f64()).collect();
    assert_eq!(losses.len(), 40);
    assert!(losses[39] < 0.7 * losses[0], "{losses:?}");
    let held_out = steps.iter().find_map(|line| line["held_out_loss"].as_f64()).unwrap();
    assert!(!at.join("small.checkpoint").exists());

    let (status, out, said) = run(at, &words("lm eval small --tokens tokens.npy --context 6 --json"));
    assert_eq!(status, 0, "{said}");
    let measured = lines(&out)[0]["loss"].as_f64().unwrap();
    assert!((measured - held_out).abs() < 1e-5, "{measured} and {held_out}");

    let (status, _, said) = run(
        at,
        &words(
            "model run small --input ids.safetensors --output out.safetensors --capture all,head_output.1 --gradients",
        ),
    );
    assert_eq!(status, 0, "{said}");
    let file = Safetensors::open(at.join("out.safetensors")).unwrap();
    assert_eq!(file.shape("logits"), Some(&[1, 5, 11][..]));
    assert_eq!(file.shape("head_output.1"), Some(&[1, 5, 2, 4][..]));
    assert_eq!(file.shape("grad.model.layers.1.mlp.down_proj.weight"), Some(&[8, 12][..]));
    assert_eq!(file.shape("grad_hidden.2"), Some(&[1, 5, 8][..]));

    let (status, out, said) = run(at, &words("generate small --ids 1,4,9 --tokens 3 --greedy --json"));
    assert_eq!(status, 0, "{said}");
    let (_, again, _) = run(at, &words("generate small --ids 1,4,9 --tokens 3 --greedy --json --no-cache"));
    assert_eq!((lines(&out)[0]["ids"].as_array().unwrap().len(), &out), (3, &again));

    let (status, out, said) = run(at, &words("model info small --json"));
    assert_eq!(status, 0, "{said}");
    assert_eq!(lines(&out)[0]["layers"], 2);
}

#[test]
fn checkpoints_on_the_way_change_no_bit() {
    let folder = prepare();
    let at = folder.path();
    let (status, whole, said) = run(at, &words(&format!("{TRAIN} --steps 8 --output whole")));
    assert_eq!(status, 0, "{said}");
    let (status, first, _) =
        run(at, &words(&format!("{TRAIN} --steps 8 --checkpoint-every 4 --output parts")));
    assert_eq!((status, &first), (0, &whole));
    let model = |name: &str| std::fs::read(at.join(name).join("model.safetensors")).unwrap();
    assert_eq!(model("whole"), model("parts"));
}

/// Makes a folder of four texts in two files, and a configuration for single bytes.
fn texts() -> tempfile::TempDir {
    let folder = prepare();
    let at = folder.path();
    std::fs::write(at.join("bytes.json"), CONFIGURATION.replace("\"vocab_size\": 11", "\"vocab_size\": 257"))
        .unwrap();
    std::fs::create_dir(at.join("texts")).unwrap();
    let text = |word: &str| format!("{word} and {word}, ").repeat(20);
    std::fs::write(at.join("texts/a.txt"), text("one")).unwrap();
    let lines = ["two", "three", "four"].map(|word| serde_json::json!({ "text": text(word) }).to_string());
    std::fs::write(at.join("texts/b.jsonl"), lines.join("\n")).unwrap();
    folder
}

const TEXTS: &str = "lm train --corpus texts --part train --context 12 --batch 4 --learning-rate 0.02";

#[test]
fn a_model_is_trained_from_scratch_on_texts_and_its_folder_is_complete() {
    let folder = texts();
    let at = folder.path();
    let samples = "--sample-every 30 --sample-tokens 7";
    let train =
        format!("{TEXTS} --description bytes.json --tokenizer bytes --steps 60 {samples} --output small");
    let (status, out, said) = run(at, &words(&train));
    assert_eq!(status, 0, "{said}");
    let out = lines(&out);
    let losses: Vec<f64> = out.iter().filter_map(|line| line["loss"].as_f64()).collect();
    // Bytes that are all equally likely cost ln 257 = 5.5 nats.
    assert!(losses.len() == 60 && losses[0] > 5.0 && losses[59] < 3.0, "{losses:?}");
    let written: Vec<&Value> = out.iter().filter(|line| !line["sample"].is_null()).collect();
    assert_eq!(written.len(), 2);
    for line in written {
        let ids: Vec<u32> = serde_json::from_value(line["sample_ids"].clone()).unwrap();
        let bytes: Vec<u8> = ids.iter().filter_map(|&id| u8::try_from(id).ok()).collect();
        let text = line["sample"].as_str().unwrap().replace("<|endoftext|>", "");
        assert_eq!((ids.len(), text), (7, String::from_utf8_lossy(&bytes).into_owned()));
    }
    // The held-out documents are those of the other commands, and the folder has the tokenizer.
    let held_out = out.iter().rev().find_map(|line| line["held_out_loss"].as_f64()).unwrap();
    let eval = "lm eval small --corpus texts --part held-out --context 12 --json";
    let (status, measured, said) = run(at, &words(eval));
    assert_eq!(status, 0, "{said}");
    assert!((lines(&measured)[0]["loss"].as_f64().unwrap() - held_out).abs() < 1e-5);
    let (_, on_train, _) = run(at, &words(&eval.replace("held-out", "train")));
    assert_ne!(lines(&on_train)[0]["targets"], lines(&measured)[0]["targets"]);
    let (status, text, said) = run(at, &words("generate small --text one --tokens 4 --greedy --json"));
    assert_eq!(status, 0, "{said}");
    assert_eq!(lines(&text)[0]["text"].as_str().unwrap().len(), 4);

    // Trained further, one layer alone.
    let (status, _, said) =
        run(at, &words(&format!("{TEXTS} --start small --layers 1 --steps 3 --output further")));
    assert_eq!(status, 0, "{said}");
    let file = |name: &str| Safetensors::open(at.join(name).join("model.safetensors")).unwrap();
    let (before, after) = (file("small"), file("further"));
    for name in before.names() {
        let same = before.read(name).unwrap().to_f64() == after.read(name).unwrap().to_f64();
        assert_eq!(same, !name.contains("layers.1."), "{name}");
    }
    assert!(at.join("further/tokenizer.json").is_file());

    // Layers that are computed again give the same losses.
    let losses = |more: &str| {
        let (status, steps, said) = run(at, &words(&format!("{TEXTS} --start small --steps 3{more}")));
        assert_eq!(status, 0, "{said}");
        lines(&steps).iter().filter_map(|line| line["loss"].as_f64()).collect::<Vec<f64>>()
    };
    let (kept, again) = (losses(""), losses(" --recompute"));
    assert_eq!(kept.len(), 3);
    assert!(kept.iter().zip(&again).all(|(a, b)| (a - b).abs() < 1e-5), "{kept:?} {again:?}");
}

#[test]
fn texts_that_cannot_be_used_are_refused_with_the_next_step() {
    let folder = texts();
    let at = folder.path();
    let refused = |line: &str, part: &str| {
        let (status, _, said) = run(at, &words(line));
        assert!(status == 2 && said.contains(part), "{line}: {said}");
    };
    let start = format!("{TEXTS} --steps 2 --description bytes.json");
    refused(&start, "--tokenizer bytes");
    let bytes = format!("{start} --tokenizer bytes");
    refused(&bytes.replace("bytes.json", "config.json"), "vocabulary of the model has 11 words");
    refused(&bytes.replace("corpus texts", "corpus texts/a.txt"), "--corpus-format lines");
    refused(&bytes.replace("corpus texts", "corpus nowhere"), "unknown corpus 'nowhere'");
    refused(&bytes.replace("context 12", "context 5000"), "smaller --context");
    refused(&format!("{start} --tokenizer nowhere"), "nowhere");
    refused(&format!("{bytes} --layers 2"), "2 layers");
    refused(
        &format!("{TEXTS} --steps 2 --description config.json --tokens tokens.npy"),
        "--corpus belongs to a text",
    );
    refused("lm train --description bytes.json --corpus texts --tokenizer bytes --steps 2", "--context");
    refused(&format!("{TEXTS} --start nowhere --steps 2"), "--tokenizer");
    let gpt2 = r#"{"model_type": "gpt2", "vocab_size": 257, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16}"#;
    std::fs::write(at.join("bytes.json"), gpt2).unwrap();
    refused(&format!("{bytes} --sample-every 1 --sample-tokens 16"), "only 16 positions");
}

#[test]
fn given_batches_are_used_in_their_order() {
    let folder = prepare();
    let at = folder.path();
    let ids = (0..3 * 2 * 5).map(|i| i * 3 % 11).collect();
    write_npy(at.join("batches.npy"), &FileArray::new(vec![3, 2, 5], FileData::I64(ids)).unwrap()).unwrap();
    let train = "lm train --description config.json --batches batches.npy --precision f64";
    let (status, out, said) = run(at, &words(train));
    assert_eq!(status, 0, "{said}");
    let steps = lines(&out);
    assert_eq!((steps.len(), steps[2]["targets"].as_u64()), (3, Some(8)));
    assert!(steps.iter().all(|step| step["gradient_norm"].as_f64().unwrap() > 0.0));
    // Two batches a step: one step of twice the targets.
    let (_, out, _) = run(at, &words(&format!("{train} --accumulate 2")));
    assert_eq!((lines(&out).len(), lines(&out)[0]["targets"].as_u64()), (1, Some(16)));
}

#[test]
fn wrong_inputs_are_refused_with_the_next_step() {
    let folder = prepare();
    let at = folder.path();
    let refused = |line: &str, parts: &[&str]| {
        let (status, _, said) = run(at, &words(line));
        assert_eq!(status, 2, "{line}: {said}");
        for part in parts {
            assert!(said.contains(part), "{line}: {said}");
        }
    };
    refused("lm train --description config.json --tokens tokens.npy --context 6", &["--steps"]);
    refused("lm train --description config.json --tokens tokens.npy --steps 3", &["--context"]);
    refused(
        "lm train --description config.json --tokens tokens.npy --context 200 --steps 3",
        &["smaller --context"],
    );
    refused("lm train --start nowhere --tokens tokens.npy --context 6 --steps 3", &["--start nowhere"]);
    refused("lm train --description tokens.npy --tokens tokens.npy --context 6 --steps 3", &["tokens.npy"]);
    let wild = "lm train --description config.json --tokens tokens.npy --context 6 --steps 3 --learning-rate 1e30 --output wild";
    refused(wild, &["too large"]);
    refused("model run config.json --input ids.safetensors --output out.safetensors", &["config.json"]);
    refused("model info nowhere", &["nowhere"]);
    refused("lm eval nowhere --tokens tokens.npy --context 4", &["nowhere"]);
    let wrong = FileArray::new(vec![2], FileData::F32(vec![0.5, 1.0])).unwrap();
    write_npy(at.join("half.npy"), &wrong).unwrap();
    refused("lm train --description config.json --tokens half.npy --context 1 --steps 1", &["whole numbers"]);
    let path: &Path = at;
    assert!(!path.join("wild").exists() || std::fs::read_dir(path.join("wild")).unwrap().next().is_none());
}
