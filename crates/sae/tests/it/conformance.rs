//! Losses, gradients and optimiser steps of other libraries.

use crate::cases::{Case, TIGHT, Tolerance};
use collimate_sae::{
    AdamMoments, AdamParameters, AuxK, Gated, GatedDecoder, InputBias, Losses, Path, PenaltyWeight, Relu,
    Settings, TopK, Variant, Workspace,
};

/// Runs a case on both paths and compares codes, reconstruction, total loss and every gradient.
fn run(name: &str, variant: impl Into<Variant>, penalty: f64, prefix: &str, tolerance: &Tolerance) -> Losses {
    let (case, variant) = (Case::open(name), variant.into());
    let sae = case.sae(variant);
    let x = case.matrix("in.x");
    let codes = sae.dictionary().encode(&x).unwrap();
    for (i, (ours, theirs)) in codes.to_dense().iter().zip(&case.matrix("out.feature_acts")).enumerate() {
        tolerance.check(&format!("{name} code {i}"), *ours, *theirs);
    }
    for (i, (ours, theirs)) in
        sae.dictionary().decode(&codes).unwrap().iter().zip(&case.matrix("out.recon")).enumerate()
    {
        tolerance.check(&format!("{name} reconstruction {i}"), *ours, *theirs);
    }
    let dead = case.dead();
    let mut last = None;
    for path in [Path::Sparse, Path::Dense] {
        let settings = Settings { penalty, dead: &dead, path, ..Settings::default() };
        let (losses, gradient) = sae.gradient(&x, &settings, &mut Workspace::default()).unwrap();
        tolerance.check(&format!("{name} total"), losses.total, case.scalar(&format!("{prefix}loss.total")));
        let theirs = case.weights(&format!("{prefix}grad."), &variant);
        tolerance.check_weights(&format!("{name} {path:?}"), &variant, &gradient, &theirs);
        last = Some(losses);
    }
    last.unwrap()
}

#[test]
fn relu_with_a_plain_penalty() {
    let losses = run("dl_standard", Relu::unit_norm(), 0.11, "", &TIGHT);
    let case = Case::open("dl_standard");
    TIGHT.check("reconstruction", losses.reconstruction, case.scalar("loss.mse_loss"));
    TIGHT.check("sparsity", losses.sparsity, case.scalar("loss.sparsity_loss"));
    run("dl_standard_sparsity_warmup", Relu::unit_norm(), 0.11 * 500.0 / 800.0, "", &TIGHT);
}

#[test]
fn relu_with_a_norm_weighted_penalty() {
    let subtracted = Relu { penalty: PenaltyWeight::DecoderNorm, input_bias: InputBias::Subtracted };
    run("dl_standard_april", subtracted, 0.11, "", &TIGHT);
    run("saelens_standard_bdec", subtracted, 0.13, "", &TIGHT);
    run("saelens_standard_nobdec", Relu::norm_weighted(), 0.13, "", &TIGHT);
}

#[test]
fn gated_as_in_the_paper() {
    let losses = run("ref_gated", Gated::paper(), 0.17, "", &TIGHT);
    let case = Case::open("ref_gated");
    TIGHT.check("reconstruction", losses.reconstruction, case.scalar("loss.reconstruction"));
    TIGHT.check("sparsity", losses.sparsity, case.scalar("loss.sparsity"));
    TIGHT.check("auxiliary", losses.auxiliary, case.scalar("loss.auxiliary"));
    run("dl_gated", Gated::paper(), 0.11, "", &TIGHT);
}

#[test]
fn gated_with_norm_weights() {
    let with = |decoder, input_bias| Gated { input_bias, ..Gated::with_decoder(decoder) };
    let (frozen, trained) = (GatedDecoder::NormWeightedFrozen, GatedDecoder::NormWeightedTrained);
    run("ref_gated_normweighted_frozen", with(frozen, InputBias::Subtracted), 0.17, "", &TIGHT);
    run("ref_gated_normweighted_unfrozen", with(trained, InputBias::Subtracted), 0.17, "", &TIGHT);
    run("saelens_gated_bdec", with(trained, InputBias::Subtracted), 0.13, "", &TIGHT);
    run("saelens_gated_nobdec", with(trained, InputBias::NotSubtracted), 0.13, "", &TIGHT);
}

#[test]
fn the_exported_thresholds_are_those_of_the_reference() {
    let case = Case::open("ref_gated");
    let sae = case.sae(Gated::paper());
    let jump = sae.to_jump_relu().unwrap();
    // The file keeps b_mag − e^r b_gate as it is; what is negative there is emitted as 0.
    let theirs = case.vector("jumprelu.threshold");
    assert!(theirs.iter().any(|&t| t < 0.0));
    for (ours, theirs) in jump.weights().per_latent[1].iter().zip(&theirs) {
        TIGHT.check("threshold", *ours, theirs.max(0.0));
    }
    assert_eq!(jump.dictionary().encode(&case.matrix("in.x")).unwrap().to_dense().dim(), (8, 20));
}

#[test]
fn topk_with_and_without_the_auxiliary_loss() {
    let top = TopK::new(3);
    run("saelens_topk_no_dead_norescale", top, 0.0, "", &TIGHT);
    let aux = |k| TopK { aux: Some(AuxK::new(k, 0.03125)), ..top };
    let losses = run("ref_topk_auxk_few_dead", aux(2), 0.0, "", &TIGHT);
    TIGHT.check("auxk", losses.auxiliary, Case::open("ref_topk_auxk_few_dead").scalar("loss.auxk"));
    run("ref_topk_auxk_many_dead", aux(3), 0.0, "", &TIGHT);
    // The library rounds its auxiliary term to f32; the same quantities in f64 are stored beside.
    run("dl_topk_auxk_few_dead", aux(2), 0.0, "ref.", &TIGHT);
    run("dl_topk_auxk_many_dead", aux(3), 0.0, "ref.", &TIGHT);
}

#[test]
fn topk_normalised_by_the_variance_of_the_batch_is_a_rescaling() {
    let case = Case::open("sparsify_topk");
    let variant = Variant::from(TopK::new(3));
    let sae = case.sae(variant);
    let x = case.matrix("in.x");
    let mean = x.mean_axis(ndarray::Axis(0)).unwrap();
    let variance = (&x - &mean).mapv(|v| v * v).sum() / x.nrows() as f64;
    let (losses, mut gradient) = sae.gradient(&x, &Settings::default(), &mut Workspace::default()).unwrap();
    TIGHT.check("fraction of variance unexplained", losses.total / variance, case.scalar("loss.fvu"));
    gradient.w_enc /= variance;
    gradient.w_dec /= variance;
    gradient.b_dec /= variance;
    gradient.per_latent[0] /= variance;
    TIGHT.check_weights("sparsify_topk", &variant, &gradient, &case.weights("grad.", &variant));
}

/// Compares the optimiser steps of a case on both paths.
fn steps(name: &str, variant: impl Into<Variant>, penalty: f64, adam: AdamParameters) {
    let (case, variant) = (Case::open(name), variant.into());
    for path in [Path::Sparse, Path::Dense] {
        let mut sae = case.sae(variant);
        let mut moments = AdamMoments::zeros(sae.weights());
        let mut workspace = Workspace::default();
        let settings = Settings { penalty, path, ..Settings::default() };
        for (t, x) in case.batches().iter().enumerate() {
            sae.step(&mut moments, x, &settings, &adam, 0.003, &mut workspace).unwrap();
            let theirs = case.weights(&format!("after{}.", t + 1), &variant);
            TIGHT.check_weights(&format!("{name} step {t} {path:?}"), &variant, sae.weights(), &theirs);
        }
    }
}

#[test]
fn three_optimiser_steps() {
    steps("dl_standard_update", Relu::unit_norm(), 0.11, AdamParameters::standard());
    steps("dl_gated_update", Gated::paper(), 0.11, AdamParameters::without_momentum());
}
