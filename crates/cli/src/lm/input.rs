//! The options that name tokens or a text, and how they become rows.

use super::rows::Rows;
use crate::texts::{Documents, Part};
use anyhow::{Context, bail, ensure};
use collimate_studies::data::Cache;
use collimate_tensor::files::{FileArray, read_npy};
use collimate_transformer::Tokenizer;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// The name of the built-in tokenizer.
const BYTES: &str = "bytes";

/// The options that name tokens or a text.
#[derive(clap::Args)]
pub(crate) struct InputOptions {
    /// Batches that are used in their order: a .npy file of whole numbers [steps, b, t + 1].
    #[arg(long, value_name = "FILE", conflicts_with = "tokens")]
    batches: Option<PathBuf>,
    /// A long text as tokens: a .npy file of whole numbers [n]. It is cut into rows of --context + 1 tokens: the last token of a row
    /// is also the first one of the next row. The order of the rows is shuffled in each epoch.
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    #[command(flatten)]
    documents: Documents,
    /// The tokenizer of the text: a tokenizer.json, a folder with one, a GGUF file, or `bytes`, which is built in and has a token for each
    /// byte and one for the end of a text. By default the tokenizer of the model is taken. Each document is followed by the token for the end of a text.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tokens", "batches"])]
    tokenizer: Option<PathBuf>,
    /// The number of tokens in a row that predict the next one; needed with --tokens and with a text.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "batches")]
    context: Option<u32>,
    /// The number of rows in a batch.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "batches")]
    batch: u32,
}

impl InputOptions {
    /// Returns the files and folders that are read.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> + Clone {
        let files = self.batches.iter().chain(&self.tokens).map(PathBuf::as_path);
        let tokenizer = self.tokenizer.as_deref().filter(|path| *path != Path::new(BYTES));
        files.chain(self.documents.path()).chain(tokenizer)
    }

    /// Returns true if a text is read, and not tokens.
    fn is_text(&self) -> bool {
        self.batches.is_none() && self.tokens.is_none()
    }

    /// Returns an error for options that do not fit together, before anything is loaded.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.is_text() {
            self.documents.check()?;
        } else if let Some(option) = self.documents.given().next() {
            bail!("{option} belongs to a text, but tokens are given; leave out one of the two");
        }
        ensure!(
            self.batches.is_some() || self.context.is_some(),
            "give --context, the number of tokens in a row that predict the next one"
        );
        Ok(())
    }

    /// Opens the tokenizer: the one that is named, or that of the model. Tokens need none.
    pub(super) fn tokenizer(&self, model: Option<&Path>) -> anyhow::Result<Option<Tokenizer>> {
        let place = match (&self.tokenizer, model) {
            (Some(path), _) if path == Path::new(BYTES) => return Ok(Some(Tokenizer::of_bytes()?)),
            (Some(path), _) => path,
            (None, Some(model)) if self.is_text() || model.join("tokenizer.json").is_file() => model,
            (None, None) if self.is_text() => bail!(
                "a text needs a tokenizer; name a file with --tokenizer, take --tokenizer {BYTES}, or give --tokens instead of a text"
            ),
            _ => return Ok(None),
        };
        let tokenizer = Tokenizer::open(place).with_context(|| {
            format!("no tokenizer in {}; name another file with --tokenizer", place.display())
        })?;
        Ok(Some(tokenizer))
    }

    /// Reads the rows to train or to measure on.
    pub(super) fn read(&self, tokenizer: Option<&Tokenizer>) -> anyhow::Result<Rows> {
        if let Some(path) = &self.batches {
            return batches(path);
        }
        match &self.tokens {
            Some(path) => self.of_tokens(path),
            None => self.of_part(self.documents.part(), tokenizer),
        }
    }

    /// Reads the rows on which a training measures the held-out loss: another file, or the part of the text that is not trained on.
    pub(super) fn read_held_out(
        &self,
        file: Option<&Path>,
        tokenizer: Option<&Tokenizer>,
    ) -> anyhow::Result<Option<Rows>> {
        Ok(match file {
            Some(file) if self.is_text() => {
                let texts = self.documents.read_file(file)?;
                Some(self.of_texts(texts, tokenizer, &file.display().to_string())?)
            }
            Some(file) => Some(self.of_tokens(file)?),
            None if self.is_text() && self.documents.part() == Part::Train => {
                Some(self.of_part(Part::HeldOut, tokenizer)?)
            }
            None => None,
        })
    }

    /// Reads a file of tokens.
    fn of_tokens(&self, path: &Path) -> anyhow::Result<Rows> {
        let ids = ids(path)?;
        ensure!(ids.ndim() == 1, "{}: a text has the axis [n], not {:?}", path.display(), ids.shape());
        self.cut(&ids.into_iter().collect::<Vec<_>>(), &path.display().to_string())
    }

    /// Reads a part of the text.
    fn of_part(&self, part: Part, tokenizer: Option<&Tokenizer>) -> anyhow::Result<Rows> {
        let mut texts = self.documents.read(|| Ok(Cache::user()?))?;
        let (name, count) = (self.documents.name(), texts.len());
        let texts: Vec<String> = part.of(count).into_iter().map(|i| std::mem::take(&mut texts[i])).collect();
        ensure!(
            !texts.is_empty(),
            "the corpus '{name}' is divided by document, and its {count} documents leave none in this part; give more files in a folder, \
             --corpus-format lines, or --part all"
        );
        self.of_texts(texts, tokenizer, name)
    }

    /// Joins the tokens of documents.
    fn of_texts(
        &self,
        texts: Vec<String>,
        tokenizer: Option<&Tokenizer>,
        name: &str,
    ) -> anyhow::Result<Rows> {
        let tokenizer = tokenizer.context("a text needs a tokenizer; name one with --tokenizer")?;
        let end = tokenizer.special_ids().eos;
        let tokens = |(number, text): (usize, &String)| {
            let mut ids = tokenizer.encode(text).with_context(|| format!("document {number} of {name}"))?;
            ids.extend(end);
            anyhow::Ok(ids)
        };
        let documents: Vec<Vec<u32>> = texts.par_iter().enumerate().map(tokens).collect::<Result<_, _>>()?;
        self.cut(&documents.concat(), name)
    }

    fn cut(&self, ids: &[u32], name: &str) -> anyhow::Result<Rows> {
        let context = self.context.context("give --context, the number of tokens in a row")?;
        Rows::cut(ids, context as usize, self.batch as usize, name)
    }
}

/// Reads batches in a given order.
fn batches(path: &Path) -> anyhow::Result<Rows> {
    let ids = ids(path)?;
    let shape: [usize; 3] = ids.shape().try_into().ok().with_context(|| {
        format!("{}: batches have the axes [steps, b, t + 1], not {:?}", path.display(), ids.shape())
    })?;
    ensure!(
        shape[0] > 0 && shape[1] > 0 && shape[2] > 1,
        "{}: batches of the shape {shape:?} hold no token that predicts another",
        path.display()
    );
    Ok(Rows::Given(ids.into_dimensionality().expect("three axes")))
}

/// Reads whole numbers that are ids.
fn ids(path: &Path) -> anyhow::Result<ndarray::ArrayD<u32>> {
    let array: FileArray = read_npy(path)?;
    let whole = array.to_i64().with_context(|| format!("{}: tokens are whole numbers", path.display()))?;
    match whole.iter().find(|&&id| u32::try_from(id).is_err()) {
        Some(id) => bail!("{}: {id} is no token id", path.display()),
        None => Ok(whole.mapv(|id| id as u32)),
    }
}
