//! The effect of a latent on the logits agrees with central differences, with exact sums, and with runs that are changed by hand.

use approx::assert_abs_diff_eq;
use collimate_sae::{Dictionary, Relu, Sae, Size, TopK, Variant, Weights};
use collimate_stream::RngStream;
use collimate_studies::latents::{attribution_by_ablation, direct_attribution, direct_effect};
use collimate_studies::{StudyError, rows_at};
use collimate_transformer::{Description, Edit, HookPoint, Hooks, Model, Run, Site};
use ndarray::{Array2, ArrayView1, Axis, s};

const TOKENS: [u32; 7] = [7, 3, 9, 3, 11, 2, 40];
const PAIR: [u32; 2] = [5, 17];

fn random() -> Model<f32> {
    Model::<f32>::random(Description::small(), &RngStream::new(4, 0))
}

/// Makes a dictionary with biases, so that no part of a sum is zero.
fn dictionary(variant: impl Into<Variant>, d_model: usize) -> Dictionary<f32> {
    let mut stream = RngStream::new(5, 0);
    let sae = Sae::<f32>::new(variant, Size { d_model, n_latents: 80 }, &mut stream).unwrap();
    let variant = *sae.variant();
    let mut weights: Weights<f32> = sae.into_weights();
    weights.b_dec.iter_mut().for_each(|b| *b = 0.5 * stream.normal() as f32);
    weights.per_latent.iter_mut().flatten().for_each(|b| *b = 0.2 * stream.normal() as f32);
    Sae::from_weights(variant, weights).unwrap().into_dictionary()
}

fn rms(row: ArrayView1<'_, f32>) -> f32 {
    (row.dot(&row) / row.len() as f32).sqrt()
}

fn end(model: &Model<f32>) -> Array2<f32> {
    model
        .residual(Run::of(&TOKENS), model.description().layers.len(), &mut ())
        .unwrap()
        .index_axis_move(Axis(0), 0)
}

fn last_logits(model: &Model<f32>, run: &Run<'_>, hooks: &mut dyn Hooks) -> Vec<f32> {
    model.last_logits(run, hooks).unwrap().into_raw_vec_and_offset().0
}

fn difference(logits: &[f32]) -> f64 {
    f64::from(logits[PAIR[0] as usize]) - f64::from(logits[PAIR[1] as usize])
}

#[test]
fn the_direct_effect_is_the_derivative_of_the_logits_but_for_the_norm() {
    // With x the final residual, R its length and y its logits: ∂y/∂t at x + t·d is the effect of d less what the
    // norm takes back, (x·d/R²)·y. That part is known, so the whole can be compared with differences.
    let model = random();
    let end = end(&model);
    let last = end.slice(s![-1.., ..]).to_owned();
    let (x, tokens) = (last.row(0), &TOKENS[TOKENS.len() - 1..]);
    let logits = |residual: &Array2<f32>| {
        let run: Run<'_> = Run::of(tokens);
        last_logits(&model, &run.from_layer_rows(model.description().layers.len(), residual.view()), &mut ())
    };
    let dictionary = dictionary(TopK::new(4), x.len());
    let directions = dictionary.decoder().slice(s![..6, ..]);
    let effects = direct_effect(&model, &directions, rms(x)).unwrap();
    let clean = logits(&last);
    for (d, effect) in directions.rows().into_iter().zip(effects.rows()) {
        let h = 0.02 * rms(x);
        let moved = |by: f32| logits(&(&last + &(&d * by).insert_axis(Axis(0))));
        let (up, down) = (moved(h), moved(-h));
        let taken_back = x.dot(&d) / x.dot(&x);
        for v in 0..clean.len() {
            let by_difference = (up[v] - down[v]) / (2.0 * h);
            let ours = effect[v] - taken_back * clean[v];
            assert!(
                (ours - by_difference).abs() < 2e-3 * (1.0 + by_difference.abs()),
                "{ours} {by_difference}"
            );
        }
    }
}

#[test]
fn behind_the_last_layer_the_parts_sum_to_the_difference() {
    let model = random();
    let point = Site::ResidualPost.of_layer(model.description().layers.len() - 1);
    for variant in [Variant::from(TopK::new(5)), Relu::unit_norm().into()] {
        let dictionary = dictionary(variant, model.description().width);
        let found = direct_attribution(&model, &dictionary, point, &TOKENS, PAIR).unwrap();
        let logits = last_logits(&model, &Run::of(&TOKENS), &mut ());
        assert_abs_diff_eq!(found.difference, difference(&logits), epsilon = 1e-6);
        assert!(found.rest.abs() < 1e-3 * (1.0 + found.difference.abs()), "{found:?}");
        assert!(found.bias.abs() > 1e-3 && found.error.abs() > 1e-3 && found.shares.len() > 2, "{found:?}");
        // Each share is its code times the effect of its row.
        let end = end(&model);
        let scale = rms(end.row(TOKENS.len() - 1));
        for share in &found.shares {
            let row = dictionary.decoder().slice(s![share.latent as usize..=share.latent as usize, ..]);
            let effect = direct_effect(&model, &row, scale).unwrap();
            let expected = f64::from(share.code) * difference(effect.row(0).as_slice().unwrap());
            assert_abs_diff_eq!(share.share, expected, epsilon = 1e-5 * (1.0 + expected.abs()));
        }
        assert!(found.shares.windows(2).all(|w| w[0].share.abs() >= w[1].share.abs()));
    }
}

#[test]
fn parts_that_bypass_the_point_are_the_rest() {
    // The output of the last MLP enters the final norm directly, so the rest is the effect of everything else there.
    let model = random();
    let point = Site::MlpOutput.of_layer(model.description().layers.len() - 1);
    let dictionary = dictionary(TopK::new(5), model.description().width);
    let found = direct_attribution(&model, &dictionary, point, &TOKENS, PAIR).unwrap();
    let (end, added) = (end(&model), rows_at(&model, &TOKENS, point).unwrap());
    let others = (&end - &added).slice(s![-1.., ..]).to_owned();
    let effect = direct_effect(&model, &others, rms(end.row(TOKENS.len() - 1))).unwrap();
    let expected = difference(effect.row(0).as_slice().unwrap());
    assert!((found.rest - expected).abs() < 1e-3 * (1.0 + expected.abs()), "{} {expected}", found.rest);
    let neurons = Site::MlpNeurons.of_layer(0);
    let refused = direct_attribution(&model, &dictionary, neurons, &TOKENS, PAIR);
    assert!(
        matches!(refused, Err(StudyError::OutsideResidual { point, .. }) if point == neurons),
        "{refused:?}"
    );
}

#[test]
fn a_share_by_ablation_is_the_run_without_the_latent() {
    let model = random();
    let dictionary = dictionary(TopK::new(5), model.description().width);
    for site in [Site::ResidualPre, Site::AttentionOutput, Site::MlpOutput] {
        let point = HookPoint { layer: 1, site };
        let found =
            attribution_by_ablation(&model, &dictionary, point, &TOKENS, PAIR, 3, &mut || true).unwrap();
        assert_eq!(found.shares.len(), 3);
        let rows = rows_at(&model, &TOKENS, point).unwrap();
        let codes = dictionary.forward(&rows).unwrap().codes.to_dense();
        for share in &found.shares {
            let latent = share.latent as usize;
            let atom = dictionary.decoder().row(latent).to_owned();
            let last = codes[[TOKENS.len() - 1, latent]];
            assert_abs_diff_eq!(share.code, last, epsilon = 1e-6);
            assert!(last > 0.0);
            // By hand: the part of the latent is subtracted at every position but 0.
            let mut without = Edit::at(point, |mut activation| {
                for t in 1..TOKENS.len() {
                    let mut row = activation.index_axis_mut(Axis(1), t);
                    row.iter_mut().zip(&atom).for_each(|(v, a)| *v -= codes[[t, latent]] * a);
                }
            });
            let changed = difference(&last_logits(&model, &Run::of(&TOKENS), &mut without));
            assert!((share.share - (found.difference - changed)).abs() < 1e-4, "{point} {share:?} {changed}");
        }
        let sum: f64 = found.shares.iter().map(|share| share.share).sum();
        assert_abs_diff_eq!(found.rest, found.difference - sum, epsilon = 1e-12);
    }
    let point = Site::ResidualPre.of_layer(1);
    let stopped = attribution_by_ablation(&model, &dictionary, point, &TOKENS, PAIR, 3, &mut || false);
    assert!(matches!(stopped, Err(StudyError::Interrupted)));
}

#[test]
fn behind_the_last_layer_both_attributions_differ_by_the_norm_alone() {
    // Without one latent x becomes x − f d, and the scale of the final norm changes with it. Ablation sees this change and the direct
    // effect does not; there is no other difference.
    let model = random();
    let point = Site::ResidualPost.of_layer(model.description().layers.len() - 1);
    let dictionary = dictionary(TopK::new(4), model.description().width);
    let direct = direct_attribution(&model, &dictionary, point, &TOKENS, PAIR).unwrap();
    let ablated =
        attribution_by_ablation(&model, &dictionary, point, &TOKENS, PAIR, 4, &mut || true).unwrap();
    let end = end(&model);
    let x = end.row(TOKENS.len() - 1);
    for share in &ablated.shares {
        let same = direct.shares.iter().find(|other| other.latent == share.latent).unwrap();
        let without = &x - &(&dictionary.decoder().row(share.latent as usize) * share.code);
        let ratio = f64::from(rms(x) / rms(without.view()));
        let expected = direct.difference - (direct.difference - same.share) * ratio;
        assert!((share.share - expected).abs() < 2e-3 * (1.0 + expected.abs()), "{share:?} {expected}");
    }
}
