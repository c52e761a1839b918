use super::frozen::Frozen;
use super::replacement::{FirstPosition, Replaced};
use super::transcoders::Transcoders;
use crate::error::CircuitError;
use crate::parts::refuse;
use crate::runs::copies;
use collimate_sae::{Precision as CodePrecision, Reach};
use collimate_tensor::{Scalar, matmul};
use collimate_transformer::{Capture, HookPoint, Hooks, Model, Precision, Site};
use ndarray::{Array2, Array3, ArrayViewMutD, Axis, s};

/// A feature with a new activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// The layer.
    pub layer: usize,
    /// The position.
    pub position: usize,
    /// The latent of the transcoder.
    pub latent: usize,
    /// The new activation.
    pub value: f64,
}

/// The values that are held as in the run without intervention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Held {
    /// The patterns, the divisors of all norms and the outputs of the MLPs. Effects are exactly those of the graph, for a change of any size.
    Everything,
    /// The patterns alone. Effects pass through the real MLPs.
    Patterns,
    /// Nothing.
    Nothing,
}

/// The results of an intervention.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Intervened {
    /// The values that were held.
    pub held: Held,
    /// The logits, `[position, word]`.
    pub logits: Array2<f64>,
    /// The pre-activations of all latents, `[layer, position, latent]`, zero in a first position that is cut.
    pub pre_activations: Array3<f64>,
}

/// Sets features to new activations, and runs the model with the change of what they write.
///
/// ```text
/// output of the MLP += (new − old) · W_dec row
/// ```
/// The old activation is that of the run without intervention. With [`Held::Everything`] the change of the skip is added too.
///
/// # Errors
/// [`CircuitError::Argument`] for a feature that does not exist or transcoders of another model; [`CircuitError::Architecture`] for
/// [`Held::Everything`] in a model with a norm after attention, whose divisor cannot be held; the errors of a run.
pub fn intervene<F: Precision + CodePrecision>(
    model: &Model<F>,
    transcoders: &Transcoders<F>,
    ids: &[u32],
    settings: &[Setting],
    held: Held,
    first: FirstPosition,
) -> Result<Intervened, CircuitError> {
    let replaced = Replaced::new(model, transcoders, ids, first)?;
    if held == Held::Everything
        && model.description().layers.iter().any(|layer| layer.attention_post_norm.is_some())
    {
        return Err(refuse(
            model,
            "it has a norm after attention, whose divisor cannot be held; hold the patterns",
        ));
    }
    let changes = changes(transcoders, &replaced, ids.len(), settings)?;
    let layers = changes.len_of(Axis(0));
    let mut points: Vec<HookPoint> =
        (0..layers).map(|layer| transcoders.reads.site().of_layer(layer)).collect();
    let reads = points.clone();
    points.dedup();
    let mut capture = Capture::at(points);
    let hooks = Intervention { frozen: &replaced.frozen, transcoders, changes, held, read: None };
    let mut both = (&mut capture, hooks);
    let logits = model.logits(&copies(ids, 1), &mut both)?;
    let mut pre_activations = Array3::zeros((layers, ids.len(), transcoders.layers.n_latents()));
    for (layer, mut out) in pre_activations.outer_iter_mut().enumerate() {
        let rows = crate::parts::row_of(capture.get(reads[layer])?, 0);
        let values = transcoders.pre_activations(layer, &rows, first)?;
        out.zip_mut_with(&values, |out, &x| *out = Scalar::to_f64(x));
    }
    let logits = logits.index_axis(Axis(0), 0).map(|&x| Scalar::to_f64(x));
    Ok(Intervened { held, logits, pre_activations })
}

/// Computes what the settings add to the output of each MLP, `[layer, t, d]`.
fn changes<F: Precision + CodePrecision>(
    transcoders: &Transcoders<F>,
    replaced: &Replaced<F>,
    positions: usize,
    settings: &[Setting],
) -> Result<Array3<F>, CircuitError> {
    let set = &transcoders.layers;
    let layers = set.layers().len();
    let mut out = Array3::zeros((layers, positions, set.d_out()));
    for setting in settings {
        let &Setting { layer, position, latent, value } = setting;
        if layer >= layers || position >= positions || latent >= set.n_latents() || !value.is_finite() {
            return Err(CircuitError::Argument(format!(
                "{setting:?}: there are {layers} layers, {positions} positions and {} latents, counted from 0, and a value is finite",
                set.n_latents()
            )));
        }
        let own =
            |f: &&super::replacement::Feature| (f.layer, f.position, f.latent) == (layer, position, latent);
        let old = replaced.features.iter().find(own).map_or(0.0, |feature| feature.activation);
        let change = <F as Scalar>::from_f64(value - old);
        let last = if set.reach() == Reach::OwnLayer { layer } else { layers - 1 };
        for to in layer..=last {
            let row = set.layers()[layer].w_dec.slice(s![latent, to - layer, ..]).to_owned();
            out.slice_mut(s![to, position, ..]).scaled_add(change, &row);
        }
    }
    Ok(out)
}

/// Hooks that hold parts of a run and add changes to the outputs of the MLPs.
struct Intervention<'a, F> {
    frozen: &'a Frozen<F>,
    transcoders: &'a Transcoders<F>,
    changes: Array3<F>,
    held: Held,
    /// The change of what the transcoder of the current layer reads, `[t, d]`.
    read: Option<Array2<F>>,
}

impl<F: Precision + CodePrecision> Hooks<F> for Intervention<'_, F> {
    fn wants(&self, point: HookPoint) -> bool {
        let frozen = self.held == Held::Everything;
        match point.site {
            Site::MlpAdded => true,
            Site::Pattern => self.held != Held::Nothing,
            Site::AttentionNormScale | Site::MlpNormScale | Site::FinalNormScale => frozen,
            site => frozen && site == self.transcoders.reads.site(),
        }
    }

    fn at(&mut self, point: HookPoint, mut x: ArrayViewMutD<'_, F>) {
        let layer = point.layer;
        let mut x = x.index_axis_mut(Axis(0), 0);
        let column = |scales: &ndarray::Array1<F>| scales.clone().insert_axis(Axis(1)).into_dyn();
        match point.site {
            Site::Pattern => x.assign(&self.frozen.layers[layer].patterns.view().into_dyn()),
            Site::AttentionNormScale => x.assign(&column(self.frozen.layers[layer].attention_scales())),
            Site::MlpNormScale => x.assign(&column(self.frozen.layers[layer].mlp_scales())),
            Site::FinalNormScale => x.assign(&column(self.frozen.final_scales())),
            Site::MlpAdded => {
                if self.held == Held::Everything {
                    x.assign(&self.frozen.layers[layer].mlp.view().into_dyn());
                    let skip = &self.transcoders.layers.layers()[layer].w_skip;
                    if let (Some(skip), Some(read)) = (skip, self.read.take()) {
                        x += &matmul(&read, &skip.t()).expect("the widths were checked");
                    }
                }
                x += &self.changes.index_axis(Axis(0), layer);
            }
            _ => {
                let now = x.to_owned().into_dimensionality::<ndarray::Ix2>().expect("rows of a layer");
                self.read = Some(now - &self.frozen.layers[layer].read);
            }
        }
    }
}
