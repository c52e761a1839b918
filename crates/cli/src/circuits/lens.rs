//! `collimate lens`.

use super::given::{self, Experiment, Float, Place};
use super::tensors::Tensors;
use anyhow::bail;
use collimate_circuits::logit_lens;
use collimate_transformer::Model;

/// The options of `collimate lens`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate lens some-folder --ids 0,3,5
  collimate lens some-folder --ids 0,3,5 --answer 7 --wrong 2 --precision f64 --output out.safetensors

The output holds logit_lens [entry, position, word]: the input of each layer, the residual stream between its attention and its MLP, and
last the output of the last layer.")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// The token ids of the prompt.
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    ids: Vec<u32>,
    /// Print the logit of this token at each entry.
    #[arg(long, value_name = "ID", requires = "wrong")]
    answer: Option<u32>,
    /// Subtract the logit of this token.
    #[arg(long, value_name = "ID", requires = "answer")]
    wrong: Option<u32>,
}

/// Reads each residual stream through the head.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    given::run(options)
}

impl Experiment for Options {
    fn place(&self) -> &Place {
        &self.place
    }

    fn compute<F: Float>(&self) -> anyhow::Result<Tensors> {
        let model: Model<F> = self.place.open()?;
        let vocabulary = model.description().vocabulary;
        if let Some(id) = self.answer.into_iter().chain(self.wrong).find(|&id| id as usize >= vocabulary) {
            bail!(
                "the token {id} is not in the vocabulary of {vocabulary}; give the id of a token of this model"
            );
        }
        let lens = logit_lens(&model, &self.ids)?;
        println!("logit lens at the last position; the norm is computed again for each residual stream");
        for (number, entry) in lens.entries.iter().enumerate() {
            let row = lens.logits.slice(ndarray::s![number, self.ids.len() - 1, ..]);
            let best = row
                .iter()
                .enumerate()
                .fold(0, |best, (id, logit)| if *logit > row[best] { id } else { best });
            let difference = match (self.answer, self.wrong) {
                (Some(answer), Some(wrong)) => {
                    format!(
                        "  logit[{answer}] - logit[{wrong}] = {:.6}",
                        row[answer as usize] - row[wrong as usize]
                    )
                }
                _ => String::new(),
            };
            println!("  {:<12} token {best} ({:.4}){difference}", entry.name(), row[best]);
        }
        let mut out = Tensors::default();
        out.add("logit_lens", &lens.logits)?;
        Ok(out)
    }
}
