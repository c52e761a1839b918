//! Dictionaries and checkpoints on disk.

use collimate_grad::WarmUp;
use collimate_sae::{
    BatchTopK, Crosscoder, Gated, InputBias, JumpRelu, L1, PAnneal, PNorm, PenaltyWeight, Planted, Relu,
    Resampling, Sae, SaeError, Size, Skip, TargetL0, TopK, Training, TrainingConfig, Transcoder, Variant,
    advance_together, epochs, train_together,
};
use collimate_stream::RngStream;
use ndarray::Array2;

const SIZE: Size = Size { d_model: 6, n_latents: 20 };

fn rows() -> Array2<f32> {
    let mut stream = RngStream::new(3, 0);
    Planted::random(9, 6, 0.2, 0.01, &mut stream).rows(500, &mut stream)
}

fn training(variant: impl Into<Variant>, seed: u64) -> Training<Sae<f32>> {
    let sae = Sae::new(variant, SIZE, &mut RngStream::named(seed, "init")).unwrap();
    let config = TrainingConfig {
        steps: 40,
        batch: 32,
        l1: L1::sum_over_dims(1.0),
        learning_rate: 5e-3,
        warm_up: WarmUp::Linear { steps: 9, from: 0.1 },
        sparsity_warm_up: 20,
        dead_after_rows: 200,
        resampling: Some(Resampling { every: 10, until: 35, encoder_scale: 0.2, rewarm_steps: 7 }),
        log_every: 7,
        ..TrainingConfig::default()
    };
    Training::new(sae, config).unwrap()
}

#[test]
fn a_checkpoint_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let rows = rows();
    let source = || epochs(&rows, 50, &mut RngStream::new(4, 0));
    for variant in [
        Variant::from(Relu::unit_norm()),
        Gated::paper().into(),
        TopK::new(3).with_aux(2).into(),
        JumpRelu::tanh().into(),
        Crosscoder::l1(2).into(),
        Crosscoder::batch_topk(3, 2.0).into(),
    ] {
        let whole = training(variant, 1).run(source(), |_| ()).unwrap();
        for stop in [0, 1, 10, 26, 39] {
            let mut part = training(variant, 1);
            part.advance(source(), stop, &mut |_| ()).unwrap();
            part.save_checkpoint(&path).unwrap();
            drop(part);
            let mut again = training(variant, 1);
            again.load_checkpoint(&path).unwrap();
            assert_eq!(again.step(), stop);
            let rest = again.run(source(), |_| ()).unwrap();
            assert_eq!(rest.model, whole.model, "{variant} stopped at {stop}");
            assert_eq!((rest.log, rest.dead, rest.rows), (whole.log.clone(), whole.dead.clone(), whole.rows));
        }
    }
}

#[test]
fn runs_on_one_pass_go_on_from_their_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows();
    let source = || epochs(&rows, 50, &mut RngStream::new(4, 0));
    let start = || {
        let relu = training(Relu::unit_norm(), 1);
        let top = Sae::new(TopK::new(3).with_aux(2), SIZE, &mut RngStream::named(1, "init")).unwrap();
        // The first has done its steps before the other.
        [Training::new(top, TrainingConfig { steps: 15, ..relu.config().clone() }).unwrap(), relu]
    };
    let whole = train_together(start().to_vec(), source(), |_, _| ()).unwrap();
    for stop in [9, 15, 26] {
        let path = |i: usize| folder.path().join(format!("{i}.safetensors"));
        let mut part = start();
        advance_together(&mut part, source(), stop, &mut |_, _| ()).unwrap();
        assert_eq!(part.each_ref().map(Training::step), [stop.min(15), stop]);
        part.iter().enumerate().for_each(|(i, run)| run.save_checkpoint(path(i)).unwrap());
        let mut again = start();
        again.iter_mut().enumerate().for_each(|(i, run)| run.load_checkpoint(path(i)).unwrap());
        let rest = train_together(again.to_vec(), source(), |_, _| ()).unwrap();
        for (rest, whole) in rest.iter().zip(&whole) {
            assert_eq!((&rest.model, &rest.log), (&whole.model, &whole.log), "stopped at {stop}");
        }
    }
}

fn transcoder(variant: Variant, skip: Skip, seed: u64) -> Training<Transcoder<f32>> {
    let start = Transcoder::new(variant, 6, 4, 20, skip, &mut RngStream::named(seed, "init")).unwrap();
    let annealed = matches!(variant, Variant::PNorm(_));
    let anneal = PAnneal { start: 5, end: 35, p_end: 0.5, stages: 4, queue: 3 };
    let config = TrainingConfig {
        resampling: None,
        p_anneal: annealed.then_some(anneal),
        target_l0: annealed.then_some(TargetL0 { l0: 3.0, gain: 0.05 }),
        gradient_clip: Some(1.0),
        ..training(TopK::new(1), 1).config().clone()
    };
    Training::new(start, config).unwrap()
}

/// Draws inputs with outputs that are partly linear in them.
fn pairs() -> Array2<f32> {
    let x = rows();
    let y = Array2::from_shape_fn((x.nrows(), 4), |(i, j)| x[[i, j + 1]] - 0.5 * x[[i, j]].abs());
    ndarray::concatenate![ndarray::Axis(1), x, y]
}

#[test]
fn a_transcoder_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let pairs = pairs();
    let source = || epochs(&pairs, 50, &mut RngStream::new(4, 0));
    let input_bias = InputBias::NotSubtracted;
    let relu = Relu { penalty: PenaltyWeight::UnitNorm, input_bias };
    for (variant, skip) in [
        (Variant::from(relu), Skip::None),
        (TopK { input_bias, ..TopK::new(3).with_aux(2) }.into(), Skip::Zero),
        (BatchTopK { input_bias, ..BatchTopK::new(2.5) }.into(), Skip::Zero),
        (PNorm { input_bias, ..PNorm::power_sum(1.0) }.into(), Skip::Zero),
    ] {
        let whole = transcoder(variant, skip, 1).run(source(), |_| ()).unwrap();
        for stop in [0, 1, 10, 26, 39] {
            let mut part = transcoder(variant, skip, 1);
            part.advance_saving(source(), stop, &path, 5, &mut |_| ()).unwrap();
            part.save_checkpoint(&path).unwrap();
            drop(part);
            let mut again = transcoder(variant, skip, 1);
            again.load_checkpoint(&path).unwrap();
            assert_eq!(again.step(), stop);
            let rest = again.run(source(), |_| ()).unwrap();
            assert_eq!(rest.model, whole.model, "{variant} stopped at {stop}");
            assert_eq!((rest.log, rest.dead, rest.rows), (whole.log.clone(), whole.dead.clone(), whole.rows));
        }
        let skip_moved = whole.model.skip().is_none_or(|skip| skip.iter().any(|v| v.abs() > 0.01));
        assert!(skip_moved, "{variant}");
    }
}

#[test]
fn what_does_not_belong_to_a_transcoder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let top = Variant::from(TopK { input_bias: InputBias::NotSubtracted, ..TopK::new(3) });
    transcoder(top, Skip::Zero, 1).save_checkpoint(&path).unwrap();
    for (skip, seed) in [(Skip::Zero, 2), (Skip::None, 1)] {
        let error = transcoder(top, skip, seed).load_checkpoint(&path).unwrap_err();
        assert!(error.to_string().contains("belongs to the run"), "{error}");
    }
    // A file of the right run without its skip.
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(7).position(|w| w == b"\"w_skip").unwrap();
    bytes[at + 1] = b'v';
    std::fs::write(&path, bytes).unwrap();
    let mut run = transcoder(top, Skip::Zero, 1);
    assert!(run.load_checkpoint(&path).unwrap_err().to_string().contains("w_skip"));
    assert_eq!(run.step(), 0);
}

#[test]
fn the_checkpoint_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    training(TopK::new(3), 1).save_checkpoint(&path).unwrap();
    let mut other = training(TopK::new(3), 2);
    let before = other.clone();
    let error = other.load_checkpoint(&path).unwrap_err();
    assert!(error.to_string().contains("belongs to the run"), "{error}");
    assert_eq!(other.step(), before.step());
    assert!(Sae::<f32>::load(&path).unwrap_err().to_string().contains("format"));
}

#[test]
fn a_finished_run_is_found_again_and_only_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sae.safetensors");
    let rows = rows();
    let this = training(Gated::paper(), 1);
    assert!(this.finished(&path).unwrap().is_none());
    let trained = this.clone().run(epochs(&rows, 50, &mut RngStream::new(4, 0)), |_| ()).unwrap();
    trained.save(&path).unwrap();
    let found = this.finished(&path).unwrap().unwrap();
    assert_eq!((&found.model, &found.log), (&trained.model, &trained.log));
    assert_eq!(
        (found.rows, found.input_scale, found.dead),
        (trained.rows, trained.input_scale, trained.dead)
    );
    assert!(training(Gated::paper(), 2).finished(&path).unwrap().is_none());
    assert!(training(Relu::unit_norm(), 1).finished(&path).unwrap().is_none());
    assert_eq!(Sae::<f32>::load(&path).unwrap(), trained.model);
}

#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sae.safetensors");
    let sae = Sae::<f64>::new(TopK::new(3), SIZE, &mut RngStream::new(1, 0)).unwrap();
    sae.save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    for end in (0..good.len()).step_by(97) {
        std::fs::write(&path, &good[..end]).unwrap();
        assert!(Sae::<f64>::load(&path).is_err(), "cut at {end}");
    }
    // NaN among the weights.
    let mut bad = good.clone();
    let last = bad.len() - 8;
    bad[last..].copy_from_slice(&f64::NAN.to_le_bytes());
    std::fs::write(&path, &bad).unwrap();
    assert!(matches!(Sae::<f64>::load(&path), Err(SaeError::NonFiniteInput { .. })));
    std::fs::write(&path, &good).unwrap();
    assert_eq!(Sae::<f64>::load(&path).unwrap(), sae);
    assert_eq!(Sae::<f32>::load(&path).unwrap(), sae.cast());
}
