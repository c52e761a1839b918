//! Activations under the names and in the axes of the reference library's modules.

use crate::description::{Arrangement, Description};
use crate::error::RunError;
use crate::hooks::Capture;
use crate::network::Model;
use crate::pass::Input;
use crate::precision::Precision;
use crate::site::{HookPoint, Site};
use collimate_tensor::Scalar;
use ndarray::ArrayD;
use std::collections::BTreeMap;

/// The activations of each layer that the reference library names, with their hook points.
const OF_A_LAYER: [(&str, Site); 7] = [
    ("attentions", Site::Pattern),
    ("q", Site::QueryTurned),
    ("k", Site::KeyTurned),
    ("v", Site::Value),
    ("z", Site::HeadOutput),
    ("attn_out", Site::AttentionOutput),
    ("mlp_out", Site::MlpOutput),
];

/// Returns the hook point of `hidden_states.k`: what enters layer k, and after the last layer what the head reads.
pub(crate) fn hidden_state(d: &Description, k: usize) -> HookPoint {
    if k < d.layers.len() { Site::ResidualPre.of_layer(k) } else { Site::FinalHidden.of_layer(0) }
}

impl<F: Precision> Model<F> {
    /// Runs the model and returns its activations under the names of the `transformers` library.
    ///
    /// | name | axes | content |
    /// |---|---|---|
    /// | `logits` | `[b, t, v]` | the logits |
    /// | `hidden_states.k` | `[b, t, d]` | what enters layer k; after the last layer, what the head reads |
    /// | `attentions.k` | `[b, h, t, s]` | the pattern |
    /// | `q.k`, `k.k`, `v.k` | `[b, h, t, e]` | queries, keys and values as they are handed to attention |
    /// | `z.k` | `[b, t, h, e]` | the result of each head before the output matrix |
    /// | `attn_out.k`, `mlp_out.k` | `[b, t, d]` | what the attention and MLP modules return |
    /// | `resid_final` | `[b, t, d]` | the residual stream before the final norm |
    /// | `pooler_output` `[b, d]`, `seq_relationship_logits` `[b, 2]` | | BERT only |
    ///
    /// With `all` false, only the outputs and the hidden states are returned. Two habits of the library are kept: the queries of OPT
    /// are those that attention multiplies by its scale, times the scale; and Falcon's parallel MLP returns the sum of both branches.
    ///
    /// # Errors
    /// The errors of [`Model::run`].
    pub fn run_named(&self, input: &Input, all: bool) -> Result<BTreeMap<String, ArrayD<F>>, RunError> {
        let d = &self.description;
        let mut wanted: BTreeMap<String, HookPoint> =
            (0..=d.layers.len()).map(|k| (format!("hidden_states.{k}"), hidden_state(d, k))).collect();
        if all {
            for layer in 0..d.layers.len() {
                wanted
                    .extend(OF_A_LAYER.map(|(name, site)| (format!("{name}.{layer}"), site.of_layer(layer))));
            }
            if let Some(last) = d.layers.len().checked_sub(1) {
                wanted.insert("resid_final".into(), Site::ResidualPost.of_layer(last));
            }
        }
        let mut capture = Capture::at(wanted.values().copied());
        let outputs = self.run(input, &mut capture)?;
        let mut named = BTreeMap::new();
        for (name, point) in &wanted {
            named.insert(name.clone(), self.in_axes_of_the_library(*point, &capture)?);
        }
        let dynamic = [
            ("logits", outputs.logits.map(|x| x.into_dyn())),
            ("pooler_output", outputs.pooled.map(|x| x.into_dyn())),
            ("seq_relationship_logits", outputs.next_sentence.map(|x| x.into_dyn())),
        ];
        named.extend(dynamic.into_iter().filter_map(|(name, x)| Some((name.to_owned(), x?))));
        Ok(named)
    }

    fn in_axes_of_the_library(&self, point: HookPoint, capture: &Capture<F>) -> Result<ArrayD<F>, RunError> {
        let d = &self.description;
        let mut x = capture.get(point)?.clone();
        match point.site {
            Site::QueryTurned | Site::KeyTurned | Site::Value => x.swap_axes(1, 2),
            Site::MlpOutput
                if d.name == "falcon" && d.layers[point.layer].arrangement != Arrangement::Sequential =>
            {
                x += capture.get(Site::AttentionOutput.of_layer(point.layer))?;
            }
            _ => {}
        }
        if point.site == Site::QueryTurned && d.name == "opt" {
            let scale = <F as Scalar>::from_f64(d.layers[point.layer].attention.scale);
            x.mapv_inplace(|x| x * scale);
        }
        Ok(x.as_standard_layout().into_owned())
    }

    /// Returns the points of the hidden states, for gradients: `hidden_states.k` is number k.
    pub fn hidden_state_points(&self) -> Vec<HookPoint> {
        (0..=self.description.layers.len()).map(|k| hidden_state(&self.description, k)).collect()
    }
}
