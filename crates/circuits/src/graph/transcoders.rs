use crate::error::CircuitError;
use crate::parts::refuse;
use collimate_sae::{AnyDictionary, LayeredTranscoder, Precision as CodePrecision, formats};
use collimate_tensor::files::Safetensors;
use collimate_transformer::{Model, Precision, Site};
use ndarray::{Axis, Ix3};
use std::path::Path;

/// The activation that a transcoder reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadSite {
    /// The residual stream between attention and MLP, without a norm.
    ResidualMid,
    /// The input of the MLP, after its norm with the gain.
    MlpInput,
    /// The normalised input of the MLP before the gain.
    MlpNormalised,
}

impl ReadSite {
    /// Returns the site of the model.
    pub fn site(self) -> Site {
        match self {
            Self::ResidualMid => Site::ResidualMid,
            Self::MlpInput => Site::MlpInput,
            Self::MlpNormalised => Site::MlpNormalised,
        }
    }

    /// Returns the activation that a configuration names as `feature_input_hook`, with or without the layer in front.
    ///
    /// # Examples
    /// ```
    /// use collimate_circuits::ReadSite;
    /// assert_eq!(ReadSite::named("mlp.hook_in"), Some(ReadSite::MlpInput));
    /// assert_eq!(ReadSite::named("blocks.3.mlp.hook_in"), Some(ReadSite::MlpInput));
    /// assert_eq!(ReadSite::named("hook_resid_post"), None);
    /// ```
    pub fn named(hook: &str) -> Option<Self> {
        let of_layer = hook.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
        match of_layer.map_or(hook, |(_, name)| name) {
            "hook_resid_mid" => Some(Self::ResidualMid),
            "mlp.hook_in" => Some(Self::MlpInput),
            "ln2.hook_normalized" => Some(Self::MlpNormalised),
            _ => None,
        }
    }
}

/// Returns an error unless transcoders predict what the MLP adds to the residual stream, as a configuration names it in
/// `feature_output_hook`: `hook_mlp_out` or `mlp.hook_out`, or nothing.
///
/// # Errors
/// [`CircuitError::Argument`] with the name.
///
/// # Examples
/// ```
/// use collimate_circuits::check_predicted;
/// assert!(check_predicted(Some("hook_mlp_out")).is_ok() && check_predicted(None).is_ok());
/// assert!(check_predicted(Some("hook_resid_post")).unwrap_err().to_string().contains("hook_resid_post"));
/// ```
pub fn check_predicted(hook: Option<&str>) -> Result<(), CircuitError> {
    match hook {
        None | Some("mlp.hook_out" | "hook_mlp_out") => Ok(()),
        Some(given) => Err(CircuitError::Argument(format!(
            "transcoders must predict what the MLP adds (hook_mlp_out), but these predict {given}"
        ))),
    }
}

/// A transcoder for every layer of a model, with the place where it reads. It writes to what the MLP adds to the residual stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcoders<F> {
    /// The transcoders.
    pub layers: LayeredTranscoder<F>,
    /// The activation that they read.
    pub reads: ReadSite,
}

impl<F: Precision + CodePrecision> Transcoders<F> {
    /// Reads the transcoders of a folder, with the place that its configuration names.
    ///
    /// A cross-layer set may keep its skips `[layer, in, out]` in a file of its own, in the tensor `W_skip`; then x·W is added.
    ///
    /// # Errors
    /// [`CircuitError::Dictionary`] for a folder that cannot be read; [`CircuitError::Argument`] for a dictionary that is no set of
    /// transcoders, a place that is not known, and a file of skips that does not fit.
    pub fn open(folder: impl AsRef<Path>, skips: Option<&Path>) -> Result<Self, CircuitError> {
        let folder = folder.as_ref();
        let refuse = |reason: String| CircuitError::Argument(format!("{}: {reason}", folder.display()));
        let checkpoint = formats::read_any::<F>(folder)?;
        let AnyDictionary::Transcoder(mut layers) = checkpoint.dictionary else {
            let name = checkpoint.dictionary.name();
            return Err(refuse(format!("this is a {name}, but a graph needs a transcoder for every layer")));
        };
        let hook = |key: &str| checkpoint.about.get(key).map(String::as_str);
        let given = hook("feature_input_hook").unwrap_or("nothing");
        let reads = ReadSite::named(given).ok_or_else(|| {
            refuse(format!(
                "config.yaml must name the input of the transcoders (feature_input_hook: mlp.hook_in, hook_resid_mid or \
                 ln2.hook_normalized), but names {given}"
            ))
        })?;
        check_predicted(hook("feature_output_hook")).map_err(|error| refuse(error.to_string()))?;
        if let Some(path) = skips {
            layers = with_skips(&layers, path)?;
        }
        Ok(Self { layers, reads })
    }

    /// Returns an error unless there is a transcoder of the right width for every layer of a model.
    ///
    /// # Errors
    /// [`CircuitError::Argument`] with both numbers.
    pub fn check(&self, model: &Model<F>) -> Result<(), CircuitError> {
        let d = model.description();
        let (layers, width) = (self.layers.layers().len(), [self.layers.d_in(), self.layers.d_out()]);
        if layers != d.layers.len() || width != [d.width; 2] {
            return Err(CircuitError::Argument(format!(
                "the transcoders are for {layers} layers and the widths {width:?}, but the model has {} layers of width {}; take the \
                 transcoders of this model",
                d.layers.len(),
                d.width
            )));
        }
        match (0..layers).find(|&layer| !model.has_point(self.reads.site().of_layer(layer))) {
            Some(_) => Err(refuse(model, "it lacks the activation that the transcoders read")),
            None => Ok(()),
        }
    }
}

/// Returns the transcoders with skips from a file of their own.
fn with_skips<F: Precision + CodePrecision>(
    set: &LayeredTranscoder<F>,
    path: &Path,
) -> Result<LayeredTranscoder<F>, CircuitError> {
    let refuse = |reason: String| CircuitError::Argument(format!("{}: {reason}", path.display()));
    let file = Safetensors::open(path).map_err(|error| CircuitError::Argument(error.to_string()))?;
    let expected = [set.layers().len(), set.d_in(), set.d_out()];
    if file.shape("W_skip") != Some(&expected[..]) {
        let given = file.shape("W_skip").map(<[usize]>::to_vec);
        return Err(refuse(format!(
            "a tensor W_skip of the shape {expected:?} is needed, but it has {given:?}"
        )));
    }
    let skips = file.read("W_skip").map_err(|error| CircuitError::Argument(error.to_string()))?.to_f64();
    let skips = skips.into_dimensionality::<Ix3>().expect("the shape was checked");
    let mut layers = set.layers().to_vec();
    for (layer, skip) in layers.iter_mut().zip(skips.axis_iter(Axis(0))) {
        if layer.w_skip.is_some() {
            return Err(refuse("the transcoders have skips already; leave this file out".into()));
        }
        layer.w_skip = Some(skip.t().map(|&x| <F as collimate_tensor::Scalar>::from_f64(x)));
    }
    Ok(LayeredTranscoder::new(layers, set.reach())?)
}
