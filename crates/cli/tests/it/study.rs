//! `collimate study`.

use super::run;
use serde_json::Value;
use std::path::Path;

/// Returns a recorded run, which the tests of collimate-studies use too.
fn recorded(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../studies/tests/conformance/development");
    serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap()
}

/// Runs a study and returns its lines.
fn lines(line: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let (status, out, said) = run(folder.path(), &words);
    assert_eq!(status, 0, "{said}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns the numbers of a key, in the order of the lines that have it.
fn numbers(lines: &[Value], key: &str) -> Vec<f64> {
    lines.iter().filter_map(|line| line[key].as_f64()).collect()
}

fn close(found: &[f64], expected: &Value) {
    assert!(!found.is_empty());
    for (found, expected) in found.iter().zip(expected.as_array().unwrap()) {
        assert!((found / expected.as_f64().unwrap() - 1.0).abs() < 1e-9, "{found} {expected}");
    }
}

#[test]
fn recorded_runs_are_met_from_the_shell() {
    let common = "--precision f64 --random splitmix --json";
    let charlm = "study charlm --width 32 --layers 2 --heads 2 --context 16 --batch 4 --seed 3 --until 4";
    let run = recorded("charlm_f64");
    let found = lines(&format!("{charlm} {common}"));
    close(&numbers(&found, "loss"), &run["train_loss"]);
    close(&numbers(&found, "grad_norm"), &run["grad_norm"]);
    let grokking = "study grokking --model quadratic --prime 23 --width 48 --train-fraction 0.5 --learning-rate 0.01 --seed 1 --until 20";
    let found = lines(&format!("{grokking} {common} --every 3"));
    close(&numbers(&found, "loss"), &recorded("grok_quad_f64")["first_losses"]);
    assert_eq!(numbers(&found, "test_loss").len(), 8); // steps 0, 3, …, 18 and 20
}

#[test]
fn a_study_prints_text_and_refuses_what_it_cannot_train() {
    let folder = tempfile::tempdir().unwrap();
    let grokking =
        ["study", "grokking", "--model", "relu", "--prime", "7", "--width", "8", "--until", "3", "--quiet"];
    let (status, out, said) = run(folder.path(), &grokking);
    assert_eq!(status, 0, "{said}");
    assert!(out.contains("have their mirror in training") && out.contains("step 3:"), "{out}");
    let refused = |arguments: &[&str], words: &str| {
        let (status, _, said) = run(folder.path(), &[&["study"], arguments].concat());
        assert!(status == 2 && said.contains(words), "{arguments:?}: {status} {said}");
    };
    refused(&["grokking", "--width", "6"], "multiple of the 4 heads");
    refused(&["grokking", "--train-fraction", "1.5"], "between 0 and 1");
    refused(&["grokking", "--prime", "100000"], "the modulus");
    refused(&["charlm", "--heads", "3"], "a divisor of the width");
    refused(&["charlm", "--context", "9999999"], "the context");
}
