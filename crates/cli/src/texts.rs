//! Which text a command runs on, and the model it runs.

use anyhow::{Context, bail, ensure};
use collimate_studies::data::{self, Cache};
use collimate_studies::real::{Laboratory, Sequence};
use collimate_studies::text::{self, brown};
use collimate_tensor::files::Gguf;
use collimate_transformer::{Decoder, HookPoint, Site, Tokenizer};
use std::path::{Path, PathBuf};

/// A model, a place in it, and a text.
#[derive(clap::Args)]
pub(crate) struct Source {
    /// The layer, counted from zero.
    #[arg(long)]
    layer: Option<usize>,
    /// The activation of the layer.
    #[arg(long, value_enum, default_value = "residual-post")]
    site: SiteName,
    /// The text: `jargon` (built in), `brown` (after `collimate data --full`), a text file, or a folder of .txt files.
    #[arg(long, default_value = "jargon")]
    corpus: String,
    /// A GGUF file of architecture llama, instead of SmolLM2 from the cache.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// At most so many tokens of the text.
    #[arg(long, default_value_t = 100_000)]
    tokens: usize,
    /// The cache folder, instead of the user's (or of the variable COLLIMATE_CACHE).
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// The sites, as options spell them.
#[derive(Clone, Copy, clap::ValueEnum)]
enum SiteName {
    ResidualPre,
    HeadOutput,
    AttentionOutput,
    ResidualMid,
    MlpNeurons,
    MlpOutput,
    ResidualPost,
}

impl Source {
    /// The model with its tokenizer.
    pub(crate) fn laboratory(&self) -> anyhow::Result<Laboratory> {
        let cache = match &self.cache {
            Some(folder) => Cache::at(folder),
            None => Cache::user()?,
        };
        Ok(match &self.model {
            None => Laboratory::open(cache)?,
            Some(path) => {
                let file = Gguf::open(path)?;
                let read = || format!("reading the model {}", path.display());
                let decoder = Decoder::from_open_gguf(&file).with_context(read)?;
                let tokenizer = Tokenizer::from_gguf(&file).with_context(read)?;
                Laboratory { decoder, tokenizer, cache }
            }
        })
    }

    /// Complains of what is missing before anything is loaded.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.layer.context("name the layer with --layer")?;
        let built_in = matches!(self.corpus.as_str(), "jargon" | "brown");
        ensure!(
            built_in || Path::new(&self.corpus).exists(),
            "there is no corpus '{}': jargon, brown, a text file or a folder of .txt files",
            self.corpus
        );
        Ok(())
    }

    /// The place in the model.
    pub(crate) fn point(&self, laboratory: &Laboratory) -> anyhow::Result<HookPoint> {
        let layers = laboratory.decoder.config().n_layers;
        let layer = self.layer.context("name the layer with --layer")?;
        ensure!(layer < layers, "--layer {layer} is not below the {layers} layers of the model");
        let site = match self.site {
            SiteName::ResidualPre => Site::ResidualPre,
            SiteName::HeadOutput => Site::HeadOutput,
            SiteName::AttentionOutput => Site::AttentionOutput,
            SiteName::ResidualMid => Site::ResidualMid,
            SiteName::MlpNeurons => Site::MlpNeurons,
            SiteName::MlpOutput => Site::MlpOutput,
            SiteName::ResidualPost => Site::ResidualPost,
        };
        Ok(site.of_layer(layer))
    }

    /// The text as sequences of tokens.
    pub(crate) fn sequences(&self, laboratory: &Laboratory) -> anyhow::Result<Vec<Sequence>> {
        let texts: Vec<String> = match self.corpus.as_str() {
            "jargon" => text::jargon().iter().map(|document| document.text.clone()).collect(),
            "brown" => {
                let folder = data::locate_brown(&laboratory.cache)?;
                brown::read(&folder)?.iter().map(running).collect()
            }
            path => files(Path::new(path))?,
        };
        let numbered = (0_u32..).zip(texts.iter().map(String::as_str));
        let sequences = laboratory.sequences(numbered, self.tokens)?;
        ensure!(!sequences.is_empty(), "the corpus '{}' has no piece of eight tokens or more", self.corpus);
        Ok(sequences)
    }
}

fn running(document: &brown::TaggedDocument) -> String {
    brown::running_text(&document.words).0
}

/// The texts of a file, or of the .txt files of a folder in the order of their names.
fn files(path: &Path) -> anyhow::Result<Vec<String>> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("reading the corpus {}", path.display()))
    };
    if !path.is_dir() {
        return Ok(vec![read(path)?]);
    }
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    if paths.is_empty() {
        bail!("the folder {} has no .txt file", path.display());
    }
    paths.iter().map(|path| read(path)).collect()
}
