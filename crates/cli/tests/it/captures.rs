//! Commands that run a model, on a small model that is made here.

use super::{collimate, model, run};
use collimate_sae::formats;
use collimate_sae::shards::Shards;
use collimate_tensor::files::{FileArray, Safetensors, write_npy};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

/// Runs a line of words, and returns its exit status and everything that it said.
fn said(folder: &Path, line: &str) -> (i32, String) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (status, out, said) = run(folder, &words);
    (status, out + &said)
}

/// Runs a line of words that must succeed.
fn done(folder: &Path, line: &str) -> String {
    let (status, said) = said(folder, line);
    assert_eq!(status, 0, "{line}: {said}");
    said
}

/// Runs a line of words that must be refused with these words.
fn refused(folder: &Path, line: &str, words: &[&str]) {
    let (status, said) = said(folder, line);
    assert_eq!(status, 2, "{line}: {said}");
    words.iter().for_each(|word| assert!(said.contains(word), "{line}: {word}: {said}"));
}

const CAPTURE: &str = "activations --model model.gguf --quiet";

/// Makes the model and a text of a thousand letters, each of which is a token.
fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    model::write(&folder.path().join("model.gguf"));
    std::fs::write(folder.path().join("text.txt"), &"some words, ".repeat(100).as_bytes()[..1000]).unwrap();
    folder
}

fn rows(folder: &Path, name: &str) -> u64 {
    Shards::open(folder.join(name)).unwrap().rows()
}

#[test]
fn the_number_of_tokens_is_a_limit() {
    let folder = prepared();
    let folder = folder.path();
    for (tokens, expected) in [(600, 600), (1, 1), (63, 63), (64, 64), (5000, 1000)] {
        let name = format!("rows-{tokens}");
        done(folder, &format!("{CAPTURE} --layer 1 --corpus text.txt --tokens {tokens} --output {name}"));
        assert_eq!(rows(folder, &name), expected, "{tokens}");
    }
    refused(folder, &format!("{CAPTURE} --layer 1 --corpus text.txt --tokens 0 --output x"), &["--tokens"]);
    done(folder, &format!("{CAPTURE} --layer 0 --corpus text.txt --context-length 11 --output short"));
    assert_eq!(rows(folder, "short"), 1000);
    refused(
        folder,
        &format!("{CAPTURE} --layer 0 --corpus text.txt --context-length 65 --output x"),
        &["--context-length", "64"],
    );
}

#[test]
fn a_corpus_is_a_text_its_lines_or_json_lines_and_is_cut_in_two_by_document() {
    let folder = prepared();
    let folder = folder.path();
    let lines: Vec<String> = (0..10).map(|i| "ab".repeat(1 + i)).collect();
    std::fs::write(folder.join("lines.txt"), lines.join("\n")).unwrap();
    let json: String = lines.iter().map(|line| format!("{{\"body\": \"{line}\"}}\n")).collect();
    std::fs::write(folder.join("lines.jsonl"), json).unwrap();
    let total: usize = lines.iter().map(String::len).sum();
    let capture = |more: &str, name: &str| {
        done(folder, &format!("{CAPTURE} --layer 1 {more} --output {name}"));
        rows(folder, name) as usize
    };
    // A short line is a sequence of its own. As one text there are also nine line breaks.
    assert_eq!(capture("--corpus lines.txt --corpus-format lines", "lines"), total);
    assert_eq!(capture("--corpus lines.jsonl --text-key body", "json"), total);
    assert_eq!(capture("--corpus lines.txt", "text"), total + 9);
    let parts = ["train", "held-out"]
        .map(|part| capture(&format!("--corpus lines.jsonl --text-key body --part {part}"), part));
    assert!(parts[0] + parts[1] == total && parts[1] > 0, "{parts:?}");
    let documents = |name: &str| -> Vec<u32> {
        let mut all: Vec<u32> = Shards::open(folder.join(name))
            .unwrap()
            .blocks(100)
            .flat_map(|block| block.unwrap().documents)
            .collect();
        all.dedup();
        all
    };
    let (train, held_out) = (documents("train"), documents("held-out"));
    assert_eq!((train.len(), held_out.len()), (8, 2));
    assert!(train.iter().all(|document| !held_out.contains(document)));
    refused(
        folder,
        &format!("{CAPTURE} --layer 1 --corpus lines.jsonl --output x"),
        &["line 1", "'text'", "--text-key"],
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_and_a_stream_is_read() {
    let folder = prepared();
    let folder = folder.path();
    let made = std::process::Command::new("sh").args(["-c", "mkfifo pipe"]).current_dir(folder).status();
    assert!(made.unwrap().success());
    refused(folder, &format!("{CAPTURE} --layer 1 --corpus pipe --output x"), &["pipe", "is a pipe"]);
    refused(folder, "sae info pipe", &["pipe"]);
    refused(folder, "sae train --activations pipe --variant topk --k 1 --latents 8 --output x", &["pipe"]);
    let words: Vec<&str> = CAPTURE.split_whitespace().collect();
    let mut child = collimate(folder)
        .args(words)
        .args(["--layer", "1", "--corpus", "/dev/stdin", "--output", "streamed"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"twelve bytes").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(rows(folder, "streamed"), 12);
}

#[test]
fn a_dictionary_belongs_to_its_rows() {
    let folder = prepared();
    let folder = folder.path();
    for (name, more) in [
        ("first", "--layer 1 --site residual-post"),
        ("other", "--layer 0 --site mlp-output"),
        ("without", "--layer 1 --site residual-post --leave-out o"),
    ] {
        done(folder, &format!("{CAPTURE} {more} --corpus text.txt --output {name}"));
    }
    let train =
        "sae train --activations first --variant topk --k 2 --latents 8 --steps 20 --batch 32 --quiet";
    done(folder, &format!("{train} --output sae.safetensors"));
    let info = done(folder, "sae info sae.safetensors");
    for words in ["blocks.1.hook_resid_post", "model_name", "text.txt", "model_fingerprint"] {
        assert!(info.contains(words), "{words}: {info}");
    }
    let eval = "sae eval sae.safetensors --quiet --activations";
    done(folder, &format!("{eval} first"));
    refused(folder, &format!("{eval} other"), &["the layer: 0 and not 1", "mlp-output", "--allow-mismatch"]);
    refused(folder, &format!("{eval} without"), &["rows that are left out"]);
    done(folder, &format!("{eval} other --allow-mismatch"));
    let model = "--model model.gguf --corpus text.txt";
    let in_model = format!("{eval} first --in-model {model}");
    refused(folder, &format!("{in_model} --layer 0 --site mlp-output"), &["the layer: 0 and not 1"]);
    let found = done(folder, &format!("{in_model} --layer 1"));
    assert!(found.contains("loss recovered") && found.contains("KL recovered"), "{found}");
    refused(folder, &format!("{eval} first --layer 1"), &["--layer", "--in-model"]);
    refused(folder, &format!("sae top sae.safetensors {model} --layer 0"), &["the layer: 0 and not 1"]);
    done(folder, &format!("sae top sae.safetensors {model} --layer 1 --count 2"));
    // A file of SAELens carries the place on.
    done(folder, "sae convert sae.safetensors saelens --to saelens");
    let config = std::fs::read_to_string(folder.join("saelens/cfg.json")).unwrap();
    assert!(
        config.contains("\"hook_name\": \"blocks.1.hook_resid_post\"") && config.contains("\"model_name\"")
    );
    refused(folder, "sae eval saelens --quiet --activations other", &["the layer: 0 and not 1"]);
    // Another model.
    let mut other = std::fs::read(folder.join("model.gguf")).unwrap();
    let last = other.len() - 3;
    other[last] ^= 1;
    std::fs::write(folder.join("other.gguf"), other).unwrap();
    let in_other = in_model.replace("model.gguf", "other.gguf");
    refused(folder, &format!("{in_other} --layer 1"), &["the model:"]);
}

#[test]
fn a_dictionary_encodes_only_its_own_rows() {
    let folder = prepared();
    let folder = folder.path();
    for (name, more) in [("zero", "--layer 0"), ("one", "--layer 1"), ("mlp", "--layer 1 --site mlp-output")]
    {
        done(folder, &format!("{CAPTURE} {more} --corpus text.txt --output {name}"));
    }
    let train = "sae train --latents 8 --steps 20 --batch 32 --k 2 --quiet --activations";
    done(folder, &format!("{train} one --variant topk --output sae.safetensors"));
    done(folder, &format!("{train} zero --activations one --variant crosscoder --output both.safetensors"));
    let encode = |sae: &str, input: &str| {
        format!("sae encode --sae {sae}.safetensors --output codes --force --input {input}")
    };
    done(folder, &encode("sae", "one"));
    refused(folder, &encode("sae", "zero"), &["the layer: 0 and not 1", "--allow-mismatch"]);
    refused(folder, &encode("sae", "mlp"), &["the site: mlp-output and not residual-post"]);
    done(folder, &format!("{} --allow-mismatch", encode("sae", "zero")));
    done(folder, &encode("both", "zero --input one"));
    refused(folder, &encode("both", "one --input zero"), &["the layer: 1, 0 and not 0, 1"]);
    refused(folder, &encode("both", "zero --input mlp"), &["the site:"]);
    // A run on other rows than those of its start, or with other held-out rows, says so.
    let further =
        format!("{train} zero --variant topk --start-from sae.safetensors --output further.safetensors");
    assert!(
        done(folder, &further)
            .contains("note: sae.safetensors was trained on other rows: the layer: 0 and not 1")
    );
    let held_out = format!("{train} one --variant topk --held-out zero --output third.safetensors");
    assert!(
        done(folder, &held_out)
            .contains("note: zero holds other rows than those trained on: the layer: 0 and not 1")
    );
    let same = format!(
        "{train} one --variant topk --held-out one --start-from sae.safetensors --output fourth.safetensors"
    );
    assert!(!done(folder, &same).contains("other rows"));
}

/// Returns the largest code of each latent over the rows of a set of shards, and a bound of its error by the half precision of the set.
fn largest_codes(folder: &Path, sae: &str, acts: &str) -> Vec<(f64, f64)> {
    done(folder, &format!("sae encode --sae {sae} --input {acts} --dense --output codes --force"));
    let codes = Safetensors::open(folder.join("codes")).unwrap().read("feature_acts").unwrap().to_f64();
    let largest = codes.map_axis(ndarray::Axis(0), |codes| codes.fold(0.0, |a: f64, &b| a.max(b)));
    let dictionary = formats::read::<f32>(folder.join(sae)).unwrap().dictionary;
    let mut longest = 0.0_f32;
    for block in Shards::open(folder.join(acts)).unwrap().blocks(100) {
        let rows = block.unwrap().rows;
        longest = rows.map_axis(ndarray::Axis(1), |row| row.dot(&row).sqrt()).fold(longest, |a, &b| a.max(b));
    }
    // Each value of a row is rounded by at most 2⁻¹¹ of itself. A row that is scaled to length √d has relative error 2⁻¹⁰.
    let size = longest.max((model::WIDTH as f32).sqrt()) * 2.0_f32.powi(-10);
    let norms = dictionary.encoder().map_axis(ndarray::Axis(1), |row| row.dot(&row).sqrt());
    largest.iter().zip(&norms).map(|(&code, norm)| (code, f64::from(norm * size))).collect()
}

#[test]
fn the_scale_of_a_file_is_applied_where_latents_are_shown() {
    let folder = prepared();
    let folder = folder.path();
    done(folder, &format!("{CAPTURE} --layer 1 --corpus text.txt --output acts"));
    let train =
        "sae train --activations acts --variant relu --l1 0.1 --latents 6 --steps 60 --batch 64 --quiet";
    done(folder, &format!("{train} --output sae.safetensors"));
    done(folder, "sae convert sae.safetensors plain --to saelens");
    let with = |name: &str, change: &dyn Fn(&mut serde_json::Value), scaler: Option<f64>| {
        let to = folder.join(name);
        std::fs::create_dir(&to).unwrap();
        for file in ["cfg.json", "sae_weights.safetensors"] {
            std::fs::copy(folder.join("plain").join(file), to.join(file)).unwrap();
        }
        let text = std::fs::read_to_string(to.join("cfg.json")).unwrap();
        let mut config = serde_json::from_str(&text).unwrap();
        change(&mut config);
        std::fs::write(to.join("cfg.json"), config.to_string()).unwrap();
        if let Some(factor) = scaler {
            let scaler = serde_json::json!({ "scaling_factor": factor, "has_whitening": false });
            std::fs::write(to.join("activation_scaler.json"), scaler.to_string()).unwrap();
        }
    };
    with("scaled", &|_| (), Some(3.0));
    with("normed", &|config| config["normalize_activations"] = "constant_norm_rescale".into(), None);
    let plain = largest_codes(folder, "plain", "acts");
    let top = "--model model.gguf --corpus text.txt --layer 1 --quiet --latent 0,1,2,3,4,5 --places 1 --force --html page.html";
    for name in ["plain", "scaled", "normed"] {
        done(folder, &format!("sae top {name} {top}"));
        let page = std::fs::read_to_string(folder.join("page.html")).unwrap();
        let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        let mut apart = 0;
        for (latent, (code, bound)) in largest_codes(folder, name, "acts").into_iter().enumerate() {
            let shown = data["latents"][latent]["range"][1].as_f64().unwrap();
            assert!(
                (shown - code).abs() <= bound,
                "{name}, latent {latent}: {shown} and not {code} ± {bound}"
            );
            apart += usize::from((shown - plain[latent].0).abs() > 2.0 * bound);
        }
        assert_eq!(apart > 0, name != "plain", "the scale of {name} changes the codes");
    }
}

#[test]
fn a_damaged_shard_is_named_with_its_row() {
    let folder = prepared();
    let folder = folder.path();
    done(folder, &format!("{CAPTURE} --layer 1 --corpus text.txt --output acts"));
    let train = "sae train --activations acts --variant topk --k 2 --latents 8 --steps 20 --batch 32 --quiet";
    done(folder, &format!("{train} --output sae.safetensors"));
    let path = folder.join("acts/00000.rows");
    let mut bytes = std::fs::read(&path).unwrap();
    let row = 2 * model::WIDTH;
    bytes[64 + 3 * row] ^= 1;
    bytes[64 + 3 * row + 1] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    for line in [
        "sae eval sae.safetensors --activations acts --quiet".to_owned(),
        format!("{train} --seed 1 --output other.safetensors"),
    ] {
        refused(folder, &line, &["00000.rows", "row 3 is damaged"]);
    }
}

#[test]
fn rows_are_left_out_by_token_and_by_norm() {
    let folder = prepared();
    let folder = folder.path();
    let letters = std::fs::read_to_string(folder.join("text.txt")).unwrap();
    let others = letters.chars().filter(|&letter| letter != 'o').count() as u64;
    done(folder, &format!("{CAPTURE} --layer 1 --corpus text.txt --leave-out o --output by-text"));
    assert_eq!(rows(folder, "by-text"), others);
    // The letter 'o' is byte 111, after the start token.
    done(folder, &format!("{CAPTURE} --layer 1 --corpus text.txt --leave-out 112 --output by-number"));
    assert_eq!(rows(folder, "by-number"), others);
    done(folder, &format!("{CAPTURE} --layer 1 --corpus text.txt --max-norm 1 --output by-norm"));
    let half = rows(folder, "by-norm");
    assert!((300..=700).contains(&half), "{half}");
    for (more, word) in [
        ("--leave-out some", "4 tokens"),
        ("--leave-out 99999", "257 tokens"),
        ("--max-norm 0", "--max-norm"),
        ("--max-norm nan", "--max-norm"),
    ] {
        refused(folder, &format!("{CAPTURE} --layer 1 --corpus text.txt {more} --output x"), &[word]);
    }
    // Rows that are on disk hold no tokens.
    refused(
        folder,
        "sae eval sae.safetensors --activations by-text --leave-out o",
        &["hold no tokens", "collimate activations --leave-out", "--max-norm"],
    );
    // In an evaluation of rows: one row is a hundred times as long as the others.
    let mut stream = collimate_stream::RngStream::new(8, 0);
    let mut rows = ndarray::Array2::from_shape_fn((300, 6), |_| stream.normal() as f32);
    rows.row_mut(17).mapv_inplace(|v| v * 100.0);
    write_npy(folder.join("rows.npy"), &FileArray::from(rows)).unwrap();
    let train =
        "sae train --activations rows.npy --variant topk --k 2 --latents 8 --steps 20 --batch 32 --quiet";
    done(folder, &format!("{train} --output sae.safetensors"));
    let all = done(folder, "sae eval sae.safetensors --activations rows.npy --quiet");
    let kept = done(folder, "sae eval sae.safetensors --activations rows.npy --quiet --max-norm 10");
    assert!(all.contains("n = 300") && kept.contains("n = 299"), "{all}{kept}");
}

#[test]
fn latents_are_shown_in_whole_characters_and_with_both_signs() {
    let folder = prepared();
    let folder = folder.path();
    std::fs::write(folder.join("greek.txt"), "λόγος και 日本 ".repeat(12)).unwrap();
    let capture = format!("{CAPTURE} --corpus greek.txt --layer 1 --output acts");
    done(folder, &capture);
    let train =
        "sae train --activations acts --variant abstopk --k 3 --latents 6 --steps 30 --batch 32 --quiet";
    done(folder, &format!("{train} --output sae.safetensors"));
    let top = "sae top sae.safetensors --model model.gguf --corpus greek.txt --layer 1 --quiet";
    let shown = done(folder, &format!("{top} --latent 0,1,2,3,4,5 --html page.html"));
    assert!(!shown.contains('\u{fffd}') && shown.contains("日本") && shown.contains("λόγος"), "{shown}");
    let signs = |sign: fn(f64) -> bool| {
        let codes = shown.lines().filter_map(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        codes.filter(|&code| sign(code)).count()
    };
    assert!(signs(|code| code < 0.0) > 0 && signs(|code| code > 0.0) > 0, "{shown}");
    let page = std::fs::read_to_string(folder.join("page.html")).unwrap();
    assert!(!page.contains('\u{fffd}') && page.contains("日"), "the page holds whole characters");
    // The histogram counts every firing, from the least code to the largest.
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let rows = data["rows"].as_f64().unwrap();
    for latent in data["latents"].as_array().unwrap() {
        let counted: f64 = latent["histogram"].as_array().unwrap().iter().map(|c| c.as_f64().unwrap()).sum();
        assert!((counted - latent["density"].as_f64().unwrap() * rows).abs() < 1e-6, "{latent}");
    }
}

#[test]
fn latents_are_steered_ablated_and_attributed() {
    let folder = prepared();
    let folder = folder.path();
    done(folder, &format!("{CAPTURE} --layer 1 --corpus text.txt --output acts"));
    let train =
        "sae train --activations acts --variant topk --k 3 --latents 12 --steps 60 --batch 64 --quiet";
    done(folder, &format!("{train} --output sae.safetensors"));
    let at = "sae.safetensors --model model.gguf --layer 1 --prompt some";
    let json = |line: &str| -> serde_json::Value { serde_json::from_str(&done(folder, line)).unwrap() };
    let steered = |value: &str| json(&format!("sae steer {at} --latent 4 --add {value} --json"));
    assert!(steered("0")["divergence"].as_f64().unwrap() < 1e-6);
    let (small, large) = (steered("1"), steered("20"));
    let divergence = |of: &serde_json::Value| of["divergence"].as_f64().unwrap();
    assert!(divergence(&large) > divergence(&small) && divergence(&small) > 0.0, "{small} {large}");
    assert_eq!(steered("0")["continuation"]["clean"], steered("0")["continuation"]["changed"]);
    // Zero is zero, by either command; a set value is not an added one.
    let set = json(&format!("sae steer {at} --latent 0,1,2,3 --set 0 --json"));
    let ablated = json(&format!("sae ablate {at} --latent 0,1,2,3 --json"));
    assert_eq!(set, ablated);
    // The numbers of tokens, because different tokens may have the same text.
    assert!(set["next"].as_array().unwrap().iter().all(|next| next["id"].as_u64().unwrap() < 257), "{set}");
    let text = done(folder, &format!("sae ablate {at} --latent 0 --continue 0 --count 3"));
    assert!(text.contains("next token") && text.contains("KL(") && !text.contains("changed    \""), "{text}");
    // After the last layer the direct parts sum to the difference.
    let parts = json(&format!("sae attribute {at} --token a --against b --count 100 --json"));
    assert_eq!((&parts["token"], &parts["against"]), (&98.into(), &99.into()));
    let number = |key: &str| parts[key].as_f64().unwrap();
    let latents: f64 =
        parts["latents"].as_array().unwrap().iter().map(|part| part["share"].as_f64().unwrap()).sum();
    let sum = latents + number("bias") + number("error") + number("rest");
    assert!((sum - number("difference")).abs() < 1e-6 && number("rest").abs() < 1e-3, "{parts}");
    let text = done(folder, &format!("sae attribute {at} --token a --against b --by-ablation --count 2"));
    assert!(text.contains("logit(\"a\") − logit(\"b\")") && text.contains("everything else"), "{text}");
    for (line, words) in [
        (format!("sae steer {at} --latent 12 --add 1"), "below the number of latents"),
        (format!("sae steer {at} --latent 1"), "--add"),
        (format!("sae steer {at} --latent 1 --add 1 --set 1"), "cannot be used with"),
        (format!("sae steer {at} --latent 1 --add nan"), "finite"),
        (format!("sae ablate {at} --latent 1 --count 0"), "--count"),
        (format!("sae attribute {at} --token a --against a"), "same token"),
        (format!("sae attribute {at} --token ab --against a"), "2 tokens"),
        ("sae ablate sae.safetensors --model model.gguf --prompt a --latent 0".to_owned(), "--layer"),
    ] {
        refused(folder, &line, &[words]);
    }
    refused(
        folder,
        "sae ablate sae.safetensors --model model.gguf --layer 0 --prompt a --latent 0",
        &["the layer: 0 and not 1"],
    );
}
