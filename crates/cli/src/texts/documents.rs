//! The documents of a text that a user names.

use super::corpus::{self, CorpusFormat};
use anyhow::ensure;
use collimate_studies::data::{self, Cache};
use collimate_studies::text::{self, Split, brown};
use std::path::Path;

/// The options that name a text.
#[derive(clap::Args)]
pub(crate) struct Documents {
    /// The text: `jargon` (built in; the default where no other input is given), `brown` (needs `collimate data --full`), a file of text
    /// or of JSON lines, or a folder of .txt and .jsonl files. `/dev/stdin` is read as a stream.
    #[arg(long)]
    corpus: Option<String>,
    /// The division of a file into documents; by default `jsonl` for .jsonl and .ndjson, and `text` for other files.
    #[arg(long, value_enum)]
    corpus_format: Option<CorpusFormat>,
    /// The key of the text in a JSON object; by default `text`.
    #[arg(long, value_name = "KEY")]
    text_key: Option<String>,
    /// The part of the documents to take. The division into two parts, four fifths and one fifth, depends only on their number.
    #[arg(long, value_enum)]
    part: Option<Part>,
}

/// The parts of a corpus that is cut in two by document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// All documents.
    All,
    /// Four fifths of the documents, to train on.
    Train,
    /// The other fifth, to measure on.
    HeldOut,
}

/// The share of the documents in the held-out part.
const HELD_OUT: f64 = 0.2;

impl Documents {
    /// Returns the name of the corpus.
    pub(crate) fn name(&self) -> &str {
        self.corpus.as_deref().unwrap_or("jargon")
    }

    /// Returns the path of a corpus that is not built in.
    pub(crate) fn path(&self) -> Option<&Path> {
        Some(self.name()).filter(|name| !matches!(*name, "jargon" | "brown")).map(Path::new)
    }

    /// Returns the part of the documents that is taken.
    pub(crate) fn part(&self) -> Part {
        self.part.unwrap_or(Part::All)
    }

    /// Returns an error for options that do not fit together, before anything is loaded.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        match self.path() {
            None => ensure!(
                self.corpus_format.is_none() && self.text_key.is_none(),
                "--corpus-format and --text-key belong to a file; the corpus '{}' has its own documents",
                self.name()
            ),
            Some(path) => ensure!(
                path.exists(),
                "unknown corpus '{}'; expected jargon, brown, a file, or a folder of .txt or .jsonl files",
                path.display()
            ),
        }
        Ok(())
    }

    /// Returns the options that were given, by name.
    pub(crate) fn given(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            (self.corpus.is_some(), "--corpus"),
            (self.corpus_format.is_some(), "--corpus-format"),
            (self.text_key.is_some(), "--text-key"),
            (self.part.is_some(), "--part"),
        ];
        given.into_iter().filter_map(|(given, name)| given.then_some(name))
    }

    /// Reads all documents. The cache is asked for only where the corpus is in it.
    pub(crate) fn read(&self, cache: impl FnOnce() -> anyhow::Result<Cache>) -> anyhow::Result<Vec<String>> {
        Ok(match self.path() {
            Some(path) => self.read_file(path)?,
            None if self.name() == "brown" => {
                let folder = data::locate_brown(&cache()?)?;
                brown::read(&folder)?.iter().map(|document| brown::running_text(&document.words).0).collect()
            }
            None => text::jargon().iter().map(|document| document.text.clone()).collect(),
        })
    }

    /// Reads the documents of another file in the same format.
    pub(crate) fn read_file(&self, path: &Path) -> anyhow::Result<Vec<String>> {
        corpus::read(path, self.corpus_format, self.text_key.as_deref().unwrap_or("text"))
    }
}

impl Part {
    /// Returns the numbers of the documents in this part, in order.
    pub(crate) fn of(self, documents: usize) -> Vec<usize> {
        let split = Split::by_document(documents, HELD_OUT, 0);
        let mut chosen = match self {
            Self::All => (0..documents).collect(),
            Self::Train => split.train,
            Self::HeldOut => split.held_out,
        };
        chosen.sort_unstable();
        chosen
    }
}
