//! Dictionaries of SAELens: the configuration, the files beside the weights, and files that wrap the weights.

use super::compare::apart;
use super::dictionary_learning::matryoshka;
use crate::torch_files::{self, Value};
use collimate_sae::formats::{Checkpoint, Format, read};
use collimate_sae::{TopK, Variant};
use collimate_stream::RngStream;
use collimate_tensor::files::{FileArray, write_safetensors};
use ndarray::{Array1, Array2, array};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;

/// A folder with a dictionary that tests change.
pub(super) struct Made {
    pub(super) folder: tempfile::TempDir,
    pub(super) arrays: Vec<(&'static str, FileArray)>,
    pub(super) config: Json,
}

impl Made {
    /// Returns weights of 4 latents in 3 dimensions under the names of SAELens, and a configuration.
    pub(super) fn saelens(changes: Json) -> Self {
        let mut stream = RngStream::new(7, 0);
        let mut draw = |shape: (usize, usize)| Array2::from_shape_simple_fn(shape, || stream.normal() as f32);
        let arrays = vec![
            ("W_enc", draw((3, 4)).into()),
            ("W_dec", draw((4, 3)).into()),
            ("b_enc", draw((1, 4)).row(0).to_owned().into()),
            ("b_dec", draw((1, 3)).row(0).to_owned().into()),
        ];
        let mut config = json!({
            "architecture": "standard", "d_in": 3, "d_sae": 4, "apply_b_dec_to_input": true, "normalize_activations": "none",
            "reshape_activations": "none", "dtype": "float32",
        });
        for (key, value) in changes.as_object().unwrap() {
            match value.is_null() {
                true => drop(config.as_object_mut().unwrap().remove(key)),
                false => config[key] = value.clone(),
            }
        }
        Self { folder: tempfile::tempdir().unwrap(), arrays, config }
    }

    pub(super) fn with(mut self, name: &'static str, array: impl Into<FileArray>) -> Self {
        self.arrays.retain(|entry| entry.0 != name);
        self.arrays.push((name, array.into()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.arrays.retain(|entry| entry.0 != name);
        self
    }

    pub(super) fn write(&self) -> &Path {
        let folder = self.folder.path();
        write_safetensors(folder.join("sae_weights.safetensors"), &self.arrays, &[]).unwrap();
        fs::write(folder.join("cfg.json"), self.config.to_string()).unwrap();
        folder
    }

    pub(super) fn read(&self) -> Checkpoint<f64> {
        read(self.write()).unwrap()
    }

    pub(super) fn refused(&self, words: &[&str]) {
        let error = read::<f64>(self.write()).expect_err(&format!("{words:?}")).to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "{error}: no {word}"));
    }

    pub(super) fn array(&self, name: &str) -> Array2<f64> {
        let (_, array) = self.arrays.iter().find(|entry| entry.0 == name).unwrap();
        let array = array.to_f64();
        match array.ndim() {
            1 => array.into_dimensionality::<ndarray::Ix1>().unwrap().insert_axis(ndarray::Axis(0)),
            _ => array.into_dimensionality().unwrap(),
        }
    }
}

#[test]
fn a_configuration_that_bears_on_the_codes_is_used_or_refused_by_name() {
    let vector = || Array1::from_elem(4, 0.1_f32);
    for (changes, words) in [
        (json!({"activation_fn_str": "silu"}), &["silu", "activation_fn_str"][..]),
        (json!({"activation_fn": "tanh-relu"}), &["tanh-relu"]),
        (json!({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": null}}), &["'k'", "topk"]),
        (json!({"activation_fn_str": "topk", "architecture": "gated"}), &["topk", "gated"]),
        (json!({"activation_fn_kwargs": {"beta": 2.0}}), &["beta"]),
        (json!({"architecture": "topk", "k": 2.5}), &["'k'", "2.5"]),
        (json!({"architecture": "topk", "k": 5}), &["k", "5"]),
        (json!({"architecture": "topk", "k": "NaN"}), &["'k'", "NaN"]),
        (json!({"architecture": "cross_layer"}), &["cross_layer"]),
        (json!({"d_sae": 5}), &["d_sae", "tensors say 4"]),
        (json!({"d_in": null}), &["'d_in'"]),
        (json!({"normalize_activations": "unit"}), &["unit"]),
        (json!({"reshape_activations": "hook_k"}), &["hook_k"]),
        (json!({"apply_b_dec_to_input": "yes"}), &["apply_b_dec_to_input", "yes"]),
        (json!({"architecture": "transcoder"}), &["apply_b_dec_to_input"]),
        (json!({"architecture": "skip_transcoder", "apply_b_dec_to_input": false}), &["W_skip"]),
        (json!({"architecture": "gated"}), &["b_gate"]),
        (json!({"architecture": "jumprelu"}), &["threshold"]),
        (json!({"finetuning_scaling_factor": true}), &["finetuning_scaling_factor"]),
    ] {
        Made::saelens(changes).refused(words);
    }
    let plain = || Made::saelens(json!({}));
    plain().with("log_threshold", vector()).refused(&["log_threshold", "standard"]);
    plain().with("W_skip", Array2::from_elem((3, 3), 1.0_f32)).refused(&["W_skip"]);
    plain().with("threshold", vector()).refused(&["threshold"]);
    plain().without("b_enc").refused(&["b_enc"]);
    let jump = || Made::saelens(json!({"architecture": "jumprelu"}));
    jump().with("threshold", vector()).with("log_threshold", vector()).refused(&["threshold"]);
    jump().with("threshold", array![0.1_f32, f32::NAN, 0.0, 0.0]).refused(&["threshold", "NaN"]);
    plain().with("W_dec", Array2::from_elem((4, 3), f32::INFINITY)).refused(&["W_dec", "inf"]);
}

#[test]
fn the_decisions_of_the_reader_are_noted() {
    let notes = |made: Made| made.read().notes.join("; ");
    let silent = json!({"architecture": null, "apply_b_dec_to_input": null, "normalize_activations": null});
    let text = notes(Made::saelens(silent));
    for word in ["no architecture", "no apply_b_dec_to_input", "no normalize_activations"] {
        assert!(text.contains(word), "{text}");
    }
    let thresholds = array![0.1_f32, -0.5, 0.0, -1e-3];
    let jump = Made::saelens(json!({"architecture": "jumprelu"})).with("threshold", thresholds);
    assert!(notes(jump).contains("2 negative thresholds are set to 0"));
    let unknown = notes(Made::saelens(json!({"temperature": 0.3, "lr": 1e-3})));
    assert!(unknown.contains("temperature") && !unknown.contains("lr"), "{unknown}");
    assert_eq!(Made::saelens(json!({})).read().notes, [""; 0]);
    let rescaled = notes(Made::saelens(json!({"rescale_acts_by_decoder_norm": true})));
    assert!(rescaled.contains("rescale_acts_by_decoder_norm changes nothing"), "{rescaled}");
}

#[test]
fn factors_of_finetuning_multiply_the_decoder_rows_and_no_code() {
    let mut stream = RngStream::new(8, 0);
    let x = Array2::from_shape_simple_fn((12, 3), || 20.0 * stream.normal());
    let factors = array![0.5_f32, 2.0, -1.0, 3.0];
    let plain = Made::saelens(json!({}));
    let (codes, b_dec) =
        (plain.read().dictionary.forward(&x).unwrap().codes.to_dense(), plain.array("b_dec"));
    assert!(codes.columns().into_iter().all(|codes| codes.iter().any(|&code| code > 0.0)), "{codes}");
    let expected = (&codes * &factors.mapv(f64::from)).dot(&plain.array("W_dec")) + &b_dec;
    let unscaled = codes.dot(&plain.array("W_dec")) + &b_dec;
    assert!(apart(&expected, &unscaled) > 0.1);
    for (key, config) in [
        ("finetuning_scaling_factor", json!({"finetuning_scaling_factor": true})),
        ("scaling_factor", json!({})),
    ] {
        let read = Made::saelens(config).with(key, factors.clone()).read();
        let out = read.dictionary.forward(&x).unwrap();
        assert_eq!(out.codes.to_dense(), codes, "{key}");
        // Sums of four products of at most a thousand in f64.
        assert!(apart(&out.reconstruction, &expected) < 1e-11, "{key}");
        assert_eq!(read.notes, [format!("the {key} of the file multiplies the decoder rows")]);
    }
    let short = Made::saelens(json!({"finetuning_scaling_factor": true}));
    short.with("finetuning_scaling_factor", array![1.0_f32]).refused(&["scaling_factor", "[4]", "[1]"]);
}

#[test]
fn the_largest_in_magnitude_keep_their_signs_and_a_zero_row_is_silent() {
    let config = json!({"architecture": "abstopk", "k": 2, "rescale_acts_by_decoder_norm": true});
    let mut made = Made::saelens(config);
    let mut w_dec = made.array("W_dec").mapv(|v| v as f32);
    w_dec.row_mut(1).fill(0.0);
    made = made.with("W_dec", w_dec);
    let dictionary = made.read().dictionary;
    let x = array![[0.4, -1.0, 0.2], [2.0, 0.5, -0.7]];
    let norms = made.array("W_dec").map_axis(ndarray::Axis(1), |row| row.dot(&row).sqrt());
    let z = ((&x - &made.array("b_dec")).dot(&made.array("W_enc")) + made.array("b_enc")) * &norms;
    let out = dictionary.forward(&x).unwrap();
    for (row, (z, codes)) in z.rows().into_iter().zip(out.codes.to_dense().rows()).enumerate() {
        let mut order: Vec<usize> = (0..4).collect();
        order.sort_by(|&a, &b| z[b].abs().total_cmp(&z[a].abs()));
        for (rank, &i) in order.iter().enumerate() {
            let expected = if rank < 2 { z[i] } else { 0.0 };
            assert!((codes[i] - expected).abs() < 1e-12, "row {row}: {codes} and {z}");
        }
        assert_eq!(codes[1], 0.0);
    }
    assert!(out.reconstruction.iter().all(|v| v.is_finite()));
}

#[test]
fn wrapped_state_dicts_are_read_and_their_configuration_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sae.pt");
    let state = |prefix: &str| {
        let names: [&'static str; 4] = match prefix {
            "" => ["W_enc", "W_dec", "b_enc", "b_dec"],
            "module." => ["module.W_enc", "module.W_dec", "module.b_enc", "module.b_dec"],
            _ => ["_orig_mod.W_enc", "_orig_mod.W_dec", "_orig_mod.b_enc", "_orig_mod.b_dec"],
        };
        let mut entries: Vec<_> = matryoshka(None).into_iter().take(4).collect();
        entries.iter_mut().zip(names).for_each(|(entry, name)| entry.0 = name);
        Value::Dict(entries)
    };
    let config = |k: i32| {
        let arguments = Value::Dict(vec![("k", Value::Int(k))]);
        Value::Dict(vec![
            ("d_in", Value::Int(3)),
            ("d_sae", Value::Int(6)),
            ("activation_fn_str", Value::Text("topk")),
            ("activation_fn_kwargs", arguments),
            ("normalize_activations", Value::Text("none")),
        ])
    };
    let seed = || Value::Raw(b"\x8a\x09\0\0\0\0\0\0\0\x80\0");
    for prefix in ["", "module.", "_orig_mod."] {
        let entries = vec![("cfg", config(2)), ("state_dict", state(prefix)), ("seed", seed())];
        torch_files::write(&path, entries);
        let checkpoint = read::<f64>(&path).unwrap();
        assert_eq!(checkpoint.format, Format::SaeLens);
        assert!(matches!(checkpoint.dictionary.variant(), Variant::TopK(TopK { k: 2, .. })));
        assert!(checkpoint.notes.iter().any(|note| note.contains("a whole number of 9 bytes")));
        assert!(prefix.is_empty() || checkpoint.notes.iter().any(|note| note.contains(prefix)));
    }
    let refused = |entries: Vec<(&'static str, Value)>, words: &[&str]| {
        torch_files::write(&path, entries);
        let error = read::<f64>(&path).unwrap_err().to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "{error}: no {word}"));
    };
    let object = || Value::Raw(b"cmy.lab\nConfig\n)\x81}b");
    refused(vec![("cfg", object()), ("state_dict", state(""))], &["my.lab.Config", "vars(cfg)"]);
    refused(vec![("config", object()), ("state_dict", state(""))], &["my.lab.Config"]);
    let call = || Value::Raw(b"cposix\nsystem\n(X\x04\0\0\0exittR");
    refused(vec![("cfg", config(2)), ("state_dict", state("")), ("x", call())], &["posix.system", "'x'"]);
    refused(vec![("cfg", config(9)), ("state_dict", state(""))], &["k", "at most"]);
    refused(vec![("state_dict", state(""))], &["cfg.json"]);
    // An optimiser beside the state is left out, and noted.
    let optimiser = Value::Dict(vec![("exp_avg", Value::Tensor(vec![1], vec![0.0]))]);
    torch_files::write(&path, vec![("cfg", config(2)), ("state_dict", state("")), ("optimizer", optimiser)]);
    let notes = read::<f64>(&path).unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("optimizer.exp_avg")), "{notes:?}");
}

#[test]
fn scalings_and_whitenings_beside_the_weights_are_applied_or_refused() {
    let x = array![[0.4, -1.0, 0.2], [2.0, 0.5, -0.7]];
    let plain = Made::saelens(json!({})).read().dictionary;
    let with = |scaler: Json, whitening: bool, config: Json| {
        let made = Made::saelens(config);
        fs::write(made.folder.path().join("activation_scaler.json"), scaler.to_string()).unwrap();
        if whitening {
            let arrays = [
                ("mean", FileArray::from(array![0.1, -0.2, 0.3])),
                ("matrix", array![[2.0, 0.0, 0.0], [0.0, 0.5, 0.0], [1.0, 0.0, 1.0]].into()),
                ("inverse_matrix", array![[0.5, 0.0, 0.0], [0.0, 2.0, 0.0], [-0.5, 0.0, 1.0]].into()),
            ];
            write_safetensors(made.folder.path().join("activation_whitening.safetensors"), &arrays, &[])
                .unwrap();
        }
        read::<f64>(made.write())
    };
    let both = with(json!({"scaling_factor": 0.5, "has_whitening": true}), true, json!({})).unwrap();
    let (mean, matrix) = (array![0.1, -0.2, 0.3], array![[2.0, 0.0, 0.0], [0.0, 0.5, 0.0], [1.0, 0.0, 1.0]]);
    let inverse = array![[0.5, 0.0, 0.0], [0.0, 2.0, 0.0], [-0.5, 0.0, 1.0]];
    let expected = plain.forward(&(&x * 0.5 - &mean).dot(&matrix)).unwrap();
    let ours = both.dictionary.forward(&x).unwrap();
    assert!(apart(&ours.codes.to_dense(), &expected.codes.to_dense()) < 1e-12);
    assert!(apart(&ours.reconstruction, &((expected.reconstruction.dot(&inverse) + &mean) / 0.5)) < 1e-12);
    assert!(both.notes.iter().any(|note| note.contains("0.5")), "{:?}", both.notes);
    for (scaler, whitening, config, word) in [
        (
            json!({"scaling_factor": null, "has_whitening": true}),
            false,
            json!({}),
            "activation_whitening.safetensors",
        ),
        (json!({"scaling_factor": 1.0, "has_whitening": false}), true, json!({}), "has_whitening is false"),
        (json!({"scaling_factor": -1.0}), false, json!({}), "positive"),
        (json!({"scaling_factor": "NaN"}), false, json!({}), "scaling_factor"),
        (json!({"scaling_factor": 1.0, "shift": 2.0}), false, json!({}), "shift"),
        (json!({"scaling_factor": 2.0}), false, json!({"normalize_activations": "layer_norm"}), "layer-norm"),
    ] {
        let error = with(scaler, whitening, config).unwrap_err().to_string();
        assert!(error.contains(word), "{error}: no {word}");
    }
}
