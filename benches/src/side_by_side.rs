//! A Python process that takes turns with us, and the numbers that both sides are compared by.

use crate::{bare_product, normal_matrix};
use anyhow::{Context, Result, bail};
use ndarray::Array2;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// A script of `benches/peers` that says `ready` and then answers each line with numbers.
pub struct Peer {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts `benches/peers/SCRIPT` and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started, or ends before it is ready; the message says what to install.
    pub fn start(python: &str, script: &str, arguments: &[String]) -> Result<Self> {
        let mut child = Command::new(python)
            .arg(format!("{}/peers/{script}", env!("CARGO_MANIFEST_DIR")))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {python}"))?;
        let to = child.stdin.take().context("the peer has no input")?;
        let from = BufReader::new(child.stdout.take().context("the peer has no output")?);
        let mut peer = Self { child, to, from };
        match peer.line()?.as_str() {
            "ready" => Ok(peer),
            answer => bail!("the peer answered `{answer}`; install benches/peers/requirements.txt"),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            bail!("the peer ended; install benches/peers/requirements.txt");
        }
        Ok(line.trim().to_string())
    }

    /// Sends one line and reads N numbers, mostly milliseconds by the peer's own clock.
    ///
    /// # Errors
    /// When the peer ended, or answers with anything but N numbers.
    pub fn ask<const N: usize>(&mut self, question: &str) -> Result<[f64; N]> {
        let numbers = self.ask_all(question)?;
        let count = numbers.len();
        numbers
            .try_into()
            .ok()
            .with_context(|| format!("the peer answered {count} numbers where {N} are expected"))
    }

    /// Sends one line and reads as many numbers as come back.
    ///
    /// # Errors
    /// When the peer ended, or answers with anything but numbers.
    pub fn ask_all(&mut self, question: &str) -> Result<Vec<f64>> {
        writeln!(self.to, "{question}")?;
        self.to.flush()?;
        let answer = self.line()?;
        let numbers: Option<Vec<f64>> = answer.split(' ').map(|word| word.parse().ok()).collect();
        numbers.with_context(|| format!("the peer answered `{answer}` where numbers are expected"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about a failure here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bare product 512×384×2048, timed in every round: where it drifts the machine was not steady.
pub struct Probe {
    a: Array2<f32>,
    b: Array2<f32>,
    c: Array2<f32>,
    times: Vec<f64>,
}

impl Default for Probe {
    fn default() -> Self {
        let (a, b) = (normal_matrix(512, 384, "probe a"), normal_matrix(384, 2048, "probe b"));
        Self { a, b, c: Array2::zeros((512, 2048)), times: Vec::new() }
    }
}

impl Probe {
    /// Times it once.
    pub fn measure(&mut self) {
        self.times.push(milliseconds(|| bare_product(&self.a, &self.b, &mut self.c)));
    }

    /// GFLOP/s at the median.
    pub fn rate(&self) -> f64 {
        2.0 * (512 * 384 * 2048) as f64 / median(&self.times) / 1e6
    }

    /// One line: the width of the middle half, and whether the run counts.
    pub fn verdict(&self) -> String {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        let wide = 100.0 * (times[times.len() * 3 / 4] / times[times.len() / 4] - 1.0);
        let advice =
            if wide > 15.0 { "; the machine was not steady: discard this run and repeat it" } else { "" };
        format!("probe: middle half within {wide:.0} %{advice}")
    }
}

/// Milliseconds of one call.
pub fn milliseconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    1e3 * start.elapsed().as_secs_f64()
}

/// The median of some times, of which there is at least one.
pub fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The load average as the system tells it.
pub fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").map_or_else(|_| "unknown".into(), |text| text.trim().to_string())
}
