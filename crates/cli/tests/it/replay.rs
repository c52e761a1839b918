//! `collimate llc replay`, `collimate susceptibilities replay` and `collimate influence replay`.

use super::run;
use collimate_tensor::files::{FileArray, Safetensors, write_safetensors};
use ndarray::{Array2, Array4};
use serde_json::Value;
use std::path::Path;

/// Returns the recording of a small GPT-2 by devinterp 2.0.1, which the tests of collimate-slt use too.
fn recording() -> String {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../slt/tests/conformance/recorded/gpt2.safetensors");
    path.to_str().unwrap().to_owned()
}

const LLC: [&str; 10] = [
    "--losses",
    "l1_mlp.sampling_loss_micro",
    "--initial",
    "init_loss",
    "--paired",
    "baseline_micro",
    "--n-beta",
    "30",
    "--burn-in",
    "10",
];

#[test]
fn the_coefficient_of_devinterp_stands_beside_the_corrected_one() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recording();
    let arguments = [&["llc", "replay", &recording], &LLC[..], &["--json"]].concat();
    let (status, out, said) = run(folder.path(), &arguments);
    assert_eq!(status, 0, "{said}");
    let value: Value = serde_json::from_str(&out).unwrap();
    let number = |of: &str, key: &str| value[of][key].as_f64().unwrap();
    assert!((number("devinterp", "llc_mean") / 14.195887565612793 - 1.0).abs() < 2e-6, "{out}");
    assert!((number("corrected", "llc") / 15.771477878517045 - 1.0).abs() < 1e-9, "{out}");
    assert!((number("corrected", "se_chains") / 0.1484520585526453 - 1.0).abs() < 1e-7, "{out}");
    assert!((number("corrected", "iact") / 1.0163861971168617 - 1.0).abs() < 1e-6, "{out}");
    assert_eq!(value["corrected"]["per_chain"].as_array().unwrap().len(), 3);
    let (status, out, _) = run(folder.path(), &[&["llc", "replay", &recording], &LLC[..]].concat());
    assert!(status == 0 && out.contains("corrected: 15.77") && out.contains("verdict:"), "{out}");
}

#[test]
fn tables_of_responses_are_those_of_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let recording = recording();
    let known = Safetensors::open(&recording).unwrap();
    let close = |found: &Safetensors, name: &str, expected: &str| {
        let (found, expected) = (found.read(name).unwrap().to_f64(), known.read(expected).unwrap().to_f64());
        assert_eq!(found.shape(), expected.shape(), "{name}");
        let largest = expected.iter().fold(0.0_f64, |a, x| a.max(x.abs()));
        let off = (found - expected).iter().fold(0.0_f64, |a, x| a.max(x.abs()));
        assert!(off < 5e-6 * largest, "{name}: {off}");
    };
    let observables = ["--observables", "prose,repeat,train"];
    let arguments = [
        &["susceptibilities", "replay", &recording, "--runs", "l0h1,l1_mlp,l1", "--full", "full"][..],
        &["--reference", "train", "--initial", "init_loss", "--n-beta", "30", "--output", "sus.safetensors"],
        &observables,
    ]
    .concat();
    let (status, _, said) = run(folder.path(), &arguments);
    assert_eq!(status, 0, "{said}");
    let found = Safetensors::open(folder.path().join("sus.safetensors")).unwrap();
    for (name, expected) in [
        ("sus", "sus"),
        ("sus.pooled_cov_f64", "sus.pooled_cov_f64"),
        ("sus.within_chain_cov_f64", "sus.within_chain_cov_f64"),
    ] {
        close(&found, name, expected);
    }
    let (response, covariance) =
        ["sus.response", "sus.within_chain_cov_f64"].map(|name| found.read(name).unwrap().to_f64()).into();
    assert_eq!(response, covariance * 30.0);
    let places = ["sus.dataset_id", "sus.batch", "sus.target_position"]
        .map(|name| found.read(name).unwrap().to_i64().unwrap()[[287]]);
    assert_eq!(places, [2, 7, 12]);

    let arguments = [
        &["influence", "replay", &recording, "--run", "full", "--output", "bif.safetensors"][..],
        &observables,
    ]
    .concat();
    let (status, _, said) = run(folder.path(), &arguments);
    assert_eq!(status, 0, "{said}");
    let found = Safetensors::open(folder.path().join("bif.safetensors")).unwrap();
    for name in known.names().filter(|name| name.starts_with("bif.")) {
        close(&found, name, name);
    }
    let arguments = [
        &["influence", "replay", &recording, "--run", "full", "--output", "two.safetensors"][..],
        &["--tokens", "0..2,3..6", "--observables", "prose"],
    ]
    .concat();
    let (status, _, said) = run(folder.path(), &arguments);
    assert_eq!(status, 0, "{said}");
    let found = Safetensors::open(folder.path().join("two.safetensors")).unwrap();
    assert_eq!(found.shape("bif.token"), Some(&[2, 3, 12, 12][..]));
}

#[test]
fn recordings_that_cannot_be_used_are_refused_with_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traces.safetensors");
    let mut losses =
        Array4::from_shape_fn((2, 6, 2, 3), |(c, d, r, t)| 1.0 + ((5 * c + 3 * d + r + t) % 7) as f64);
    let write = |losses: &Array4<f64>, baseline: &Array2<f64>| {
        let tensors = [
            ("full.losses", FileArray::from(losses.clone())),
            ("full.loss_a", FileArray::from(losses.clone())),
            ("init_loss", FileArray::from(Array2::from_elem((2, 3), 1.0))),
            ("baseline", FileArray::from(baseline.clone())),
        ];
        write_safetensors(&path, &tensors, &[]).unwrap();
    };
    let refused = |arguments: &[&str], words: &str| {
        let (status, out, said) = run(folder.path(), arguments);
        assert!(status == 2 && said.contains(words), "{arguments:?}: {status} {out}{said}");
    };
    let names =
        ["--losses", "full.losses", "--initial", "init_loss", "--paired", "baseline", "--n-beta", "30"];
    let llc = [&["llc", "replay", "traces.safetensors"], &names[..]].concat();
    let baseline = Array2::from_elem((2, 6), 1.0);
    write(&losses, &baseline);
    refused(&[&llc[..], &["--burn-in", "5"]].concat(), "at least 2 must remain");
    refused(&[&llc[..8], &["missing", "--n-beta", "30"]].concat(), "missing");
    refused(&[&llc[..10], &["0"]].concat(), "n_beta must be positive");
    let influence =
        ["influence", "replay", "traces.safetensors", "--run", "full", "--output", "o.safetensors"];
    refused(&[&influence[..], &["--observables", "a,a"]].concat(), "twice");
    refused(
        &[&influence[..], &["--observables", "a", "--tokens", "0..9,0..1"]].concat(),
        "the end of a range",
    );
    refused(&[&influence[..], &["--observables", "a", "--tokens", "x"]].concat(), "0..4,8..12");
    refused(&["llc"], "MODEL");
    write(&losses, &Array2::from_elem((2, 5), 1.0));
    refused(&llc, "has 5 draws; expected 6");
    for draw in 2..6 {
        losses[[0, draw, 0, 0]] = f64::NAN;
    }
    write(&losses, &baseline);
    refused(&llc, "smaller step size");
    assert!(!folder.path().join("o.safetensors").exists());
}
