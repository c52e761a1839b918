//! The definition of the command line. Help, shell completions and manual pages are made from it.

use crate::circuits::{attribute, dla, lens, patch, path, trace};
use crate::session::Session;
use crate::{
    activations, claims, completions, data, generate, llc, lm, manual, model, replay, rlct, sae, study, tms,
};

/// Run research claims about what neural networks have learned, and the computations behind them.
#[derive(clap::Parser)]
#[command(
    name = "collimate",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  collimate claims --tier quick --no-real
  collimate rlct \"x^2*y^4 + x^4*y^2\"
  collimate llc reduced-rank 5 3 5
  collimate sae train --help"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) session: Session,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Run the registered claims, and write report.html, claims.json and claims.md.
    Claims(claims::Options),
    /// Download the language model into the cache folder, and with --full also the labelled corpus.
    Data(data::Options),
    /// Estimate the local learning coefficient of a built-in model, or judge the trace of another sampler.
    Llc(Box<llc::Options>),
    /// Compute how the losses of single tokens respond to a change of the data, from recorded losses.
    Susceptibilities(replay::SusceptibilitiesOptions),
    /// Compute Bayesian influence functions between rows and tokens, from recorded losses.
    Influence(replay::InfluenceOptions),
    /// Compute the exact learning coefficient (real log canonical threshold) of a polynomial or a model.
    Rlct(rlct::Options),
    /// Train and measure toy models of superposition, and draw their phase diagrams.
    Tms(tms::Options),
    /// Capture the activations of a model on a text, as shards on disk.
    Activations(activations::Options),
    /// Run a language model and its derivatives, list its hook points, and tokenize texts as it does.
    Model(model::Options),
    /// Train and measure language models.
    Lm(lm::Options),
    /// Continue a text with a language model.
    Generate(generate::Options),
    /// Train, evaluate, convert and inspect sparse autoencoders and transcoders.
    Sae(sae::Options),
    /// Train small models from the start, and follow what they learn.
    Study(study::Options),
    /// Put activations of one run into another, one at a time, and measure the change of a metric.
    Patch(patch::Options),
    /// Patch the direct path from each head to each later head.
    Path(path::Options),
    /// Estimate the effect of every node and edge by gradients times differences.
    Attribute(attribute::Options),
    /// Split a difference of two logits into the shares of the parts of the model.
    Dla(dla::Options),
    /// Read the residual stream of every layer through the head of the model.
    Lens(lens::Options),
    /// Compute the attribution graph of a prompt with transcoders, or change features.
    Trace(Box<trace::Options>),
    /// Print the completion script of a shell.
    Completions(completions::Options),
    /// Write a manual page for each command.
    Manual(manual::Options),
}

impl Command {
    /// Returns true if the command may compute for long.
    pub(crate) fn computes(&self) -> bool {
        match self {
            Self::Claims(options) => options.computes(),
            Self::Sae(options) => options.computes(),
            Self::Tms(options) => options.computes(),
            Self::Llc(_) | Self::Activations(_) | Self::Lm(_) | Self::Study(_) => true,
            Self::Patch(_) | Self::Path(_) | Self::Attribute(_) | Self::Trace(_) => true,
            Self::Data(_)
            | Self::Susceptibilities(_)
            | Self::Influence(_)
            | Self::Rlct(_)
            | Self::Model(_)
            | Self::Generate(_)
            | Self::Dla(_)
            | Self::Lens(_)
            | Self::Completions(_)
            | Self::Manual(_) => false,
        }
    }

    /// Returns true if the command prints JSON.
    pub(crate) fn prints_json(&self) -> bool {
        match self {
            Self::Claims(options) => options.prints_json(),
            Self::Llc(options) => options.prints_json(),
            Self::Sae(options) => options.prints_json(),
            Self::Study(options) => options.prints_json(),
            // Each step of a training is a line of JSON.
            Self::Lm(_) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::{ArgAction, Command, CommandFactory, Parser};

    /// Calls `visit` with every command and its full name.
    fn each(command: &Command, name: &str, visit: &mut impl FnMut(&Command, &str)) {
        visit(command, name);
        for inner in command.get_subcommands() {
            each(inner, &format!("{name} {}", inner.get_name()), visit);
        }
    }

    fn each_command(mut visit: impl FnMut(&Command, &str)) {
        each(&Arguments::command(), "collimate", &mut visit);
    }

    /// Splits a line of a shell into words; double quotes join words.
    fn words(line: &str) -> Vec<String> {
        let outside_quotes = |(number, part): (usize, &str)| match number % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
            _ => vec![part.to_owned()],
        };
        line.split('"').enumerate().flat_map(outside_quotes).collect()
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_examples_that_parse() {
        each_command(|command, name| {
            let about =
                command.get_about().unwrap_or_else(|| panic!("{name} has no description")).to_string();
            assert!(!about.is_empty(), "{name}");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let (_, examples) =
                help.split_once("Examples:\n").unwrap_or_else(|| panic!("{name}: no examples"));
            let lines: Vec<&str> = examples.lines().filter(|line| line.contains("collimate")).collect();
            assert!(!lines.is_empty(), "{name}");
            for line in lines {
                assert!(
                    line.starts_with(&format!("  {name} ")) || line == format!("  {name}"),
                    "{name}: {line}"
                );
                let words = words(line.split(" > ").next().expect("a command"));
                if let Err(error) = Arguments::try_parse_from(&words) {
                    assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp, "{line}: {error}");
                }
            }
        });
    }

    #[test]
    fn every_argument_and_every_possible_value_is_described() {
        each_command(|command, name| {
            for argument in command.get_arguments() {
                let id = argument.get_id();
                let help =
                    argument.get_help().unwrap_or_else(|| panic!("{name}: {id} has no help")).to_string();
                assert!(!help.is_empty(), "{name}: {id}");
                if matches!(argument.get_action(), ArgAction::Set | ArgAction::Append) {
                    for value in argument.get_possible_values() {
                        assert!(
                            value.get_help().is_some(),
                            "{name}: {id}: {} is not described",
                            value.get_name()
                        );
                    }
                }
            }
        });
    }

    include!("../tests/it/places.rs");

    #[test]
    fn every_option_that_takes_a_path_is_listed_as_an_input_or_as_an_output() {
        let mut found: Vec<(String, String)> = Vec::new();
        each_command(|command, name| {
            for argument in command.get_arguments() {
                let parser = argument.get_value_parser().type_id();
                if parser == std::any::TypeId::of::<std::path::PathBuf>() {
                    let command = name.trim_start_matches("collimate").trim_start().to_owned();
                    let id = argument.get_id().as_str();
                    let option = argument.get_long().map_or(format!("-{id}"), str::to_owned);
                    found.push((command, option));
                }
            }
        });
        found.sort();
        let mut listed: Vec<(String, String)> = INPUTS
            .iter()
            .chain(OUTPUTS)
            .map(|(command, option)| ((*command).to_owned(), (*option).to_owned()))
            .collect();
        listed.sort();
        assert_eq!(found, listed, "tests/it/places.rs lists the options that take a path");
    }

    #[test]
    fn an_option_has_one_name_everywhere() {
        let synonyms: &[(&str, &[&str])] = &[
            ("--output", &["out", "output-dir", "dir", "to-file"]),
            ("--seed", &["null-seed", "random-seed", "rng"]),
            ("--threads", &["jobs", "n-threads", "cores"]),
            ("--quiet", &["silent", "no-progress"]),
            ("--force", &["overwrite", "replace", "clobber"]),
            ("--model", &["gguf", "model-file"]),
            ("--json", &["json-lines", "as-json"]),
        ];
        each_command(|command, name| {
            for long in command.get_arguments().filter_map(|argument| argument.get_long()) {
                for (ours, others) in synonyms {
                    assert!(!others.contains(&long), "{name} --{long}: its name is {ours}");
                }
            }
        });
        let mut root = Arguments::command();
        root.build();
        each(&root, "collimate", &mut |command, name| {
            for global in ["threads", "quiet"] {
                let found = command.get_arguments().any(|argument| argument.get_long() == Some(global));
                assert!(found || name.contains(" help"), "{name} takes no --{global}");
            }
        });
    }
}
