//! `cargo xtask ci`.

use crate::features;
use crate::process::{self, cargo, cargo_command, run as run_command, target_folder};
use crate::test::{self, Count, SELECTION};
use crate::tidy;
use anyhow::{Result, bail};
use std::process::Command;
use std::time::{Duration, Instant};

/// The finished steps, with their times.
struct Steps {
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Runs one step. If it fails, the table of all steps so far is printed and the error names the step.
    fn step<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n=== {name}");
        let started = Instant::now();
        let result = work();
        self.done.push((name, started.elapsed()));
        result.map_err(|error| {
            self.table(Some(name));
            error.context(format!("ci stopped at the step {name:?}"))
        })
    }

    /// Prints the times.
    fn table(&self, failed: Option<&str>) {
        println!("\n{:<28} {:>8}", "step", "seconds");
        for (name, time) in &self.done {
            let mark = if failed == Some(*name) { "  FAILED" } else { "" };
            println!("{name:<28} {:>8.1}{mark}", time.as_secs_f64());
        }
        let total: Duration = self.done.iter().map(|(_, time)| *time).sum();
        println!("{:<28} {:>8.1}", "total", total.as_secs_f64());
    }
}

/// Runs everything that must hold before a change lands.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some(unknown) = arguments.first() {
        bail!("ci takes no argument {unknown:?}");
    }
    let none: [&str; 0] = [];
    let nextest = test::has_nextest();
    let binary = target_folder()?.join("debug").join("collimate");
    let mut steps = Steps { done: Vec::new() };
    steps.step("format", || cargo(&["fmt", "--all", "--check"], &none))?;
    steps.step("lock file is current", || process::metadata(&["--locked"]).map(|_| ()))?;
    steps.step("clippy", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"], &none)
    })?;
    steps.step("build tests", || test::build(nextest))?;
    // The build of the tests includes the binary, which lists the claims.
    steps.step("tidy", || tidy::check(Some(&binary)))?;
    let count: Count = steps.step("test", || test::run(&test::Options::default()))?;
    steps.step("features", || features::check(&[]))?;
    steps.step("documentation", || {
        let mut command = cargo_command();
        command.args(["doc", "--no-deps", "--quiet"]).args(SELECTION).env("RUSTDOCFLAGS", "--deny warnings");
        run_command(&mut command)
    })?;
    steps.step("quick claims", || run_command(Command::new(&binary).args(["claims", "--tier", "quick"])))?;
    steps.table(None);
    println!("\ntests: {} passed, {} failed", count.passed, count.failed);
    Ok(())
}
