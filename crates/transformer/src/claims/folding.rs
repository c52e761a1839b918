//! Norms folded into matrices, and heads as products of matrices.

use super::models::{Models, largest, logits, over_texts};
use crate::hooks::Capture;
use crate::pass::Input;
use crate::site::{HookPoint, Site};
use collimate_claims::{Claim, Meta, Subject, larger};
use ndarray::{Array1, Array2, Array3, ArrayD, ArrayView2, Axis, Ix3, Ix4, s};

/// Claims that folding the norms leaves the log-probabilities, and so does centring what is written, where a model admits them.
pub fn folding_leaves_log_probabilities(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/folding-leaves-log-probabilities",
        Subject::Transformer,
        "folding the gains and biases of norms into the matrices that read them leaves every log-probability, and so does taking the mean off \
         all that is written for layer norms",
    )
    .source("Elhage et al. (2021)");
    over_texts(meta, models, |model, text, _| {
        let input = Input::new(text.clone());
        let before = log_probabilities(&logits(model, &input, &mut ()));
        let off = |other: &crate::network::Model<f64>| {
            let after = log_probabilities(&logits(other, &input, &mut ()));
            // A few hundred operations are rounded; the logits are larger than their logarithms.
            largest(&(after - &before)) - 1e-10 * (1.0 + largest(&before))
        };
        let Ok(folded) = model.fold_norms() else { return -1.0 };
        let both = folded.centre_writes().map_or(f64::NEG_INFINITY, |centred| off(&centred));
        -larger(off(&folded), both)
    })
}

fn log_probabilities(logits: &Array3<f64>) -> Array3<f64> {
    let mut out = logits.clone();
    for mut row in out.rows_mut() {
        let top = row.iter().fold(f64::NEG_INFINITY, |top, &x| top.max(x));
        let sum = row.iter().map(|x| (x - top).exp()).sum::<f64>();
        row.mapv_inplace(|x| x - top - sum.ln());
    }
    out
}

/// Claims that heads are products of matrices: the score of a token with itself is the product of its row with the QK weights, and what
/// a head writes is its pattern times the rows times the OV weights. The models must have no norm of queries and keys.
pub fn heads_are_products(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/heads-are-products",
        Subject::Transformer,
        "with the norm before attention folded in, the score of a token with itself is x̂ W_QK x̂ᵀ and a head writes pattern · x̂ W_OV, with \
         their biases",
    )
    .source("Elhage et al. (2021)");
    over_texts(meta, models, |model, text, _| {
        let d = model.description();
        let mut worst = f64::NEG_INFINITY;
        for (index, layer) in d.layers.iter().enumerate() {
            let x =
                if layer.attention_norm.is_some() { Site::AttentionNormalised } else { Site::AttentionInput };
            let points = [x, Site::Scores, Site::Pattern, Site::HeadResult].map(|site| site.of_layer(index));
            let mut capture = Capture::at(points);
            model.visit(&Input::new(text.clone()), &mut capture).expect("the claim draws texts that fit");
            let read = |point: HookPoint| capture.get(point).expect("the run passed the point");
            let x: Array2<f64> = rows(read(points[0]));
            let [scores, patterns, results] = [1, 2, 3].map(|point| four(read(points[point])));
            for head in 0..layer.attention.heads {
                let w = model.head_weights(index, head).expect("a head of the model");
                let (q, k, v) = (x.dot(&w.w_q) + &w.b_q, x.dot(&w.w_k) + &w.b_k, x.dot(&w.w_v) + &w.b_v);
                let own: Array1<f64> = (q * k).sum_axis(Axis(1)) * w.scale;
                let score = scores.slice(s![0, head, .., ..]).diag().to_owned();
                let wrote = results.slice(s![0, .., head, ..]).mapv(|x| x * layer.branch_scale);
                let pattern: ArrayView2<'_, f64> = patterns.slice(s![0, head, .., ..]);
                let write: Array2<f64> = pattern.dot(&v.dot(&w.w_o));
                // Sums of some tens of products, in another order.
                let off = |a: f64, size: f64| a - 1e-11 * (1.0 + size);
                worst = larger(worst, off(largest(&(&own - &score)), largest(&score)));
                worst = larger(worst, off(largest(&(&write - &wrote)), largest(&wrote)));
            }
        }
        -worst
    })
}

/// Returns the rows of the only sequence.
fn rows(x: &ArrayD<f64>) -> Array2<f64> {
    x.view().into_dimensionality::<Ix3>().expect("one row for each token").index_axis(Axis(0), 0).to_owned()
}

fn four(x: &ArrayD<f64>) -> ndarray::Array4<f64> {
    x.clone().into_dimensionality::<Ix4>().expect("an array of all heads")
}
