use crate::error::CircuitError;
use collimate_tensor::{Scalar, matmul};
use collimate_transformer::{Arrangement, Capture, HookPoint, Model, ParameterName, Part, Precision, Site};
use ndarray::{Array2, ArrayD, Axis, Ix3, s};

/// A part of the model that adds to the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Writer {
    /// The embedding of the tokens.
    Embedding,
    /// A head.
    Head {
        /// The layer.
        layer: usize,
        /// The head.
        head: usize,
    },
    /// The MLP of a layer.
    Mlp {
        /// The layer.
        layer: usize,
    },
}

/// Returns an error that names the architecture.
pub(crate) fn refuse<F: Precision>(model: &Model<F>, reason: &str) -> CircuitError {
    CircuitError::Architecture { model: model.description().name.clone(), reason: reason.into() }
}

/// Returns an error unless the residual stream is the sum of embedding, heads and MLPs.
pub(crate) fn additive<F: Precision>(model: &Model<F>) -> Result<(), CircuitError> {
    if model.description().layers.is_empty() {
        return Err(refuse(model, "it has no layers"));
    }
    for layer in &model.description().layers {
        if layer.sum_norm.is_some() || layer.residual_is_normed {
            return Err(refuse(
                model,
                "it normalises the residual stream itself, so the stream is no sum of its writers",
            ));
        }
        if layer.attention_post_norm.is_some() {
            return Err(refuse(
                model,
                "it normalises the sum of the heads before it is added, so a head has no contribution of its own",
            ));
        }
    }
    Ok(())
}

/// Returns the writers in the order in which they write.
pub(crate) fn writers<F: Precision>(model: &Model<F>) -> Vec<Writer> {
    let mut all = vec![Writer::Embedding];
    for (layer, description) in model.description().layers.iter().enumerate() {
        all.extend((0..description.attention.heads).map(|head| Writer::Head { layer, head }));
        all.push(Writer::Mlp { layer });
    }
    all
}

impl Writer {
    /// Returns the points whose activations determine what all writers write.
    pub(crate) fn points(layers: usize) -> Vec<HookPoint> {
        let of_layers =
            (0..layers).flat_map(|layer| [Site::HeadOutput.of_layer(layer), Site::MlpAdded.of_layer(layer)]);
        [Site::Embedding.of_layer(0)].into_iter().chain(of_layers).collect()
    }

    /// Returns true if the writer writes before a reader of a layer reads; `mlp` is true for the MLP of that layer.
    pub(crate) fn is_before<F: Precision>(self, model: &Model<F>, layer: usize, mlp: bool) -> bool {
        match self {
            Self::Embedding => true,
            Self::Head { layer: own, .. } => {
                let sequential = || model.description().layers[own].arrangement == Arrangement::Sequential;
                own < layer || (own == layer && mlp && sequential())
            }
            Self::Mlp { layer: own } => own < layer,
        }
    }
}

/// Computes what the heads of a layer add to the residual stream, `[h, t, d]`, from the row `z` `[t, h, e]` of their outputs.
pub(crate) fn head_writes<F: Precision>(
    model: &Model<F>,
    layer: usize,
    z: &ndarray::ArrayRef3<F>,
) -> Result<Vec<Array2<F>>, CircuitError> {
    let name = ParameterName { layer: Some(layer), part: Part::AttentionOutput };
    let weight = model
        .read_parameter(name)
        .ok_or_else(|| refuse(model, "a layer has no output matrix of attention"))?;
    let factor = <F as Scalar>::from_f64(model.description().layers[layer].branch_scale);
    let width = z.dim().2;
    let mut out = Vec::with_capacity(z.dim().1);
    for (head, z) in z.axis_iter(Axis(1)).enumerate() {
        let own = weight.slice(s![.., head * width..(head + 1) * width]);
        let mut result = matmul(&z, &own.t())?;
        result.mapv_inplace(|x| x * factor);
        out.push(result);
    }
    Ok(out)
}

/// Computes what each writer adds to the residual stream, `[t, d]` each, from one row of a captured batch.
pub(crate) fn writes<F: Precision>(
    model: &Model<F>,
    capture: &Capture<F>,
    row: usize,
) -> Result<Vec<Array2<F>>, CircuitError> {
    let rows = |point: HookPoint| -> Result<Array2<F>, CircuitError> { Ok(row_of(capture.get(point)?, row)) };
    let mut all = vec![rows(Site::Embedding.of_layer(0))?];
    for (layer, description) in model.description().layers.iter().enumerate() {
        let z = capture.get(Site::HeadOutput.of_layer(layer))?.index_axis(Axis(0), row).into_owned();
        let z = z.into_dimensionality::<Ix3>().expect("outputs of heads have three axes after the batch");
        all.extend(head_writes(model, layer, &z)?);
        let factor = <F as Scalar>::from_f64(description.branch_scale);
        all.push(rows(Site::MlpAdded.of_layer(layer))?.mapv(|x| x * factor));
    }
    Ok(all)
}

/// Returns one row of a batch `[b, t, d]`.
pub(crate) fn row_of<F: Clone>(batch: &ArrayD<F>, row: usize) -> Array2<F> {
    let row = batch.index_axis(Axis(0), row).into_owned();
    row.into_dimensionality().expect("rows of a batch have two axes")
}
