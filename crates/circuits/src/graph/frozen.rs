//! A run whose patterns and divisors are held, so that the rest of the model but the MLPs is a linear map.

use super::transcoders::ReadSite;
use crate::error::CircuitError;
use crate::parts::{NormMap, Unembed, refuse, row_of};
use crate::runs::copies;
use collimate_tensor::{Scalar, matmul};
use collimate_transformer::{Arrangement, Capture, Model, ParameterName, Part, Precision, Site};
use ndarray::{Array1, Array2, Array3, Axis, Ix3, s};

/// The frozen parts of one layer.
pub(crate) struct FrozenLayer<F> {
    attention_norm: NormMap<F>,
    attention_scales: Array1<F>,
    /// The norm of the sum of the heads, where there is one, with its divisors.
    post: Option<(NormMap<F>, Array1<F>)>,
    /// The patterns, `[h, t, s]`.
    pub(crate) patterns: Array3<F>,
    /// The matrix of the values, `[g·e, d]`.
    values: Array2<F>,
    /// The output matrix with the factor of the branch, `[d, h·e]`.
    output: Array2<F>,
    head_width: usize,
    /// The sum that attention adds beside its linear part, `[t, d]`: its biases.
    pub(crate) attention_constant: Array2<F>,
    mlp_norm: NormMap<F>,
    mlp_scales: Array1<F>,
    reads: ReadSite,
    /// The factor on what the MLP adds.
    pub(crate) factor: F,
    /// The activation that the transcoder reads, `[t, d]`.
    pub(crate) read: Array2<F>,
    /// The sum that the MLP adds before the factor, `[t, d]`.
    pub(crate) mlp: Array2<F>,
}

/// A run with everything frozen that a graph holds.
pub(crate) struct Frozen<F> {
    pub(crate) layers: Vec<FrozenLayer<F>>,
    pub(crate) head: Unembed<F>,
    final_scales: Array1<F>,
    /// The embedding, `[t, d]`.
    pub(crate) embedding: Array2<F>,
    /// The rows of the tokens in the embedding, without positions, `[t, d]`.
    pub(crate) tokens: Array2<F>,
    /// The logits, `[t, v]`.
    pub(crate) logits: Array2<F>,
}

impl<F: Precision> Frozen<F> {
    /// Runs the model on a prompt and keeps what is frozen.
    pub(crate) fn new(model: &Model<F>, ids: &[u32], reads: ReadSite) -> Result<Self, CircuitError> {
        supported(model)?;
        let d = model.description();
        let head = Unembed::new(model)?;
        let sites = [
            Site::ResidualPre,
            Site::Pattern,
            Site::AttentionOutput,
            Site::AttentionAdded,
            Site::ResidualMid,
            Site::MlpAdded,
            Site::ResidualPost,
            reads.site(),
        ];
        let layers = d.layers.len();
        let points = (0..layers).flat_map(|layer| sites.map(|site| site.of_layer(layer)));
        let mut capture = Capture::at(points.chain([Site::Embedding.of_layer(0), Site::Logits.of_layer(0)]));
        model.run(&copies(ids, 1), &mut capture)?;
        let rows = |site: Site, layer: usize| -> Result<Array2<F>, CircuitError> {
            Ok(row_of(capture.get(site.of_layer(layer))?, 0))
        };
        let mut frozen = Vec::with_capacity(layers);
        for layer in 0..layers {
            let pattern = capture.get(Site::Pattern.of_layer(layer))?.index_axis(Axis(0), 0).to_owned();
            let pattern =
                pattern.into_dimensionality::<Ix3>().expect("patterns have three axes after the batch");
            frozen.push(FrozenLayer::new(model, layer, reads, pattern, &rows)?);
        }
        let final_scales = head.norm.scales(&rows(Site::ResidualPost, layers - 1)?);
        let table = model.read_parameter(ParameterName { layer: None, part: Part::TokenEmbedding });
        let table = table.ok_or_else(|| refuse(model, "it has no table of tokens"))?;
        let indices: Vec<usize> = ids.iter().map(|&id| id as usize).collect();
        let scale = <F as Scalar>::from_f64(d.embedding.scale);
        let tokens = table.select(Axis(0), &indices).mapv(|x| x * scale);
        let (embedding, logits) = (rows(Site::Embedding, 0)?, rows(Site::Logits, 0)?);
        Ok(Self { layers: frozen, head, final_scales, embedding, tokens, logits })
    }

    /// Returns the divisors of the final norm.
    pub(crate) fn final_scales(&self) -> &Array1<F> {
        &self.final_scales
    }

    /// Carries directions at the output of the final norm, in the last position, back to the last residual stream: `[n, t, d]` from `[n, d]`.
    pub(crate) fn behind_final(&self, directions: &Array2<F>) -> Array3<F> {
        let (n, width) = directions.dim();
        let positions = self.tokens.nrows();
        let scales = Array1::from_elem(n, self.final_scales[positions - 1]);
        let rows = self.head.norm.frozen_transposed(directions.clone(), &scales);
        let mut out = Array3::zeros((n, positions, width));
        out.slice_mut(s![.., positions - 1, ..]).assign(&rows);
        out
    }
}

/// Returns an error for architectures whose frozen form is not written here.
fn supported<F: Precision>(model: &Model<F>) -> Result<(), CircuitError> {
    let d = model.description();
    if d.layers.is_empty() {
        return Err(refuse(model, "it has no layers"));
    }
    if d.embedding.norm.is_some() || d.embedding.projected_from.is_some() {
        return Err(refuse(
            model,
            "its embedding is normalised or projected, so a token is no term of the residual stream",
        ));
    }
    for layer in &d.layers {
        if layer.sum_norm.is_some() || layer.residual_is_normed {
            return Err(refuse(model, "it normalises the residual stream itself, so the stream is no sum"));
        }
        if layer.arrangement != Arrangement::Sequential {
            return Err(refuse(
                model,
                "its attention and MLP run in parallel, for which graphs are not written",
            ));
        }
        if layer.attention.differential.is_some() {
            return Err(refuse(model, "its attention is differential, for which graphs are not written"));
        }
    }
    Ok(())
}

impl<F: Precision> FrozenLayer<F> {
    fn new(
        model: &Model<F>,
        layer: usize,
        reads: ReadSite,
        patterns: Array3<F>,
        rows: &impl Fn(Site, usize) -> Result<Array2<F>, CircuitError>,
    ) -> Result<Self, CircuitError> {
        let one = &model.description().layers[layer];
        let own = |part: Part| {
            let found = model.read_parameter(ParameterName { layer: Some(layer), part });
            found.ok_or_else(|| refuse(model, "a layer lacks a matrix of attention"))
        };
        let norm = |norm, gain, bias| NormMap::new(model, norm, Some(layer), [gain, bias]);
        let attention_norm =
            norm(one.attention_norm.as_ref(), Part::AttentionNormGain, Part::AttentionNormBias);
        let mlp_norm = norm(one.mlp_norm.as_ref(), Part::MlpNormGain, Part::MlpNormBias);
        let mlp_norm = if reads == ReadSite::MlpNormalised { mlp_norm.plain() } else { mlp_norm };
        let (pre, mid) = (rows(Site::ResidualPre, layer)?, rows(Site::ResidualMid, layer)?);
        let post = match &one.attention_post_norm {
            Some(post) => {
                let post = norm(Some(post), Part::AttentionPostNormGain, Part::AttentionPostNormBias);
                let scales = post.scales(&rows(Site::AttentionOutput, layer)?);
                Some((post, scales))
            }
            None => None,
        };
        let factor = <F as Scalar>::from_f64(one.branch_scale);
        let mut frozen = Self {
            attention_scales: attention_norm.scales(&pre),
            attention_norm,
            post,
            patterns,
            values: own(Part::Value)?,
            output: own(Part::AttentionOutput)?.mapv(|x| x * factor),
            head_width: one.attention.head_width,
            attention_constant: Array2::zeros(pre.dim()),
            mlp_scales: mlp_norm.scales(&mid),
            mlp_norm,
            reads,
            factor,
            read: rows(reads.site(), layer)?,
            mlp: rows(Site::MlpAdded, layer)?,
        };
        let added = rows(Site::AttentionAdded, layer)?.mapv(|x| x * factor);
        frozen.attention_constant = added - frozen.attention(&pre)?;
        Ok(frozen)
    }

    /// Returns the divisors of the norm before attention.
    pub(crate) fn attention_scales(&self) -> &Array1<F> {
        &self.attention_scales
    }

    /// Returns the divisors of the norm before the MLP.
    pub(crate) fn mlp_scales(&self) -> &Array1<F> {
        &self.mlp_scales
    }

    fn heads(&self) -> usize {
        self.patterns.dim().0
    }

    /// Returns the columns of a query head, and those of its values.
    fn columns(&self, head: usize) -> [std::ops::Range<usize>; 2] {
        let keys = self.values.nrows() / self.head_width;
        let key = head * keys / self.heads();
        [head, key].map(|index| index * self.head_width..(index + 1) * self.head_width)
    }

    /// Computes what attention adds for a residual stream `[t, d]`, as a linear map.
    fn attention(&self, x: &Array2<F>) -> Result<Array2<F>, CircuitError> {
        let normed = self.attention_norm.frozen(x.clone(), &self.attention_scales);
        let v = matmul(&normed, &self.values.t())?;
        let mut z = Array2::zeros((x.nrows(), self.output.ncols()));
        for (head, pattern) in self.patterns.outer_iter().enumerate() {
            let [own, values] = self.columns(head);
            z.slice_mut(s![.., own]).assign(&matmul(&pattern, &v.slice(s![.., values]))?);
        }
        let sum = matmul(&z, &self.output.t())?;
        Ok(match &self.post {
            Some((post, scales)) => post.frozen(sum, scales),
            None => sum,
        })
    }

    /// Carries gradients after attention, `[n, t, d]`, to the input of the layer: the residual stream and the transposed attention.
    pub(crate) fn attention_transposed(&self, g: Array3<F>) -> Result<Array3<F>, CircuitError> {
        let (n, positions, width) = g.dim();
        let flat = g.into_shape_with_order((n * positions, width)).expect("standard layout");
        let behind = match &self.post {
            Some((post, scales)) => post.frozen_transposed(flat.clone(), &tiled(scales, n)),
            None => flat.clone(),
        };
        let by_z = matmul(&behind, &self.output)?;
        let mut by_values = Array2::<F>::zeros((n * positions, self.values.nrows()));
        for (head, pattern) in self.patterns.outer_iter().enumerate() {
            let [own, values] = self.columns(head);
            for one in 0..n {
                let rows = one * positions..(one + 1) * positions;
                let carried = matmul(&pattern.t(), &by_z.slice(s![rows.clone(), own.clone()]))?;
                let mut to = by_values.slice_mut(s![rows, values.clone()]);
                to += &carried;
            }
        }
        let by_input = matmul(&by_values, &self.values)?;
        let sum = flat + self.attention_norm.frozen_transposed(by_input, &tiled(&self.attention_scales, n));
        Ok(sum.into_shape_with_order((n, positions, width)).expect("standard layout"))
    }

    /// Carries directions at the place that transcoders read, `[n, d]` at the given positions, to the residual stream between attention and
    /// MLP.
    pub(crate) fn read_transposed(&self, directions: Array2<F>, positions: &[usize]) -> Array2<F> {
        if self.reads == ReadSite::ResidualMid {
            return directions;
        }
        let scales = positions.iter().map(|&position| self.mlp_scales[position]).collect();
        self.mlp_norm.frozen_transposed(directions, &scales)
    }

    /// Returns the constant of the place that transcoders read: the bias of the norm before it, where there is one.
    pub(crate) fn read_constant(&self) -> Option<&Array1<F>> {
        (self.reads == ReadSite::MlpInput).then_some(&self.mlp_norm.bias)
    }
}

/// Repeats divisors for n gradients.
fn tiled<F: Scalar>(scales: &Array1<F>, n: usize) -> Array1<F> {
    (0..n).flat_map(|_| scales.iter().copied()).collect()
}
