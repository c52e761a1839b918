//! `cargo xtask bench`.

use crate::process::{cargo, cargo_command, output, run as run_command};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;

/// The number of rounds in which the two builds of the debug caller take turns.
const ROUNDS: usize = 7;

/// The largest ratio of debug to release that the project promises.
const PROMISED: f64 = 1.2;

/// Runs the criterion benchmarks, or the comparison of profiles.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        None => cargo(&["bench", "--package", "collimate-benches", "--benches"], &[] as &[&str]),
        Some((name, rest)) if name == "debug-caller" => debug_caller(rest),
        Some((name, rest)) if Path::new(&format!("benches/src/bin/{name}.rs")).is_file() => {
            cargo(&["run", "--release", "--package", "collimate-benches", "--bin", name, "--"], rest)
        }
        Some((name, rest)) => {
            let mut command = cargo_command();
            command.args(["bench", "--package", "collimate-benches", "--bench", name]);
            if !rest.is_empty() {
                command.arg("--").args(rest);
            }
            run_command(&mut command)
        }
    }
}

/// Runs the same calls from a caller at opt-level 0 and from one in release, in turns, and compares the medians of their
/// best times.
fn debug_caller(arguments: &[String]) -> Result<()> {
    // Our crates and the kernels are optimised in both; the caller and the generic code it instantiates are not.
    let profiles = [&["--quiet", "--profile", "caller"][..], &["--quiet", "--release"][..]];
    let mut times: [Vec<Value>; 2] = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        println!("round {} of {ROUNDS}", round + 1);
        for (profile, times) in profiles.iter().zip(&mut times) {
            let mut command = cargo_command();
            command.arg("run").args(*profile).args([
                "--package",
                "collimate-benches",
                "--bin",
                "debug_caller",
                "--",
            ]);
            let text = output(command.args(arguments))?;
            times.push(serde_json::from_str(&text).context("debug_caller did not print JSON")?);
        }
    }
    let names: Vec<String> =
        times[0][0].as_object().context("debug_caller printed no object")?.keys().cloned().collect();
    println!("\n{:<28} {:>12} {:>12} {:>7}", "call", "debug µs", "release µs", "ratio");
    let mut worst = 0.0_f64;
    for name in names {
        let [debug, release] =
            times.each_ref().map(|runs| median(runs.iter().filter_map(|run| run[&name].as_f64())));
        let ratio = debug / release;
        worst = worst.max(ratio);
        println!("{name:<28} {debug:>12.2} {release:>12.2} {ratio:>7.3}");
    }
    println!("largest ratio {worst:.3}; promised at most {PROMISED}");
    anyhow::ensure!(
        worst <= PROMISED,
        "a call from a debug crate is more than {PROMISED} times slower than in release"
    );
    Ok(())
}

/// Returns the middle value, or NaN if there is none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median([5.0, 1.0, 3.0].into_iter()), 3.0);
        assert!(median(std::iter::empty()).is_nan());
    }
}
