use super::pipeline::Tokenizer;
use crate::error::ModelFileError;
use collimate_output::{Existing, write};
use collimate_tensor::files::{FileError, FileKind, Gguf};
use serde_json::{Map, Value, json};
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

impl Tokenizer {
    /// Writes `tokenizer.json` and `tokenizer_config.json` into a folder that exists, so that [`Tokenizer::open`] and the library
    /// transformers read the same tokenizer. Files of these names are replaced.
    ///
    /// A tokenizer from a GGUF file is written in the same form.
    ///
    /// # Errors
    /// [`ModelFileError::File`] if a file cannot be written.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::Tokenizer;
    /// let folder = tempfile::tempdir()?;
    /// Tokenizer::of_bytes()?.save(folder.path())?;
    /// let again = Tokenizer::open(folder.path())?;
    /// assert_eq!((again.encode("né")?, again.special_ids().eos), (vec![110, 195, 169], Some(256)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), ModelFileError> {
        let ids = self.special_ids();
        let named = [
            ("bos_token", ids.bos),
            ("eos_token", ids.eos),
            ("eot_token", ids.eot),
            ("pad_token", ids.pad),
            ("unk_token", ids.unk),
            ("sep_token", ids.sep),
            ("cls_token", ids.cls),
            ("mask_token", ids.mask),
        ];
        let pieces =
            named.into_iter().filter_map(|(key, id)| Some((key.to_owned(), json!(self.piece(id?)?))));
        let mut config: Map<String, Value> = pieces.collect();
        // The class of the library that takes every step from tokenizer.json.
        config.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
        config.insert("clean_up_tokenization_spaces".into(), json!(false));
        let templates = self.chat_templates();
        if !templates.is_empty() {
            let list = templates.iter().map(|(name, text)| json!({ "name": name, "template": text }));
            config.insert("chat_template".into(), list.collect());
        }
        let steps = serde_json::to_string_pretty(&self.steps)
            .map_err(|error| ModelFileError::Tokenizer(error.to_string()))?;
        let config = format!("{:#}\n", Value::Object(config));
        for (name, text) in [("tokenizer.json", &steps), ("tokenizer_config.json", &config)] {
            let path = folder.as_ref().join(name);
            write(&path, Existing::Replace, |out| out.write_all(text.as_bytes())).map_err(FileError::from)?;
        }
        Ok(())
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
