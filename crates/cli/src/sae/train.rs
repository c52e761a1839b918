//! `collimate sae train`.

use super::rows::shards;
use crate::stop::on_interrupt;
use crate::terminal::Steps;
use anyhow::{bail, ensure};
use collimate_grad::{Decay, WarmUp};
use collimate_sae::{
    BatchTopK, Gated, JumpRelu, L1, Normalisation, Progress, Relu, Resampling, Sae, SaeError, Size, TopK,
    Training, TrainingConfig, Variant,
};
use collimate_stream::Stream;
use std::io::Write;
use std::path::PathBuf;

/// The options of `collimate sae train`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The shards of `collimate activations`.
    #[arg(long, value_name = "DIR")]
    activations: PathBuf,
    /// The file to write the dictionary to; its checkpoint stands beside it until it is done.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Which member of the family.
    #[arg(long, value_enum)]
    variant: Member,
    /// How many latents.
    #[arg(long)]
    latents: usize,
    /// How many latents a row may use (topk), or uses on average (batchtopk).
    #[arg(long, required_if_eq_any([("variant", "topk"), ("variant", "batchtopk")]))]
    k: Option<usize>,
    /// λ beside a loss that sums over dimensions, for inputs with E‖x‖ = √d (relu, gated) or E‖x‖² = 1 (jumprelu, whose
    /// bandwidth 0.001 belongs to that scale).
    #[arg(long, required_if_eq_any([("variant", "relu"), ("variant", "gated"), ("variant", "jumprelu")]))]
    l1: Option<f64>,
    /// How many updates.
    #[arg(long, default_value_t = 10_000)]
    steps: u64,
    /// Rows in a batch.
    #[arg(long, default_value_t = 2048)]
    batch: usize,
    /// The highest learning rate.
    #[arg(long, default_value_t = 3e-4)]
    learning_rate: f64,
    /// The seed of the start and of the order of the rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write a checkpoint every so many updates.
    #[arg(long, default_value_t = 1000)]
    checkpoint_every: u64,
    /// Also write the log as JSON lines.
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Member {
    Relu,
    Gated,
    Topk,
    Batchtopk,
    Jumprelu,
}

impl Options {
    fn variant(&self) -> Variant {
        match self.variant {
            Member::Relu => Relu::unit_norm().into(),
            Member::Gated => Gated::paper().into(),
            Member::Topk => TopK::new(self.k.unwrap_or(1)).with_aux((self.latents / 8).max(1)).into(),
            Member::Batchtopk => {
                BatchTopK::new(self.k.unwrap_or(1) as f64).with_aux((self.latents / 8).max(1)).into()
            }
            Member::Jumprelu => JumpRelu::paper().into(),
        }
    }

    fn config(&self) -> TrainingConfig {
        let resampling = Resampling {
            every: (self.steps / 4).max(1),
            until: self.steps / 2,
            encoder_scale: 0.2,
            rewarm_steps: (self.steps / 20).max(1),
        };
        TrainingConfig {
            steps: self.steps,
            batch: self.batch,
            l1: L1::sum_over_dims(self.l1.unwrap_or(0.0)),
            learning_rate: self.learning_rate,
            warm_up: WarmUp::Linear { steps: self.steps / 20, from: 0.0 },
            decay: Decay::LinearOverLast { share: 0.2, to: 0.0 },
            sparsity_warm_up: self.steps / 5,
            dead_after_rows: (self.steps * self.batch as u64 / 8).max(1),
            resampling: matches!(self.variant, Member::Relu | Member::Gated).then_some(resampling),
            log_every: (self.steps / 100).max(1),
            seed: self.seed,
            normalisation: match self.variant {
                Member::Jumprelu => Normalisation::UnitMeanSquareNorm,
                _ => Normalisation::ExpectedNormSqrtDim,
            },
            ..TrainingConfig::default()
        }
    }
}

/// Trains in stretches between checkpoints; an interrupted run goes on where it was.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.checkpoint_every > 0, "--checkpoint-every must be at least 1");
    let shards = shards(&options.activations)?;
    let size = Size { d_model: shards.width(), n_latents: options.latents };
    let start =
        Sae::<f32>::new(options.variant(), size, &mut Stream::named(options.seed, "dictionary start"))?;
    let stop = on_interrupt("writing a checkpoint; the same command goes on from it")?;
    let mut training = Training::new(start, options.config())?.on_data(shards.fingerprint()).stop_on(stop);
    if let Some(done) = training.finished(&options.out)? {
        println!("{}: this run is done already ({} rows)", options.out.display(), done.rows);
        return Ok(());
    }
    ensure!(
        !options.out.exists(),
        "{} holds something else: name another file, or remove it first",
        options.out.display()
    );
    let checkpoint = options.out.with_extension("checkpoint");
    if checkpoint.exists() {
        training.load_checkpoint(&checkpoint)?;
        eprintln!("going on from step {} ({})", training.step(), checkpoint.display());
    }
    let mut steps = Steps::new("updates", options.steps);
    let mut show = |progress: &Progress| {
        steps.at(
            progress.step,
            &format!(
                "loss {:.4}, L0 {:.1}, explained {:.4}, γ {:.3}, dead {:.1} %",
                progress.losses.total,
                progress.losses.l0,
                progress.explained_variance,
                progress.gamma,
                100.0 * progress.dead_fraction
            ),
        );
    };
    // The rows begin anew and are passed over as far as they were used: their order depends on the seed alone.
    let mut order = Stream::named(options.seed, "order of the rows");
    let rows = shards.shuffled(1 << 16, options.batch, &mut order)?;
    match training.advance_saving(rows, options.steps, &checkpoint, options.checkpoint_every, &mut show) {
        Ok(()) => {}
        Err(SaeError::Interrupted { step }) => {
            training.save_checkpoint(&checkpoint)?;
            bail!("interrupted at step {step}: {} holds it", checkpoint.display());
        }
        Err(error) => return Err(error.into()),
    }
    steps.finish();
    let trained = training.finish()?;
    trained.save(&options.out)?;
    if let Some(path) = &options.metrics {
        let lines: String = trained.log.iter().map(|entry| entry.json_line() + "\n").collect();
        collimate_tensor::files::write_atomically(path, |out| out.write_all(lines.as_bytes()))?;
    }
    if checkpoint.exists() {
        std::fs::remove_file(&checkpoint)?;
    }
    println!(
        "{}: {} latents, {} rows, {} dead",
        options.out.display(),
        options.latents,
        trained.rows,
        trained.dead.len()
    );
    Ok(())
}
