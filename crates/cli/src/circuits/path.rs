//! `collimate path`.

use super::given::{self, BATCH, Experiment, Float, PairOptions, Place, largest};
use super::tensors::Tensors;
use collimate_circuits::{EdgeNorm, Projection, direct_paths};
use collimate_transformer::Model;

/// The options of `collimate path`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate path some-folder --clean 0,3,5 --corrupt 0,3,9 --answer 7 --wrong 2
  collimate path some-folder --clean 0,3,5 --corrupt 0,3,9 --answer 7 --wrong 2 --into q,k,v --precision f64 --output out.safetensors

The output holds metric.clean, metric.corrupt and path.q, path.k and path.v [source layer, source head, target layer, target head], the
metric of the corrupt run with one path patched, 0 where there is none. Under grouped heads the targets of k and v are key heads.")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    pair: PairOptions,
    /// The projections that read.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "q")]
    into: Vec<Target>,
    /// The norm of the changed input.
    #[arg(long, value_enum, default_value = "recomputed")]
    norm: Norm,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Target {
    /// The queries.
    Q,
    /// The keys.
    K,
    /// The values.
    V,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Norm {
    /// The norm of the changed input: the exact intervention.
    Recomputed,
    /// The norm with the divisor of the corrupt run.
    Frozen,
}

/// Patches the direct path from each head to each later head.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    given::run(options)
}

impl Experiment for Options {
    fn place(&self) -> &Place {
        &self.place
    }

    fn compute<F: Float>(&self) -> anyhow::Result<Tensors> {
        let (pair, metric) = (self.pair.pair()?, self.pair.metric());
        let model: Model<F> = self.place.open()?;
        let (norm, said) = match self.norm {
            Norm::Recomputed => (EdgeNorm::Recomputed, "the norm of the changed input is computed again"),
            Norm::Frozen => (EdgeNorm::Frozen, "the norm keeps the divisor of the corrupt run"),
        };
        let mut out = Tensors::default();
        for (number, into) in self.into.iter().enumerate() {
            let (into, name) = match into {
                Target::Q => (Projection::Query, "q"),
                Target::K => (Projection::Key, "k"),
                Target::V => (Projection::Value, "v"),
            };
            let paths = direct_paths(&model, &pair, &metric, into, norm, BATCH)?;
            if number == 0 {
                println!("direct paths into the corrupt run, at all positions together; {said}");
                out = self.pair.report(paths.clean, paths.corrupt)?;
            }
            let all = paths.values.indexed_iter().filter(|((from, _, to, _), _)| from < to);
            println!("\ninto {name}: the largest changes");
            for ((from, head, to, reader), value) in largest(all, 5, |path| path.1 - paths.corrupt) {
                println!("  {from}.{head} -> {to}.{reader}  metric {value:.6}");
            }
            out.add(&format!("path.{name}"), &paths.values)?;
        }
        Ok(out)
    }
}
