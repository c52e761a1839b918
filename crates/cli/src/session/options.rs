//! The options that every command takes.

use anyhow::Context;
use clap::builder::RangedU64ValueParser;

/// The heading of these options in the help of a command.
const HEADING: &str = "Options of every command";

/// The options that every command takes.
#[derive(clap::Args)]
pub(crate) struct Session {
    /// The number of threads; all cores by default. No result depends on it.
    #[arg(long, global = true, help_heading = HEADING, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=4096))]
    pub(crate) threads: Option<usize>,
    /// Show no progress. Results, notes and errors are still printed.
    #[arg(long, global = true, help_heading = HEADING)]
    pub(crate) quiet: bool,
}

impl Session {
    /// Starts the pool of threads on which everything runs. Call it before any computation.
    pub(crate) fn start_threads(&self) -> anyhow::Result<()> {
        self.threads.map_or(Ok(()), |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build_global()
                .with_context(|| format!("cannot start {threads} threads; try a smaller --threads"))
        })
    }
}
