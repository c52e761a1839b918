//! `collimate trace intervene`.

use super::source::Source;
use crate::circuits::given::{Experiment, Float, Place, largest};
use crate::circuits::tensors::Tensors;
use collimate_circuits::{Held, Setting, intervene};
use std::path::Path;

/// The options of `collimate trace intervene`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate trace intervene some-folder --transcoders dictionaries --ids 0,5,3 --set 1:2:40=0 --mode frozen
  collimate trace intervene some-folder --transcoders dictionaries --ids 0,5,3 --set 0:1:7=2.5 --set 1:2:40=0 --mode free --output out.safetensors

The output holds logits [position, word] and pre_activations [layer, position, latent].")]
pub(super) struct InterveneOptions {
    #[command(flatten)]
    source: Source,
    /// A feature with its new activation.
    #[arg(long, value_name = "LAYER:POSITION:FEATURE=VALUE", value_parser = setting, required = true)]
    set: Vec<Setting>,
    /// The part of the run that is held at its value without intervention.
    #[arg(long, value_enum)]
    mode: Mode,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Mode {
    /// Hold patterns, divisors of norms and outputs of MLPs: the effects of the graph.
    Frozen,
    /// Hold the patterns.
    Patterns,
    /// Hold nothing.
    Free,
}

fn setting(text: &str) -> Result<Setting, String> {
    let wrong = || format!("'{text}' is no setting; expected LAYER:POSITION:FEATURE=VALUE, such as 1:2:40=0");
    let (place, value) = text.split_once('=').ok_or_else(wrong)?;
    let numbers: Vec<usize> =
        place.split(':').map(|part| part.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
    let &[layer, position, latent] = &numbers[..] else { return Err(wrong()) };
    Ok(Setting { layer, position, latent, value: value.parse().map_err(|_| wrong())? })
}

impl Experiment for InterveneOptions {
    fn place(&self) -> &Place {
        &self.source.place
    }

    fn inputs(&self) -> Vec<&Path> {
        self.source.inputs()
    }

    fn compute<F: Float>(&self) -> anyhow::Result<Tensors> {
        let source = &self.source;
        let (model, transcoders) = source.open::<F>()?;
        let (held, said) = match self.mode {
            Mode::Frozen => {
                (Held::Everything, "attention patterns, the divisors of all norms and the outputs of MLPs")
            }
            Mode::Patterns => (Held::Patterns, "attention patterns"),
            Mode::Free => (Held::Nothing, "nothing"),
        };
        let done = intervene(&model, &transcoders, &source.ids, &self.set, held, source.first())?;
        let before = intervene(&model, &transcoders, &source.ids, &[], Held::Nothing, source.first())?;
        println!("held: {said}");
        let last = source.ids.len() - 1;
        let change = |&token: &usize| done.logits[[last, token]] - before.logits[[last, token]];
        println!("the logits at the last position that change most");
        for token in largest(0..done.logits.ncols(), 5, change) {
            let (from, to) = (before.logits[[last, token]], done.logits[[last, token]]);
            println!("  token {token}: {from:.6} -> {to:.6}");
        }
        let mut out = Tensors::default();
        out.add("logits", &done.logits)?;
        out.add("pre_activations", &done.pre_activations)?;
        Ok(out)
    }
}
