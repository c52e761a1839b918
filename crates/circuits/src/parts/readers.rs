use super::norm::NormMap;
use super::writers::refuse;
use crate::error::CircuitError;
use collimate_tensor::{matmul, matmul_into};
use collimate_transformer::{Arrangement, HookPoint, Model, ParameterName, Part, Precision, Site};
use ndarray::{Array1, Array2, ArrayRef2, ArrayView2, s};

/// A projection of attention that reads the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Projection {
    /// The queries, one for each query head.
    Query,
    /// The keys, one for each key head.
    Key,
    /// The values, one for each key head.
    Value,
}

/// A part of the model that reads the residual stream, before its norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reader {
    /// A projection of a head. Under grouped heads, keys and values belong to key heads.
    Head {
        /// The layer.
        layer: usize,
        /// The projection.
        projection: Projection,
        /// The query head or the key head.
        head: usize,
    },
    /// The MLP of a layer.
    Mlp {
        /// The layer.
        layer: usize,
    },
    /// The final norm.
    Final,
}

/// One product that a reader computes from its normalised input.
pub(crate) struct ReadMap<F> {
    /// The site that holds the product.
    pub(crate) site: Site,
    /// The weight `[n, d]`.
    weight: Array2<F>,
    bias: Option<Array1<F>>,
}

/// The maps of a reader from the residual stream to the activations that it computes.
pub(crate) struct ReadMaps<F> {
    /// The residual stream that is read.
    pub(crate) stream: HookPoint,
    pub(crate) norm: NormMap<F>,
    pub(crate) products: Vec<ReadMap<F>>,
    /// The head, where the products belong to one.
    pub(crate) head: Option<usize>,
}

impl Reader {
    /// Returns the readers of a model in the order in which they read: for each layer queries, keys and values by head, then the MLP; at
    /// the end the final norm.
    pub(crate) fn all<F: Precision>(model: &Model<F>) -> Vec<Self> {
        let mut all = Vec::new();
        for (layer, description) in model.description().layers.iter().enumerate() {
            let a = &description.attention;
            for (projection, heads) in [
                (Projection::Query, a.heads),
                (Projection::Key, a.key_heads),
                (Projection::Value, a.key_heads),
            ] {
                all.extend((0..heads).map(|head| Self::Head { layer, projection, head }));
            }
            all.push(Self::Mlp { layer });
        }
        all.push(Self::Final);
        all
    }

    /// Returns the layer for the order of reading, and true for an MLP. The final norm reads after every layer.
    pub(crate) fn place<F: Precision>(self, model: &Model<F>) -> (usize, bool) {
        match self {
            Self::Head { layer, .. } => (layer, false),
            Self::Mlp { layer } => (layer, true),
            Self::Final => (model.description().layers.len(), false),
        }
    }

    /// Returns the maps of the reader.
    pub(crate) fn maps<F: Precision>(self, model: &Model<F>) -> Result<ReadMaps<F>, CircuitError> {
        let d = model.description();
        let (Self::Head { layer, .. } | Self::Mlp { layer }) = self else {
            let last = d.layers.len() - 1;
            let parts = [Part::FinalNormGain, Part::FinalNormBias];
            let norm = NormMap::new(model, d.final_norm.as_ref(), None, parts);
            return Ok(ReadMaps {
                stream: Site::ResidualPost.of_layer(last),
                norm,
                products: Vec::new(),
                head: None,
            });
        };
        let one = &d.layers[layer];
        let own = |part: Part| ParameterName { layer: Some(layer), part };
        let attention_norm = || {
            let parts = [Part::AttentionNormGain, Part::AttentionNormBias];
            NormMap::new(model, one.attention_norm.as_ref(), Some(layer), parts)
        };
        let product = |site: Site, weight: Part, bias: Part, rows: std::ops::Range<usize>| {
            let weight =
                model.read_parameter(own(weight)).ok_or_else(|| refuse(model, "a layer lacks a matrix"))?;
            let bias = model.read_parameter(own(bias)).map(|bias| bias.slice(s![0, rows.clone()]).to_owned());
            Ok::<_, CircuitError>(ReadMap { site, weight: weight.slice(s![rows, ..]).to_owned(), bias })
        };
        match self {
            Self::Head { projection, head, .. } => {
                let rows = head * one.attention.head_width..(head + 1) * one.attention.head_width;
                let product = match projection {
                    Projection::Query => product(Site::Query, Part::Query, Part::QueryBias, rows),
                    Projection::Key => product(Site::Key, Part::Key, Part::KeyBias, rows),
                    Projection::Value => product(Site::Value, Part::Value, Part::ValueBias, rows),
                };
                let stream = Site::ResidualPre.of_layer(layer);
                Ok(ReadMaps { stream, norm: attention_norm(), products: vec![product?], head: Some(head) })
            }
            Self::Mlp { .. } | Self::Final => {
                let mlp_norm = || {
                    let parts = [Part::MlpNormGain, Part::MlpNormBias];
                    NormMap::new(model, one.mlp_norm.as_ref(), Some(layer), parts)
                };
                let (stream, norm) = match one.arrangement {
                    Arrangement::Sequential => (Site::ResidualMid, mlp_norm()),
                    Arrangement::ParallelOneNorm => (Site::ResidualPre, attention_norm()),
                    Arrangement::ParallelTwoNorms => (Site::ResidualPre, mlp_norm()),
                };
                let mut products = vec![product(Site::MlpUp, Part::Up, Part::UpBias, 0..one.mlp.width)?];
                if one.mlp.gated {
                    products.push(product(Site::MlpGate, Part::Gate, Part::GateBias, 0..one.mlp.width)?);
                }
                Ok(ReadMaps { stream: stream.of_layer(layer), norm, products, head: None })
            }
        }
    }
}

impl<F: Precision> ReadMaps<F> {
    /// Returns the points of the products.
    pub(crate) fn points(&self) -> impl Iterator<Item = HookPoint> {
        self.products.iter().map(|product| product.site.of_layer(self.stream.layer))
    }

    /// Computes each product `[t, n]` of an input `[t, d]` before the norm.
    pub(crate) fn read(&self, x: &ArrayRef2<F>) -> Result<Vec<Array2<F>>, CircuitError> {
        self.products_of(&self.norm.forward(x)?)
    }

    /// Computes each product `[t, n]` of a normalised input.
    pub(crate) fn products_of(&self, normed: &ArrayRef2<F>) -> Result<Vec<Array2<F>>, CircuitError> {
        let one = |product: &ReadMap<F>| {
            let mut out = matmul(normed, &product.weight.t())?;
            if let Some(bias) = &product.bias {
                out += bias;
            }
            Ok(out)
        };
        self.products.iter().map(one).collect()
    }

    /// Computes the products of a change of the normalised input, without biases.
    pub(crate) fn linear(&self, change: &ArrayRef2<F>) -> Result<Vec<Array2<F>>, CircuitError> {
        self.products.iter().map(|product| Ok(matmul(change, &product.weight.t())?)).collect()
    }

    /// Computes the gradient by the input before the norm, `[t, d]`, from the gradients by the products.
    pub(crate) fn pull_back(
        &self,
        x: &ArrayRef2<F>,
        gradients: &[ArrayView2<'_, F>],
    ) -> Result<Array2<F>, CircuitError> {
        let mut normed = Array2::zeros(x.dim());
        for (product, gradient) in self.products.iter().zip(gradients) {
            matmul_into(F::one(), gradient, &product.weight, F::one(), &mut normed)?;
        }
        Ok(self.norm.pull_back(x, &normed)?)
    }
}
