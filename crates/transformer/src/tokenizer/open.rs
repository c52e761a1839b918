use super::pipeline::Tokenizer;
use crate::error::ModelFileError;
use collimate_tensor::files::{FileError, FileKind, Gguf};
use serde_json::{Map, Value};
use std::io::Read;
use std::path::Path;

/// The largest size in bytes of a text file that is read. Real files take up to 35 MB.
const LARGEST: u64 = 1 << 28;

impl Tokenizer {
    /// Opens a tokenizer: a `tokenizer.json`, a folder that holds one, or a GGUF file.
    ///
    /// The files `tokenizer_config.json` and `chat_template.jinja` beside a `tokenizer.json` give the [`SpecialIds`](super::SpecialIds) and
    /// the chat templates. They change no token of a text.
    ///
    /// # Errors
    /// [`ModelFileError::File`] with the name of the file when it cannot be read, is longer than 256 MiB, or is damaged; the errors of
    /// [`Tokenizer::from_gguf`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelFileError> {
        let path = path.as_ref();
        if path.is_dir() {
            let file = path.join("tokenizer.json");
            if !file.is_file() {
                let what = "the folder has no tokenizer.json; save one with the library transformers (AutoTokenizer, save_pretrained), or \
                            name a GGUF file";
                return Err(malformed(path, what));
            }
            return Self::open_json(&file);
        }
        match FileKind::of(path)? {
            FileKind::Gguf => Self::from_gguf(&Gguf::open(path)?),
            FileKind::Json => Self::open_json(path),
            kind => {
                let what = format!(
                    "expected a tokenizer.json, a folder with one, or a GGUF file, but found {kind:?}; a tokenizer.model of SentencePiece \
                     becomes a tokenizer.json with the library transformers (AutoTokenizer, save_pretrained)"
                );
                Err(malformed(path, what))
            }
        }
    }

    fn open_json(path: &Path) -> Result<Self, ModelFileError> {
        let beside = |name: &str| Some(path.with_file_name(name)).filter(|file| file.is_file());
        let mut config = match beside("tokenizer_config.json") {
            Some(file) => serde_json::from_str::<Map<String, Value>>(&read(&file)?)
                .map_err(|error| malformed(&file, format!("no JSON object: {error}")))?,
            None => Map::new(),
        };
        if let Some(file) = beside("chat_template.jinja") {
            config.insert("chat_template".into(), read(&file)?.into());
        }
        Self::from_json_and_config(&read(path)?, &config).map_err(|error| match error {
            ModelFileError::Tokenizer(what) => malformed(path, what),
            other => other,
        })
    }
}

fn malformed(path: &Path, what: impl Into<String>) -> ModelFileError {
    FileError::Malformed { path: path.into(), place: "the tokenizer".into(), what: what.into() }.into()
}

/// Reads a text file.
fn read(path: &Path) -> Result<String, ModelFileError> {
    let fails = |source| FileError::Io { path: path.into(), place: "the tokenizer".into(), source };
    let file = std::fs::File::open(path).map_err(fails)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(fails)?;
    if bytes.len() as u64 > LARGEST {
        let needed = bytes.len() as u64;
        let place = "the tokenizer".into();
        return Err(FileError::TooLarge { path: path.into(), place, needed, limit: LARGEST }.into());
    }
    String::from_utf8(bytes).map_err(|error| malformed(path, error.to_string()))
}
