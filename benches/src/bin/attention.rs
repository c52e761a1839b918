//! Attention against PyTorch's flash kernel and against itself, taking turns in one run.
//!
//! `cargo xtask bench attention --python PATH [--rounds N] [--threads N] [--only NAME]`
//!
//! Workloads with a peer take turns with a Python process. A pause follows its turn, because its threads keep spinning for a
//! while. Variants take turns with the plain pass. The bare product of the kernel crate is the probe; its rate is the standard
//! for our rates. The program prints a table in Markdown. `COLLIMATE_CPU=avx2` selects the smaller instruction set (not in
//! PyTorch). Without `--python` the rows that need it are left out.

use anyhow::Result;
use collimate_attention::algebra::{Arguments, Gain, MaskRule, PairKeys, Pairing, Parameter, Variant};
use collimate_attention::{Attention, HeadMap, Mask, Offset};
use collimate_benches::{Counting, Peer, Probe, load, median, milliseconds, peak_bytes};
use collimate_stream::RngStream;
use collimate_tensor::CpuLevel;
use ndarray::{ArcArray, Array4, Axis, Ix4, arr1};
use std::hint::black_box;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PAUSE: Duration = Duration::from_millis(200);
const MIB: f64 = (1 << 20) as f64;

/// The sizes of a workload.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    heads: usize,
    key_heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
    causal: bool,
}

impl Sizes {
    fn square(batch: usize, heads: usize, n: usize, width: usize, causal: bool) -> Self {
        Self { batch, heads, key_heads: heads, queries: n, keys: n, width, causal }
    }

    fn causal(self) -> Self {
        Self { causal: true, ..self }
    }

    /// Returns the floating-point operations of a forward pass. A causal mask halves them.
    fn operations(self) -> f64 {
        let all = 4.0 * (self.batch * self.heads * self.queries * self.keys * self.width) as f64;
        if self.causal { all / 2.0 } else { all }
    }

    /// Returns the bytes of the keys and values.
    fn read(self) -> f64 {
        8.0 * (self.batch * self.key_heads * self.keys * self.width) as f64
    }

    fn attention(self) -> Attention {
        let attention = Attention::scaled_dot_product();
        let attention = match self.heads == self.key_heads {
            true => attention,
            false => attention.heads(HeadMap::grouped_by_floor(self.heads, self.key_heads)),
        };
        if self.causal { attention.mask(Mask::causal(Offset::zero())) } else { attention }
    }

    /// Draws q, k, v and the gradient with respect to the output.
    fn arrays(self, name: &str) -> [ArcArray<f32, Ix4>; 4] {
        let mut stream = RngStream::named(0, name);
        let mut normal = |shape| Array4::from_shape_simple_fn(shape, || stream.normal() as f32).into_shared();
        let rows = (self.batch, self.key_heads, self.keys, self.width);
        let of_queries = (self.batch, self.heads, self.queries, self.width);
        [normal(of_queries), normal(rows), normal(rows), normal(of_queries)]
    }
}

struct Options {
    python: Option<String>,
    rounds: usize,
    threads: usize,
    only: Option<String>,
}

/// The run: its options, the probe, and the lines of the table.
struct Bench {
    options: Options,
    probe: Probe,
    lines: Vec<String>,
}

fn main() -> Result<()> {
    let options = options()?;
    let (level, threads, rounds) = (CpuLevel::current(), options.threads, options.rounds);
    println!("CPU level {}, {threads} threads, {rounds} rounds", level.name());
    println!("load average before: {}", load());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let mut bench = Bench { options, probe: Probe::default(), lines: Vec::new() };
    let lines = pool.install(|| -> Result<Vec<String>> {
        bench.against_pytorch(level)?;
        bench.widths();
        bench.variants();
        bench.memory();
        Ok(bench.lines)
    })?;
    println!("load average after: {}\n", load());
    println!("| workload | target | measured | details |\n|---|---|---|---|");
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

impl Bench {
    fn wants(&self, name: &str) -> bool {
        self.options.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    fn line(&mut self, name: &str, target: &str, measured: String, details: &str) {
        let verdict = self.probe.verdict();
        println!("{name}: {measured}; {details}\n  {verdict}");
        let note = if verdict.contains("discard") { "; machine not steady" } else { "" };
        self.lines.push(format!("| {name} | {target} | {measured} | {details}{note} |"));
    }

    fn against_pytorch(&mut self, level: CpuLevel) -> Result<()> {
        let floors = |full: [f64; 2], causal: [f64; 2]| match level {
            CpuLevel::Avx512 => (full, causal),
            _ => ([1.0; 2], [1.0; 2]),
        };
        let (full, causal) = floors([1.15, 1.25], [1.4, 1.5]);
        for n in [1024, 2048] {
            let sizes = Sizes::square(1, 12, n, 64, false);
            self.compare(&format!("full {n}"), sizes, full, true)?;
            self.compare(&format!("causal {n}"), sizes.causal(), causal, true)?;
        }
        self.compare("toy", Sizes::square(8, 4, 64, 16, false), [2.0; 2], true)?;
        let decode = Sizes { key_heads: 8, queries: 1, keys: 4096, ..Sizes::square(1, 32, 1, 128, false) };
        self.compare("decode", decode, [1.5; 2], false)
    }

    fn compare(&mut self, name: &str, sizes: Sizes, floors: [f64; 2], backward: bool) -> Result<()> {
        if !self.wants(name) {
            return Ok(());
        }
        let [q, k, v, d_out] = sizes.arrays(name);
        let attention = sizes.attention();
        let mut out = Array4::zeros(q.dim());
        self.report(&format!("{name}, forward"), "forward", sizes, floors[0], 1.0, || {
            attention.forward_into(&q, &k, &v, &mut out).expect("shapes fit");
        })?;
        if backward {
            self.report(&format!("{name}, forward and backward"), "both", sizes, floors[1], 3.5, || {
                let shared = attention.forward_shared(q.clone(), k.clone(), v.clone());
                let (out, saved) = shared.expect("shapes fit");
                black_box((&out, attention.backward(&saved, &d_out).expect("shapes fit")));
            })?;
        }
        Ok(())
    }

    /// Lets both sides and the probe take turns, then prints medians and their ratio.
    fn report(
        &mut self,
        name: &str,
        mode: &str,
        sizes: Sizes,
        floor: f64,
        passes: f64,
        mut ours: impl FnMut(),
    ) -> Result<()> {
        let Some(python) = &self.options.python else { return Ok(()) };
        let Sizes { batch, heads, key_heads, queries, keys, width, causal } = sizes;
        let numbers = [batch, heads, key_heads, queries, keys, width, usize::from(causal)];
        let mut arguments = vec![self.options.threads.to_string(), mode.to_string()];
        arguments.extend(numbers.map(|n| n.to_string()));
        let mut peer = Peer::start(python, "torch_attention.py", &arguments)?;
        let (mut theirs, mut own) = (Vec::new(), Vec::new());
        self.probe = Probe::default();
        ours();
        for _ in 0..self.options.rounds {
            // The faster of two: short ones are at the mercy of whatever else runs.
            let ([one], [other]) = (peer.ask("go")?, peer.ask("go")?);
            theirs.push(one.min(other));
            std::thread::sleep(PAUSE);
            self.probe.measure();
            own.push(milliseconds(&mut ours).min(milliseconds(&mut ours)));
        }
        drop(peer);
        let (theirs, own) = (median(&theirs), median(&own));
        let rate = passes * sizes.operations() / own / 1e6;
        let of_bare = 100.0 * rate / self.probe.rate();
        let speed = match queries {
            1 => format!("{:.1} GB/s of keys and values", sizes.read() / own / 1e6),
            _ => format!("{rate:.0} GFLOP/s, {of_bare:.0} % of the bare product"),
        };
        let details = format!("PyTorch {theirs:.2} ms, Collimate {own:.2} ms; {speed}");
        self.line(name, &format!("≥ {floor}×"), format!("{:.2}×", theirs / own), &details);
        Ok(())
    }

    /// Times some works in turns, with the probe; medians in milliseconds.
    fn turns(&mut self, works: &mut [&mut dyn FnMut()]) -> Vec<f64> {
        let mut times = vec![Vec::new(); works.len()];
        self.probe = Probe::default();
        works.iter_mut().for_each(|work| work());
        for _ in 0..2 * self.options.rounds {
            self.probe.measure();
            for (work, times) in works.iter_mut().zip(&mut times) {
                times.push(milliseconds(&mut **work));
            }
        }
        times.iter().map(|times| median(times)).collect()
    }

    /// Measures other head widths, at a length that no tile divides.
    fn widths(&mut self) {
        if !self.wants("width") {
            return;
        }
        let widths = [32, 64, 80, 128];
        for (name, passes) in [("forward", 1.0), ("forward and backward", 3.5)] {
            let all = widths.map(|width| Sizes::square(1, 12, 1000, width, false));
            let mut works: Vec<Box<dyn FnMut()>> = Vec::new();
            for sizes in all {
                let [q, k, v, d_out] = sizes.arrays("width");
                let attention = sizes.attention();
                let mut out = Array4::zeros(q.dim());
                works.push(if passes == 1.0 {
                    Box::new(move || attention.forward_into(&q, &k, &v, &mut out).expect("shapes fit"))
                } else {
                    Box::new(move || both(&attention, [&q, &k, &v, &d_out]))
                });
            }
            let mut works: Vec<&mut dyn FnMut()> = works.iter_mut().map(|work| &mut **work as _).collect();
            let times = self.turns(&mut works);
            let rates: Vec<f64> =
                all.iter().zip(&times).map(|(sizes, ms)| passes * sizes.operations() / ms / 1e6).collect();
            let best = rates.iter().fold(0.0_f64, |best, &rate| best.max(rate));
            for ((width, rate), ms) in widths.iter().zip(&rates).zip(&times) {
                let details = format!("{ms:.2} ms, {rate:.0} GFLOP/s, bare product {:.0}", self.probe.rate());
                let measured = format!("{:.0} % below", 100.0 * (1.0 - rate / best));
                let name = format!("width {width}, n = 1000, {name}");
                self.line(&name, "≤ 15 % below the best width", measured, &details);
            }
        }
    }

    /// Measures variants against the plain pass.
    fn variants(&mut self) {
        if !self.wants("variant") {
            return;
        }
        let sizes = Sizes::square(1, 12, 1024, 64, true);
        let arrays = sizes.arrays("variants");
        let [q, k, v, d_out] = &arrays;
        let plain = sizes.attention();
        let sink = vec![0.5_f32; sizes.heads];
        let with_sink =
            || plain.forward_with_sink(q.clone(), k.clone(), v.clone(), &sink).expect("shapes fit");
        let capped = plain.softcap(50.0);
        let window = plain.mask(Mask::window(Offset::zero(), 255));
        let forward = |attention: &Attention| {
            black_box(attention.forward_shared(q.clone(), k.clone(), v.clone()).expect("shapes fit"));
        };
        let times = self.turns(&mut [
            &mut || forward(&plain),
            &mut || drop(black_box(with_sink())),
            &mut || forward(&capped),
            &mut || forward(&window),
        ]);
        self.side_by_side("variant", ["learned sink", "softcap", "window of 256"], &times, "forward");
        let times = self.turns(&mut [
            &mut || both(&plain, [q, k, v, d_out]),
            &mut || {
                let (_, saved) = with_sink();
                let gradients = plain.backward(&saved, d_out).expect("shapes fit");
                black_box((gradients, saved.sink_gradient(d_out).expect("shapes fit")));
            },
            &mut || both(&capped, [q, k, v, d_out]),
            &mut || both(&window, [q, k, v, d_out]),
        ]);
        self.side_by_side(
            "variant",
            ["learned sink", "softcap", "window of 256"],
            &times,
            "forward and backward",
        );
        self.differential();
    }

    /// Measures differential V1 against one plain pass with the same number of heads and the same width of the values.
    fn differential(&mut self) {
        let sizes = Sizes::square(1, 12, 1024, 64, true);
        let [q, k, ..] = sizes.arrays("differential");
        let [v, d_out, ..] = Sizes { width: 128, ..sizes }.arrays("differential values");
        let [q, k, v, d_out] = [q, k, v, d_out].map(|x| x.index_axis_move(Axis(0), 0).into_owned());
        // One value head and one output head for each pair.
        let (of_pairs, d_pairs) = [&v, &d_out].map(|x| x.slice(ndarray::s![..6, .., ..]).to_owned()).into();
        let vectors = arr1(&[0.1_f32; 64]);
        let variant =
            Variant::differential_v1(Offset::zero(), Pairing::Neighbours, PairKeys::Paired, 1, Gain::None)
                .mask(MaskRule::Causal);
        let arguments =
            [Parameter::LambdaQuery1, Parameter::LambdaKey1, Parameter::LambdaQuery2, Parameter::LambdaKey2]
                .into_iter()
                .fold(Arguments::new(&q, &k, &of_pairs), |arguments, name| {
                    arguments.with(name, vectors.clone())
                });
        let plain = sizes.attention();
        let times = self.turns(&mut [
            &mut || drop(black_box(plain.forward(&q, &k, &v).expect("shapes fit"))),
            &mut || drop(black_box(variant.forward(&arguments).expect("shapes fit"))),
        ]);
        self.side_by_side("variant", ["differential V1"], &times, "forward");
        let times = self.turns(&mut [
            &mut || {
                let (_, saved) = plain.forward(&q, &k, &v).expect("shapes fit");
                black_box(plain.backward(&saved, &d_out).expect("shapes fit"));
            },
            &mut || {
                let (_, trace) = variant.forward(&arguments).expect("shapes fit");
                black_box(variant.backward(&trace, &d_pairs).expect("shapes fit"));
            },
        ]);
        self.side_by_side("variant", ["differential V1"], &times, "forward and backward");
    }

    /// Prints the times of some works against the first.
    fn side_by_side<const N: usize>(&mut self, kind: &str, names: [&str; N], times: &[f64], pass: &str) {
        for (name, ms) in names.iter().zip(&times[1..]) {
            let details = format!("{ms:.2} ms, plain causal pass {:.2} ms", times[0]);
            let measured = format!("{:.2}× the cost", ms / times[0]);
            self.line(&format!("{kind} {name}, 1024, {pass}"), "≤ 1.1× the cost", measured, &details);
        }
    }

    /// Measures the peak of memory, without inputs and outputs.
    fn memory(&mut self) {
        if !self.wants("memory") {
            return;
        }
        self.probe = Probe::default();
        self.probe.measure();
        let sizes = Sizes::square(1, 4, 8192, 64, false);
        let [q, k, v, d_out] = sizes.arrays("memory");
        let attention = sizes.attention();
        let array = (4 * q.len()) as f64;
        let mut out = Array4::zeros(q.dim());
        let (into, _) = peak_bytes(|| attention.forward_into(&q, &k, &v, &mut out).expect("shapes fit"));
        let shared = || attention.forward_shared(q.clone(), k.clone(), v.clone()).expect("shapes fit");
        let (forward, (_, saved)) = peak_bytes(shared);
        let (backward, _) = peak_bytes(|| attention.backward(&saved, &d_out).expect("shapes fit"));
        drop(saved);
        let (all, _) = peak_bytes(|| {
            let (out, saved) = shared();
            let gradients = attention.backward(&saved, &d_out).expect("shapes fit");
            (out, saved, gradients)
        });
        for (name, bytes, outputs) in [
            ("forward that keeps nothing", into, 0.0),
            ("forward", forward, 1.0),
            ("backward", backward, 3.0),
            ("forward and backward", all, 4.0),
        ] {
            let extra = (bytes as f64 - outputs * array) / MIB;
            let details = format!(
                "peak {:.1} MiB, of which outputs {:.1} MiB",
                bytes as f64 / MIB,
                outputs * array / MIB
            );
            self.line(
                &format!("memory (1, 4, 8192, 64), {name}"),
                "≤ 16 MiB",
                format!("{extra:.1} MiB"),
                &details,
            );
        }
    }
}

fn both(attention: &Attention, [q, k, v, d_out]: [&ArcArray<f32, Ix4>; 4]) {
    let (out, saved) = attention.forward_shared(q.clone(), k.clone(), v.clone()).expect("shapes fit");
    black_box((&out, attention.backward(&saved, d_out).expect("shapes fit")));
}

fn options() -> Result<Options> {
    let mut options = Options { python: None, rounds: 15, threads: 2, only: None };
    collimate_benches::options("--python, --rounds, --threads, --only", |name, value| {
        match name {
            "--python" => options.python = Some(value.into()),
            "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
            "--threads" => options.threads = value.parse()?,
            "--only" => options.only = Some(value.into()),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}
