//! The documents of a corpus: a text, the lines of a file, or the values of a file of JSON lines.

use anyhow::{Context, bail, ensure};
use collimate_output::open_stream;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The division of a file into documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CorpusFormat {
    /// A file is one document.
    Text,
    /// Each line that is not empty is a document.
    Lines,
    /// Each line is a document in JSON: a string, or an object with the text under --text-key.
    Jsonl,
}

/// The longest file of text. A larger one is to be divided.
const LONGEST: u64 = 1 << 31;

/// Returns the documents of a file, or of the files of a folder in the order of their names.
pub(super) fn read(path: &Path, format: Option<CorpusFormat>, key: &str) -> anyhow::Result<Vec<String>> {
    if !path.is_dir() {
        return file(path, format, key);
    }
    let entries =
        std::fs::read_dir(path).with_context(|| format!("reading the folder {}", path.display()))?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension == Some("txt") || is_json_lines(path)
    });
    paths.sort();
    if paths.is_empty() {
        bail!("the folder {} has no .txt or .jsonl file; choose a folder that holds some", path.display());
    }
    let mut all = Vec::new();
    for path in paths {
        all.extend(file(&path, format, key)?);
    }
    Ok(all)
}

fn is_json_lines(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("jsonl" | "ndjson"))
}

/// Returns the documents of one file or stream.
fn file(path: &Path, format: Option<CorpusFormat>, key: &str) -> anyhow::Result<Vec<String>> {
    let reading = || format!("reading the corpus {}", path.display());
    let by_name = if is_json_lines(path) { CorpusFormat::Jsonl } else { CorpusFormat::Text };
    let mut bytes = Vec::new();
    let stream = open_stream(path).with_context(reading)?;
    stream.take(LONGEST + 1).read_to_end(&mut bytes).with_context(reading)?;
    ensure!(
        bytes.len() as u64 <= LONGEST,
        "{} holds more than {} GB of text; divide it into several files of one folder",
        path.display(),
        LONGEST as f64 / 1e9
    );
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow::anyhow!("{} is no text in UTF-8 (byte {at}); convert it to UTF-8", path.display())
    })?;
    // A byte order mark is no part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(match format.unwrap_or(by_name) {
        CorpusFormat::Text => vec![text.to_owned()],
        CorpusFormat::Lines => lines(text).map(|(_, line)| line.to_owned()).collect(),
        CorpusFormat::Jsonl => lines(text)
            .map(|(number, line)| {
                document(line, key).with_context(|| format!("{}, line {number}", path.display()))
            })
            .collect::<anyhow::Result<_>>()?,
    })
}

/// Returns the lines that are not empty, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty())
}

/// Returns the text of a line of JSON.
fn document(line: &str, key: &str) -> anyhow::Result<String> {
    let value: Value = serde_json::from_str(line).context("expected a JSON string or object")?;
    match value {
        Value::String(text) => Ok(text),
        Value::Object(mut object) => match object.remove(key) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => bail!("the value of '{key}' is not a text; name another one with --text-key"),
            None => {
                let keys: Vec<&String> = object.keys().collect();
                bail!("there is no '{key}' among the keys {keys:?}; name the text with --text-key")
            }
        },
        _ => bail!("expected a JSON string, or an object with the text under '{key}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str, format: Option<CorpusFormat>) -> anyhow::Result<Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("writes");
        read(&path, format, "text")
    }

    #[test]
    fn each_format_divides_a_file_in_its_own_way() {
        let text = "\u{feff}one\n\ntwo words\r\n";
        assert_eq!(of("a.txt", text, None).expect("reads"), ["one\n\ntwo words\r\n"]);
        assert_eq!(of("a.txt", text, Some(CorpusFormat::Lines)).expect("reads"), ["one", "two words"]);
        let json = "\"one\"\n\n{\"id\": 3, \"text\": \"two\\nlines\"}\n";
        for name in ["a.jsonl", "a.ndjson"] {
            assert_eq!(of(name, json, None).expect("reads"), ["one", "two\nlines"]);
        }
        assert_eq!(of("a.json", json, Some(CorpusFormat::Jsonl)).expect("reads").len(), 2);
        assert!(of("empty.jsonl", "", None).expect("reads").is_empty());
    }

    #[test]
    fn errors_name_the_line_and_the_next_step() {
        for (json, words) in [
            ("\"one\"\n{\"content\": \"two\"}", "line 2: there is no 'text' among the keys [\"content\"]"),
            ("{\"text\": 3}", "line 1: the value of 'text' is not a text"),
            ("\n[1]", "line 2: expected a JSON string"),
            ("{", "line 1: expected a JSON string or object"),
        ] {
            let error = format!("{:#}", of("a.jsonl", json, None).expect_err("wrong"));
            assert!(error.contains(words), "{error}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.md"), "text").expect("writes");
        assert!(read(folder.path(), None, "text").expect_err("no text").to_string().contains(".jsonl"));
        std::fs::write(folder.path().join("b.txt"), [b'a', 0xff]).expect("writes");
        assert!(
            read(folder.path(), None, "text").expect_err("no text").to_string().contains("UTF-8 (byte 1)")
        );
    }
}
