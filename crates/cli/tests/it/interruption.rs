//! Ctrl-C, SIGTERM and SIGHUP end a command in the same way, and nothing is lost.
#![cfg(unix)]

use super::{collimate, model, run};
use collimate_tensor::files::{FileArray, write_npy};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Starts a command, sends a signal at its first line on the standard error stream that is no note, and returns its exit status and
/// what it said from there on.
fn interrupted(folder: &Path, arguments: &[&str], signal: &str) -> (i32, String) {
    interrupted_into(folder, arguments, signal, Stdio::null())
}

/// Does the same, and sends the standard output elsewhere.
fn interrupted_into(folder: &Path, arguments: &[&str], signal: &str, output: Stdio) -> (i32, String) {
    let mut child = collimate(folder).args(arguments).stdout(output).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.by_ref().map(Result::unwrap).find(|line| !line.starts_with("note:")).unwrap();
    let sent = Command::new("sh").args(["-c", &format!("kill {signal} {}", child.id())]).status().unwrap();
    assert!(sent.success());
    let said: Vec<String> = lines.map(Result::unwrap).collect();
    (child.wait().unwrap().code().unwrap_or(-1), format!("{first}\n{}", said.join("\n")))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_training_that_is_interrupted_continues_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut stream = collimate_stream::RngStream::new(4, 0);
    let rows = ndarray::Array2::from_shape_fn((2000, 32), |_| stream.normal() as f32);
    write_npy(folder.path().join("rows.npy"), &FileArray::from(rows)).unwrap();
    let train = |output: &'static str| {
        let line =
            "sae train --activations rows.npy --variant topk --k 4 --latents 256 --steps 1500 --batch 256";
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.extend(["--threads", "1", "--output", output]);
        words
    };
    let (status, _, said) = run(folder.path(), &train("whole"));
    assert_eq!(status, 0, "{said}");
    let whole = std::fs::read(folder.path().join("whole")).unwrap();
    for (signal, output) in [("-INT", "a.x"), ("-TERM", "a.y"), ("-HUP", "a")] {
        let (status, said) = interrupted(folder.path(), &train(output), signal);
        assert_eq!(status, 130, "{signal}: {said}");
        assert!(said.contains("holds the checkpoint"), "{signal}: {said}");
        let checkpoint = format!("{output}.checkpoint");
        assert!(folder.path().join(&checkpoint).is_file() && !folder.path().join(output).exists());
    }
    // Outputs that differ only in their extension have checkpoints of their own.
    assert_eq!(names(folder.path()).iter().filter(|name| name.ends_with(".checkpoint")).count(), 3);
    for output in ["a.x", "a.y", "a"] {
        let (status, _, said) = run(folder.path(), &train(output));
        assert!(status == 0 && said.contains("continuing from step"), "{said}");
        assert_eq!(std::fs::read(folder.path().join(output)).unwrap(), whole);
    }
    assert_eq!(names(folder.path()), ["a", "a.x", "a.y", "rows.npy", "whole"]);
}

#[test]
fn a_language_model_whose_training_is_interrupted_continues_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let configuration = r#"{"model_type": "llama", "vocab_size": 257, "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 64}"#;
    std::fs::write(at.join("config.json"), configuration).unwrap();
    let lines: Vec<String> = (0..40).map(|i| format!("line {i} says {} and {}", i * i, 7 * i % 11)).collect();
    std::fs::write(at.join("text.txt"), lines.join("\n")).unwrap();
    let train = |output: &'static str| {
        let line = "lm train --description config.json --corpus text.txt --corpus-format lines --part train --tokenizer bytes \
                    --context 16 --batch 4 --accumulate 2 --steps 300 --warm-up 20 --decay cosine --clip 1 --held-out-every 90 \
                    --sample-every 70 --sample-tokens 5 --threads 1 --output";
        line.split_whitespace().chain([output]).collect::<Vec<_>>()
    };
    let (status, whole, said) = run(at, &train("whole"));
    assert_eq!(status, 0, "{said}");
    assert_eq!(whole.lines().filter(|line| line.contains("held_out_loss")).count(), 4);
    let files = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    let bytes = |output: &str| files.map(|name| std::fs::read(at.join(output).join(name)).unwrap());
    for (signal, output) in [("-INT", "a"), ("-TERM", "b"), ("-HUP", "c")] {
        let lines = at.join(format!("{output}.jsonl"));
        let file = std::fs::File::create(&lines).unwrap();
        let (status, said) = interrupted_into(at, &train(output), signal, file.into());
        assert_eq!(status, 130, "{signal}: {said}");
        assert!(said.contains("holds the checkpoint") && !at.join(output).exists(), "{signal}: {said}");
        let (status, rest, said) = run(at, &train(output));
        assert!(status == 0 && said.contains("continuing from step"), "{said}");
        let first = std::fs::read_to_string(&lines).unwrap();
        assert!(!first.is_empty() && first + &rest == whole, "{signal}");
        assert_eq!(bytes(output), bytes("whole"), "{signal}");
        assert!(!at.join(format!("{output}.checkpoint")).exists());
    }
}

#[test]
fn a_capture_that_is_interrupted_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    model::write(&folder.path().join("model.gguf"));
    let text = "the quick brown fox jumps over the lazy dog. ".repeat(20_000);
    std::fs::write(folder.path().join("text.txt"), text).unwrap();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    for signal in ["-INT", "-TERM", "-HUP"] {
        for output in ["new", "a/b/new", "empty"] {
            let line = "activations --model model.gguf --layer 1 --corpus text.txt --tokens 900000 --threads 1 --output";
            let mut words: Vec<&str> = line.split_whitespace().collect();
            words.push(output);
            let (status, said) = interrupted(folder.path(), &words, signal);
            assert_eq!(status, 130, "{signal}: {said}");
            assert!(!said.contains("error:"), "{said}");
            assert_eq!(names(folder.path()), ["empty", "model.gguf", "text.txt"], "{signal} {output}");
            assert!(names(&folder.path().join("empty")).is_empty());
        }
    }
}

#[test]
fn a_download_that_is_interrupted_leaves_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    // A client that begins a download and then hangs. It writes down its process number.
    let client = folder.path().join("python3");
    let lines =
        "#!/bin/sh\ncase \"$*\" in *--version*) exit 0;; esac\necho $$ > number\nexec /bin/sleep 100\n";
    std::fs::write(&client, lines).unwrap();
    std::fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755)).unwrap();
    for signal in ["-INT", "-TERM", "-HUP"] {
        let (status, said) = interrupted(folder.path(), &["data"], signal);
        assert_eq!(status, 130, "{signal}: {said}");
        assert!(said.contains("nothing of it was kept") && !said.contains("error:"), "{said}");
        let left = names(&folder.path().join("cache"));
        assert!(left.iter().all(|name| name.ends_with(".lock")), "{signal}: {left:?}");
        // The signal may come before the client begins.
        if let Ok(number) = std::fs::read_to_string(folder.path().join("number")) {
            let runs = Command::new("sh").args(["-c", &format!("kill -0 {number}")]).output().unwrap();
            assert!(number.trim().is_empty() || !runs.status.success(), "the client {number} still runs");
        }
    }
}

#[test]
fn a_command_without_work_to_save_ends_at_once_with_the_same_status() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = collimate(folder.path())
        .args(["tms", "train", "--steps", "100000000", "--output", "figures"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn the_second_process_on_one_output_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut stream = collimate_stream::RngStream::new(4, 0);
    let rows = ndarray::Array2::from_shape_fn((2000, 32), |_| stream.normal() as f32);
    write_npy(folder.path().join("rows.npy"), &FileArray::from(rows)).unwrap();
    let line = "sae train --activations rows.npy --variant topk --k 4 --latents 256 --steps 100000 --batch 256 --output a";
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut first =
        collimate(folder.path()).args(&words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(first.stderr.take().unwrap()).lines();
    // The run is under way, so it holds the lock.
    while !folder.path().join(".a.lock").exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let (status, _, said) = run(folder.path(), &words);
    assert!(status == 2 && said.contains("another process trains a"), "{said}");
    let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", first.id())]).status().unwrap();
    assert!(sent.success());
    lines.by_ref().for_each(drop);
    assert_eq!(first.wait().unwrap().code(), Some(130));
    assert_eq!(names(folder.path()).iter().filter(|name| name.starts_with('.')).count(), 0);
}
