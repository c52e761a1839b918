//! Dictionaries and checkpoints on disk.

use collimate_grad::WarmUp;
use collimate_sae::{
    Gated, L1, Planted, Relu, Resampling, Sae, SaeError, Size, TopK, Training, TrainingConfig, Variant,
    epochs,
};
use collimate_stream::Stream;
use ndarray::Array2;

const SIZE: Size = Size { d_model: 6, n_latents: 20 };

fn rows() -> Array2<f32> {
    let mut stream = Stream::new(3, 0);
    Planted::random(9, 6, 0.2, 0.01, &mut stream).rows(500, &mut stream)
}

fn training(variant: impl Into<Variant>, seed: u64) -> Training<f32> {
    let sae = Sae::new(variant, SIZE, &mut Stream::named(seed, "init")).unwrap();
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
    let source = || epochs(&rows, 50, &mut Stream::new(4, 0));
    for variant in [Variant::from(Relu::unit_norm()), Gated::paper().into(), TopK::new(3).with_aux(2).into()]
    {
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
            assert_eq!(rest.sae, whole.sae, "{variant} stopped at {stop}");
            assert_eq!((rest.log, rest.dead, rest.rows), (whole.log.clone(), whole.dead.clone(), whole.rows));
        }
    }
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
    let trained = this.clone().run(epochs(&rows, 50, &mut Stream::new(4, 0)), |_| ()).unwrap();
    trained.save(&path).unwrap();
    let found = this.finished(&path).unwrap().unwrap();
    assert_eq!((&found.sae, &found.log), (&trained.sae, &trained.log));
    assert_eq!(
        (found.rows, found.input_scale, found.dead),
        (trained.rows, trained.input_scale, trained.dead)
    );
    assert!(training(Gated::paper(), 2).finished(&path).unwrap().is_none());
    assert!(training(Relu::unit_norm(), 1).finished(&path).unwrap().is_none());
    assert_eq!(Sae::<f32>::load(&path).unwrap(), trained.sae);
}

#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sae.safetensors");
    let sae = Sae::<f64>::new(TopK::new(3), SIZE, &mut Stream::new(1, 0)).unwrap();
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
