//! A run that is killed at any instant goes on to the very bits of one that was not.

use collimate_grad::WarmUp;
use collimate_sae::{
    BatchTopK, InputBias, L1, PAnneal, PNorm, Planted, Progress, Resampling, Sae, Size, Skip, TargetL0, TopK,
    Training, TrainingConfig, Transcoder, Variant, epochs,
};
use collimate_stream::RngStream;
use std::path::Path;
use std::process::{Command, Stdio};

const CHECKPOINT: &str = "COLLIMATE_TEST_CHECKPOINT";
const STEPS: u64 = 240;

fn config(annealed: bool) -> TrainingConfig {
    let anneal = PAnneal { start: 20, end: 200, p_end: 0.5, stages: 5, queue: 6 };
    TrainingConfig {
        steps: STEPS,
        batch: 64,
        l1: L1::sum_over_dims(0.2),
        learning_rate: 3e-3,
        warm_up: WarmUp::Linear { steps: 20, from: 0.0 },
        sparsity_warm_up: 30,
        dead_after_rows: 1500,
        resampling: annealed.then_some(Resampling {
            every: 50,
            until: 150,
            encoder_scale: 0.2,
            rewarm_steps: 20,
        }),
        p_anneal: annealed.then_some(anneal),
        target_l0: annealed.then_some(TargetL0 { l0: 3.0, gain: 0.02 }),
        gradient_clip: Some(1.0),
        log_every: 20,
        ..TrainingConfig::default()
    }
}

/// A run of either kind.
enum Run {
    Dictionary(Box<Training<Sae<f32>>>),
    Transcoder(Box<Training<Transcoder<f32>>>),
}

impl Run {
    fn start(name: &str) -> Self {
        let mut stream = RngStream::named(7, "init");
        let size = Size { d_model: 16, n_latents: 48 };
        let variant: Variant = match name {
            "p_norm" => PNorm::power_sum(1.0).into(),
            "batchtopk" => BatchTopK::new(3.0).with_aux(8).into(),
            _ => {
                let top = TopK { input_bias: InputBias::NotSubtracted, ..TopK::new(3).with_aux(8) };
                let start = Transcoder::new(top, 16, 12, 48, Skip::Zero, &mut stream).unwrap();
                return Self::Transcoder(Training::new(start, config(false)).unwrap().into());
            }
        };
        let sae = Sae::new(variant, size, &mut stream).unwrap();
        Self::Dictionary(Training::new(sae, config(name == "p_norm")).unwrap().into())
    }

    fn step(&self) -> u64 {
        match self {
            Run::Dictionary(run) => run.step(),
            Run::Transcoder(run) => run.step(),
        }
    }

    fn load(&mut self, path: &Path) {
        match self {
            Run::Dictionary(run) => run.load_checkpoint(path),
            Run::Transcoder(run) => run.load_checkpoint(path),
        }
        .expect("what is on disk is always whole");
    }

    /// Goes on to the end, saving after each step: the fingerprint of the result and the log.
    fn end(self, path: &Path) -> (String, Vec<Progress>) {
        let planted = Planted::random(24, 16, 0.06, 0.0, &mut RngStream::named(7, "planted"));
        let rows = planted.rows(2000, &mut RngStream::named(7, "rows"));
        let mut order = RngStream::named(7, "order");
        match self {
            Run::Dictionary(mut run) => {
                let rows = epochs(&rows, 100, &mut order);
                run.advance_saving(rows, STEPS, path, 1, &mut |_| ()).unwrap();
                let trained = run.finish().unwrap();
                (trained.model.fingerprint().to_string(), trained.log)
            }
            Run::Transcoder(mut run) => {
                let y = rows.slice(ndarray::s![.., ..12]).mapv(f32::abs);
                let pairs = ndarray::concatenate![ndarray::Axis(1), rows, y];
                let pairs = epochs(&pairs, 100, &mut order);
                run.advance_saving(pairs, STEPS, path, 1, &mut |_| ()).unwrap();
                let trained = run.finish().unwrap();
                (trained.model.fingerprint().to_string(), trained.log)
            }
        }
    }
}

/// Goes on from the checkpoint, if there is one, to the end.
fn run(name: &str, checkpoint: &Path) -> (String, Vec<Progress>) {
    let mut run = Run::start(name);
    if checkpoint.exists() {
        run.load(checkpoint);
    }
    run.end(checkpoint)
}

/// Runs the test without the environment variable, and the process that is killed with it.
#[test]
fn a_killed_run_ends_in_the_same_bits() {
    if let Ok(path) = std::env::var(CHECKPOINT) {
        let name = Path::new(&path).file_stem().unwrap().to_str().unwrap().to_owned();
        run(&name, Path::new(&path));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut stream = RngStream::named(11, "kill");
    for name in ["p_norm", "batchtopk", "transcoder"] {
        let whole = run(name, &folder.path().join("whole"));
        std::fs::remove_file(folder.path().join("whole")).unwrap();
        let checkpoint = folder.path().join(format!("{name}.safetensors"));
        let mut reached = Vec::new();
        for _ in 0..3 {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "killed::a_killed_run_ends_in_the_same_bits"])
                .env(CHECKPOINT, &checkpoint)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let wait = std::time::Duration::from_millis(20 + stream.below(150) as u64);
            std::thread::sleep(wait);
            child.kill().unwrap();
            child.wait().unwrap();
            if checkpoint.exists() {
                let mut part = Run::start(name);
                part.load(&checkpoint);
                reached.push(part.step());
            }
        }
        let resumed = run(name, &checkpoint);
        assert_eq!(resumed.0, whole.0, "{name} killed after {reached:?}");
        assert_eq!(resumed.1, whole.1, "{name} killed after {reached:?}");
        assert!(whole.1.last().unwrap().losses.l0 > 0.5);
    }
}
