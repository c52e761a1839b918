//! Settings without an effect: what is said about them is what happens.

use collimate_sae::{
    AbsTopK, BiasStart, Crosscoder, Gated, JumpRelu, L1, Normalisation, PNorm, Relu, Resampling, Sae, Size,
    TargetL0, TopK, Training, TrainingConfig, Variant, epochs,
};
use collimate_stream::RngStream;
use ndarray::Array2;

const SIZE: Size = Size { d_model: 6, n_latents: 12 };

fn config(steps: u64, l1: f64) -> TrainingConfig {
    TrainingConfig {
        steps,
        batch: 10,
        l1: L1::sum_over_dims(l1),
        learning_rate: 0.01,
        normalisation: Normalisation::None,
        bias_start: BiasStart::Given,
        ..TrainingConfig::default()
    }
}

/// Trains on rows that leave most latents inactive, and returns the decoder.
fn decoder(variant: Variant, config: TrainingConfig) -> Array2<f32> {
    let mut stream = RngStream::new(3, 0);
    let rows =
        Array2::from_shape_fn((40, 6), |(_, j)| if j == 0 { 2.0 } else { 0.1 * stream.normal() as f32 });
    let sae = Sae::new(variant, SIZE, &mut stream).unwrap();
    let rows = epochs(&rows, 10, &mut stream);
    Training::new(sae, config).unwrap().run(rows, |_| ()).unwrap().model.weights().w_dec.clone()
}

fn said(variant: impl Into<Variant>, config: &TrainingConfig) -> String {
    config.without_effect(&variant.into()).unwrap().join("; ")
}

#[test]
fn aux_k_acts_from_the_step_on_at_which_a_latent_can_be_dead() {
    let with = Variant::from(TopK::new(1).with_aux(4));
    let without = Variant::from(TopK::new(1));
    for (steps, acts) in [(1, false), (4, false), (5, true), (9, true)] {
        let config = TrainingConfig { dead_after_rows: 40, ..config(steps, 0.0) };
        assert_eq!(said(with, &config).is_empty(), acts, "{steps}");
        assert_eq!(decoder(with, config.clone()) != decoder(without, config), acts, "{steps}");
    }
}

#[test]
fn resampling_acts_if_a_latent_can_be_dead_at_its_last_time() {
    let variant = Variant::from(Relu::unit_norm());
    for (every, until, acts) in [(3, 8, true), (3, 5, false), (5, 4, false), (20, 20, false)] {
        let resampling = Some(Resampling { every, until, encoder_scale: 0.2, rewarm_steps: 1 });
        // A large penalty silences latents from the first step on.
        let plain = TrainingConfig { dead_after_rows: 40, sparsity_warm_up: 0, ..config(10, 50.0) };
        let config = TrainingConfig { resampling, ..plain.clone() };
        let found = said(variant, &config);
        assert_eq!(found.is_empty(), acts, "{every} {until}: {found}");
        assert_eq!(decoder(variant, config) != decoder(variant, plain), acts, "{every} {until}");
    }
}

#[test]
fn a_penalty_belongs_to_the_members_that_have_one() {
    let target_l0 = Some(TargetL0 { l0: 3.0, gain: 0.01 });
    let penalised: [Variant; 5] = [
        Relu::unit_norm().into(),
        PNorm::power_sum(1.0).into(),
        Gated::paper().into(),
        JumpRelu::paper().into(),
        Crosscoder::l1(2).into(),
    ];
    for variant in penalised {
        let name = variant.name();
        assert_eq!(said(variant, &config(9, 0.1)), "", "{name}");
        let found = said(variant, &config(9, 0.0));
        assert!(found.contains("λ is 0") && found.contains(name), "{found}");
        assert_eq!(said(variant, &TrainingConfig { target_l0, ..config(9, 0.1) }), "", "{name}");
        let found = said(variant, &TrainingConfig { target_l0, ..config(9, 0.0) });
        assert!(found.contains("the target of L0 has no effect"), "{found}");
    }
    let others: [Variant; 3] =
        [TopK::new(2).into(), AbsTopK::new(2).into(), Crosscoder::batch_topk(2, 2.0).into()];
    for variant in others {
        assert_eq!(said(variant, &config(9, 0.0)), "");
        let config = TrainingConfig { target_l0, ..config(9, 0.1) };
        let found = said(variant, &config);
        assert!(found.contains("λ has no effect") && found.contains("the target of L0"), "{found}");
    }
    // What is said is what happens: λ changes no bit of a TopK dictionary, and every bit of a ReLU dictionary.
    for (variant, acts) in [(Variant::from(TopK::new(2)), false), (Relu::unit_norm().into(), true)] {
        assert_eq!(decoder(variant, config(9, 0.0)) != decoder(variant, config(9, 5.0)), acts);
    }
}
