//! Dictionaries of Llama Scope, first and second release.

use super::compare::apart;
use collimate_sae::formats::{Checkpoint, Format, Target, read};
use collimate_stream::RngStream;
use collimate_tensor::files::{FileArray, write_safetensors};
use ndarray::{Array1, Array2};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;

/// Writes a Llama Scope folder of 5 latents in 4 dimensions with the names of the second release, and reads it.
fn scope(
    folder: &Path,
    config: Json,
    extra: &[(&str, FileArray)],
) -> Result<Checkpoint<f64>, collimate_sae::SaeError> {
    let [w_e, w_d, b_e, b_d] = scope_weights();
    let mut arrays: Vec<(&str, FileArray)> = vec![
        ("W_E", w_e.into()),
        ("W_D", w_d.into()),
        ("b_E", b_e.row(0).to_owned().into()),
        ("b_D", b_d.row(0).to_owned().into()),
    ];
    arrays.extend(extra.iter().cloned());
    write_safetensors(folder.join("sae_weights.safetensors"), &arrays, &[]).unwrap();
    let mut all = json!({
        "sae_type": "sae", "d_model": 4, "expansion_factor": 1.25, "act_fn": "jumprelu", "norm_activation": "inference",
        "hook_point_in": "a.b", "hook_point_out": "a.b", "sparsity_include_decoder_norm": true, "use_decoder_bias": true,
    });
    for (key, value) in config.as_object().unwrap() {
        all[key] = value.clone();
    }
    fs::write(folder.join("config.json"), all.to_string()).unwrap();
    read(folder)
}

fn scope_weights() -> [Array2<f64>; 4] {
    let mut stream = RngStream::new(12, 0);
    [(4, 5), (5, 4), (1, 5), (1, 4)].map(|shape| Array2::from_shape_simple_fn(shape, || stream.normal()))
}

#[test]
fn the_second_llama_scope_compares_with_decoder_norms_and_returns_the_codes() {
    let folder = tempfile::tempdir().unwrap();
    let log = Array1::from_elem(5, 0.4_f64.ln());
    let threshold = || ("activation_function.log_jumprelu_threshold", FileArray::from(log.clone()));
    let [w_e, w_d, b_e, b_d] = scope_weights();
    let norms = w_d.map_axis(ndarray::Axis(1), |row| row.dot(&row).sqrt());
    let x = Array2::from_shape_fn((20, 4), |(i, j)| ((3 * i + 5 * j) as f64).sin());
    let expected = |s_in: f64, s_out: f64, r: &Array1<f64>| {
        let z = x.dot(&w_e) + &b_e / s_in;
        let scaled = r.mapv(|r| if r == 1.0 { 1.0 } else { r * s_in / s_out });
        let codes = Array2::from_shape_fn(
            z.dim(),
            |(i, j)| if z[[i, j]] * scaled[j] > 0.4 { z[[i, j]] } else { 0.0 },
        );
        let recon = codes.dot(&w_d) * (s_in / s_out) + &b_d / s_out;
        (codes, recon)
    };
    let norm = |value: f64| FileArray::from(Array1::from_elem(1, value));
    let unset = || ("dataset_average_activation_norm.a.b", norm(f64::NAN));
    let inference = scope(folder.path(), json!({}), &[threshold(), unset()]).unwrap();
    let without =
        scope(folder.path(), json!({"sparsity_include_decoder_norm": false}), &[threshold(), unset()])
            .unwrap();
    let wise = json!({"norm_activation": "dataset-wise", "hook_point_out": "c"});
    let norms_of = [
        threshold(),
        ("dataset_average_activation_norm.a.b", norm(5.0)),
        ("dataset_average_activation_norm.c", norm(1.6)),
    ];
    let folded = scope(folder.path(), wise.clone(), &norms_of).unwrap();
    assert_eq!((inference.format, folded.dictionary.target()), (Format::LlamaScope, Target::Other));
    let ones = Array1::ones(5);
    for (checkpoint, (codes, recon)) in [
        (inference, expected(1.0, 1.0, &norms)),
        (without, expected(1.0, 1.0, &ones)),
        (folded, expected(2.0 / 5.0, 2.0 / 1.6, &norms)),
    ] {
        let out = checkpoint.dictionary.forward(&x).unwrap();
        assert!(codes.iter().filter(|code| **code != 0.0).count() > 20);
        assert!(apart(&out.codes.to_dense(), &codes) < 1e-12 && apart(&out.reconstruction, &recon) < 1e-12);
    }
    let refused = |config: Json, extra: &[(&str, FileArray)], word: &str| {
        let error = scope(folder.path(), config, extra).unwrap_err().to_string();
        assert!(error.contains(word), "{error}: no {word}");
    };
    refused(wise, &[threshold(), unset(), ("dataset_average_activation_norm.c", norm(1.0))], "was never set");
    refused(json!({"norm_activation": "dataset-wise"}), &[threshold()], "dataset_average_activation_norm");
    refused(json!({"norm_activation": "token-wise"}), &[threshold()], "token-wise");
    refused(json!({"use_glu_encoder": true}), &[threshold()], "use_glu_encoder");
    refused(json!({"sae_type": "lorsa"}), &[threshold()], "lorsa");
    refused(json!({"act_fn": "gelu"}), &[], "gelu");
    refused(json!({"act_fn": "relu"}), &[threshold()], "log_jumprelu_threshold");
    refused(json!({"expansion_factor": 2}), &[threshold()], "expansion_factor");
    refused(json!({"use_decoder_bias": false}), &[threshold()], "b_D");
    refused(json!({}), &[], "jump_relu_threshold");
}

#[test]
fn the_first_llama_scope_keeps_the_largest_after_the_norms() {
    let folder = tempfile::tempdir().unwrap();
    let [w_e, w_d, b_e, b_d] = scope_weights();
    let transposed = |array: &Array2<f64>| FileArray::from(array.t().as_standard_layout().into_owned());
    fs::create_dir_all(folder.path().join("checkpoints")).unwrap();
    let file = folder.path().join("checkpoints/final.safetensors");
    let arrays = [
        ("encoder.weight", transposed(&w_e)),
        ("encoder.bias", b_e.row(0).to_owned().into()),
        ("decoder.weight", transposed(&w_d)),
        ("decoder.bias", b_d.row(0).to_owned().into()),
    ];
    write_safetensors(&file, &arrays, &[]).unwrap();
    let with = |changes: Json| {
        let mut config = json!({
            "act_fn": "topk", "top_k": 2, "jump_relu_threshold": 0.0, "norm_activation": "dataset-wise",
            "dataset_average_activation_norm": {"in": 8.0, "out": 1.0}, "sparsity_include_decoder_norm": true,
            "d_model": 4, "d_sae": 5, "hook_point_in": "a", "hook_point_out": "b",
        });
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        fs::write(folder.path().join("hyperparams.json"), config.to_string()).unwrap();
        read::<f64>(&file)
    };
    let (s_in, s_out) = (2.0 / 8.0, 2.0 / 1.0);
    let norms = w_d.map_axis(ndarray::Axis(1), |row| row.dot(&row).sqrt()) * (s_in / s_out);
    let x = Array2::from_shape_fn((20, 4), |(i, j)| ((3 * i + 5 * j) as f64).sin() * 4.0);
    let z = (x.dot(&w_e) + &b_e / s_in) * &norms;
    let top = with(json!({})).unwrap().dictionary.encode(&x).unwrap().to_dense();
    let jump = with(json!({"jump_relu_threshold": 0.3})).unwrap();
    assert!(jump.notes.iter().any(|note| note.contains("topk with a threshold")), "{:?}", jump.notes);
    let jump = jump.dictionary.encode(&x).unwrap().to_dense();
    for (row, z) in z.rows().into_iter().enumerate() {
        let mut sorted = z.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        for (i, &z) in z.iter().enumerate() {
            let kept = if z >= sorted[1] { z.max(0.0) } else { 0.0 };
            assert!((top[[row, i]] - kept).abs() < 1e-12);
            assert!((jump[[row, i]] - if z > 0.3 { z } else { 0.0 }).abs() < 1e-12);
        }
    }
    for (changes, word) in [
        (json!({"dataset_average_activation_norm": {"in": 8.0}}), "'out'"),
        (json!({"dataset_average_activation_norm": {"in": 0.0, "out": 1.0}}), "positive"),
        (json!({"jump_relu_threshold": -0.1}), "jump_relu_threshold"),
        (json!({"apply_decoder_bias_to_pre_encoder": true}), "two scales"),
        (json!({"sparsity_include_decoder_norm": null}), "sparsity_include_decoder_norm"),
        (json!({"top_k": 0}), "top_k"),
    ] {
        let error = with(changes).unwrap_err().to_string();
        assert!(error.contains(word), "{error}: no {word}");
    }
    fs::remove_file(folder.path().join("hyperparams.json")).unwrap();
    assert!(read::<f64>(&file).unwrap_err().to_string().contains("hyperparams.json"));
}
