//! The model that a command runs, and the text it runs the model on.

use anyhow::{Context, bail, ensure};
use collimate_studies::Sequence;
use collimate_studies::data::{self, Cache};
use collimate_studies::language_model::LanguageModelSetup;
use collimate_studies::text::{self, brown};
use collimate_tensor::files::Gguf;
use collimate_transformer::{Decoder, HookPoint, Site, Tokenizer};
use std::path::{Path, PathBuf};

/// A model, a layer and a site in it, and a text.
#[derive(clap::Args)]
pub(crate) struct Source {
    /// The layer, counted from 0.
    #[arg(long, value_name = "N")]
    layer: Option<usize>,
    /// The site in the layer.
    #[arg(long, value_enum, default_value = "residual-post")]
    site: SiteName,
    /// The text: `jargon` (built in), `brown` (needs `collimate data --full`), a text file, or a folder of .txt files.
    #[arg(long, default_value = "jargon")]
    corpus: String,
    /// The model, a GGUF file of architecture llama; by default SmolLM2 from the cache.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The largest number of tokens to take from the text.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    tokens: usize,
    /// The cache folder; by default that of the variable COLLIMATE_CACHE, or else the user's cache folder.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
}

/// The sites, as options spell them.
#[derive(Clone, Copy, clap::ValueEnum)]
enum SiteName {
    /// The residual stream before the layer.
    ResidualPre,
    /// The output of each attention head, before the output matrix.
    HeadOutput,
    /// The output of the attention block.
    AttentionOutput,
    /// The residual stream between the attention block and the MLP.
    ResidualMid,
    /// The hidden activations of the MLP, gate times up, before its last product.
    MlpNeurons,
    /// The output of the MLP.
    MlpOutput,
    /// The residual stream after the layer.
    ResidualPost,
}

impl Source {
    /// Opens the model and its tokenizer.
    pub(crate) fn setup(&self) -> anyhow::Result<LanguageModelSetup> {
        let cache = match &self.cache {
            Some(folder) => Cache::at(folder),
            None => Cache::user()?,
        };
        Ok(match &self.model {
            None => LanguageModelSetup::open(cache)?,
            Some(path) => {
                let file = Gguf::open(path)?;
                let read = || format!("reading the model {}", path.display());
                let decoder = Decoder::from_open_gguf(&file).with_context(read)?;
                let tokenizer = Tokenizer::from_gguf(&file).with_context(read)?;
                LanguageModelSetup { decoder, tokenizer, cache }
            }
        })
    }

    /// Returns an error for a missing option or corpus, before anything is loaded.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.layer.context("name the layer with --layer")?;
        let built_in = matches!(self.corpus.as_str(), "jargon" | "brown");
        ensure!(
            built_in || Path::new(&self.corpus).exists(),
            "unknown corpus '{}'; expected jargon, brown, a text file or a folder of .txt files",
            self.corpus
        );
        Ok(())
    }

    /// Returns the site in the layer.
    pub(crate) fn point(&self, setup: &LanguageModelSetup) -> anyhow::Result<HookPoint> {
        let layers = setup.decoder.config().n_layers;
        let layer = self.layer.context("name the layer with --layer")?;
        ensure!(
            layer < layers,
            "--layer must be below {layers}, the number of layers of the model, but is {layer}"
        );
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

    /// Returns the text as sequences of tokens.
    pub(crate) fn sequences(&self, setup: &LanguageModelSetup) -> anyhow::Result<Vec<Sequence>> {
        let texts: Vec<String> = match self.corpus.as_str() {
            "jargon" => text::jargon().iter().map(|document| document.text.clone()).collect(),
            "brown" => {
                let folder = data::locate_brown(&setup.cache)?;
                brown::read(&folder)?.iter().map(running).collect()
            }
            path => files(Path::new(path))?,
        };
        let numbered = (0_u32..).zip(texts.iter().map(String::as_str));
        let sequences = setup.sequences(numbered, self.tokens)?;
        ensure!(
            !sequences.is_empty(),
            "the corpus '{}' has no piece of at least eight tokens; choose a longer text",
            self.corpus
        );
        Ok(sequences)
    }
}

fn running(document: &brown::TaggedDocument) -> String {
    brown::running_text(&document.words).0
}

/// Returns the text of a file, or the texts of the .txt files of a folder in the order of their names.
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
        bail!("the folder {} has no .txt file; choose a folder that holds some", path.display());
    }
    paths.iter().map(|path| read(path)).collect()
}
