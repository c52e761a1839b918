use crate::error::CircuitError;
use crate::parts::{Unembed, row_of};
use crate::runs::copies;
use collimate_tensor::Scalar;
use collimate_transformer::{Arrangement, Capture, HookPoint, Model, Precision, Site};
use ndarray::{Array3, Axis};

/// A residual stream that a lens reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LensEntry {
    /// The input of a layer.
    Pre {
        /// The layer.
        layer: usize,
    },
    /// The residual stream between attention and MLP of a layer.
    Mid {
        /// The layer.
        layer: usize,
    },
    /// The output of the last layer.
    Final,
}

impl LensEntry {
    /// Returns the entries of a model in order. A layer whose attention and MLP run in parallel has no middle.
    pub fn all<F: Precision>(model: &Model<F>) -> Vec<Self> {
        let mut all = Vec::new();
        for (layer, description) in model.description().layers.iter().enumerate() {
            all.push(Self::Pre { layer });
            if description.arrangement == Arrangement::Sequential {
                all.push(Self::Mid { layer });
            }
        }
        all.push(Self::Final);
        all
    }

    /// Returns the name of the entry: `0_pre`, `0_mid`, … and `final_post`.
    pub fn name(self) -> String {
        match self {
            Self::Pre { layer } => format!("{layer}_pre"),
            Self::Mid { layer } => format!("{layer}_mid"),
            Self::Final => "final_post".into(),
        }
    }

    /// Returns the hook point of the entry in a model of some layers.
    pub(super) fn point(self, layers: usize) -> HookPoint {
        match self {
            Self::Pre { layer } => Site::ResidualPre.of_layer(layer),
            Self::Mid { layer } => Site::ResidualMid.of_layer(layer),
            Self::Final => Site::ResidualPost.of_layer(layers - 1),
        }
    }
}

/// The logits that the head reads from each residual stream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogitLens {
    /// The entries.
    pub entries: Vec<LensEntry>,
    /// The logits, `[entry, position, word]`.
    pub logits: Array3<f64>,
}

/// Applies the final norm and the head to the residual stream before, between and after the layers.
///
/// The statistics of the norm are those of each residual stream. The last entry gives the logits of the model.
///
/// # Errors
/// [`CircuitError::Architecture`] for a model without layers, or whose head is no product of its last residual stream; the errors of a run.
///
/// # Examples
/// ```
/// use collimate_circuits::logit_lens;
/// # use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm, RngStream};
/// # use collimate_transformer::Input;
/// # let mlp = MlpDescription::new(16, true, Activation::Silu);
/// # let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
/// # let mut description = Description::new("toy", 11, 8, 32);
/// # description.layers = vec![layer; 2];
/// # let model = Model::<f64>::random(description, &RngStream::new(1, 0));
/// let lens = logit_lens(&model, &[3, 5, 8])?;
/// assert_eq!(lens.logits.dim(), (5, 3, 11));
/// let logits = model.run(&Input::new(ndarray::array![[3, 5, 8]]), &mut ())?.logits.unwrap();
/// assert!((lens.logits[[4, 2, 0]] - logits[[0, 2, 0]]).abs() < 1e-12);
/// # Ok::<(), collimate_circuits::CircuitError>(())
/// ```
pub fn logit_lens<F: Precision>(model: &Model<F>, ids: &[u32]) -> Result<LogitLens, CircuitError> {
    let layers = model.description().layers.len();
    if layers == 0 {
        return Err(crate::parts::refuse(model, "it has no layers"));
    }
    let head = Unembed::new(model)?;
    let entries = LensEntry::all(model);
    let mut capture = Capture::at(entries.iter().map(|entry| entry.point(layers)));
    model.run(&copies(ids, 1), &mut capture)?;
    let mut logits = Array3::zeros((entries.len(), ids.len(), model.description().vocabulary));
    for (entry, mut out) in entries.iter().zip(logits.axis_iter_mut(Axis(0))) {
        let read = head.logits(&row_of(capture.get(entry.point(layers))?, 0))?;
        out.zip_mut_with(&read, |out, &x| *out = Scalar::to_f64(x));
    }
    Ok(LogitLens { entries, logits })
}
