//! A Python process that takes turns with our code, and the numbers by which both sides are compared.

use crate::{bare_product, normal_matrix};
use anyhow::{Context, Result, bail};
use ndarray::Array2;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A script of `benches/peers` that prints `ready` and then answers each line with numbers.
pub struct Peer {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts `benches/peers/SCRIPT` and waits until it is ready.
    ///
    /// # Errors
    /// If it cannot be started, or ends before it is ready. The message names what to install.
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
    /// If the peer ended, or its answer is not N numbers.
    pub fn ask<const N: usize>(&mut self, question: &str) -> Result<[f64; N]> {
        let numbers = self.ask_all(question)?;
        let count = numbers.len();
        numbers
            .try_into()
            .ok()
            .with_context(|| format!("the peer answered {count} numbers where {N} are expected"))
    }

    /// Sends one line and reads the numbers of the answer.
    ///
    /// # Errors
    /// If the peer ended, or its answer is not a list of numbers.
    pub fn ask_all(&mut self, question: &str) -> Result<Vec<f64>> {
        writeln!(self.to, "{question}")?;
        self.to.flush()?;
        let answer = self.line()?;
        let numbers: Option<Vec<f64>> = answer.split(' ').map(|word| word.parse().ok()).collect();
        numbers.with_context(|| format!("the peer answered `{answer}` where numbers are expected"))
    }
}

/// The pause behind each turn of a peer, because its threads keep spinning for a while.
pub const PAUSE: Duration = Duration::from_millis(300);

/// Lets a peer, the probe and our call take turns. Returns the medians in milliseconds, the peer's first, and the probe.
///
/// # Errors
/// The errors of [`Peer::ask`].
pub fn take_turns(peer: &mut Peer, rounds: usize, mut ours: impl FnMut()) -> Result<([f64; 2], Probe)> {
    let (mut theirs, mut own, mut probe) = (Vec::new(), Vec::new(), Probe::default());
    ours();
    for _ in 0..rounds {
        let [time] = peer.ask("go")?;
        theirs.push(time);
        std::thread::sleep(PAUSE);
        probe.measure();
        own.push(milliseconds(&mut ours));
    }
    Ok(([median(&theirs), median(&own)], probe))
}

/// Prints the medians of PyTorch and of our call, their ratio, and the verdict of the probe.
pub fn print_comparison(name: &str, theirs: f64, own: f64, probe: &Probe) {
    println!("{name}: PyTorch {theirs:.1} ms, Collimate {own:.1} ms, {:.2}× its speed", theirs / own);
    println!("  {}", probe.verdict());
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The process may have ended already, so a failure here is ignored.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bare product 512×384×2048, timed in every round. If its time drifts, the machine was not steady.
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
    /// Times the product once.
    pub fn measure(&mut self) {
        self.times.push(milliseconds(|| bare_product(&self.a, &self.b, &mut self.c)));
    }

    /// Returns the GFLOP/s at the median time.
    pub fn rate(&self) -> f64 {
        2.0 * (512 * 384 * 2048) as f64 / median(&self.times) / 1e6
    }

    /// Returns one line with the spread of the middle half, and whether the run must be repeated.
    pub fn verdict(&self) -> String {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        let wide = 100.0 * (times[times.len() * 3 / 4] / times[times.len() / 4] - 1.0);
        let advice =
            if wide > 15.0 { "; the machine was not steady: discard this run and repeat it" } else { "" };
        format!("probe: middle half within {wide:.0} %{advice}")
    }
}

/// Returns the milliseconds of one call.
pub fn milliseconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    1e3 * start.elapsed().as_secs_f64()
}

/// Returns the median of at least one time.
pub fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Returns the load average of the system.
pub fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").map_or_else(|_| "unknown".into(), |text| text.trim().to_string())
}
