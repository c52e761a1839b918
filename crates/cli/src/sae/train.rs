//! `collimate sae train`.

use super::rows::Place;
use crate::stop::on_interrupt;
use crate::terminal::Steps;
use anyhow::{Context, bail, ensure};
use collimate_grad::{Decay, WarmUp};
use collimate_sae::{
    BatchTopK, Gated, JumpRelu, L1, Levels, Matryoshka, Normalisation, PAnneal, PNorm, Progress, Relu,
    Resampling, Sae, SaeError, Size, TargetL0, TopK, Training, TrainingConfig, Variant,
};
use collimate_stream::Stream;
use std::io::Write;
use std::path::PathBuf;

/// The options of `collimate sae train`.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// The file to write the dictionary to; its checkpoint stands beside it until it is done.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Which member of the family.
    #[arg(long, value_enum)]
    variant: Member,
    /// How many latents.
    #[arg(long)]
    latents: usize,
    /// How many latents a row may use (topk), or uses on average (batchtopk, matryoshka).
    #[arg(long, required_if_eq_any([("variant", "topk"), ("variant", "batchtopk"), ("variant", "matryoshka")]))]
    k: Option<usize>,
    /// λ beside a loss that sums over dimensions, for inputs with E‖x‖ = √d (relu, gated) or E‖x‖² = 1 (jumprelu, whose
    /// bandwidth 0.001 belongs to that scale).
    #[arg(long, allow_negative_numbers = true, required_if_eq_any([("variant", "relu"), ("variant", "pnorm"), ("variant", "gated"), ("variant", "jumprelu")]))]
    l1: Option<f64>,
    /// Steer λ, from --l1 on, until a row uses so many latents.
    #[arg(long, value_name = "L0", conflicts_with = "k", allow_negative_numbers = true)]
    target_l0: Option<f64>,
    /// How many updates.
    #[arg(long, default_value_t = 10_000)]
    steps: u64,
    /// Rows in a batch.
    #[arg(long, default_value_t = 2048)]
    batch: usize,
    /// The highest learning rate.
    #[arg(long, default_value_t = 3e-4, allow_negative_numbers = true)]
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
    /// ReLU under Σ fᵖ, p lowered from 1 to 0.2 in the middle of the run.
    Pnorm,
    Gated,
    Topk,
    Batchtopk,
    /// Batchtopk whose first eighth, quarter and half of the latents must reconstruct by themselves.
    Matryoshka,
    Jumprelu,
}

impl Options {
    fn variant(&self) -> anyhow::Result<Variant> {
        let batch = || BatchTopK::new(self.k.unwrap_or(1) as f64).with_aux((self.latents / 8).max(1));
        Ok(match self.variant {
            Member::Relu => Relu::unit_norm().into(),
            Member::Pnorm => PNorm::power_sum(1.0).into(),
            Member::Gated => Gated::paper().into(),
            Member::Topk => TopK::new(self.k.unwrap_or(1)).with_aux((self.latents / 8).max(1)).into(),
            Member::Batchtopk => batch().into(),
            Member::Matryoshka => {
                ensure!(self.latents >= 8, "--latents must be at least 8 for four levels");
                let widths = [8, 4, 2, 1].map(|part| (self.latents / part) as u32);
                Matryoshka { batch: batch(), levels: Levels::new(&widths)? }.into()
            }
            Member::Jumprelu => JumpRelu::paper().into(),
        })
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
            resampling: matches!(self.variant, Member::Relu | Member::Pnorm | Member::Gated)
                .then_some(resampling),
            p_anneal: matches!(self.variant, Member::Pnorm).then_some(PAnneal {
                start: self.steps / 5,
                end: (self.steps * 4 / 5).max(self.steps / 5 + 1),
                p_end: 0.2,
                stages: 10,
                queue: 10,
            }),
            target_l0: self.target_l0.map(|l0| TargetL0 { l0, gain: 0.01 }),
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
    let rows = options.place.open()?;
    let size = Size { d_model: rows.width(), n_latents: options.latents };
    let start =
        Sae::<f32>::new(options.variant()?, size, &mut Stream::named(options.seed, "dictionary start"))?;
    let stop = on_interrupt("writing a checkpoint; the same command goes on from it")?;
    let mut training = Training::new(start, options.config())?.on_data(rows.fingerprint()).stop_on(stop);
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
        training.load_checkpoint(&checkpoint).with_context(|| {
            format!(
                "cannot go on from {}: give the options that began it, or remove it to begin anew",
                checkpoint.display()
            )
        })?;
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
    let rows = rows.shuffled(options.batch, &mut order)?;
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
