//! Dictionaries at three places of the model, trained once for all claims that compare them.

use super::comparison::{drawn_explained_variance, drawn_l0_and_gamma};
use super::protocol::{Protocol, jargon_sequences};
use crate::error::StudyError;
use crate::language_model::capture::mean_row;
use crate::language_model::setup::LanguageModelSetup;
use crate::splicing::{DocumentLoss, HeldOut, loss_recovered};
use collimate_claims::{Context, Tier};
use collimate_sae::presets::{Preset, Recipe};
use collimate_sae::shards::Shards;
use collimate_sae::{DocumentSums, Sae, SweepPoint, Trained};
use collimate_transformer::{HookPoint, Site};
use std::sync::Arc;

/// A place of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Residual,
    Attention,
    Mlp,
}

impl Place {
    const ALL: [Place; 3] = [Place::Residual, Place::Attention, Place::Mlp];

    fn point(self, setup: &LanguageModelSetup) -> HookPoint {
        match self {
            Self::Residual => setup.residual(),
            Self::Attention => Site::AttentionOutput.of_layer(setup.layer),
            Self::Mlp => Site::MlpOutput.of_layer(setup.layer),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Residual => "the residual stream behind the studied layer",
            Self::Attention => "the attention output of the studied layer",
            Self::Mlp => "the MLP output of the studied layer",
        }
    }
}

/// A dictionary that is compared with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Contender {
    /// ReLU-L1 with 1.5 times as many latents.
    WideRelu,
    /// The rescale-and-shift baseline of the wide ReLU-L1 dictionary.
    RescaleAndShift,
    /// A preset.
    Preset(Preset),
}

/// The gated dictionary of the paper.
pub(super) const GATED: Contender = Contender::Preset(Preset::Gated);

impl Contender {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::WideRelu => "ReLU-L1, 1.5 times as wide",
            Self::RescaleAndShift => "rescale-and-shift of ReLU-L1",
            Self::Preset(preset) => preset.name(),
        }
    }

    fn preset(self) -> Preset {
        match self {
            Self::WideRelu | Self::RescaleAndShift => Preset::Relu,
            Self::Preset(preset) => preset,
        }
    }

    /// Returns λ from the least to the most sparse.
    fn ladder(self) -> [f64; 5] {
        Protocol::sparsities(self.preset())
    }
}

/// The amount of data and training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    train_tokens: usize,
    held_out_tokens: usize,
    n_latents: usize,
    steps: u64,
    rescaling_steps: u64,
    batch: usize,
    /// The indices of λ in the ladder.
    rungs: &'static [usize],
    /// The learning rates that are tried; a single one is taken without a trial.
    rates: &'static [f64],
    seeds: u64,
    /// True if reconstructions are spliced into the model.
    spliced: bool,
    pub(super) replicates: usize,
}

/// The text of the full protocol, shared by all claims.
pub(super) const PROTOCOL: &str = "Places: the residual stream behind layer 9 of SmolLM2-135M-Instruct, the attention output and the MLP output \
    of that layer, on the Jargon File (position 0 dropped, split by document, all training documents: about 310,000 tokens). \
    Gated has 1152 latents, ReLU-L1 has 1728 (1.5 times as many), and rescale-and-shift starts from ReLU-L1. Each has five λ, five training \
    seeds, and 1500 updates of 512 rows (375 for rescale-and-shift). The learning rate of each member at each place is the one among \
    3e-4, 1e-3 and 3e-3 with the lowest mean training loss over the last fifth, at the middle λ and seed 0; then it is fixed. \
    Fidelity is loss recovered against zero ablation on 8,000 held-out tokens, position 0 untouched. Curves are interpolated \
    linearly over the range that both reach, and averaged over the seeds. 99 % percentile interval by bootstrap over held-out documents and \
    training seeds (approximate). 243 dictionaries of 1500 updates and 81 of 375 in all claims of this protocol together";

/// The text about the runs below the nightly tier.
pub(super) const BELOW_NIGHTLY: &str = "10,000 training tokens, 576 latents (864 for ReLU-L1), three λ, one seed, one learning rate, 100 \
    updates of 256 rows for all, 1,500 held-out tokens, and explained variance in place of loss recovered. This form shows large differences at \
    the start of training, and that every step of the protocol works. It does not show the differences at convergence, the effect of the error \
    on the model, or the spread over training seeds";

impl Size {
    pub(super) fn of(tier: Tier, width: usize) -> Self {
        if tier == Tier::Nightly {
            return Self {
                train_tokens: usize::MAX,
                held_out_tokens: 8000,
                n_latents: 2 * width,
                steps: 1500,
                rescaling_steps: 375,
                batch: 512,
                rungs: &[0, 1, 2, 3, 4],
                rates: &[3e-4, 1e-3, 3e-3],
                seeds: 5,
                spliced: true,
                replicates: 2000,
            };
        }
        Self {
            train_tokens: 10_000,
            held_out_tokens: 1500,
            n_latents: width,
            steps: 100,
            rescaling_steps: 100,
            batch: 256,
            rungs: &[0, 2, 4],
            rates: &[3e-3],
            seeds: 1,
            spliced: false,
            replicates: 1000,
        }
    }

    /// Returns the name of the fidelity, for the axis of a figure.
    pub(super) fn fidelity(&self) -> &'static str {
        if self.spliced { "loss recovered, against zero ablation" } else { "explained variance (global R²)" }
    }

    fn recipe(&self, contender: Contender, rung: usize, seed: u64, learning_rate: f64) -> Recipe {
        let (n_latents, steps) = match contender {
            Contender::WideRelu => (self.n_latents * 3 / 2, self.steps),
            Contender::RescaleAndShift => (self.n_latents * 3 / 2, self.rescaling_steps),
            _ => (self.n_latents, self.steps),
        };
        let (preset, sparsity) = (contender.preset(), contender.ladder()[rung]);
        Recipe { preset, sparsity, seed, n_latents, steps, batch: self.batch, learning_rate }
    }
}

/// The measurements of one dictionary on the held-out text.
pub(super) struct Point {
    losses: Vec<DocumentLoss>,
    documents: DocumentSums,
}

impl Point {
    /// Computes L0 and fidelity on drawn documents.
    pub(super) fn at(&self, size: &Size, drawn: &[usize]) -> SweepPoint {
        let value = if size.spliced {
            loss_recovered(&self.losses, drawn).against_zero()
        } else {
            drawn_explained_variance(&self.documents, drawn)
        };
        SweepPoint { l0: drawn_l0_and_gamma(&self.documents, drawn).0, value }
    }

    /// Computes L0 and |1 − γ| on drawn documents.
    pub(super) fn bias(&self, drawn: &[usize]) -> SweepPoint {
        let (l0, gamma) = drawn_l0_and_gamma(&self.documents, drawn);
        SweepPoint { l0, value: (1.0 - gamma).abs() }
    }

    pub(super) fn documents(&self) -> usize {
        self.documents.len()
    }

    /// Formats the numbers for a report.
    pub(super) fn describe(&self, size: &Size) -> String {
        let whole: Vec<usize> = (0..self.documents.len()).collect();
        let (at, gamma) = (self.at(size, &whole), drawn_l0_and_gamma(&self.documents, &whole).1);
        if size.spliced {
            let losses = loss_recovered(&self.losses, &whole);
            return format!("L0 {:.1}, γ {gamma:.3}, {losses}", at.l0);
        }
        format!("L0 {:.1}, γ {gamma:.3}, explained variance {:.3}", at.l0, at.value)
    }
}

/// The dictionaries of one contender at one place.
pub(super) struct Curves {
    /// The points by seed, then by λ.
    pub(super) seeds: Vec<Vec<Point>>,
    pub(super) learning_rate: f64,
}

/// The activations and the held-out text at one place.
struct Material {
    shards: Shards,
    held_out: HeldOut,
}

/// Returns the dictionaries of a contender at a place on held-out text, computed on first use.
pub(super) fn curves(
    context: &Context,
    setup: &LanguageModelSetup,
    place: Place,
    contender: Contender,
) -> Result<Arc<Curves>, StudyError> {
    if contender == Contender::RescaleAndShift {
        // Its dictionaries start from these, which are then in the cache.
        curves(context, setup, place, Contender::WideRelu)?;
    }
    context.once(&format!("dictionaries of {contender:?} at {place:?}"), || {
        let size = Size::of(context.tier(), setup.model.description().width);
        let material =
            context.once(&format!("activations at {place:?}"), || material(context, setup, &size, place))?;
        let bench = Bench { context, setup, size, place, material: &material };
        let learning_rate = bench.learning_rate(contender)?;
        let mut seeds = Vec::new();
        for seed in 0..size.seeds {
            let points = size.rungs.iter().map(|&rung| bench.point(contender, rung, seed, learning_rate));
            seeds.push(points.collect::<Result<_, _>>()?);
        }
        Ok(Curves { seeds, learning_rate })
    })
}

/// Captures the activations of the training text, and runs the model on the held-out text.
fn material(
    context: &Context,
    setup: &LanguageModelSetup,
    size: &Size,
    place: Place,
) -> Result<Material, StudyError> {
    if size.spliced {
        setup.check_predicts()?;
    }
    let [train, held_out] = jargon_sequences(setup, size.train_tokens, size.held_out_tokens)?;
    let total = train.len() as u64;
    // All places are captured in one pass, because the pass over the text costs most.
    let points = Place::ALL.map(|place| place.point(setup));
    let mut captured = setup.activations(&train, &points, &mut |done| {
        context.progress(done as u64, total, "capturing activations of layer 9");
        !context.interrupted()
    })?;
    let shards = captured.swap_remove(place as usize);
    let (model, point) = (&setup.model, place.point(setup));
    let held_out = if size.spliced {
        context.progress(0, 1, "the model's own losses on held-out text");
        HeldOut::new(model, point, held_out, &mean_row(&shards)?)?
    } else {
        HeldOut::rows_only(model, point, held_out)?
    };
    Ok(Material { shards, held_out })
}

/// The setting in which dictionaries are trained and measured.
struct Bench<'a> {
    context: &'a Context,
    setup: &'a LanguageModelSetup,
    size: Size,
    place: Place,
    material: &'a Material,
}

impl Bench<'_> {
    fn trained(
        &self,
        contender: Contender,
        rung: usize,
        seed: u64,
        rate: f64,
    ) -> Result<Trained<Sae<f32>>, StudyError> {
        let recipe = self.size.recipe(contender, rung, seed, rate);
        let what = format!(
            "{} at {}, λ {}, seed {seed}",
            contender.name(),
            self.place.name(),
            contender.ladder()[rung]
        );
        let done = seed * self.size.rungs.len() as u64 + rung as u64;
        let total = self.size.seeds * self.size.rungs.len() as u64;
        let say = |step: u64| {
            self.context.progress(done, total, &format!("{what}: step {step} of {}", recipe.steps));
        };
        let (shards, stop) = (&self.material.shards, self.context.interrupt_flag());
        if contender == Contender::RescaleAndShift {
            let relu =
                self.trained(Contender::WideRelu, rung, seed, self.learning_rate(Contender::WideRelu)?)?;
            return self.setup.rescaled(shards, &relu, &recipe, stop, &mut |now| say(now.step));
        }
        self.setup.trained(shards, &recipe, stop, &mut |now| say(now.step))
    }

    /// Finds the rate with the lowest loss on the training rows, at the middle λ and seed 0.
    fn learning_rate(&self, contender: Contender) -> Result<f64, StudyError> {
        if let [rate] = *self.size.rates {
            return Ok(rate);
        }
        let middle = self.size.rungs[self.size.rungs.len() / 2];
        let mut best = (f64::INFINITY, self.size.rates[0]);
        for &rate in self.size.rates {
            let loss = match self.trained(contender, middle, 0, rate) {
                Ok(trained) => last_loss(&trained),
                // A rate at which training diverges is not chosen.
                Err(StudyError::Dictionary(collimate_sae::SaeError::Diverged { .. })) => f64::INFINITY,
                Err(error) => return Err(error),
            };
            if loss < best.0 {
                best = (loss, rate);
            }
        }
        Ok(best.1)
    }

    fn point(&self, contender: Contender, rung: usize, seed: u64, rate: f64) -> Result<Point, StudyError> {
        let sae = self.trained(contender, rung, seed, rate)?.model;
        let Material { held_out, .. } = self.material;
        if !self.size.spliced {
            return Ok(Point { losses: Vec::new(), documents: held_out.reconstruction(sae.dictionary())? });
        }
        let fidelity =
            held_out.fidelity(&self.setup.model, sae.dictionary(), &mut || !self.context.interrupted())?;
        Ok(Point { losses: fidelity.losses, documents: fidelity.evaluation.documents })
    }
}

/// Computes the mean training loss over the last fifth of the log.
fn last_loss(trained: &Trained<Sae<f32>>) -> f64 {
    let log = &trained.log;
    let last = &log[log.len() - log.len().div_ceil(5)..];
    last.iter().map(|entry| entry.losses.total).sum::<f64>() / last.len() as f64
}
