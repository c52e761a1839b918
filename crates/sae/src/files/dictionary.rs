use crate::train::training::TRAINER;
use crate::{Model, Precision, Progress, Sae, SaeError, Trained, Training, Transcoder, Variant, Weights};
use collimate_measure::Fingerprint;
use collimate_tensor::Scalar;
use collimate_tensor::files::{FileArray, FileData, Safetensors, write_safetensors};
use ndarray::{Array1, Array2};
use std::collections::BTreeMap;
use std::path::Path;

impl<F: Precision> Sae<F> {
    /// Writes the dictionary, all or nothing.
    ///
    /// Tensors `w_enc` and `w_dec` `[n, d]`, `b_dec` `[d]` and the vectors of the architecture `[n]`.
    ///
    /// # Errors
    /// [`SaeError::Format`] when the file cannot be written.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{Gated, Sae, Size};
    /// use collimate_stream::RngStream;
    /// let path = std::env::temp_dir().join(format!("collimate-doc-sae-{}.safetensors", std::process::id()));
    /// let sae = Sae::<f32>::new(Gated::paper(), Size { d_model: 3, n_latents: 6 }, &mut RngStream::new(1, 0))?;
    /// sae.save(&path)?;
    /// assert_eq!(Sae::<f32>::load(&path)?, sae);
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), SaeError> {
        save(self, path.as_ref(), &BTreeMap::new())
    }

    /// Writes the dictionary like [`Sae::save`], with what is known about its rows, key by key: the model, the layer, the text.
    ///
    /// # Errors
    /// As [`Sae::save`].
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{RngStream, Sae, Size, TopK, formats};
    /// let path = std::env::temp_dir().join(format!("collimate-doc-about-{}.safetensors", std::process::id()));
    /// let sae = Sae::<f32>::new(TopK::new(1), Size { d_model: 3, n_latents: 6 }, &mut RngStream::new(1, 0))?;
    /// sae.save_about(&path, &[("layer".to_owned(), "9".to_owned())].into())?;
    /// assert_eq!(formats::read::<f32>(&path)?.about["layer"], "9");
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn save_about(
        &self,
        path: impl AsRef<Path>,
        about: &BTreeMap<String, String>,
    ) -> Result<(), SaeError> {
        save(self, path.as_ref(), about)
    }

    /// Reads a dictionary; values of another precision are converted.
    ///
    /// # Errors
    /// [`SaeError::Format`] when the file is not sound, [`SaeError::File`] when it is not a dictionary, and as
    /// [`Sae::from_weights`] when its tensors do not fit.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, SaeError> {
        let path = path.as_ref();
        model(path, &Safetensors::open(path)?)
    }
}

impl<F: Precision> Transcoder<F> {
    /// Writes the transcoder, all or nothing: the tensors of [`Sae::save`], and `w_skip` `[d_out, d_in]` where there is a skip.
    ///
    /// # Errors
    /// [`SaeError::Format`] when the file cannot be written.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{InputBias, Skip, TopK, Transcoder};
    /// use collimate_stream::RngStream;
    /// let path = std::env::temp_dir().join(format!("collimate-doc-transcoder-{}.safetensors", std::process::id()));
    /// let top = TopK { input_bias: InputBias::NotSubtracted, ..TopK::new(1) };
    /// let transcoder = Transcoder::<f32>::new(top, 3, 2, 6, Skip::Zero, &mut RngStream::new(1, 0))?;
    /// transcoder.save(&path)?;
    /// assert_eq!(Transcoder::<f32>::load(&path)?, transcoder);
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), SaeError> {
        save(self, path.as_ref(), &BTreeMap::new())
    }

    /// Reads a transcoder; values of another precision are converted.
    ///
    /// # Errors
    /// As [`Sae::load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, SaeError> {
        let path = path.as_ref();
        model(path, &Safetensors::open(path)?)
    }
}

fn save<M: Model>(model: &M, path: &Path, about: &BTreeMap<String, String>) -> Result<(), SaeError> {
    let variant = model.sae().variant().to_string();
    let metadata = vec![("format".to_owned(), M::FORMAT.into()), ("variant".to_owned(), variant)];
    write(path, tensors_of_model(model), &with_about(metadata, about))
}

/// The beginning of the keys under which a file keeps what is known about the rows.
const ABOUT: &str = "about.";

/// Adds what is known about the rows to the metadata of a file.
fn with_about(
    mut metadata: Vec<(String, String)>,
    about: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    metadata.extend(about.iter().map(|(key, value)| (format!("{ABOUT}{key}"), value.clone())));
    metadata
}

/// Returns what a file says about the rows, key by key.
pub(super) fn about(file: &Safetensors) -> BTreeMap<String, String> {
    let pairs = file.metadata().iter();
    pairs.filter_map(|(key, value)| Some((key.strip_prefix(ABOUT)?.to_owned(), value.clone()))).collect()
}

fn tensors_of_model<M: Model>(model: &M) -> Vec<(String, FileArray)> {
    let sae = model.sae();
    let mut tensors = tensors_of("", sae.weights(), sae.variant());
    tensors.extend(model.linear_path().map(|skip| ("w_skip".into(), tensor(skip.shape(), skip.iter()))));
    tensors
}

fn model<M: Model>(path: &Path, file: &Safetensors) -> Result<M, SaeError> {
    let wrong = |reason: String| SaeError::File { path: path.to_owned(), reason };
    let format = text(path, file, "format")?;
    if format != M::FORMAT {
        return Err(wrong(format!("its format is '{format}', not '{}'", M::FORMAT)));
    }
    let variant: Variant =
        text(path, file, "variant")?.parse().map_err(|e| wrong(format!("variant: {e}")))?;
    let skip = file.shape("w_skip").is_some().then(|| matrix(path, file, "w_skip")).transpose()?;
    M::from_parts(variant, weights_of("", path, file, &variant)?, skip)
}

impl<M: Model> Trained<M> {
    /// Writes the model with its log and the fingerprint of everything that determines it, all or nothing.
    ///
    /// [`Sae::load`] or [`Transcoder::load`] reads such a file too; [`Training::finished`] gets the whole back.
    ///
    /// # Errors
    /// [`SaeError::Format`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), SaeError> {
        self.save_about(path, &BTreeMap::new())
    }

    /// Writes the model like [`Trained::save`], with what is known about its rows, key by key: the model, the layer, the text.
    ///
    /// # Errors
    /// As [`Trained::save`].
    pub fn save_about(
        &self,
        path: impl AsRef<Path>,
        about: &BTreeMap<String, String>,
    ) -> Result<(), SaeError> {
        let mut tensors = tensors_of_model(&self.model);
        tensors.push(("log".into(), log_tensor(&self.log)?));
        let dead: Vec<i64> = self.dead.iter().map(|&i| i64::from(i)).collect();
        tensors.push(("dead".into(), FileArray::new(vec![dead.len()], FileData::I64(dead))?));
        let metadata = [
            ("format", M::FORMAT.into()),
            ("variant", self.model.sae().variant().to_string()),
            ("trainer", TRAINER.into()),
            ("origin", self.origin.to_string()),
            ("input_scale", format!("{:?}", self.input_scale)),
            ("rows", self.rows.to_string()),
            ("config", format!("{:?}", self.config)),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
        write(path.as_ref(), tensors, &with_about(metadata, about))
    }
}

impl<M: Model> Training<M> {
    /// Returns the result of this run, if the file at `path` holds it.
    ///
    /// `None` when there is no file or it holds the result of another start, configuration, data or trainer
    /// ([`Training::origin`]): then the run has to be made.
    ///
    /// # Errors
    /// As [`Sae::load`] for a file that is there but damaged.
    ///
    /// # Examples
    /// ```
    /// # use collimate_sae::{epochs, Sae, Size, TopK, Training, TrainingConfig};
    /// # use collimate_stream::RngStream;
    /// # let path = std::env::temp_dir().join(format!("collimate-doc-cache-{}.safetensors", std::process::id()));
    /// # let rows = ndarray::Array2::<f32>::ones((8, 3));
    /// # let config = TrainingConfig { steps: 2, batch: 4, ..Default::default() };
    /// let sae = Sae::<f32>::new(TopK::new(1), Size { d_model: 3, n_latents: 6 }, &mut RngStream::new(1, 0))?;
    /// let training = Training::new(sae, config)?;
    /// let trained = match training.finished(&path)? {
    ///     Some(trained) => trained,
    ///     None => {
    ///         let trained = training.clone().run(epochs(&rows, 4, &mut RngStream::new(2, 0)), |_| ())?;
    ///         trained.save(&path)?;
    ///         trained
    ///     }
    /// };
    /// assert_eq!(training.finished(&path)?.unwrap().model, trained.model);
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), collimate_sae::SaeError>(())
    /// ```
    pub fn finished(&self, path: impl AsRef<Path>) -> Result<Option<Trained<M>>, SaeError> {
        let path = path.as_ref();
        if !path.exists() {
            return Ok(None);
        }
        let file = Safetensors::open(path)?;
        if file.metadata().get("origin") != Some(&self.origin().to_string()) {
            return Ok(None);
        }
        let dead = file.read("dead")?.to_i64();
        let dead =
            dead.and_then(|dead| dead.iter().map(|&i| u32::try_from(i).ok()).collect::<Option<Vec<u32>>>());
        Ok(Some(Trained {
            model: model(path, &file)?,
            config: self.config.clone(),
            input_scale: number(path, &file, "input_scale")?,
            log: log_of(path, &file)?,
            rows: number(path, &file, "rows")?,
            dead: dead.ok_or_else(|| SaeError::File {
                path: path.to_owned(),
                reason: "'dead' does not hold latents".into(),
            })?,
            origin: self.origin(),
        }))
    }
}

pub(super) fn write(
    path: &Path,
    tensors: Vec<(String, FileArray)>,
    metadata: &[(impl AsRef<str>, String)],
) -> Result<(), SaeError> {
    let tensors: Vec<_> = tensors.iter().map(|(name, array)| (name.as_str(), array.clone())).collect();
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_ref(), value.as_str())).collect();
    Ok(write_safetensors(path, &tensors, &metadata)?)
}

/// Returns the parameters as tensors with a prefix in their names.
pub(super) fn tensors_of<F: Scalar>(
    prefix: &str,
    weights: &Weights<F>,
    variant: &Variant,
) -> Vec<(String, FileArray)> {
    let Weights { w_enc, w_dec, b_dec, per_latent } = weights;
    let mut tensors = vec![
        (format!("{prefix}w_enc"), tensor(w_enc.shape(), w_enc.iter())),
        (format!("{prefix}w_dec"), tensor(w_dec.shape(), w_dec.iter())),
        (format!("{prefix}b_dec"), tensor(b_dec.shape(), b_dec.iter())),
    ];
    for (name, vector) in variant.per_latent_names().iter().zip(per_latent) {
        tensors.push((format!("{prefix}{name}"), tensor(vector.shape(), vector.iter())));
    }
    tensors
}

pub(super) fn tensor<'a, F: Scalar>(shape: &[usize], values: impl Iterator<Item = &'a F>) -> FileArray {
    // Both ways are exact: an f32 widened and narrowed again is itself.
    let data = if F::NAME == "f32" {
        FileData::F32(values.map(|&v| v.to_f64() as f32).collect())
    } else {
        FileData::F64(values.map(|&v| v.to_f64()).collect())
    };
    FileArray::new(shape.to_vec(), data).expect("the array has its own shape")
}

pub(super) fn weights_of<F: Scalar>(
    prefix: &str,
    path: &Path,
    file: &Safetensors,
    variant: &Variant,
) -> Result<Weights<F>, SaeError> {
    let vector = |name: &str| -> Result<Array1<F>, SaeError> {
        let array = file.read(&format!("{prefix}{name}"))?.to_f64();
        let wrong = |_| SaeError::File { path: path.to_owned(), reason: format!("'{name}' is not a vector") };
        Ok(array.into_dimensionality::<ndarray::Ix1>().map_err(wrong)?.mapv(F::from_f64))
    };
    Ok(Weights {
        w_enc: matrix(path, file, &format!("{prefix}w_enc"))?,
        w_dec: matrix(path, file, &format!("{prefix}w_dec"))?,
        b_dec: vector("b_dec")?,
        per_latent: variant.per_latent_names().iter().map(|name| vector(name)).collect::<Result<_, _>>()?,
    })
}

pub(super) fn matrix<F: Scalar>(path: &Path, file: &Safetensors, name: &str) -> Result<Array2<F>, SaeError> {
    let wrong = |_| SaeError::File { path: path.to_owned(), reason: format!("'{name}' is not a matrix") };
    Ok(file.read(name)?.to_f64().into_dimensionality::<ndarray::Ix2>().map_err(wrong)?.mapv(F::from_f64))
}

pub(super) fn text<'a>(path: &Path, file: &'a Safetensors, key: &str) -> Result<&'a str, SaeError> {
    let missing = || SaeError::File { path: path.to_owned(), reason: format!("it does not say its '{key}'") };
    Ok(file.metadata().get(key).ok_or_else(missing)?)
}

pub(super) fn number<T: std::str::FromStr>(
    path: &Path,
    file: &Safetensors,
    key: &str,
) -> Result<T, SaeError> {
    let value = text(path, file, key)?;
    let wrong =
        || SaeError::File { path: path.to_owned(), reason: format!("'{key}' is '{value}', not a number") };
    value.parse().map_err(|_| wrong())
}

/// Returns the log as a matrix, one entry a row.
pub(super) fn log_tensor(log: &[Progress]) -> Result<FileArray, SaeError> {
    let values: Vec<f64> = log.iter().flat_map(Progress::to_numbers).collect();
    Ok(FileArray::new(vec![log.len(), Progress::NUMBERS], FileData::F64(values))?)
}

pub(super) fn log_of(path: &Path, file: &Safetensors) -> Result<Vec<Progress>, SaeError> {
    let array = file.read("log")?.to_f64();
    let wrong = |reason: &str| SaeError::File { path: path.to_owned(), reason: format!("'log' {reason}") };
    let array = array.into_dimensionality::<ndarray::Ix2>().map_err(|_| wrong("is not a matrix"))?;
    array
        .rows()
        .into_iter()
        .map(|row| {
            Progress::from_numbers(&row.to_vec()).ok_or_else(|| wrong("has another number of columns"))
        })
        .collect()
}

pub(super) fn fingerprint(path: &Path, file: &Safetensors, key: &str) -> Result<Fingerprint, SaeError> {
    let value = text(path, file, key)?;
    let wrong = |_| SaeError::File { path: path.to_owned(), reason: format!("'{key}' is not a fingerprint") };
    u128::from_str_radix(value, 16).map(Fingerprint).map_err(wrong)
}
