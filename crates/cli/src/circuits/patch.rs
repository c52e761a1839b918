//! `collimate patch`.

use super::given::{self, BATCH, Experiment, Float, PairOptions, Place, largest};
use super::tensors::Tensors;
use anyhow::bail;
use collimate_circuits::{Direction, Patched, Sweep, patch};
use collimate_transformer::Model;

/// The options of `collimate patch`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate patch some-folder --clean 0,3,5 --corrupt 0,3,9 --answer 7 --wrong 2
  collimate patch some-folder --clean 0,3,5 --corrupt 0,3,9 --answer 7 --wrong 2 --sweep all --output out.safetensors
  collimate patch model.gguf --clean 0,3,5 --corrupt 0,3,9 --answer 7 --wrong 2 --sweep attn_head_out_all_pos --direction noising

The output holds metric.clean, metric.corrupt and patch.NAME for each sweep: resid_pre, resid_mid, attn_out and mlp_out [layer, position];
attn_head_out, attn_head_q, attn_head_k and attn_head_v _all_pos [layer, head] and _by_pos [layer, position, head];
attn_head_pattern_all_pos [layer, head], _by_pos [layer, head, query] and _dest_src_pos [layer, head, query, key].")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    pair: PairOptions,
    /// The sweeps: `all`, or names as the output has them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "resid_pre")]
    sweep: Vec<String>,
    /// The run that is changed.
    #[arg(long, value_enum, default_value = "denoising")]
    direction: Which,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Which {
    /// The corrupt run gets values of the clean run.
    Denoising,
    /// The clean run gets values of the corrupt run.
    Noising,
}

/// Patches the activations of one run into the other.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    given::run(options)
}

impl Experiment for Options {
    fn place(&self) -> &Place {
        &self.place
    }

    fn compute<F: Float>(&self) -> anyhow::Result<Tensors> {
        let (pair, metric) = (self.pair.pair()?, self.pair.metric());
        let chosen = sweeps(&self.sweep)?;
        let model: Model<F> = self.place.open()?;
        let direction = match self.direction {
            Which::Denoising => Direction::Denoising,
            Which::Noising => Direction::Noising,
        };
        let mut out = Tensors::default();
        for (number, (name, sweep)) in chosen.into_iter().enumerate() {
            let patched = patch(&model, &pair, direction, sweep, &metric, BATCH)?;
            if number == 0 {
                match direction {
                    Direction::Denoising => {
                        println!("denoising: the corrupt run gets values of the clean run")
                    }
                    Direction::Noising => println!("noising: the clean run gets values of the corrupt run"),
                }
                out = self.pair.report(patched.clean, patched.corrupt)?;
            }
            print(name, &patched);
            out.add(&format!("patch.{name}"), &patched.values)?;
        }
        Ok(out)
    }
}

/// Returns the sweeps with the given names.
fn sweeps(names: &[String]) -> anyhow::Result<Vec<(&'static str, Sweep)>> {
    let known = Sweep::named();
    if names.iter().any(|name| name == "all") {
        return Ok(known);
    }
    let find = |name: &String| match known.iter().find(|(other, _)| other == name) {
        Some(found) => Ok(*found),
        None => {
            let all: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            bail!("--sweep: there is no sweep '{name}'; expected all, {}", all.join(", "))
        }
    };
    names.iter().map(find).collect()
}

/// Prints the places that change the metric most.
fn print(name: &str, patched: &Patched) {
    let base = match patched.direction {
        Direction::Denoising => patched.corrupt,
        Direction::Noising => patched.clean,
    };
    let cells = patched
        .values
        .indexed_iter()
        .map(|(cell, value)| (ndarray::Dimension::slice(&cell).to_vec(), *value));
    println!("\n{name} [{}]: the largest changes", patched.sweep.axes.names().join(", "));
    let shares = patched.shares().ok();
    for (cell, value) in largest(cells, 5, |(_, value)| value - base) {
        match &shares {
            Some(shares) => println!("  {cell:?}  metric {value:.6}  share {:.4}", shares[&cell[..]]),
            None => println!("  {cell:?}  metric {value:.6}"),
        }
    }
}
