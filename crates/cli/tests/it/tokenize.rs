//! `collimate model tokenize`.

use super::collimate;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

/// Runs the command with texts on the standard input, and returns its exit status and its two streams.
fn tokenize(folder: &Path, arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = collimate(folder);
    command.args(["model", "tokenize"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses its file ends before it reads, so the write may fail.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let done = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap_or(-1), text(done.stdout), text(done.stderr))
}

fn with_model() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    crate::model::write(&folder.path().join("model.gguf"));
    folder
}

#[test]
fn lines_become_a_table() {
    let folder = with_model();
    let (status, out, said) = tokenize(folder.path(), &["model.gguf"], "é!\n\n");
    assert_eq!(status, 0, "{said}");
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = [
        &["line", "1:", "3", "tokens"][..],
        &["196", "0..2", "Ã"],
        &["170", "0..2", "©"],
        &["34", "2..3", "!"],
        &["line", "2:", "0", "tokens"],
    ];
    assert_eq!(lines, expected);
}

#[test]
fn json_strings_become_json_objects() {
    let folder = with_model();
    let input = "\"a\\nb\"\n[\"a\", \"b\"]\n";
    let (status, out, said) = tokenize(folder.path(), &["model.gguf", "--json"], input);
    assert_eq!(status, 0, "{said}");
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["ids"], serde_json::json!([98, 11, 99]));
    assert_eq!(lines[0]["tokens"], serde_json::json!(["a", "Ċ", "b"]));
    assert_eq!(lines[0]["byte_offsets"], serde_json::json!([[0, 1], [1, 2], [2, 3]]));
    assert_eq!(lines[0]["decoded"], "a\nb");
    assert_eq!(lines[1]["ids"], serde_json::json!([98, 99]));
}

#[test]
fn a_line_or_a_file_that_cannot_be_read_is_named() {
    let folder = with_model();
    for (line, reason) in [
        ("oops", "line 2: expected a JSON string"),
        ("7", "line 2: expected a JSON string"),
        ("[\"a\"]", "line 2"),
    ] {
        let input = format!("\"fine\"\n{line}\n");
        let (status, out, said) = tokenize(folder.path(), &["model.gguf", "--json"], &input);
        assert_eq!((status, out.lines().count()), (2, 1), "{said}");
        assert!(said.contains("standard input") && said.contains(reason), "{said}");
    }
    std::fs::write(folder.path().join("tokenizer.json"), "{\"model\": {}}").unwrap();
    let (status, _, said) = tokenize(folder.path(), &["tokenizer.json"], "a\n");
    assert_eq!(status, 2);
    assert!(said.contains("tokenizer.json"), "{said}");
    let (status, _, said) = tokenize(folder.path(), &["no-such-file"], "");
    assert!(status == 2 && said.contains("no-such-file"), "{said}");
}
