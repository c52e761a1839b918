//! Dictionaries as other libraries publish them: the cases of their own code, and siblings of each rule.

use crate::cases::folder;
use crate::torch_files::{self, Value, tensor};
use collimate_sae::formats::{Checkpoint, Dictionary, Format, Given, Target, read, read_given};
use collimate_sae::{MatchingPursuit, Precision, Sae, Size, TopK, Variant, Weights};
use collimate_stream::RngStream;
use collimate_tensor::files::{FileArray, Safetensors, write_npz, write_safetensors};
use ndarray::{Array1, Array2, array};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Reads a tensor of a case as rows.
fn rows<F: Precision>(io: &Safetensors, key: &str) -> Array2<F> {
    let array = io.read(key).unwrap().to_f64().into_dimensionality::<ndarray::Ix2>().unwrap();
    array.mapv(F::from_f64)
}

fn check<F: Precision>(what: &str, path: &Path, io: &Safetensors, suffix: &str, tolerance: &Json) {
    let dictionary = read::<F>(path).unwrap_or_else(|error| panic!("{what}: {error}")).dictionary;
    let out = dictionary.forward(&rows::<F>(io, "x")).unwrap();
    let [rtol, atol] = ["rtol", "atol"].map(|key| tolerance[key].as_f64().unwrap());
    for (key, ours) in [("feature_acts", out.codes.to_dense()), ("recon", out.reconstruction)] {
        let theirs = rows::<f64>(io, &format!("{key}{suffix}"));
        assert_eq!(ours.dim(), theirs.dim(), "{what} {key}");
        for ((place, &value), &expected) in ours.indexed_iter().zip(&theirs) {
            let off = (value.to_f64() - expected).abs();
            assert!(off <= atol + rtol * expected.abs(), "{what} {key}{place:?}: {value} and not {expected}");
            let both = (value == F::zero()) == (expected == 0.0);
            assert!(both || key == "recon", "{what} {key}{place:?}: the supports differ");
        }
    }
}

#[test]
fn every_published_case_gives_the_codes_and_reconstructions_of_its_library() {
    let text = fs::read_to_string(folder().join("formats/cases.json")).unwrap();
    let cases: Vec<Json> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 20);
    for case in &cases {
        let name = case["case"].as_str().unwrap();
        let io = Safetensors::open(folder().join(format!("formats/io/{name}.safetensors"))).unwrap();
        for open in case["open"].as_array().unwrap() {
            let path = folder().join("formats/files").join(name).join(open.as_str().unwrap());
            check::<f32>(name, &path, &io, "", &case["tolerance"]["f32"]);
            check::<f64>(name, &path, &io, "_f64", &case["tolerance"]["f64"]);
        }
    }
}

#[test]
fn a_signed_file_is_not_read_as_todays_release_reads_it() {
    let io = Safetensors::open(folder().join("formats/io/sparsify_signed.safetensors")).unwrap();
    let (signed, today) = (rows::<f64>(&io, "feature_acts"), rows::<f64>(&io, "sparsify_1_3_3_acts"));
    assert!(signed.iter().any(|&code| code < 0.0) && today.iter().all(|&code| code >= 0.0));
}

/// A folder with a dictionary that tests change.
struct Made {
    folder: tempfile::TempDir,
    arrays: Vec<(&'static str, FileArray)>,
    config: Json,
}

impl Made {
    /// Returns weights of 4 latents in 3 dimensions under the names of SAELens, and a configuration.
    fn saelens(changes: Json) -> Self {
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

    fn with(mut self, name: &'static str, array: impl Into<FileArray>) -> Self {
        self.arrays.retain(|entry| entry.0 != name);
        self.arrays.push((name, array.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.arrays.retain(|entry| entry.0 != name);
        self
    }

    fn write(&self) -> &Path {
        let folder = self.folder.path();
        write_safetensors(folder.join("sae_weights.safetensors"), &self.arrays, &[]).unwrap();
        fs::write(folder.join("cfg.json"), self.config.to_string()).unwrap();
        folder
    }

    fn read(&self) -> Checkpoint<f64> {
        read(self.write()).unwrap()
    }

    fn refused(&self, words: &[&str]) {
        let error = read::<f64>(self.write()).expect_err(&format!("{words:?}")).to_string();
        words.iter().for_each(|word| assert!(error.contains(word), "{error}: no {word}"));
    }

    fn array(&self, name: &str) -> Array2<f64> {
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
fn a_pursuit_ends_by_its_conditions() {
    // Two unit rows at 60°: the remainder of (1, 0) alternates between them and shrinks by half at each step.
    let half = 0.75_f64.sqrt();
    let weights = Weights {
        w_enc: Array2::zeros((2, 2)),
        w_dec: array![[1.0, 0.0], [0.5, half]],
        b_dec: Array1::zeros(2),
        per_latent: Vec::new(),
    };
    let codes = |pursuit: MatchingPursuit| {
        let sae = Sae::from_weights(pursuit, weights.clone()).unwrap();
        sae.dictionary().encode(&array![[1.0, half]]).unwrap().to_dense()
    };
    // The products are 1 and 0.5 + 0.75: latent 1 first, then latent 0 with 1 − 0.625.
    let two = codes(MatchingPursuit::new(2));
    assert!((&two - &array![[0.375, 1.25]]).iter().all(|v| v.abs() < 1e-12), "{two}");
    // The remainder is (0, half − 1.25·half): it points away from both, and the pursuit ends by itself.
    assert_eq!(codes(MatchingPursuit::new(9)), two);
    // After the first latent the remainder has the length √(0.375² + 0.0469) = 0.433.
    let near = MatchingPursuit { residual_threshold: 0.44, ..MatchingPursuit::new(9) };
    assert_eq!(codes(near)[[0, 0]], 0.0);
    let far = MatchingPursuit { residual_threshold: 0.43, ..MatchingPursuit::new(9) };
    assert_eq!(codes(far), two);
    // Rows longer than one overshoot, so the same latent is chosen again; the amounts add up.
    let long = Weights { w_dec: array![[0.5, 0.0], [0.0, 0.5]], ..weights.clone() };
    let again = |stops_at_repeat| {
        let pursuit = MatchingPursuit { stops_at_repeat, ..MatchingPursuit::new(3) };
        let sae = Sae::from_weights(pursuit, long.clone()).unwrap();
        sae.dictionary().encode(&array![[1.0, 0.0]]).unwrap().to_dense()[[0, 0]]
    };
    assert!((again(true) - (0.5 + 0.375)).abs() < 1e-12);
    assert!((again(false) - (0.5 + 0.375 + 0.28125)).abs() < 1e-12);
    let line = MatchingPursuit { residual_threshold: 0.5, ..MatchingPursuit::new(3) };
    assert_eq!(format!("{:?}", MatchingPursuit::new(3)), "MatchingPursuit { k: 3 }");
    assert_eq!(Variant::from(line).to_string().parse(), Ok(Variant::from(line)));
}

#[test]
fn the_content_of_a_file_tells_its_format() {
    let folder = tempfile::tempdir().unwrap();
    let size = Size { d_model: 3, n_latents: 6 };
    let sae = Sae::<f32>::new(TopK::new(2), size, &mut RngStream::new(3, 0)).unwrap();
    for name in ["dict.pt", "dict", "dict.npz", "ae.pt", "sae_weights.safetensors", "params.safetensors"] {
        let path = folder.path().join(name);
        sae.save(&path).unwrap();
        let checkpoint = read::<f32>(&path).unwrap();
        assert_eq!(checkpoint.format, Format::Collimate, "{name}");
        assert_eq!(checkpoint.dictionary, *sae.dictionary());
        fs::remove_file(&path).unwrap();
    }
    // Weights of SAELens under another name, with the metadata that other writers put in.
    let made = Made::saelens(json!({}));
    let expected = made.read().dictionary;
    let moved = made.folder.path().join("layer5.safetensors");
    write_safetensors(&moved, &made.arrays, &[("format", "pt")]).unwrap();
    let checkpoint = read::<f64>(&moved).unwrap();
    assert_eq!((checkpoint.format, &checkpoint.dictionary), (Format::SaeLens, &expected));
    // A folder with a single file of another name.
    fs::remove_file(made.folder.path().join("sae_weights.safetensors")).unwrap();
    assert_eq!(read::<f64>(made.folder.path()).unwrap().dictionary, expected);
    fs::copy(&moved, made.folder.path().join("layer6.safetensors")).unwrap();
    let error = read::<f64>(made.folder.path()).unwrap_err().to_string();
    assert!(error.contains("layer5.safetensors, layer6.safetensors"), "{error}");
    // Files of torch.save and npz archives with misleading names.
    let source = folder.path().join("weights.safetensors");
    fs::copy(
        crate::cases::folder().join("formats/files/goodfire/Llama-3.1-8B-Instruct-SAE-l19.pth"),
        &source,
    )
    .unwrap();
    assert_eq!(read::<f32>(&source).unwrap().format, Format::Goodfire);
    let archive = folder.path().join("params.bin");
    gemma(&archive);
    assert_eq!(read::<f32>(&archive).unwrap().format, Format::GemmaScope);
    write_safetensors(&source, &[("weight", Array2::<f32>::zeros((2, 2)).into())], &[]).unwrap();
    let error = read::<f32>(&source).unwrap_err().to_string();
    assert!(error.contains("[\"weight\"]") && error.contains("expected W_enc"), "{error}");
}

/// Writes weights of Gemma Scope with 5 latents in 4 dimensions.
fn gemma(path: &Path) {
    let mut stream = RngStream::new(4, 0);
    let mut draw = |shape: (usize, usize)| Array2::from_shape_simple_fn(shape, || stream.normal() as f32);
    let arrays = [
        ("W_enc", draw((4, 5)).into()),
        ("W_dec", draw((5, 4)).into()),
        ("b_enc", draw((1, 5)).row(0).to_owned().into()),
        ("b_dec", draw((1, 4)).row(0).to_owned().into()),
        ("threshold", Array1::from_elem(5, 0.1_f32).into()),
    ];
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_npz(path, &arrays).unwrap();
}

#[test]
fn a_path_scales_no_weights_except_the_folders_of_the_release() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| {
        let path = folder.path().join(path);
        gemma(&path);
        path
    };
    let plain = read::<f64>(at("a/params.npz")).unwrap().dictionary;
    for path in [
        "embedding-study/params.npz",
        "embedding/params.npz",
        "my-embedding/width_4k/average_l0_6/params.npz",
        "embedding/width_4k/average_l0_6/copy/params.npz",
        "transcoder-notes/params.npz",
    ] {
        let checkpoint = read::<f64>(at(path)).unwrap();
        assert_eq!(checkpoint.dictionary, plain, "{path}");
        assert!(!checkpoint.notes.iter().any(|note| note.contains("√d")), "{path}");
    }
    let release = at("gemma-scope-2b-pt-res/embedding/width_4k/average_l0_6/params.npz");
    let scaled = read::<f64>(&release).unwrap();
    assert!(scaled.notes.iter().any(|note| note.contains("√d")), "{:?}", scaled.notes);
    // √4 = 2 in single precision is exact.
    assert_eq!(scaled.dictionary.encoder().mapv(|w| w * 2.0), plain.encoder());
    assert_eq!(scaled.dictionary.decoder().mapv(|w| w / 2.0), plain.decoder());
    let given = Given { embedding: true, ..Given::default() };
    assert_eq!(read_given::<f64>(at("a/params.npz"), &given).unwrap().dictionary, scaled.dictionary);
    assert!(read_given::<f64>(Made::saelens(json!({})).write(), &given).is_err());
    let transcoder = at("models--google--gemma-scope-2b-pt-transcoders/snapshots/1/layer_3/params.npz");
    assert_eq!(read::<f64>(transcoder).unwrap().dictionary.target(), Target::Other);
}

#[test]
fn the_kind_of_a_second_gemma_scope_stands_in_its_configuration() {
    let from = folder()
        .join("formats/files/gemma_scope_2_transcoder_affine/transcoder/layer_12_width_16k_l0_medium_affine");
    let temporary = tempfile::tempdir().unwrap();
    let to = temporary.path().join("transcoder/layer_3");
    fs::create_dir_all(&to).unwrap();
    fs::copy(from.join("params.safetensors"), to.join("params.safetensors")).unwrap();
    let with = |config: Json| {
        fs::write(to.join("config.json"), config.to_string()).unwrap();
        read::<f64>(&to)
    };
    let hooks = json!({"architecture": "jump_relu", "hf_hook_point_in": "a", "hf_hook_point_out": "a"});
    assert_eq!(with(hooks).unwrap().dictionary.target(), Target::Input);
    assert_eq!(with(json!({"type": "transcoder"})).unwrap().dictionary.target(), Target::Other);
    for (config, word) in [
        (json!({"type": "sae", "affine_connection": false}), "affine_skip_connection"),
        (json!({"type": "crosscoder"}), "crosscoder"),
        (json!({"architecture": "topk"}), "topk"),
    ] {
        assert!(with(config).unwrap_err().to_string().contains(word));
    }
    fs::remove_file(to.join("config.json")).unwrap();
    let alone = read::<f64>(&to).unwrap();
    assert!(alone.notes.iter().any(|note| note.contains("by its tensors")), "{:?}", alone.notes);
}

/// Writes a file of Qwen Scope with 6 latents in `d` dimensions.
fn qwen(path: &Path, d: usize) {
    let mut stream = RngStream::new(8, 0);
    let mut draw = |shape: &[usize]| ndarray::ArrayD::from_shape_simple_fn(shape, || stream.normal() as f32);
    torch_files::write(
        path,
        vec![
            ("W_enc", tensor(&draw(&[6, d]))),
            ("W_dec", tensor(&draw(&[d, 6]))),
            ("b_enc", tensor(&draw(&[6]))),
            ("b_dec", tensor(&draw(&[d]))),
        ],
    );
}

#[test]
fn k_of_qwen_scope_comes_from_its_folder_or_is_given() {
    let folder = tempfile::tempdir().unwrap();
    // Width 6 makes the matrices square, which hides a transposition from the shapes.
    for d in [4, 6] {
        let at = |path: &str| {
            let path = folder.path().join(format!("{d}")).join(path);
            qwen(&path, d);
            path
        };
        let k = |path: &Path, given: Option<usize>| {
            read_given::<f64>(path, &Given { k: given, ..Given::default() }).map(|checkpoint| {
                match *checkpoint.dictionary.variant() {
                    Variant::TopK(TopK { k, .. }) => k,
                    other => panic!("{other}"),
                }
            })
        };
        let own = at("SAE-Res-Qwen3-1.7B-Base-W32K-L0_3/layer0.sae.pt");
        assert_eq!(k(&own, None).unwrap(), 3);
        assert!(k(&own, Some(2)).unwrap_err().to_string().contains("says it itself"));
        let cached = at("models--Qwen--SAE-Res-L0_2/snapshots/0a1b/layer0.sae.pt");
        assert_eq!(k(&cached, None).unwrap(), 2);
        for other in ["downloads/layer4.sae.pt", "run-L0_3/copies/layer0.sae.pt", "L0_x/layer0.sae.pt"] {
            let path = at(other);
            let error = k(&path, None).unwrap_err().to_string();
            assert!(error.contains("the number k") && error.contains("L0_50"), "{error}");
            assert_eq!(k(&path, Some(5)).unwrap(), 5);
            assert!(k(&path, Some(7)).unwrap_err().to_string().contains("at most the number of latents"));
        }
        let dictionary = read::<f64>(&own).unwrap().dictionary;
        let x = Array2::from_shape_fn((5, d), |(i, j)| (i as f64 - 2.0) * 0.7 + (j as f64).sin());
        let z = x.dot(&dictionary.encoder().t()) + &dictionary.weights().per_latent[0];
        let codes = dictionary.encode(&x).unwrap().to_dense();
        for (z, codes) in z.rows().into_iter().zip(codes.rows()) {
            let mut sorted = z.to_vec();
            sorted.sort_by(|a, b| b.total_cmp(a));
            for (z, &code) in z.iter().zip(codes) {
                let expected = if *z >= sorted[2] { z.max(0.0) } else { 0.0 };
                assert!((code - expected).abs() < 1e-12, "{code} and not {expected}");
            }
        }
    }
}

/// A Llama Scope folder of 5 latents in 4 dimensions with the second release's names.
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

fn apart(ours: &Array2<f64>, expected: &Array2<f64>) -> f64 {
    (ours - expected).fold(0.0, |most: f64, v| most.max(v.abs()))
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

/// Returns the arrays of dictionary_learning's Matryoshka and of T-SAE, with a threshold.
fn matryoshka(threshold: Option<f32>) -> Vec<(&'static str, Value)> {
    let mut stream = RngStream::new(15, 0);
    let mut draw =
        |shape: &[usize]| tensor(&ndarray::ArrayD::from_shape_simple_fn(shape, || stream.normal() as f32));
    let mut entries = vec![
        ("W_enc", draw(&[3, 6])),
        ("W_dec", draw(&[6, 3])),
        ("b_enc", draw(&[6])),
        ("b_dec", draw(&[3])),
        ("k", Value::Int(2)),
        ("group_sizes", Value::Tensor(vec![2], vec![2.0, 4.0])),
    ];
    entries.extend(threshold.map(|threshold| ("threshold", Value::Tensor(vec![], vec![threshold]))));
    entries
}

#[test]
fn temporal_and_older_files_with_the_keys_of_dictionary_learning_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ae.pt");
    let x = Array2::from_shape_fn((10, 3), |(i, j)| ((2 * i + 3 * j) as f64).cos());
    let of = |checkpoint: &Checkpoint<f64>| {
        let dictionary = &checkpoint.dictionary;
        let z = (&x - dictionary.decoder_bias()).dot(&dictionary.encoder().t());
        (z + &dictionary.weights().per_latent[0], dictionary.encode(&x).unwrap().to_dense())
    };
    torch_files::write(&path, matryoshka(Some(0.5)));
    let (z, codes) = of(&read(&path).unwrap());
    assert!(apart(&codes, &z.mapv(|z| if z > 0.5 { z } else { 0.0 })) < 1e-12);
    // Without a threshold the 2·10 largest codes of the ten rows stay.
    torch_files::write(&path, matryoshka(None));
    let batch = read::<f64>(&path).unwrap();
    assert!(batch.notes.iter().any(|note| note.contains("no threshold")), "{:?}", batch.notes);
    let (z, codes) = of(&batch);
    let mut sorted: Vec<f64> = z.iter().copied().collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    assert!(apart(&codes, &z.mapv(|z| if z >= sorted[19] && z > 0.0 { z } else { 0.0 })) < 1e-12);
    // A class that keeps no largest codes contradicts the tensors.
    fs::write(folder.path().join("config.json"), r#"{"trainer": {"dict_class": "NewSAE", "dict_size": 6}}"#)
        .unwrap();
    assert!(read::<f64>(&path).is_ok());
    let lower = |names: [&'static str; 4]| {
        let mut entries = matryoshka(Some(0.5));
        entries.pop();
        entries.pop();
        let shapes: [(usize, &[usize]); 2] = [(0, &[6, 3]), (1, &[3, 6])];
        for (entry, name) in entries.iter_mut().zip(names) {
            entry.0 = name;
        }
        for (at, shape) in shapes {
            if let Value::Tensor(old, _) = &mut entries[at].1 {
                *old = shape.to_vec();
            }
        }
        entries
    };
    torch_files::write(&path, lower(["encoder.weight", "decoder.weight", "encoder.bias", "b_dec"]));
    let error = read::<f64>(&path).unwrap_err().to_string();
    assert!(error.contains("NewSAE") && error.contains("AutoEncoderTopK"), "{error}");
    fs::write(folder.path().join("config.json"), r#"{"trainer": {"dict_size": 7}}"#).unwrap();
    assert!(read::<f64>(&path).unwrap_err().to_string().contains("dict_size"));
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

#[test]
fn signed_codes_of_sparsify_are_told_from_those_of_later_releases() {
    let from = folder().join("formats/files/sparsify_signed");
    let temporary = tempfile::tempdir().unwrap();
    fs::copy(from.join("sae.safetensors"), temporary.path().join("sae.safetensors")).unwrap();
    let with = |config: Json| {
        fs::write(temporary.path().join("cfg.json"), config.to_string()).unwrap();
        read::<f64>(temporary.path())
    };
    let name = |checkpoint: Checkpoint<f64>| checkpoint.dictionary.variant().name();
    assert_eq!(with(json!({"k": 4, "signed": true})).map(name).unwrap(), "abs_topk");
    assert_eq!(with(json!({"k": 4, "signed": false, "activation": "topk"})).map(name).unwrap(), "topk");
    assert_eq!(with(json!({"k": 4})).map(name).unwrap(), "topk");
    let error = with(json!({"k": 4, "signed": true, "activation": "topk"})).unwrap_err().to_string();
    assert!(error.contains("'signed'") && error.contains("activation"), "{error}");
    assert!(with(json!({"k": 0})).unwrap_err().to_string().contains("'k'"));
    assert!(with(json!({})).unwrap_err().to_string().contains("'k'"));
}

#[test]
fn a_checkpoint_of_a_wrong_kind_is_refused_through_every_path() {
    let missing = PathBuf::from("no/such/place");
    assert!(read::<f32>(&missing).unwrap_err().to_string().contains("no such file or folder"));
    let array = tempfile::tempdir().unwrap();
    let path = array.path().join("a.npy");
    collimate_tensor::files::write_npy(&path, &FileArray::from(array![1.0_f32])).unwrap();
    assert!(read::<f32>(&path).unwrap_err().to_string().contains("a single array of NumPy"));
    let sound: Dictionary<f32> = Made::saelens(json!({})).read().dictionary.cast();
    assert_eq!(sound.size(), Size { d_model: 3, n_latents: 4 });
}
