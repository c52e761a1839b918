use super::capture::{LAYER, cached_or_captured};
use crate::data::{self, Cache};
use crate::error::StudyError;
use crate::sequence::Sequence;
use collimate_sae::shards::Shards;
use collimate_tensor::files::Gguf;
use collimate_transformer::{HookPoint, Model, ModelFileError, RunError, Site, Tokenizer};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The token that every sequence of SmolLM2 starts with, `<|endoftext|>`.
///
/// The file's own start token is another one (`<|im_start|>`, of the chat format). The model was trained on plain text after
/// this one.
pub const START: u32 = 0;

/// The longest sequence, start token included.
pub const CONTEXT: usize = 256;

/// The number of layers of SmolLM2.
const LAYERS: usize = 30;

/// Returns the layer of a model with this number of layers at the depth that `layer` has in SmolLM2.
fn at_depth(layers: usize, layer: usize) -> usize {
    if layers == LAYERS { layer } else { (layer * layers / LAYERS).min(layers.saturating_sub(1)) }
}

/// A language model with its tokenizer, and the folder for what is computed from it.
pub struct LanguageModelSetup {
    /// The model: SmolLM2-135M-Instruct, unless another one was read.
    pub model: Model<f32>,
    /// The tokenizer of the model.
    pub tokenizer: Tokenizer,
    /// The token that every sequence starts with.
    pub start: u32,
    /// The layer whose activations are studied: [`LAYER`] of SmolLM2, and the layer at three tenths of the depth of another model.
    pub layer: usize,
    /// The folder for activations and dictionaries.
    pub cache: Cache,
}

/// The model that [`LanguageModelSetup::shared`] opens, if it is not SmolLM2.
static CHOSEN: OnceLock<PathBuf> = OnceLock::new();

impl LanguageModelSetup {
    /// Loads another model and its tokenizer: a folder with `config.json`, safetensors files and `tokenizer.json`, or a GGUF file.
    ///
    /// # Errors
    /// [`StudyError::Model`] when one of them cannot be read, or the vocabulary has no token to start a text with.
    pub fn open_other(path: &Path, cache: Cache) -> Result<Self, StudyError> {
        let (model, tokenizer) = if path.is_dir() {
            (Model::open(path)?, Tokenizer::open(path)?)
        } else {
            let file = Gguf::open(path).map_err(ModelFileError::from)?;
            (Model::from_gguf(&file)?, Tokenizer::from_gguf(&file)?)
        };
        // Models with this token were trained on texts after it, whatever start token their chat format has. Encoders have a token in
        // front of every text.
        let special = tokenizer.special_ids();
        let start = tokenizer.id("<|endoftext|>").or(special.bos).or(special.eos).or(special.cls);
        let missing = || ModelFileError::Tokenizer("the vocabulary has no token to start a text with".into());
        let layer = at_depth(model.description().layers.len(), LAYER);
        Ok(Self { model, start: start.ok_or_else(missing)?, tokenizer, layer, cache })
    }

    /// Loads SmolLM2 from a cache; nothing is downloaded.
    ///
    /// # Errors
    /// [`StudyError::Data`] when the model is not there (the message says how to get it), [`StudyError::Model`] when it
    /// cannot be read.
    pub fn open(cache: Cache) -> Result<Self, StudyError> {
        let file = Gguf::open(data::locate_smollm2(&cache)?).map_err(ModelFileError::from)?;
        let tokenizer = Tokenizer::from_gguf(&file)?;
        Ok(Self { model: Model::from_gguf(&file)?, tokenizer, start: START, layer: LAYER, cache })
    }

    /// Chooses the model that [`LanguageModelSetup::shared`] opens, instead of SmolLM2. It has no effect once that was called.
    pub fn choose(path: &Path) {
        // The first choice counts.
        let _ = CHOSEN.set(path.to_owned());
    }

    /// Checks that the model predicts the next token, which claims about its losses need.
    ///
    /// # Errors
    /// [`StudyError::Model`] for an encoder, and for a model without a head that gives logits.
    pub fn check_predicts(&self) -> Result<(), StudyError> {
        let description = self.model.description();
        match &description.head {
            None => Err(RunError::NoHead.into()),
            Some(_) if !description.is_causal() => Err(RunError::NotCausal.into()),
            Some(_) => Ok(()),
        }
    }

    /// Returns the residual stream after the layer that is studied.
    pub fn residual(&self) -> HookPoint {
        Site::ResidualPost.of_layer(self.layer)
    }

    /// Returns the layer at the depth that a layer has in SmolLM2.
    pub fn layer_like(&self, layer: usize) -> usize {
        at_depth(self.model.description().layers.len(), layer)
    }

    /// Returns the setup of this process: the chosen model, or SmolLM2 from the user's cache. It is loaded on first use.
    ///
    /// # Errors
    /// As [`LanguageModelSetup::open`]; the next call tries again.
    pub fn shared() -> Result<&'static Self, StudyError> {
        static SHARED: OnceLock<LanguageModelSetup> = OnceLock::new();
        match SHARED.get() {
            Some(setup) => Ok(setup),
            None => {
                let cache = Cache::user()?;
                let setup = match CHOSEN.get() {
                    Some(path) => Self::open_other(path, cache)?,
                    None => Self::open(cache)?,
                };
                Ok(SHARED.get_or_init(|| setup))
            }
        }
    }

    /// Cuts texts into sequences of at most [`CONTEXT`] tokens until `limit` tokens are reached (start tokens not counted). The
    /// protocols of the claims use it. The last piece is whole, so that there may be more tokens than `limit`;
    /// [`LanguageModelSetup::pieces`] stops at the limit.
    ///
    /// Pieces of fewer than 8 tokens are left out.
    ///
    /// # Errors
    /// [`StudyError::Model`] when the vocabulary cannot spell a text.
    pub fn sequences<'a>(
        &self,
        texts: impl IntoIterator<Item = (u32, &'a str)>,
        limit: usize,
    ) -> Result<Vec<Sequence>, StudyError> {
        let (mut sequences, mut count) = (Vec::new(), 0);
        for (document, text) in texts {
            let tokens = self.tokenizer.encode(text)?;
            for piece in tokens.chunks(CONTEXT - 1).filter(|piece| piece.len() >= 8) {
                if count >= limit {
                    return Ok(sequences);
                }
                count += piece.len();
                let tokens = std::iter::once(self.start).chain(piece.iter().copied()).collect();
                sequences.push(Sequence { document, tokens });
            }
        }
        Ok(sequences)
    }

    /// Returns the activations at some points on these sequences, position 0 dropped, as shards in the cache.
    ///
    /// Each set is captured once; the name of its folder is the fingerprint of its source. The sets that are not in the cache are
    /// captured in one pass. `progress` is called with the number of sequences done so far; the capture stops when it returns
    /// false.
    ///
    /// # Errors
    /// As [`capture`](super::capture()).
    pub fn activations(
        &self,
        sequences: &[Sequence],
        points: &[HookPoint],
        progress: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Vec<Shards>, StudyError> {
        let folder = self.cache.derived().join("activations");
        cached_or_captured(&self.model, sequences, points, &folder, progress)
    }
}
