//! `collimate dla`.

use super::given::{self, Experiment, Float, Place, largest};
use super::tensors::Tensors;
use collimate_circuits::{ValueBiases, direct_attribution};
use collimate_transformer::Model;
use ndarray::Array2;

/// The options of `collimate dla`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate dla some-folder --ids 0,3,5 --answer 7 --wrong 2
  collimate dla some-folder --ids 0,3,5 --answer 7 --wrong 2 --precision f64 --output out.safetensors

The output holds dla.component (embedding, positions where they are learned, then attention and MLP of each layer), dla.layer (each residual
stream, cumulative), dla.head (the heads by layer, then the rest), each [n, 1], and dla.constant.")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// The token ids of the prompt.
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    ids: Vec<u32>,
    /// The id of the right token.
    #[arg(long, value_name = "ID")]
    answer: u32,
    /// The id of the wrong token.
    #[arg(long, value_name = "ID")]
    wrong: u32,
    /// The part that the biases of the values are credited to.
    #[arg(long, value_enum, default_value = "output-bias")]
    value_biases: Credited,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Credited {
    /// The bias of the output, as in a model whose weights are folded.
    OutputBias,
    /// The heads.
    Heads,
}

/// Computes the shares of the parts of a model in a difference of logits.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    given::run(options)
}

impl Experiment for Options {
    fn place(&self) -> &Place {
        &self.place
    }

    fn compute<F: Float>(&self) -> anyhow::Result<Tensors> {
        let model: Model<F> = self.place.open()?;
        let (biases, said) = match self.value_biases {
            Credited::OutputBias => (ValueBiases::OutputBias, "the bias of the output"),
            Credited::Heads => (ValueBiases::Heads, "the heads"),
        };
        let &Options { answer, wrong, .. } = self;
        let direct = direct_attribution(&model, &self.ids, answer, wrong, biases)?;
        println!("logit[{answer}] - logit[{wrong}] at the last position: {:.6}", direct.difference);
        println!("the divisor of the final norm is held; biases of values count for {said}\n");
        for (name, share) in &direct.components {
            println!("  {name:<14} {share:>12.6}");
        }
        println!("  {:<14} {:>12.6}\n", "constant", direct.constant);
        for ((layer, head), share) in largest(direct.heads.indexed_iter(), 10, |head| *head.1) {
            println!("  head {:<9} {share:>12.6}", format!("{layer}.{head}"));
        }
        let column = |values: Vec<f64>| Array2::from_shape_fn((values.len(), 1), |(row, _)| values[row]);
        let mut out = Tensors::default();
        out.add("dla.component", &column(direct.components.iter().map(|(_, share)| *share).collect()))?;
        out.add("dla.layer", &column(direct.streams.iter().map(|(_, share)| *share).collect()))?;
        out.add("dla.head", &column(direct.heads.iter().copied().chain([direct.remainder]).collect()))?;
        out.add_list("dla.constant", &[direct.constant])?;
        Ok(out)
    }
}
