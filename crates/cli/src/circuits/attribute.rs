//! `collimate attribute`.

use super::edges;
use super::given::{self, BATCH, Experiment, Float, PairOptions, Place, largest};
use super::tensors::Tensors;
use collimate_circuits::{Linearisation, Quadrature, Sign, attribute_edges, attribute_nodes};
use collimate_transformer::Model;

/// The options of `collimate attribute`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate attribute some-folder --clean 0,3,5 --corrupt 0,3,9 --answer 7 --wrong 2
  collimate attribute some-folder --clean 0,3,5 --corrupt 0,3,9 --answer 7 --wrong 2 --integrate mid:5 --output out.safetensors
  collimate attribute model.gguf --clean 0,3,5 --corrupt 0,3,9 --answer 7 --wrong 2 --gradient clean --sign corrupt-minus-clean

The output holds attribution.nodes (the embedding by position, then by layer and position the heads and the MLP), attribution.edge_index
(writer, reader), attribution.edge_scores and attribution.writer_sums [position and writer]; with --integrate RULE:M also eap_ig.RULE.M.")]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    pair: PairOptions,
    /// The run at which the gradient is taken.
    #[arg(long, value_enum, default_value = "corrupt", conflicts_with = "integrate")]
    gradient: At,
    /// Average the gradient over runs between the corrupt and the clean one: right:M, left:M or mid:M with M points.
    #[arg(long, value_name = "RULE:M", value_parser = integration)]
    integrate: Option<(Rule, usize)>,
    /// The difference that the gradient is multiplied with.
    #[arg(long, value_enum, default_value = "clean-minus-corrupt")]
    sign: Which,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum At {
    /// The corrupt run.
    Corrupt,
    /// The clean run.
    Clean,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Which {
    /// The change of the metric when clean values are put into the corrupt run.
    CleanMinusCorrupt,
    /// The change of the metric when corrupt values are put into the clean run.
    CorruptMinusClean,
}

#[derive(Clone, Copy)]
struct Rule(Quadrature, &'static str);

fn integration(text: &str) -> Result<(Rule, usize), String> {
    let (rule, points) =
        text.split_once(':').ok_or("expected a rule and a number of points, such as mid:5")?;
    let rule = match rule {
        "right" => Rule(Quadrature::Right, "right"),
        "left" => Rule(Quadrature::Left, "left"),
        "mid" => Rule(Quadrature::Midpoint, "mid"),
        _ => return Err(format!("unknown rule '{rule}'; expected right, left or mid")),
    };
    match points.parse() {
        Ok(points) if points > 0 => Ok((rule, points)),
        _ => Err(format!("'{points}' is no number of points; expected at least 1")),
    }
}

/// Computes the attributions of nodes and edges.
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
        let (sign, difference) = match self.sign {
            Which::CleanMinusCorrupt => (Sign::CleanMinusCorrupt, "clean minus corrupt"),
            Which::CorruptMinusClean => (Sign::CorruptMinusClean, "corrupt minus clean"),
        };
        let (at, said) = match (self.integrate, self.gradient) {
            (Some((Rule(rule, name), points)), _) => {
                let said = format!("averaged over {points} runs between corrupt and clean ({name})");
                (Linearisation::Integrated { rule, points }, said)
            }
            (None, At::Corrupt) => (Linearisation::AtCorrupt, "in the corrupt run".to_owned()),
            (None, At::Clean) => (Linearisation::AtClean, "in the clean run".to_owned()),
        };
        let nodes = attribute_nodes(&model, &pair, &metric, at, sign, BATCH)?;
        let edges = attribute_edges(&model, &pair, &metric, at, sign, BATCH)?;
        println!("({difference}) times the gradient {said}; edges end before the norm of their reader");
        let mut out = self.pair.report(nodes.clean, nodes.corrupt)?;
        let scores: Vec<f64> = edges.edges().map(|(.., score)| score).collect();
        println!("\nthe strongest of {} edges", scores.len());
        for (position, writer, reader, score) in largest(edges.edges(), 10, |edge| edge.3) {
            let (writer, reader) = (&edges.writers[writer], &edges.readers[reader]);
            println!("  position {position}: {writer:?} -> {reader:?}  {score:.6}");
        }
        out.add_list("attribution.nodes", &edges::nodes(&nodes))?;
        out.add_whole("attribution.edge_index", edges::index(&edges), Some(2))?;
        let sums: Vec<f64> = edges.writer_sums().iter().copied().collect();
        out.add_list("attribution.writer_sums", &sums)?;
        if let Some((Rule(_, name), points)) = self.integrate {
            out.add_list(&format!("eap_ig.{name}.{points}"), &scores)?;
        }
        out.add_list("attribution.edge_scores", &scores)?;
        Ok(out)
    }
}
