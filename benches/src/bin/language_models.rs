//! Language models against PyTorch and transformers, taking turns in one run: forward, gradients, decoding, training, and a large model.
//!
//! `cargo xtask bench language_models --python PATH [--rounds N] [--threads N] [--only NAME] [--large FOLDER]`
//!
//! Both sides have random weights, whose values do not change the time. With `--large`, a random model of the shape of Llama-3.2-1B is
//! written to the folder once, in BF16, and read from there.

use anyhow::{Context, Result};
use collimate_benches::{
    Counting, Peer, Probe, load, median, milliseconds, peak_bytes, print_comparison, take_turns,
};
use collimate_tensor::{CpuLevel, keep_freed_memory};
use collimate_transformer::{
    Activations, Capture, Generation, HookPoint, Input, Model, RngStream, Run, Schedule, Site, Targets,
    Training, TrainingConfig,
};
use ndarray::Array2;
use std::hint::black_box;
use std::path::{Path, PathBuf};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TOKENS: usize = 512;

/// The shape of SmolLM2-135M.
const SMALL: [usize; 6] = [576, 30, 9, 3, 1536, 49_152];
/// The shape of Llama-3.2-1B.
const LARGE: [usize; 6] = [2048, 16, 32, 8, 8192, 128_256];

struct Options {
    python: String,
    rounds: usize,
    threads: usize,
    only: Option<String>,
    large: Option<PathBuf>,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only))
    }
}

/// Returns the text of a configuration: width, layers, heads, key heads, width of the MLP, words.
fn configuration([width, layers, heads, key_heads, mlp, words]: [usize; 6], context: usize) -> String {
    format!(
        r#"{{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": {width}, "num_hidden_layers": {layers},
        "num_attention_heads": {heads}, "num_key_value_heads": {key_heads}, "intermediate_size": {mlp}, "vocab_size": {words},
        "max_position_embeddings": {context}, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
        "hidden_act": "silu"}}"#
    )
}

/// A configuration in a file, for the peer.
struct Shape {
    text: String,
    path: PathBuf,
}

impl Shape {
    fn new(name: &str, sizes: [usize; 6], context: usize) -> Result<Self> {
        let text = configuration(sizes, context);
        let path = std::env::temp_dir().join(format!("collimate-bench-{name}-{}.json", std::process::id()));
        std::fs::write(&path, &text)?;
        Ok(Self { text, path })
    }

    fn model(&self) -> Result<Model<f32>> {
        Ok(Model::random_of_configuration(&self.text, &RngStream::new(0, 0))?)
    }
}

impl Drop for Shape {
    fn drop(&mut self) {
        // A file of the temporary folder that is already gone is no matter.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn main() -> Result<()> {
    let options = options()?;
    // The command line does the same.
    keep_freed_memory();
    println!(
        "CPU level {}, {} threads, {} rounds",
        CpuLevel::current().name(),
        options.threads,
        options.rounds
    );
    println!("load average before: {}", load());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    pool.install(|| -> Result<()> {
        passes(&options)?;
        trainings(&options)?;
        memory(&options)?;
        match &options.large {
            Some(folder) => large(&options, folder),
            None => Ok(()),
        }
    })?;
    println!("load average after: {}", load());
    Ok(())
}

fn ids(rows: usize, columns: usize, words: usize) -> Array2<u32> {
    Array2::from_shape_fn((rows, columns), |(b, t)| ((b * columns + t) * 7919 % words) as u32)
}

fn passes(options: &Options) -> Result<()> {
    let shape = Shape::new("small", SMALL, 8192)?;
    let model = shape.model()?;
    let input = Input::new(ids(1, TOKENS, SMALL[5]));
    let targets = Targets::next_tokens(&input);
    let layers = SMALL[1];
    let points: Vec<HookPoint> = (0..layers)
        .flat_map(|layer| {
            [Site::ResidualPre, Site::HeadOutput, Site::MlpNeurons].map(|site| site.of_layer(layer))
        })
        .collect();
    let work = |name: &str| vec![name.to_owned(), shape.path.display().to_string(), TOKENS.to_string()];
    let forward = || {
        black_box(model.run(Run::on(&input), &mut ()).expect("a sound model"));
    };
    if options.wants("forward") {
        compare("forward, 512 tokens", options, &work("forward"), forward)?;
        let captured = || {
            let mut capture = Capture::at(points.iter().copied());
            black_box(model.run(Run::on(&input), &mut capture).expect("a sound model"));
        };
        ratio("capture of every residual, z and MLP hidden / forward", options, captured, forward);
    }
    if options.wants("gradient") {
        let none = vec![];
        let activations = || {
            let back = model.pull_back(&input, &points, &mut (), |logits| logits.clone());
            black_box(back.expect("a sound model"));
        };
        compare("gradient by activations", options, &work("activations"), activations)?;
        ratio("gradient by activations / forward", options, activations, forward);
        let weights = || {
            black_box(model.gradients(&input, &targets, &none, None).expect("a sound model"));
        };
        compare("gradient by weights", options, &work("weights"), weights)?;
        ratio("gradient by weights / forward", options, weights, forward);
        let direction: Vec<Array2<f32>> = model.parameters().map(|(_, x)| x.to_owned()).collect();
        let hessian = || {
            black_box(model.gradients(&input, &targets, &none, Some(&direction)).expect("a sound model"));
        };
        ratio("Hessian-vector product / gradient by weights", options, hessian, weights);
    }
    if options.wants("decode") {
        let prompt: Vec<u32> = input.ids().iter().copied().collect();
        let text = |tokens: usize| {
            let generation = Generation::greedy(tokens);
            black_box(
                model
                    .generate(&prompt, &generation, &mut RngStream::new(0, 0), &mut ())
                    .expect("a sound model"),
            );
        };
        let mut peer = start(
            options,
            &["decode".into(), shape.path.display().to_string(), TOKENS.to_string(), "32".into()],
        )?;
        let (mut theirs, mut one, mut many, mut probe) = (vec![], vec![], vec![], Probe::default());
        for _ in 0..options.rounds {
            let [time] = peer.ask("go")?;
            theirs.push(time / 32.0);
            std::thread::sleep(collimate_benches::PAUSE);
            probe.measure();
            one.push(milliseconds(|| text(1)));
            many.push(milliseconds(|| text(33)));
        }
        let ours = (median(&many) - median(&one)) / 32.0;
        print_comparison("decoding with a cache at 512, a token", median(&theirs), ours, &probe);
    }
    Ok(())
}

fn trainings(options: &Options) -> Result<()> {
    for (name, sizes, context, batch) in [
        ("training step, 4 layers, d 128, context 64, batch 12", [128, 4, 4, 4, 512, 96], 64, 12),
        ("training step, 6 layers, d 384, context 256, batch 16", [384, 6, 6, 6, 1536, 96], 256, 16),
    ] {
        if !options.wants("training") {
            continue;
        }
        let shape = Shape::new("training", sizes, context)?;
        let config = TrainingConfig::new(Schedule::constant(3e-4)?).weight_decay(0.1)?.clip(1.0)?;
        let mut training = Training::new(shape.model()?, config)?;
        let rows = ids(batch, context + 1, sizes[5]);
        let work =
            ["train".to_owned(), shape.path.display().to_string(), batch.to_string(), context.to_string()];
        compare(name, options, &work, || {
            training.step(&[rows.view()]).expect("a sound run");
        })?;
    }
    Ok(())
}

fn memory(options: &Options) -> Result<()> {
    if !options.wants("memory") {
        return Ok(());
    }
    let model = Shape::new("small", SMALL, 8192)?.model()?;
    let rows = ids(1, 2049, SMALL[5]);
    for activations in [Activations::Kept, Activations::Recomputed] {
        let (bytes, gradient) = peak_bytes(|| model.loss_gradient(rows.view(), |_| true, activations));
        gradient?;
        println!(
            "peak memory of a gradient at 2048 tokens, activations {activations:?}, beside the weights: {} MB, weights {} MB",
            bytes / 1_000_000,
            4 * model.n_parameters() / 1_000_000
        );
    }
    Ok(())
}

fn large(options: &Options, folder: &Path) -> Result<()> {
    let shape = Shape::new("large", LARGE, 4096)?;
    if !folder.join("config.json").is_file() {
        start(options, &["write".into(), shape.path.display().to_string(), folder.display().to_string()])?;
    }
    let files: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    let bytes: u64 = files.iter().map(|path| std::fs::metadata(path).map_or(0, |data| data.len())).sum();
    let read = || files.iter().for_each(|path| drop(black_box(std::fs::read(path))));
    let (mut reading, mut opening) = (vec![], vec![]);
    read();
    for _ in 0..options.rounds.min(5) {
        reading.push(milliseconds(read));
        opening.push(milliseconds(|| drop(Model::<f32>::open_as_stored(folder))));
    }
    let share = median(&opening) / median(&reading);
    println!(
        "open, BF16 kept: {:.0} ms, reading the files {:.0} ms, ratio {share:.2}",
        median(&opening),
        median(&reading)
    );
    let input = Input::new(ids(1, TOKENS, LARGE[5]));
    let (peak, model) = peak_bytes(|| {
        let model = Model::<f32>::open_as_stored(folder).context("the large model")?;
        model.hidden(Run::on(&input), &mut ())?;
        anyhow::Ok(model)
    });
    println!(
        "peak memory of opening and a forward pass, BF16 kept: {:.2} of the files",
        peak as f64 / bytes as f64
    );
    let model = model?;
    let work = ["large".to_owned(), folder.display().to_string(), TOKENS.to_string()];
    compare("forward of 512 tokens, BF16 kept", options, &work, || {
        black_box(model.run(Run::on(&input), &mut ()).expect("a sound model"));
    })
}

fn start(options: &Options, work: &[String]) -> Result<Peer> {
    Peer::start(&options.python, "language_models.py", &[&[options.threads.to_string()], work].concat())
}

/// Compares our call with the workload of the peer.
fn compare(name: &str, options: &Options, work: &[String], ours: impl FnMut()) -> Result<()> {
    let ([theirs, own], probe) = take_turns(&mut start(options, work)?, options.rounds, ours)?;
    print_comparison(name, theirs, own, &probe);
    Ok(())
}

/// Prints the ratio of the medians of two of our own calls, which take turns.
fn ratio(name: &str, options: &Options, mut over: impl FnMut(), mut under: impl FnMut()) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        a.push(milliseconds(&mut over));
        b.push(milliseconds(&mut under));
    }
    println!("{name}: {:.2} ({:.0} ms)", median(&a) / median(&b), median(&a));
}

fn options() -> Result<Options> {
    let mut options = Options { python: "python3".into(), rounds: 7, threads: 2, only: None, large: None };
    collimate_benches::options("--python, --rounds, --threads, --only, --large", |name, value| {
        match name {
            "--python" => options.python = value.into(),
            "--rounds" => options.rounds = value.parse::<usize>()?.max(1),
            "--threads" => options.threads = value.parse()?,
            "--only" => options.only = Some(value.into()),
            "--large" => options.large = Some(value.into()),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(options)
}
