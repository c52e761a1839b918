//! Correct and wrong attention of users, for the claims with a further argument besides q, k and v.

use collimate_attention::algebra::LatentArguments;
use collimate_attention::claims::{
    LatentAttends, Scores, StepScores, alibi_is_key_bias, alibi_is_relative, alibi_slopes_are_geometric,
    companion_invariances, constant_forgetting_is_alibi, differential_first_weight,
    hand_built_induction_head, latent_absorbed_is_expanded, product_rule_diagonal, product_rule_leibniz,
    product_rule_published_weights, product_rule_telescopes, product_rule_zero_on_constants,
    rotary_is_relative, softcap_order_is_irrelevant, wide_window_is_causal,
};
use collimate_attention::product_rule::{Channels, Companion, CrossTerm};
use collimate_attention::{Attention, Mask, Offset, prefix_matching};
use collimate_claims::{Budget, Claim, examine};
use ndarray::{Array1, Array2, Array3, Axis, s};

fn upheld(claim: impl Claim) -> bool {
    let report = examine(&claim, &Budget::quick());
    assert!(report.upheld() != report.refuted(), "{report}");
    report.upheld()
}

/// Weights from scores: e^z over their sum in each row.
fn softmax(mut z: Array2<f64>) -> Array2<f64> {
    for mut row in z.rows_mut() {
        let top = row.iter().fold(f64::NEG_INFINITY, |m, &z| f64::max(m, z));
        row.mapv_inplace(|z| (z - top).exp());
        row /= row.sum();
    }
    z
}

/// Computes causal attention with scores changed as a function of query and key.
fn changed(
    q: &Array2<f64>,
    k: &Array2<f64>,
    v: &Array2<f64>,
    change: impl Fn(usize, usize, f64) -> f64,
) -> Array2<f64> {
    let z = q.dot(&k.t()) / (q.ncols() as f64).sqrt();
    let causal = |(i, j)| if j <= i { change(i, j, z[[i, j]]) } else { f64::NEG_INFINITY };
    softmax(Array2::from_shape_fn(z.dim(), causal)).dot(v)
}

type Rows = Array2<f64>;

fn alibi(q: &Rows, k: &Rows, v: &Rows, slope: &f64) -> Rows {
    changed(q, k, v, |i, j, z| z - slope * (i - j) as f64)
}

fn alibi_by_squares(q: &Rows, k: &Rows, v: &Rows, slope: &f64) -> Rows {
    changed(q, k, v, |i, j, z| z - slope * (i - j).pow(2) as f64)
}

fn biased(q: &Rows, k: &Rows, v: &Rows, bias: &Rows) -> Rows {
    changed(q, k, v, |i, j, z| z + bias[[i, j]])
}

fn forgetting(q: &Rows, k: &Rows, v: &Rows, gates: &Array1<f64>) -> Rows {
    changed(q, k, v, |i, j, z| z + gates.slice(s![j + 1..=i]).sum())
}

/// Uses the gate of the key alone, at any distance.
fn forgetting_once(q: &Rows, k: &Rows, v: &Rows, gates: &Array1<f64>) -> Rows {
    changed(q, k, v, |_, j, z| z + gates[j])
}

/// The scores of ALiBi with a query that counts from the end of the sequence.
struct FromTheEnd;

impl Scores for FromTheEnd {
    fn scores(&self, q: &Rows, k: &Rows) -> Rows {
        let z = q.dot(&k.t());
        Array2::from_shape_fn(z.dim(), |(i, j)| z[[i, j]] - (z.nrows() - i + j) as f64)
    }
}

/// A causal mask of −∞ and a distance, like in other frameworks.
struct Masked;

impl Scores for Masked {
    fn scores(&self, q: &Rows, k: &Rows) -> Rows {
        let z = q.dot(&k.t());
        let far = |(i, j)| if j <= i { z[[i, j]] - (i - j) as f64 } else { f64::NEG_INFINITY };
        Array2::from_shape_fn(z.dim(), far)
    }
}

#[test]
fn claims_judge_positions_that_are_not_ours() {
    assert!(upheld(alibi_is_key_bias(alibi, biased)));
    assert!(!upheld(alibi_is_key_bias(alibi_by_squares, biased)));
    assert!(upheld(constant_forgetting_is_alibi(forgetting, alibi)));
    assert!(!upheld(constant_forgetting_is_alibi(forgetting_once, alibi)));
    assert!(upheld(alibi_is_relative([Masked])));
    assert!(!upheld(alibi_is_relative([FromTheEnd])));
    assert!(!upheld(rotary_is_relative([(Masked, FromTheEnd)])));
    // Slopes that start at 1, as if heads were counted from 0.
    let from_one = |heads: usize| (0..heads).map(|h| (-8.0 * h as f64 / heads as f64).exp2()).collect();
    assert!(!upheld(alibi_slopes_are_geometric(from_one)));
    // Depth counted from 1.
    let weight = |depth: usize| 0.8 - 0.6 * (-0.3 * (depth + 1) as f64).exp();
    assert!(!upheld(differential_first_weight(weight, move |depth| 1.0 - weight(depth))));
}

#[test]
fn claims_judge_windows_and_caps_that_are_not_ours() {
    let plain = Attention::scaled_dot_product().mask(Mask::causal(Offset::zero()));
    let window = |q: &Rows, k: &Rows, v: &Rows, width: &usize| {
        changed(q, k, v, |i, j, z| if i - j < *width { z } else { f64::NEG_INFINITY })
    };
    let one_short = move |q: &Rows, k: &Rows, v: &Rows, width: &usize| window(q, k, v, &(width - 1).max(1));
    assert!(upheld(wide_window_is_causal(window, plain)));
    assert!(!upheld(wide_window_is_causal(one_short, plain)));
    let capped = |q: &Rows, k: &Rows, v: &Rows, bias: &Rows| {
        changed(q, k, v, |i, j, z| 5.0 * ((z + bias[[i, j]]) / 5.0).tanh())
    };
    let capped_before = |q: &Rows, k: &Rows, v: &Rows, bias: &Rows| {
        changed(q, k, v, |i, j, z| 5.0 * (z / 5.0).tanh() + bias[[i, j]])
    };
    assert!(!upheld(softcap_order_is_irrelevant(capped_before, capped)));
    // Two settings with the same code confirm the belief.
    assert!(upheld(softcap_order_is_irrelevant(capped, capped)));
}

#[test]
fn claims_judge_induction_heads_that_are_not_ours() {
    let score = |pattern: &Rows, tokens: &[u32]| prefix_matching(pattern, tokens).unwrap().value;
    let width = |q: &Rows| (q.ncols() as f64).sqrt();
    let sharp =
        move |q: &Rows, k: &Rows, v: &Rows, beta: &f64| changed(q, k, v, |_, _, z| z * beta * width(q));
    let lukewarm = |q: &Rows, k: &Rows, v: &Rows, beta: &f64| changed(q, k, v, |_, _, z| z * beta);
    assert!(upheld(hand_built_induction_head(sharp, score)));
    assert!(!upheld(hand_built_induction_head(lukewarm, score)));
}

/// Latent attention without rotation and mask, expanded or absorbed, with the factor 1/√width on its scores.
struct Latents {
    absorbed: bool,
    width: fn(&LatentArguments<f64>) -> usize,
}

impl LatentAttends for Latents {
    fn attend_latent(&self, x: &LatentArguments<f64>) -> Array3<f64> {
        let mut out = Array3::zeros((x.q_content.dim().0, x.q_content.dim().1, x.up_value.dim().1));
        for (h, mut out) in out.outer_iter_mut().enumerate() {
            let of = |x: &Array3<f64>| x.index_axis(Axis(0), h).to_owned();
            let (content, up_key, up_value) = (of(&x.q_content), of(&x.up_key), of(&x.up_value));
            let by_content = match self.absorbed {
                true => content.dot(&up_key).dot(&x.latent.t()),
                false => content.dot(&x.latent.dot(&up_key.t()).t()),
            };
            let z = by_content + of(&x.q_rotary).dot(&x.k_rotary.t());
            let p = softmax(z / ((self.width)(x) as f64).sqrt());
            out.assign(&match self.absorbed {
                true => p.dot(&x.latent).dot(&up_value.t()),
                false => p.dot(&x.latent.dot(&up_value.t())),
            });
        }
        out
    }
}

#[test]
fn claims_judge_latent_attention_that_is_not_ours() {
    let of = |absorbed, width| Latents { absorbed, width };
    let written_out = |x: &LatentArguments<f64>| x.q_content.dim().2 + x.q_rotary.dim().2;
    // The rows of the absorbed form are longer, and their width gives the wrong scale.
    let met = |x: &LatentArguments<f64>| x.latent.ncols() + x.q_rotary.dim().2;
    assert!(upheld(latent_absorbed_is_expanded(of(false, written_out), of(true, written_out))));
    assert!(!upheld(latent_absorbed_is_expanded(of(false, written_out), of(true, met))));
}

/// The change of q ⊙ k for each step and between all pairs of steps. It always includes the cross term.
struct Changes;

impl StepScores for Changes {
    fn published(&self, q: &Rows, k: &Rows) -> Rows {
        let product = q * k;
        &product.slice(s![1.., ..]) - &product.slice(s![..-1, ..])
    }

    fn all_pairs(&self, channels: Channels, _: CrossTerm, q: &Rows, k: &Rows) -> Array3<f64> {
        let (t, s, d) = (q.nrows() - 1, k.nrows() - 1, q.ncols());
        let each = Array3::from_shape_fn((d, t, s), |(c, i, j)| {
            q[[i + 1, c]] * k[[j + 1, c]] - q[[i, c]] * k[[j, c]]
        });
        match channels {
            Channels::PerDimension => each,
            Channels::Summed => each.sum_axis(Axis(0)).insert_axis(Axis(0)),
        }
    }
}

/// The scores of [`Changes`], shifted by one step.
struct Late;

impl StepScores for Late {
    fn published(&self, q: &Rows, k: &Rows) -> Rows {
        let mut scores = Changes.published(q, k);
        for i in (1..scores.nrows()).rev() {
            let before = scores.row(i - 1).to_owned();
            scores.row_mut(i).assign(&before);
        }
        scores
    }

    fn all_pairs(&self, channels: Channels, cross: CrossTerm, q: &Rows, k: &Rows) -> Array3<f64> {
        Changes.all_pairs(channels, cross, q, k) + 1.0
    }
}

#[test]
fn claims_judge_product_rules_that_are_not_ours() {
    assert!(upheld(product_rule_leibniz(Changes)) && !upheld(product_rule_leibniz(Late)));
    assert!(upheld(product_rule_telescopes(Changes)) && !upheld(product_rule_telescopes(Late)));
    assert!(upheld(product_rule_diagonal(Changes)) && !upheld(product_rule_diagonal(Late)));
    assert!(upheld(product_rule_zero_on_constants(Changes)) && !upheld(product_rule_zero_on_constants(Late)));
    // A softmax over the steps instead of the axis of length 1.
    let over_steps = |q: &Rows, k: &Rows| {
        let sums = Changes.published(q, k).sum_axis(Axis(1)).insert_axis(Axis(0));
        softmax(sums).reversed_axes()
    };
    assert!(!upheld(product_rule_published_weights(over_steps)));
    // Distances of rows divided by their length.
    let angles = |which: Companion, q: &Rows, k: &Rows| {
        let unit = |x: &Rows| x / &x.pow2().sum_axis(Axis(1)).sqrt().insert_axis(Axis(1));
        which.scores(&unit(q), &unit(k)).unwrap()
    };
    assert!(!upheld(companion_invariances(angles)));
}
