//! `collimate sae train`.

use super::metrics::Metrics;
use super::rows::{Place, Rows};
use crate::stop::on_interrupt;
use crate::terminal::Steps;
use anyhow::{Context, bail, ensure};
use collimate_grad::{Decay, WarmUp};
use collimate_sae::{
    AbsTopK, BatchTopK, Crosscoder, CrosscoderSparsity, Gated, InputBias, JumpRelu, L1, Levels,
    MatchingPursuit, Matryoshka, Model, Normalisation, PAnneal, PNorm, Progress, Relu, Resampling, Sae,
    SaeError, Size, Skip, TargetL0, ThresholdEstimate, TopK, Training, TrainingConfig, Transcoder, Variant,
};
use collimate_stream::RngStream;
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
    /// Whether a transcoder (--target) has a linear path from input to output beside its latents.
    #[arg(long, requires = "target")]
    skip: bool,
    /// How many latents a row may use (topk, abstopk, pursuit), or uses on average (batchtopk, matryoshka, and crosscoder in the
    /// place of --l1).
    #[arg(long, required_if_eq_any([("variant", "topk"), ("variant", "batchtopk"), ("variant", "matryoshka"), ("variant", "abstopk"), ("variant", "pursuit")]))]
    k: Option<usize>,
    /// λ beside a loss that sums over dimensions, for inputs with E‖x‖ = √d (relu, gated, crosscoder) or E‖x‖² = 1 (jumprelu, whose
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
    /// Also write the log as JSON lines, each as soon as it is there.
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
    /// The largest in magnitude, with their signs.
    Abstopk,
    /// One latent after another from what is left of a row.
    Pursuit,
    /// One code for several --activations: under a penalty with --l1, the largest of a batch with --k.
    Crosscoder,
}

impl Member {
    /// Whether it keeps a number of latents; it takes λ if not.
    fn selects(self) -> bool {
        use Member::{Abstopk, Batchtopk, Matryoshka, Pursuit, Topk};
        matches!(self, Topk | Batchtopk | Matryoshka | Abstopk | Pursuit)
    }
}

impl Options {
    /// Complains of what does not go together.
    fn check(&self, rows: &Rows) -> anyhow::Result<()> {
        let member = self.variant;
        ensure!(self.checkpoint_every > 0, "--checkpoint-every must be at least 1");
        if member == Member::Crosscoder {
            ensure!(
                self.k.is_some() != self.l1.is_some(),
                "a crosscoder takes --l1 (a penalty) or --k (the largest of a batch), one of the two"
            );
            ensure!(rows.target().is_none(), "a crosscoder reconstructs what it sees: it takes no --target");
            let widths = rows.widths();
            ensure!(widths.len() > 1, "a crosscoder takes --activations once for each layer, twice at least");
            ensure!(
                widths.iter().all(|&width| width == widths[0]),
                "the layers of a crosscoder must have one width, but theirs are {widths:?}"
            );
            return Ok(());
        }
        ensure!(
            rows.widths().len() == 1,
            "several --activations are the layers of a crosscoder: name that --variant, or give one place"
        );
        if member.selects() {
            ensure!(self.l1.is_none(), "this --variant keeps --k latents: --l1 has no meaning for it");
        } else {
            ensure!(self.k.is_none(), "this --variant is kept sparse by --l1: --k has no meaning for it");
        }
        ensure!(
            rows.target().is_none() || member != Member::Pursuit,
            "pursuit takes latents from what is left of its input: it takes no --target"
        );
        Ok(())
    }

    fn variant(&self, layers: usize) -> anyhow::Result<Variant> {
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
            Member::Abstopk => AbsTopK::new(self.k.unwrap_or(1)).into(),
            Member::Pursuit => MatchingPursuit { k: self.k.unwrap_or(1) }.into(),
            Member::Crosscoder => {
                let sparsity = match self.k {
                    None => CrosscoderSparsity::L1,
                    Some(k) => {
                        CrosscoderSparsity::BatchTopK { k: k as f64, aux: batch().aux, threshold: None }
                    }
                };
                Crosscoder { layers, sparsity }.into()
            }
        })
    }

    fn config(&self, transcoder: bool) -> TrainingConfig {
        let resampled = matches!(self.variant, Member::Relu | Member::Pnorm | Member::Gated) && !transcoder;
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
            resampling: resampled.then_some(resampling),
            p_anneal: matches!(self.variant, Member::Pnorm).then_some(PAnneal {
                start: self.steps / 5,
                end: (self.steps * 4 / 5).max(self.steps / 5 + 1),
                p_end: 0.2,
                stages: 10,
                queue: 10,
            }),
            target_l0: self.target_l0.map(|l0| TargetL0 { l0, gain: 0.01 }),
            // Over the last twentieth of the run, however short it is.
            threshold: ThresholdEstimate::FirstThenDecay {
                decay: (1.0 - 20.0 / self.steps as f64).clamp(0.0, 0.999),
            },
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
    let rows = options.place.open()?;
    options.check(&rows)?;
    let variant = options.variant(rows.widths().len())?;
    let config = options.config(rows.target().is_some());
    let mut stream = RngStream::named(options.seed, "dictionary start");
    let (d_model, n_latents) = (rows.width(), options.latents);
    match rows.target() {
        None => {
            let start = Sae::<f32>::new(variant, Size { d_model, n_latents }, &mut stream)?;
            train(options, &rows, Training::new(start, config)?)
        }
        Some(d_out) => {
            let variant = variant.with_input_bias(InputBias::NotSubtracted);
            let skip = if options.skip { Skip::Zero } else { Skip::None };
            let start = Transcoder::<f32>::new(variant, d_model, d_out, n_latents, skip, &mut stream)?;
            train(options, &rows, Training::new(start, config)?)
        }
    }
}

fn train<M: Model>(options: &Options, rows: &Rows, training: Training<M>) -> anyhow::Result<()> {
    let stop = on_interrupt("writing a checkpoint; the same command goes on from it")?;
    let mut training = training.on_data(rows.fingerprint()).stop_on(stop);
    if let Some(done) = training.finished(&options.out)? {
        Metrics::start(options.metrics.as_deref(), &done.log)?;
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
    // What a killed run wrote behind its last checkpoint comes again.
    let mut metrics = Metrics::start(options.metrics.as_deref(), training.log())?;
    let mut steps = Steps::new("updates", options.steps);
    let mut show = |progress: &Progress| {
        metrics.push(progress);
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
    let mut order = RngStream::named(options.seed, "order of the rows");
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
    metrics.finish()
}
