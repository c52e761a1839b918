//! The options of `collimate claims`.

use collimate_claims::Tier;
use std::path::PathBuf;

/// The options of `collimate claims`.
#[derive(clap::Args)]
#[command(after_help = "\
Exit status: 0 if every theorem was upheld, every counterexample was found and no verdict differs from the recorded one;
1 otherwise; 2 if a requested claim could not run; 130 after an interruption.

Examples:
  collimate claims
  collimate claims --tier quick --no-real
  collimate claims attention/ \"sae/*gated*\" --seed 7
  collimate claims --model some-folder --tier quick
  collimate claims --list --json
  collimate claims --tier quick --json=report.json")]
pub(crate) struct Options {
    /// Run only the claims whose id contains one of these texts, or matches it if it has `*` or `?`.
    #[arg(value_name = "ID")]
    pub(super) filters: Vec<String>,
    /// The amount of work.
    #[arg(long, value_enum, default_value = "standard")]
    pub(super) tier: TierName,
    /// The seed of the run; by default the seed under which the verdicts were recorded.
    #[arg(long, value_name = "N", conflicts_with = "fresh")]
    pub(super) seed: Option<u64>,
    /// Choose a new seed, which the report names.
    #[arg(long)]
    pub(super) fresh: bool,
    /// Leave out the claims that need the real language model or downloaded text.
    #[arg(long)]
    pub(super) no_real: bool,
    /// Run the claims about a real language model, and no others, on this model: a folder with config.json, weights and tokenizer.json,
    /// or a GGUF file. The verdicts are shown beside those recorded for SmolLM2 and are not compared with them.
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["no_real", "bless", "list"])]
    pub(super) model: Option<PathBuf>,
    /// Also download the labelled corpus (2.9 MB; may be restricted to non-commercial use) for the claims that need it.
    #[arg(long, conflicts_with = "no_real")]
    pub(super) full: bool,
    /// Print the registered claims and run nothing; with --json as JSON.
    #[arg(long)]
    pub(super) list: bool,
    /// Print the report as JSON too, or with `--json=PATH` write it to a file. Without the equals sign, the next word is an ID.
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "-", require_equals = true)]
    pub(super) json: Option<PathBuf>,
    /// The folder for the reports. Earlier reports are replaced. By default `target/claims` in a checkout of Collimate, and
    /// `collimate-claims` in the current folder elsewhere.
    #[arg(long, alias = "out", value_name = "FOLDER")]
    pub(super) output: Option<PathBuf>,
    /// The file of recorded verdicts; by default `claims.lock` in the checkout, or in the current folder elsewhere.
    #[arg(long, value_name = "FILE")]
    pub(super) lock: Option<PathBuf>,
    /// Do not compare with recorded verdicts.
    #[arg(long, conflicts_with = "bless")]
    pub(super) no_lock: bool,
    /// Record the verdicts of this run.
    #[arg(long)]
    pub(super) bless: bool,
    /// The reason why a recorded verdict of an empirical claim changes; it is kept with the verdict.
    #[arg(long, value_name = "TEXT", requires = "bless")]
    pub(super) explanation: Option<String>,
}

impl Options {
    /// Returns true if claims are run.
    pub(crate) fn computes(&self) -> bool {
        !self.list
    }

    /// Returns true if JSON is printed.
    pub(crate) fn prints_json(&self) -> bool {
        self.json.as_ref().is_some_and(|path| path.as_os_str() == "-")
    }
}

/// The amounts of work.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum TierName {
    /// About a minute.
    Quick,
    /// About ten minutes.
    Standard,
    /// Hours: the full protocols.
    Nightly,
}

impl From<TierName> for Tier {
    fn from(name: TierName) -> Self {
        match name {
            TierName::Quick => Self::Quick,
            TierName::Standard => Self::Standard,
            TierName::Nightly => Self::Nightly,
        }
    }
}
