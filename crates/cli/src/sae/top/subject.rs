//! The part of a dictionary whose latents are shown: a dictionary of single rows, or one layer of a transcoder of several layers.

use anyhow::ensure;
use collimate_sae::formats::{Dictionary, RowNormalisation, Target};
use collimate_sae::{AnyDictionary, LayeredTranscoder};
use collimate_studies::latents::{Encoder, is_in_residual};
use collimate_studies::{Sequence, rows_at};
use collimate_transformer::{HookPoint, Model};
use ndarray::{Array2, Axis, s};

/// The part of a dictionary whose latents are shown.
pub(super) enum Subject {
    /// A dictionary of single rows.
    Rows(Box<Dictionary<f32>>),
    /// One layer of a transcoder of several layers.
    Layer {
        /// The transcoder.
        transcoder: Box<LayeredTranscoder<f32>>,
        /// The layer.
        layer: usize,
        /// The name of the architecture.
        name: &'static str,
    },
}

impl Subject {
    /// Returns the layer of a transcoder, or nothing for another architecture.
    pub(super) fn of_layer(dictionary: &AnyDictionary<f32>, layer: usize) -> anyhow::Result<Option<Self>> {
        let AnyDictionary::Transcoder(transcoder) = dictionary else { return Ok(None) };
        let (name, layers) = (dictionary.name(), transcoder.layers().len());
        ensure!(
            layer < layers,
            "--layer must be below {layers}, the number of layers of the {name}, but is {layer}"
        );
        Ok(Some(Self::Layer { transcoder: Box::new(transcoder.clone()), layer, name }))
    }

    /// Returns the part that computes codes.
    pub(super) fn encoder(&self) -> Encoder<'_> {
        match self {
            Self::Rows(dictionary) => Encoder::Dictionary(dictionary),
            Self::Layer { transcoder, layer, .. } => Encoder::Layer(transcoder, *layer),
        }
    }

    /// Returns the width of the rows that it takes.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Rows(dictionary) => dictionary.size().d_model,
            Self::Layer { transcoder, .. } => transcoder.d_in(),
        }
    }

    /// Returns the name of the architecture.
    pub(super) fn architecture(&self) -> &'static str {
        match self {
            Self::Rows(dictionary) => dictionary.variant().name(),
            Self::Layer { name, .. } => name,
        }
    }

    /// Returns the directions in the residual stream along which latents write, `[n, d]`, or nothing if they write elsewhere. A latent of a
    /// cross-layer transcoder writes along the sum of its rows for all layers.
    pub(super) fn directions(
        &self,
        point: HookPoint,
        width: usize,
        latents: &[u32],
    ) -> anyhow::Result<Option<Array2<f32>>> {
        let chosen: Vec<usize> = latents.iter().map(|&latent| latent as usize).collect();
        Ok(match self {
            // A transcoder writes to the output of a layer, not to the site that it reads.
            Self::Rows(dictionary) => (dictionary.d_out() == width
                && (dictionary.target() == Target::Other || is_in_residual(point.site)))
            .then(|| dictionary.decoder().select(Axis(0), &chosen)),
            Self::Layer { transcoder, layer, .. } if transcoder.d_out() == width => {
                Some(transcoder.decoder_sums(*layer)?.select(Axis(0), &chosen))
            }
            Self::Layer { .. } => None,
        })
    }

    /// Returns the mean scale by which decoder rows count in the rows of a sequence; 1 without a normalisation of rows.
    pub(super) fn scale(
        &self,
        model: &Model<f32>,
        point: HookPoint,
        sequence: &Sequence,
    ) -> anyhow::Result<f32> {
        let Self::Rows(dictionary) = self else { return Ok(1.0) };
        if dictionary.row_normalisation() == RowNormalisation::None {
            return Ok(1.0);
        }
        let rows = rows_at(model, &sequence.tokens, point)?;
        let scales = dictionary.output_scales(&rows.slice(s![1.., ..]).to_owned())?;
        let mean =
            scales.iter().map(|(scale, _)| f64::from(*scale)).sum::<f64>() / scales.len().max(1) as f64;
        Ok(if mean > 0.0 { mean as f32 } else { 1.0 })
    }
}
