use super::layer::{LayerActivation, TranscoderLayer};
use super::layered::{LayeredTranscoder, Reach};
use crate::arranged::arrangement::{Arranged, ArrangedForward, Arrangement, range, typed, with_numbers};
use crate::error::SaeError;
use crate::precision::Precision;
use collimate_measure::Fingerprint;
use collimate_tensor::SparseRows;
use ndarray::{ArrayViewD, Axis, Ix3};

impl<F: Precision> Arranged<F> for LayeredTranscoder<F> {
    fn name(&self) -> &'static str {
        match self.reach() {
            Reach::OwnLayer => "set of transcoders",
            Reach::LaterLayers => "cross-layer transcoder",
        }
    }

    fn arrangement(&self) -> Arrangement {
        Arrangement::LayersOfRows { layers: self.layers.len() }
    }

    fn widths(&self) -> [usize; 2] {
        [self.d_in(), self.d_out()]
    }

    fn n_latents(&self) -> usize {
        LayeredTranscoder::n_latents(self)
    }

    fn properties(&self) -> Vec<(&'static str, String)> {
        let activation = match &self.layers[0].activation {
            LayerActivation::Relu => "ReLU".to_owned(),
            LayerActivation::JumpRelu(_) => "JumpReLU".to_owned(),
            LayerActivation::TopK(k) => format!("the {k} largest, with their signs"),
        };
        let thresholds = self.layers.iter().filter_map(|layer| match &layer.activation {
            LayerActivation::JumpRelu(threshold) => Some(threshold),
            _ => None,
        });
        let mut properties = vec![("activation", activation)];
        properties.extend(range(thresholds.flatten()).map(|range| ("thresholds", range)));
        if self.layers.iter().any(|layer| layer.w_skip.is_some()) {
            properties.push(("skip", "yes".to_owned()));
        }
        properties
    }

    fn fingerprint(&self) -> Fingerprint {
        self.layers.iter().fold(
            Fingerprint::of(format!("{:?} {}", self.reach(), F::NAME).as_bytes()),
            |f, layer| {
                let TranscoderLayer { w_enc, b_enc, activation, w_dec, b_dec, w_skip } = layer;
                let f = match activation {
                    LayerActivation::Relu => f.and(b"relu"),
                    LayerActivation::JumpRelu(threshold) => with_numbers(f, threshold),
                    LayerActivation::TopK(k) => f.and(format!("top {k}").as_bytes()),
                };
                with_numbers(
                    f,
                    w_enc.iter().chain(b_enc).chain(w_dec).chain(b_dec).chain(w_skip.iter().flatten()),
                )
            },
        )
    }

    fn forward_checked(&self, x: ArrayViewD<'_, F>) -> Result<ArrangedForward<F>, SaeError> {
        let x = typed::<F, Ix3>(x);
        let (each, reconstruction) = self.forward(&x)?;
        let mut codes = SparseRows::new(self.n_latents());
        for (columns, values) in each.iter().flat_map(|codes| codes.rows()) {
            codes.push_row(columns, values)?;
        }
        let code_axes = vec![self.layers.len(), x.len_of(Axis(1))];
        Ok(ArrangedForward { codes, code_axes, reconstruction: reconstruction.into_dyn(), predicted: None })
    }
}
