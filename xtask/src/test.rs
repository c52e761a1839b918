//! `cargo xtask test`.

use crate::process::{cargo_command, colour, target_folder, tee};
use anyhow::{Result, bail};
use std::process::{Command, Stdio};

/// The members that take part in tests. Benchmarks are built only by `cargo xtask bench`. Every step uses this selection, so
/// that cargo unifies features in one way and compiles nothing twice.
pub(crate) const SELECTION: [&str; 3] = ["--workspace", "--exclude", "collimate-benches"];

/// The name of the modules that hold long tests.
const SLOW: &str = "slow::";

/// The modules that hold kernels and their tests.
const KERNELS: &str = "kernels::";

/// The levels of the CPU below the best one, at which the kernels are tested again. A machine runs only one of its own accord.
const LOWER_LEVELS: [&str; 2] = ["avx2", "portable"];

/// The options of the command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    slow: bool,
    no_real: bool,
    no_nextest: bool,
    no_data: bool,
    filters: Vec<String>,
}

/// The numbers of tests that passed and that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Options {
    /// Reads the arguments.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self::default();
        for argument in arguments {
            match argument.as_str() {
                "--slow" => options.slow = true,
                "--no-real" => options.no_real = true,
                "--no-nextest" => options.no_nextest = true,
                "--no-data" => options.no_data = true,
                other if other.starts_with('-') => bail!(
                    "unknown option {other}; `test` takes --slow, --no-real, --no-nextest, --no-data and filters"
                ),
                filter => options.filters.push(filter.to_owned()),
            }
        }
        Ok(options)
    }
}

/// Builds, fetches the model, runs the tests and the documentation tests.
fn run_all(options: &Options) -> Result<Count> {
    let nextest = !options.no_nextest && has_nextest();
    build(nextest)?;
    fetch_data(options)?;
    let mut count = unit_and_integration(options, nextest)?;
    if options.filters.is_empty() {
        for level in LOWER_LEVELS {
            count = count.plus(kernels(options, nextest, level)?);
        }
        if options.slow {
            count = count.plus(costly_features(options, nextest)?);
        }
        count = count.plus(documentation(options)?);
    }
    Ok(count)
}

/// Does what [`run_all`] does and prints the counts.
pub(crate) fn run(options: &Options) -> Result<Count> {
    let count = run_all(options)?;
    println!("\ntests: {} passed, {} failed", count.passed, count.failed);
    Ok(count)
}

/// Builds the test binaries, and with them the binary `collimate`.
pub(crate) fn build(nextest: bool) -> Result<()> {
    let mut command = cargo_command();
    match nextest {
        true => command.args(["nextest", "run", "--no-run"]).args(SELECTION),
        false => command.args(["test", "--no-run", "--lib", "--bins", "--tests"]).args(SELECTION),
    };
    crate::process::run(&mut command)
}

/// Returns true if nextest is installed.
pub(crate) fn has_nextest() -> bool {
    let asked =
        cargo_command().args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Fetches the two models, which the tests on real models need.
fn fetch_data(options: &Options) -> Result<()> {
    if options.no_real {
        println!("xtask: --no-real: the tests on the real language model are left out");
        return Ok(());
    }
    if options.no_data {
        return Ok(());
    }
    let binary = target_folder()?.join("debug").join("collimate");
    if crate::process::run(Command::new(binary).args(["data", "--encoder"])).is_err() {
        bail!(
            "the tests on real models need the two models, and they could not be fetched (see above); \
             `cargo xtask test --no-real` runs all the other tests"
        );
    }
    Ok(())
}

/// Runs the unit tests and the integration tests.
fn unit_and_integration(options: &Options, nextest: bool) -> Result<Count> {
    let mut command = cargo_command();
    if nextest {
        command.args(["nextest", "run", colour(), "--no-fail-fast"]).args(SELECTION);
        if !options.slow {
            command.args(["-E", &format!("not test({SLOW})")]);
        }
        command.args(&options.filters);
    } else {
        command.args(["test", colour(), "--no-fail-fast", "--lib", "--bins", "--tests"]).args(SELECTION);
        command.arg("--").args(&options.filters);
        if !options.slow {
            command.args(["--skip", SLOW]);
        }
    }
    counted(&mut command, options)
}

/// Runs the tests of the kernels again at a lower level of the CPU. A level that the machine does not have is not used.
fn kernels(options: &Options, nextest: bool, level: &str) -> Result<Count> {
    println!("\nxtask: the kernels at the level {level}");
    counted(&mut kernels_command(nextest, level), options)
}

/// Returns the command that runs the tests of the kernels, and no other, at a level of the CPU.
fn kernels_command(nextest: bool, level: &str) -> Command {
    let mut command = cargo_command();
    match nextest {
        true => {
            command.args(["nextest", "run", colour(), "--no-fail-fast"]).args(SELECTION);
            command.args(["-E", &format!("test({KERNELS}) and not test({SLOW})")])
        }
        false => {
            command.args(["test", colour(), "--no-fail-fast", "--lib", "--bins", "--tests"]).args(SELECTION);
            command.args(["--", KERNELS, "--skip", SLOW])
        }
    };
    command.env("COLLIMATE_CPU", level);
    command
}

/// The tests of features that no other command builds, because their linear algebra takes long to compile: the package, the
/// feature and the module of its tests.
const COSTLY: [[&str; 3]; 2] =
    [["collimate-slt", "nuts", "nuts::"], ["collimate-attention", "decompositions", "decompositions::"]];

/// Compares our samplers with nuts-rs, and runs the other tests of costly features.
fn costly_features(options: &Options, nextest: bool) -> Result<Count> {
    let mut count = Count::default();
    for [package, features, module] in COSTLY {
        let mut command = cargo_command();
        match nextest {
            true => command.args(["nextest", "run", colour()]),
            false => command.args(["test", colour(), "--test", "it"]),
        };
        let command = command.args(["--package", package, "--features", features, module]);
        count = count.plus(counted(command, options)?);
    }
    Ok(count)
}

fn documentation(options: &Options) -> Result<Count> {
    counted(cargo_command().args(["test", colour(), "--no-fail-fast", "--doc"]).args(SELECTION), options)
}

fn counted(command: &mut Command, options: &Options) -> Result<Count> {
    if options.no_real {
        command.env("COLLIMATE_NO_REAL", "1");
    }
    // Every run draws the same inputs. Another seed in this variable draws other inputs.
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        command.env("PROPTEST_RNG_SEED", "0");
    }
    let (status, text) = tee(command)?;
    let count = count(&text);
    if !status.success() {
        bail!(
            "{} ended with {status}: {} passed, {} failed",
            crate::process::line(command),
            count.passed,
            count.failed
        );
    }
    if count.passed == 0 && options.filters.is_empty() {
        bail!("{} ran no test", crate::process::line(command));
    }
    Ok(count)
}

impl Count {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

/// Adds the counts in the closing lines of nextest and of `cargo test`.
fn count(text: &str) -> Count {
    let mut total = Count::default();
    for line in text.lines() {
        let line = without_colour(line);
        if line.contains("test result:") || line.trim_start().starts_with("Summary [") {
            let words: Vec<&str> = line.split_whitespace().collect();
            for pair in words.windows(2) {
                let number = || pair[0].parse().unwrap_or(0);
                match pair[1].trim_end_matches([',', ';']) {
                    "passed" => total.passed += number(),
                    "failed" => total.failed += number(),
                    _ => {}
                }
            }
        }
    }
    total
}

/// Removes the escape sequences that colour text.
fn without_colour(line: &str) -> String {
    let mut plain = String::new();
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            // A sequence ends with a letter.
            letters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up() {
        let text = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured\n\
                    test result: \u{1b}[31mFAILED\u{1b}[0m. 2 passed; 1 failed; 0 ignored\n\
                    \u{1b}[32;1m     Summary\u{1b}[0m [   0.885s] 17 tests run: 17 \u{1b}[32;1mpassed\u{1b}[0m, 2 skipped\n\
                    the 40 passed here do not count";
        assert_eq!(count(text), Count { passed: 22, failed: 1 });
    }

    #[test]
    fn kernels_are_tested_again_at_every_level_below_the_best_one() {
        for (nextest, chosen) in [
            (true, "--workspace --exclude collimate-benches -E test(kernels::) and not test(slow::)"),
            (
                false,
                "--lib --bins --tests --workspace --exclude collimate-benches -- kernels:: --skip slow::",
            ),
        ] {
            for level in LOWER_LEVELS {
                let command = kernels_command(nextest, level);
                let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
                let line = words.join(" ");
                assert!(line.ends_with(chosen), "{line}");
                let set = command.get_envs().find(|(name, _)| *name == "COLLIMATE_CPU").unwrap().1;
                assert_eq!(set, Some(std::ffi::OsStr::new(level)));
            }
        }
        // The names of all levels, the best one first.
        let source = include_str!("../../crates/tensor/src/cpu.rs");
        let named = |line: &str| {
            Some(line.trim().strip_prefix("Self::")?.split_once(" => \"")?.1.split('"').next()?.to_owned())
        };
        let mut names: Vec<String> = source.lines().filter_map(named).collect();
        names.retain(|name| name != "avx512");
        names.sort();
        assert_eq!(names, LOWER_LEVELS);
    }

    #[test]
    fn options_are_read_and_unknown_ones_refused() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let options = Options::parse(&words("--slow name --no-real")).unwrap();
        assert!(options.slow && options.no_real && !options.no_nextest);
        assert_eq!(options.filters, ["name"]);
        assert!(Options::parse(&words("--fast")).is_err());
    }
}
