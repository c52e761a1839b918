//! The pinned SmolLM2-135M-Instruct agrees with values computed elsewhere.
//!
//! The fixture was made with Hugging Face transformers 5.23 on the same weights; an independent numpy implementation
//! agrees with it. This is a test binary of its own with one test for each model, so that each is loaded once, by any test runner, and so
//! that the other tests need neither the models nor the feature `tokenizer`.

mod encoder;

use collimate_attention::prefix_matching;
use collimate_tensor::files::{Gguf, Safetensors};
use collimate_tensor::{Scalar, top_k};
use collimate_transformer::{Capture, HookPoint, Model, Precision, Run, Site, Tokenizer};
use ndarray::{Array1, Array2, Axis, Ix1, Ix2};
use std::path::{Path, PathBuf};

const SEQUENCES: [&str; 7] =
    ["france", "repeat60", "induction0", "induction1", "induction2", "text0", "text1"];

/// Returns the folder of the downloaded models.
fn cache_root() -> PathBuf {
    match std::env::var_os("COLLIMATE_CACHE").filter(|value| !value.is_empty()) {
        Some(root) => PathBuf::from(root),
        None => {
            directories::ProjectDirs::from("", "", "collimate").expect("a home folder").cache_dir().into()
        }
    }
}

/// Returns true if the tests on real models are to be left out, and says so.
fn skipped(model: &str) -> bool {
    let skipped = std::env::var_os("COLLIMATE_NO_REAL").is_some_and(|value| value == "1");
    if skipped {
        eprintln!("\n*** COLLIMATE_NO_REAL=1: NOTHING was compared with {model} ***\n");
    }
    skipped
}

/// Returns the path of the model: `COLLIMATE_SMOLLM2`, or else its place in the cache that `cargo xtask data` fills.
fn model_path() -> PathBuf {
    if let Some(path) = std::env::var_os("COLLIMATE_SMOLLM2") {
        return path.into();
    }
    cache_root().join("smollm2-0.1.2").join("SmolLM2-135M-Instruct.Q4_1.gguf")
}

#[test]
fn the_pinned_model_reproduces_the_fixture() {
    if skipped("the real model") {
        return;
    }
    let path = model_path();
    assert!(
        path.is_file(),
        "the model is not at {}: get it with `cargo xtask data`, name its file in COLLIMATE_SMOLLM2, or skip this \
         test with COLLIMATE_NO_REAL=1",
        path.display()
    );
    let file = Gguf::open(&path).unwrap();
    let exact = Model::<f64>::from_gguf(&file).unwrap();
    assert_eq!(exact.n_parameters(), 134_515_008);
    assert_eq!(exact.description().layers.len(), 30);

    let fixture = Fixture::open();
    // The fixture was computed in f32, and one of its positions uses up nearly all of the tolerance: compared with it, the pass in
    // f64 adds no error of its own.
    for name in SEQUENCES {
        one_sequence(&exact, &fixture, name);
    }
    tokenizer(&Tokenizer::from_gguf(&file).unwrap(), &fixture);
    let model = Model::<f32>::from_gguf(&file).unwrap();
    for name in SEQUENCES {
        in_single_precision(&model, &exact, &fixture, name);
    }
    known_numbers(&model, &fixture);
    head_scores(&model, &fixture);
    splicing(&model, &fixture);
    threads(&model, &fixture);
}

/// Compares a pass in f32 with the pass in f64, with the tolerances of the fixture.
fn in_single_precision(model: &Model<f32>, exact: &Model<f64>, fixture: &Fixture, name: &str) {
    let tokens = fixture.tokens(name);
    let points: Vec<HookPoint> = (0..30).map(|layer| Site::ResidualPre.of_layer(layer)).collect();
    let (mut ours, mut theirs) = (Capture::at(points.clone()), Capture::at(points.clone()));
    let losses = model.losses(Run::of(&tokens), &mut ours).unwrap().remove(0);
    let exact = exact.losses(Run::of(&tokens), &mut theirs).unwrap().remove(0);
    let sums = losses.log_sum_exp.iter().copied();
    close(&format!("{name} logsumexp in f32"), sums, exact.log_sum_exp.iter().copied(), 2e-3);
    close(&format!("{name} NLL in f32"), losses.nll.iter().copied(), exact.nll.iter().copied(), 1e-3);
    let norms =
        |rows: Array2<f64>| rows.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect::<Vec<_>>();
    let shares = points.iter().flat_map(|&point| {
        let pairs = norms(rows(&ours, point)).into_iter().zip(norms(rows(&theirs, point)));
        pairs.map(|(a, b)| a / b).collect::<Vec<_>>()
    });
    close(&format!("{name} residual norms in f32"), shares, std::iter::repeat(1.0), 1e-4);
}

struct Fixture {
    arrays: Safetensors,
    facts: serde_json::Value,
}

impl Fixture {
    fn open() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity");
        let facts = std::fs::read_to_string(folder.join("smollm2_parity.json")).unwrap();
        Self {
            arrays: Safetensors::open(folder.join("smollm2_parity.safetensors")).unwrap(),
            facts: serde_json::from_str(&facts).unwrap(),
        }
    }

    fn vector(&self, name: &str) -> Array1<f64> {
        self.arrays.read(name).unwrap().to_f64().into_dimensionality::<Ix1>().unwrap()
    }

    fn matrix(&self, name: &str) -> Array2<f64> {
        self.arrays.read(name).unwrap().to_f64().into_dimensionality::<Ix2>().unwrap()
    }

    fn tokens(&self, sequence: &str) -> Vec<u32> {
        let ids = self.arrays.read(&format!("{sequence}.ids")).unwrap().to_i64().unwrap();
        ids.iter().map(|&id| u32::try_from(id).unwrap()).collect()
    }

    fn fact(&self, path: &str) -> f64 {
        self.facts.pointer(path).unwrap().as_f64().unwrap()
    }
}

/// Prints the largest distance and fails when it is above the tolerance or anything is NaN.
fn close(what: &str, ours: impl Iterator<Item = f64>, theirs: impl Iterator<Item = f64>, tolerance: f64) {
    let (mut worst, mut n) = (0.0_f64, 0);
    for (a, b) in ours.zip(theirs) {
        let distance = (a - b).abs();
        assert!(distance <= tolerance, "{what}, number {n}: {a} instead of {b}");
        worst = worst.max(distance);
        n += 1;
    }
    assert!(n > 0, "{what}: nothing was compared");
    println!("{what}: {n} numbers, largest distance {worst:.2e} (allowed {tolerance:.0e})");
}

fn one_sequence(model: &Model<f64>, fixture: &Fixture, name: &str) {
    let tokens = fixture.tokens(name);
    let run = Run::of(&tokens);
    // The norms of the fixture are those of the residual stream as it enters each layer, its values those after it.
    let points = (0..30).map(|layer| Site::ResidualPre.of_layer(layer));
    let after = [0, 9].map(|layer| Site::ResidualPost.of_layer(layer));
    let mut capture = Capture::at(points.clone().chain(after));
    let losses = model.losses(&run, &mut capture).unwrap().remove(0);
    let log_sum_exp = fixture.vector(&format!("{name}.logsumexp"));
    assert_eq!(losses.log_sum_exp.len(), log_sum_exp.len());
    close(
        &format!("{name} logsumexp"),
        losses.log_sum_exp.iter().copied(),
        log_sum_exp.iter().copied(),
        2e-3,
    );
    let nll = fixture.vector(&format!("{name}.nll"));
    assert_eq!(losses.nll.len(), nll.len());
    close(&format!("{name} NLL"), losses.nll.iter().copied(), nll.iter().copied(), 1e-3);

    let norms = fixture.matrix(&format!("{name}.resid_norm"));
    assert_eq!(norms.dim(), (30, tokens.len()));
    let relative = points.enumerate().flat_map(|(layer, point)| {
        let residual = rows(&capture, point);
        let norm = |t: usize| residual.row(t).iter().map(|x| x * x).sum::<f64>().sqrt();
        (0..tokens.len()).map(|t| norm(t) / norms[[layer, t]]).collect::<Vec<_>>()
    });
    // Position 0 has a norm of 20,000, others of 200: the distance is measured as a share.
    close(&format!("{name} residual norms"), relative, std::iter::repeat(1.0), 1e-4);
    for layer in [0, 9] {
        let key = format!("{name}.resid_post{layer}");
        if fixture.arrays.shape(&key).is_none() {
            continue;
        }
        let theirs = fixture.matrix(&key);
        let ours = rows(&capture, Site::ResidualPost.of_layer(layer));
        // Shares of the row's own norm again: row 0 is a hundred times the others.
        let scale: Vec<f64> =
            theirs.rows().into_iter().map(|row| row.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
        let d = theirs.ncols();
        let ours = ours.iter().take(theirs.len()).enumerate().map(|(i, x)| x / scale[i / d]);
        let theirs = theirs.iter().enumerate().map(|(i, x)| x / scale[i / d]);
        close(&format!("{name} residual after layer {layer}"), ours, theirs, 1e-5);
    }
    top_eight(model, fixture, name, &run);
}

fn rows<F: Precision>(capture: &Capture<F>, point: HookPoint) -> Array2<f64> {
    capture
        .get(point)
        .unwrap()
        .index_axis(Axis(0), 0)
        .mapv(Scalar::to_f64)
        .into_dimensionality::<Ix2>()
        .unwrap()
}

/// Compares the eight largest logits of each position, with their tokens.
fn top_eight(model: &Model<f64>, fixture: &Fixture, name: &str, run: &Run<'_, f64>) {
    let logits = model.logits(run, &mut ()).unwrap().index_axis_move(Axis(0), 0);
    let theirs = fixture.matrix(&format!("{name}.top8_logits"));
    let their_ids = fixture.arrays.read(&format!("{name}.top8_ids")).unwrap().to_i64().unwrap();
    let (mut found, mut order) = (Vec::new(), Vec::new());
    for (t, row) in logits.rows().into_iter().enumerate() {
        top_k(row.as_slice().unwrap(), 8, &mut order);
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        for rank in 0..8 {
            let (ours, given) = (order[rank].0 as usize, their_ids[[t, rank]] as usize);
            found.push(row[ours]);
            // Two logits closer than the tolerance may change places.
            assert!(
                ours == given || (row[ours] - row[given]).abs() < 2e-3,
                "{name}, position {t}, rank {rank}: token {ours} instead of {given}"
            );
        }
    }
    close(&format!("{name} eight largest logits"), found.into_iter(), theirs.iter().copied(), 2e-3);
    let last = model.last_logits(run, &mut ()).unwrap();
    let distance =
        last.iter().zip(logits.index_axis(Axis(0), logits.nrows() - 1)).map(|(a, b)| (a - b).abs());
    close(&format!("{name} logits of the last position alone"), distance, std::iter::repeat(0.0), 1e-3);
}

fn known_numbers<F: Precision>(model: &Model<F>, fixture: &Fixture) {
    for name in ["france", "induction0", "induction1", "induction2", "text0", "text1"] {
        let tokens = fixture.tokens(name);
        let mean = model.losses(Run::of(&tokens), &mut ()).unwrap()[0].mean_nll();
        let given = fixture.fact(&format!("/{name}/mean_nll"));
        assert!((mean - given).abs() < 2e-4, "{name}: mean NLL {mean} instead of {given}");
    }
    let nll = model.losses(Run::of(&fixture.tokens("repeat60")), &mut ()).unwrap().remove(0).nll;
    let mean = |range: std::ops::Range<usize>| nll[range.clone()].iter().sum::<f64>() / range.len() as f64;
    assert!((mean(0..60) - fixture.fact("/repeat60/first_copy")).abs() < 2e-4);
    assert!((mean(60..120) - fixture.fact("/repeat60/second_copy")).abs() < 2e-4);
}

fn head_scores<F: Precision>(model: &Model<F>, fixture: &Fixture) {
    let mut mean = Array2::zeros((30, 9));
    for name in ["induction0", "induction1", "induction2"] {
        let scores = model.head_scores(&fixture.tokens(name), prefix_matching::<F>).unwrap();
        mean += &scores.mapv(|score| score.value / 3.0);
    }
    let theirs = fixture.matrix("induction.prefix_matching");
    close("prefix-matching scores", mean.iter().copied(), theirs.iter().copied(), 1e-3);
    let strong: Vec<_> = mean.indexed_iter().filter(|(_, score)| **score > 0.5).map(|(at, _)| at).collect();
    assert_eq!(strong, [(17, 3), (17, 4), (17, 5), (18, 6)]);
}

fn tokenizer(tokenizer: &Tokenizer, fixture: &Fixture) {
    for case in fixture.facts["tokenizer"].as_array().unwrap() {
        let text = case[0].as_str().unwrap();
        let ids: Vec<u32> = serde_json::from_value(case[1].clone()).unwrap();
        let ours = tokenizer.encode_with_ranges(text).unwrap();
        assert_eq!(ours.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids, "{text:?}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        assert_eq!((ours[0].1.start, ours.last().unwrap().1.end), (0, text.len()), "{text:?}");
        // The ranges cut the text at character borders and leave nothing out.
        assert!(ours.iter().all(|(_, range)| text.get(range.clone()).is_some_and(|part| !part.is_empty())));
        assert!(ours.windows(2).all(|pair| pair[1].1.start <= pair[0].1.end));
    }
    for (id, piece, _) in fixture.facts["top_france"].as_array().unwrap().iter().map(top_entry) {
        assert_eq!(tokenizer.decode(&[id]).unwrap(), piece);
    }
    assert_eq!(tokenizer.encode("The capital of France is").unwrap(), fixture.tokens("france"));
    assert_eq!(tokenizer.id("<|endoftext|>"), Some(0));
    assert_eq!(tokenizer.len(), 49_152);
    assert!(tokenizer.encode("a bell \u{7} is spelt").is_ok());
    let refused = tokenizer.encode("end of transmission \u{4}").unwrap_err().to_string();
    assert!(refused.contains("0x04") && refused.contains("position 20"), "{refused}");
    assert!(tokenizer.decode(&[49_152]).is_err());
}

fn top_entry(entry: &serde_json::Value) -> (u32, String, f64) {
    serde_json::from_value(entry.clone()).unwrap()
}

/// Checks that a run from layer 10 with the captured residual stream equals the whole run bit for bit.
fn splicing(model: &Model<f32>, fixture: &Fixture) {
    let tokens = fixture.tokens("text0");
    let run = Run::of(&tokens);
    let residual = model.residual(&run, 10, &mut ()).unwrap();
    let spliced = model.losses(run.from_layer(10, residual.view()), &mut ()).unwrap();
    assert_eq!(spliced, model.losses(&run, &mut ()).unwrap());
    let mut capture = Capture::at(Site::ALL.map(|site| site.of_layer(9)));
    model.visit(&run, &mut capture).unwrap();
    assert_eq!(capture.get(Site::ResidualPost.of_layer(9)).unwrap(), &residual.into_dyn());
}

fn threads(model: &Model<f32>, fixture: &Fixture) {
    let tokens = fixture.tokens("text1");
    let on = |n: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| model.losses(Run::of(&tokens), &mut ()).unwrap())
    };
    assert_eq!(on(1), on(2));
}
