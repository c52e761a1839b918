//! Checkpoints of other libraries: their codes and reconstructions, conversion, folding, and damaged files.

use crate::cases::folder;
use collimate_sae::formats::{
    Checkpoint, Dictionary, Format, Given, RowNormalisation, Target, agreement, read, read_as, read_given,
    write_saelens,
};
use collimate_sae::{
    AbsTopK, BatchTopK, Crosscoder, CrosscoderSparsity, Gated, InputBias, JumpRelu, MatchingPursuit,
    PenaltyWeight, Precision, Relu, Sae, SaeError, Size, Skip, TopK, Transcoder, Variant,
};
use collimate_stream::RngStream;
use collimate_tensor::files::{FileArray, Safetensors, write_safetensors};
use ndarray::{Array1, Array2};
use std::fs;
use std::path::{Path, PathBuf};

fn checkpoints() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(folder().join("checkpoints")).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// Returns the path that a reader gets: the folder, or the file of the formats that are a single file.
fn source(path: &Path) -> PathBuf {
    let single = path.join("3.pt");
    if single.is_file() { single } else { path.to_owned() }
}

/// Reads a checkpoint. A dictionary of embeddings outside the folders of its release needs a word.
fn open<F: Precision>(path: &Path) -> Result<Checkpoint<F>, SaeError> {
    let embedding = name(path) == "gemma_scope_embedding";
    read_given(source(path), &Given { embedding, ..Given::default() })
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Reads a tensor of `io.safetensors` as rows; heads are put side by side.
fn rows<F: Precision>(path: &Path, key: &str) -> Array2<F> {
    let array = Safetensors::open(path.join("io.safetensors")).unwrap().read(key).unwrap().to_f64();
    let count = array.shape()[0];
    let width = array.len() / count;
    array.into_shape_with_order((count, width)).unwrap().mapv(F::from_f64)
}

fn check<F: Precision>(
    what: &str,
    dictionary: &Dictionary<F>,
    path: &Path,
    keys: [&str; 2],
    tolerance: [f64; 2],
) {
    let x = rows::<F>(path, "x");
    let out = dictionary.forward(&x).unwrap();
    let codes = out.codes.to_dense();
    for (key, ours) in keys.into_iter().zip([&codes, &out.reconstruction]) {
        let theirs = rows::<F>(path, key);
        assert_eq!(ours.dim(), theirs.dim(), "{what} {key}");
        for ((i, j), &value) in ours.indexed_iter() {
            let expected = theirs[[i, j]].to_f64();
            let off = (value.to_f64() - expected).abs();
            assert!(
                off <= tolerance[1] + tolerance[0] * expected.abs(),
                "{what} {key}[{i}, {j}]: {value} and not {expected}"
            );
            if key.starts_with("feature_acts") {
                assert_eq!(
                    value == F::zero(),
                    expected == 0.0,
                    "{what} {key}[{i}, {j}]: the supports differ"
                );
            }
        }
    }
}

#[test]
fn every_checkpoint_gives_the_codes_and_reconstructions_of_its_library() {
    let text = fs::read_to_string(folder().join("checkpoints.json")).unwrap();
    let cases: serde_json::Value = serde_json::from_str(&text).unwrap();
    let paths = checkpoints();
    assert_eq!(paths.len(), cases.as_object().unwrap().len());
    for path in paths {
        let name = name(&path);
        let tolerance = |key: &str| {
            let of = &cases[&name]["tolerance"][key];
            [of["rtol"].as_f64().unwrap(), of["atol"].as_f64().unwrap()]
        };
        let single = open::<f32>(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        check(&name, &single.dictionary, &path, ["feature_acts", "recon"], tolerance("feature_acts"));
        let double = open::<f64>(&path).unwrap();
        check(
            &name,
            &double.dictionary,
            &path,
            ["feature_acts_f64", "recon_f64"],
            tolerance("feature_acts_f64"),
        );
        assert_eq!(single.format, double.format);
    }
}

#[test]
fn folded_norms_are_those_the_library_folds() {
    let mut folded = 0;
    for path in checkpoints() {
        let io = Safetensors::open(path.join("io.safetensors")).unwrap();
        for (prefix, suffix) in [("folded", "_f64"), ("normalized", "")] {
            let keys = ["feature_acts", "recon"].map(|key| format!("{prefix}.{key}{suffix}"));
            if !io.names().any(|key| key == keys[0]) {
                continue;
            }
            let dictionary = read::<f64>(&path).unwrap().dictionary;
            let after = if dictionary.clone().fold_decoder_norms().is_err() {
                dictionary // folded while it was read: the selection multiplies by the norms
            } else {
                dictionary.fold_decoder_norms().unwrap()
            };
            // The library folds float32 files in float32.
            check(&name(&path), &after, &path, [&keys[0], &keys[1]], [1e-5, 1e-5]);
            folded += 1;
        }
    }
    assert_eq!(folded, 10);
}

/// Returns the folder where `tests/saelens.py`, which loads written files in SAELens itself, looks for them.
fn kept_for_saelens() -> Option<PathBuf> {
    std::env::var_os("COLLIMATE_SAELENS_OUT").map(PathBuf::from)
}

#[test]
fn what_is_written_for_saelens_comes_back_and_agrees() {
    let temporary = tempfile::tempdir().unwrap();
    let at = kept_for_saelens().unwrap_or_else(|| temporary.path().to_owned());
    let (mut written, mut refused) = (0, Vec::new());
    for path in checkpoints() {
        let (name, before) = (name(&path), open::<f64>(&path).unwrap().dictionary);
        let to = at.join(&name);
        match write_saelens(&before, &to, &[("hook_name", "blocks.3.hook_resid_post")]) {
            Ok(()) => {
                let back = read::<f64>(&to).unwrap();
                assert_eq!(back.about["hook_name"], "blocks.3.hook_resid_post");
                assert_eq!(back.dictionary, before, "{name}");
                let agreement = agreement(&before, &back.dictionary, &rows(&path, "x")).unwrap();
                assert_eq!((agreement.support, agreement.reconstruction), (0, 0.0), "{name}: {agreement}");
                written += 1;
            }
            Err(SaeError::Unsupported { .. }) => refused.push(name),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    let expected = [
        "saelens_batchtopk_training_checkpoint",
        "sparsify_groupmax",
        "sparsify_skip_autoencoder",
        "sparsify_skip_transcoder",
        "sparsify_transcoder",
    ];
    assert_eq!(refused, expected);
    assert!(written > 60);
}

#[test]
fn a_member_of_the_family_and_its_dictionary_do_the_same() {
    let mut stream = RngStream::new(3, 0);
    let size = Size { d_model: 6, n_latents: 20 };
    let x = Array2::from_shape_fn((30, 6), |_| stream.normal());
    let gated = Sae::<f64>::new(Gated::paper(), size, &mut stream).unwrap();
    let mut weights = gated.into_weights();
    weights.per_latent.iter_mut().flatten().for_each(|b| *b = 0.3 * stream.normal());
    weights.b_dec.iter_mut().for_each(|b| *b = stream.normal());
    let gated = Sae::from_weights(Gated::paper(), weights).unwrap();
    let jump = gated.to_jump_relu().unwrap();
    let members: Vec<Sae<f64>> = vec![
        Sae::new(Relu::unit_norm(), size, &mut stream).unwrap(),
        Sae::new(TopK::new(4), size, &mut stream).unwrap(),
        gated,
        jump,
    ];
    for sae in &members {
        let dictionary = sae.dictionary().clone();
        let out = dictionary.forward(&x).unwrap();
        let codes = sae.dictionary().encode(&x).unwrap();
        let off = (codes.to_dense() - out.codes.to_dense()).fold(0.0, |m: f64, v| m.max(v.abs()));
        assert!(off < 1e-12, "{}: {off}", sae.variant());
        assert_eq!(&dictionary.to_sae().unwrap(), sae);
        // A bias that is folded into the encoder changes nothing but rounding.
        let folded = dictionary.clone().fold_input_bias();
        assert_eq!(folded.input_bias(), InputBias::NotSubtracted);
        assert!(agreement(&dictionary, &folded, &x).unwrap().relative < 1e-12);
    }
    let transcoder = read::<f64>(folder().join("checkpoints/saelens_skip_transcoder")).unwrap().dictionary;
    assert!(matches!(transcoder.to_sae(), Err(SaeError::Unsupported { .. })));
}

fn dictionary(variant: impl Into<Variant>, stream: &mut RngStream) -> Dictionary<f64> {
    let sae = Sae::<f64>::new(variant, Size { d_model: 5, n_latents: 12 }, stream).unwrap();
    let (variant, mut weights) = (*sae.variant(), sae.into_weights());
    weights.w_dec.iter_mut().for_each(|w| *w += 0.3 * stream.normal());
    weights.b_dec.iter_mut().for_each(|b| *b = stream.normal());
    weights.per_latent.iter_mut().flatten().for_each(|b| *b = 0.2 * stream.normal().abs());
    Sae::from_weights(variant, weights).unwrap().dictionary().clone()
}

#[test]
fn folding_keeps_what_is_computed() {
    let mut stream = RngStream::new(5, 0);
    let members: [Variant; 5] = [
        Relu::unit_norm().into(),
        Relu::norm_weighted().into(),
        Gated::paper().into(),
        JumpRelu::with_input_bias(InputBias::NotSubtracted).into(),
        TopK::new(3).into(),
    ];
    let x = Array2::from_shape_fn((40, 5), |_| stream.normal());
    for member in members {
        let before = dictionary(member, &mut stream);
        // Norms there and back.
        let norms = before.decoder_norms();
        match before.clone().fold_decoder_norms() {
            Ok(folded) => {
                assert!(folded.decoder_norms().iter().all(|n| (n - 1.0).abs() < 1e-12));
                let after = agreement(&before, &folded, &x).unwrap();
                assert!(
                    after.support == 0 && after.relative < 1e-12 && after.codes < 1e-12,
                    "{member}: {after}"
                );
                let back = folded.rescale_latents(&norms.mapv(|n| 1.0 / n)).unwrap();
                assert!((back.encoder() - before.encoder()).iter().all(|v| v.abs() < 1e-12));
            }
            Err(error) => assert!(matches!(member, Variant::TopK(_)), "{member}: {error}"),
        }
        // A scale of the inputs: f'(x) = f(s x), x̂'(x) = x̂(s x)/s.
        let scaled = before.clone().fold_input_scale(1.7).unwrap();
        let (theirs, ours) = (before.forward(&(&x * 1.7)).unwrap(), scaled.forward(&x).unwrap());
        close(&theirs.codes.to_dense(), &ours.codes.to_dense());
        close(&(theirs.reconstruction / 1.7), &ours.reconstruction);
        // A whitening: f'(x) = f((x − μ)M), x̂' = x̂(z)M⁻¹ + μ, with M of determinant one and a known inverse.
        let (mean, whitening, inverse) = whitening(&mut stream);
        let z = (&x - &mean).dot(&whitening);
        let folded = before.clone().fold_whitening(&mean, &whitening, &inverse).unwrap();
        let (theirs, ours) = (before.forward(&z).unwrap(), folded.forward(&x).unwrap());
        close(&theirs.codes.to_dense(), &ours.codes.to_dense());
        close(&(theirs.reconstruction.dot(&inverse) + &mean), &ours.reconstruction);
        assert!(before.fold_whitening(&mean, &whitening, &whitening).is_err(), "not an inverse");
    }
}

fn close(a: &Array2<f64>, b: &Array2<f64>) {
    let off = (a - b).fold(0.0, |m: f64, v| m.max(v.abs()));
    assert!(off < 1e-10, "{off}");
}

/// Draws a mean, a unit triangular matrix and its inverse.
fn whitening(stream: &mut RngStream) -> (Array1<f64>, Array2<f64>, Array2<f64>) {
    let nilpotent = Array2::from_shape_fn((5, 5), |(i, j)| if j == i + 1 { stream.normal() } else { 0.0 });
    let identity = Array2::<f64>::eye(5);
    let mut inverse = identity.clone();
    let mut power = identity.clone();
    for _ in 1..5 {
        power = -power.dot(&nilpotent);
        inverse += &power;
    }
    (Array1::from_shape_fn(5, |_| stream.normal()), identity + nilpotent, inverse)
}

#[test]
fn the_threshold_of_batches_encodes_single_rows() {
    let path = folder().join("checkpoints/saelens_batchtopk_training_checkpoint");
    let batch = read::<f64>(&path).unwrap();
    assert!(batch.notes.iter().any(|note| note.contains("over all rows")), "{:?}", batch.notes);
    let single = batch.for_single_rows().unwrap();
    assert!(matches!(single.variant(), Variant::JumpRelu(_)));
    let threshold = &single.weights().per_latent[1];
    assert!(threshold.iter().all(|&t| (t - 1.1544996860075742).abs() < 1e-12));
    let other = read::<f64>(folder().join("checkpoints/dl_topk")).unwrap();
    assert!(other.for_single_rows().is_err());
}

#[test]
fn gemma_scope_2_and_openai_files_are_read_by_their_published_layout() {
    use collimate_tensor::files::{FileArray, write_safetensors};
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("transcoder_all/layer_3_width_16k_l0_small_affine");
    fs::create_dir_all(&folder).unwrap();
    let mut stream = RngStream::new(9, 0);
    let mut random = |shape: (usize, usize)| Array2::from_shape_fn(shape, |_| stream.normal() as f32);
    let (w_enc, w_dec, skip) = (random((4, 7)), random((7, 4)), random((4, 4)));
    let (b_enc, b_dec) = (random((1, 7)).row(0).to_owned(), random((1, 4)).row(0).to_owned());
    let threshold = random((1, 7)).row(0).mapv(|t| t.abs() * 0.2);
    let x = random((6, 4));
    let tensors = [
        ("w_enc", FileArray::from(w_enc.clone())),
        ("w_dec", w_dec.clone().into()),
        ("b_enc", b_enc.clone().into()),
        ("b_dec", b_dec.clone().into()),
        ("threshold", threshold.clone().into()),
        ("affine_skip_connection", skip.clone().into()),
    ];
    write_safetensors(folder.join("params.safetensors"), &tensors, &[]).unwrap();
    let config = r#"{"architecture": "jump_relu", "model_name": "gemma-v3-270m-pt", "affine_connection": true,
        "hf_hook_point_in": "model.layers.3.pre_feedforward_layernorm.output",
        "hf_hook_point_out": "model.layers.3.post_feedforward_layernorm.output"}"#;
    fs::write(folder.join("config.json"), config).unwrap();
    let checkpoint = read::<f32>(&folder).unwrap();
    assert_eq!((checkpoint.format, checkpoint.dictionary.target()), (Format::GemmaScope2, Target::Other));
    assert_eq!(checkpoint.about["model_name"], "gemma-v3-270m-pt");
    let pre = x.dot(&w_enc) + &b_enc;
    let codes =
        Array2::from_shape_fn(pre.dim(), |(i, j)| if pre[[i, j]] > threshold[j] { pre[[i, j]] } else { 0.0 });
    // The skip connection is stored [d_in, d_out].
    let expected = codes.dot(&w_dec) + &b_dec + x.dot(&skip);
    let ours = checkpoint.dictionary.forward(&x).unwrap();
    assert!((ours.reconstruction - expected).iter().all(|v| v.abs() < 1e-5));
    // A square matrix hides a transpose from the shapes, and not from the reconstruction.
    assert!(fs::write(folder.join("config.json"), config.replace("jump_relu", "topk")).is_ok());
    assert!(read::<f32>(&folder).unwrap_err().to_string().contains("'topk' is not 'jump_relu'"));
}

#[test]
fn files_that_are_no_dictionaries_say_what_was_expected() {
    let temporary = tempfile::tempdir().unwrap();
    let at = temporary.path();
    assert!(read::<f32>(at.join("nothing")).unwrap_err().to_string().contains("nothing"));
    assert!(read::<f32>(at).unwrap_err().to_string().contains("sae_weights.safetensors (SAELens)"));
    let case = |name: &str| folder().join("checkpoints").join(name);
    let copy = |name: &str| {
        let to = at.join(name);
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(case(name)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        to
    };
    let change = |name: &str, file: &str, from: &str, to: &str| {
        let folder = copy(name);
        let text = fs::read_to_string(folder.join(file)).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(folder.join(file), text.replace(from, to)).unwrap();
        read::<f32>(&folder).unwrap_err().to_string()
    };
    let cases = [
        (
            change("saelens_topk_bdec_norescale", "cfg.json", "\"d_sae\": 24", "\"d_sae\": 25"),
            "the tensors say 24",
        ),
        (
            change("saelens_topk_bdec_norescale", "cfg.json", "\"k\": 4", "\"k\": 400"),
            "at most the number of latents",
        ),
        (
            change("saelens_topk_bdec_norescale", "cfg.json", "\"k\": 4", "\"k\": \"4\""),
            "'k' must be a number",
        ),
        (change("saelens_standard_bdec", "cfg.json", "\"standard\"", "\"coder9\""), "'coder9' is not read"),
        (change("saelens_standard_bdec", "cfg.json", "\"standard\"", "\"gated\""), "there is no 'b_gate'"),
        (change("saelens_standard_bdec", "cfg.json", "\"none\"", "\"zscore\""), "zscore"),
        (change("saelens_standard_bdec", "cfg.json", "{", "{{"), "not JSON"),
        (change("sparsify_groupmax", "cfg.json", "\"k\": 4", "\"k\": 5"), "a divisor"),
        (change("sparsify_topk", "cfg.json", "\"topk\"", "\"sparsemax\""), "'sparsemax' is neither"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "{message}");
    }
    // A known format says what it misses.
    let error = read_as::<f32>(case("sparsify_topk"), Format::SaeLens).unwrap_err().to_string();
    assert!(error.contains("safetensors"), "{error}");
}

#[test]
fn mutated_checkpoints_give_errors_and_no_panic() {
    let temporary = tempfile::tempdir().unwrap();
    let mut stream = RngStream::new(11, 0);
    let (mut refused, mut tried) = (0, 0);
    let names = [
        "saelens_gated_bdec",
        "saelens_topk_bdec_rescale",
        "sparsify_skip_transcoder",
        "gemma_scope_compressed",
        "gemma_scope_res",
        "dl_matryoshka",
        "dl_gated",
        "openai_topk",
    ];
    for name in names {
        let from = folder().join("checkpoints").join(name);
        let to = temporary.path().join(name);
        fs::create_dir_all(&to).unwrap();
        let files: Vec<PathBuf> = fs::read_dir(&from)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| !path.ends_with("io.safetensors"))
            .collect();
        let contents: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
        let x = rows::<f32>(&from, "x");
        for _ in 0..60 {
            let chosen = stream.below(files.len());
            for (i, (path, content)) in files.iter().zip(&contents).enumerate() {
                let bytes = if i == chosen { mutated(content, &mut stream) } else { content.clone() };
                fs::write(to.join(path.file_name().unwrap()), bytes).unwrap();
            }
            tried += 1;
            match read::<f32>(source(&to)) {
                Ok(checkpoint) => drop(checkpoint.dictionary.forward(&x)),
                Err(_) => refused += 1,
            }
        }
    }
    // A flipped bit of a weight cannot be seen; most other damage is.
    assert!(refused * 3 > tried, "{refused} of {tried}");
}

fn mutated(content: &[u8], stream: &mut RngStream) -> Vec<u8> {
    let mut bytes = content.to_vec();
    for _ in 0..1 + stream.below(3) {
        if bytes.is_empty() {
            break;
        }
        let reach = if stream.bernoulli(0.7) { bytes.len().min(400) } else { bytes.len() };
        let at = stream.below(reach);
        match stream.below(5) {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << stream.below(8),
            2 => {
                let n = 8.min(bytes.len() - at);
                bytes[at..at + n].copy_from_slice(&(1_u64 << (20 + stream.below(43))).to_le_bytes()[..n]);
            }
            3 => {
                let n = stream.below(bytes.len() - at + 1);
                bytes.drain(at..at + n);
            }
            _ => {
                if let Some(digit) = bytes[at..].iter().position(u8::is_ascii_digit) {
                    bytes.splice(at + digit..=at + digit, vec![b'9'; 1 + stream.below(18)]);
                }
            }
        }
    }
    bytes
}

#[test]
fn what_a_reader_decided_is_said() {
    let notes = |name: &str| open::<f32>(&folder().join("checkpoints").join(name)).unwrap().notes.join("; ");
    for (name, expected) in [
        ("dl_topk", "threshold 0.699"),
        ("dl_batchtopk_unset_threshold", "never set"),
        ("saelens_standard_expected_average_unfolded", "fold_input_scale"),
        ("saelens_topk_bdec_rescale", "decoder norms"),
        ("sparsify_multi_topk", "4k"),
        ("gemma_scope_embedding", "√d"),
    ] {
        assert!(notes(name).contains(expected), "{name}: {}", notes(name));
    }
    let normalised = read::<f32>(folder().join("checkpoints/saelens_gated_layer_norm")).unwrap().dictionary;
    assert_eq!(normalised.row_normalisation(), RowNormalisation::LayerNorm);
    assert!(normalised.clone().fold_input_scale(2.0).is_err() && normalised.to_sae().is_err());
}

#[test]
fn a_trained_transcoder_is_written_for_saelens() {
    let input_bias = InputBias::NotSubtracted;
    let relu = Relu { penalty: PenaltyWeight::UnitNorm, input_bias };
    let mut stream = RngStream::new(5, 0);
    let x = Array2::from_shape_simple_fn((40, 6), || stream.normal());
    let folder = tempfile::tempdir().unwrap();
    for (number, (variant, skip, written)) in [
        (Variant::from(relu), Skip::Zero, true),
        (JumpRelu::with_input_bias(input_bias).into(), Skip::Zero, true),
        (BatchTopK { input_bias, threshold: Some(0.3), ..BatchTopK::new(2.0) }.into(), Skip::None, true),
        (TopK { input_bias, ..TopK::new(2) }.into(), Skip::Zero, false),
    ]
    .into_iter()
    .enumerate()
    {
        let start = Transcoder::<f64>::new(variant, 6, 4, 15, skip, &mut stream).unwrap();
        let mut weights = start.weights().clone();
        weights.w_dec.mapv_inplace(|_| stream.normal());
        weights.b_dec.mapv_inplace(|_| stream.normal());
        let skip = start.skip().map(|skip| skip.mapv(|_| stream.normal()));
        let transcoder = Transcoder::from_weights(variant, weights, skip).unwrap();
        let dictionary = transcoder.dictionary().clone();
        let expected = transcoder.dictionary().reconstruct(&x).unwrap();
        let off =
            |d: &Dictionary<f64>| (d.forward(&x).unwrap().reconstruction - &expected).mapv(f64::abs).sum();
        assert!(off(&dictionary) < 1e-10, "{variant}");
        assert_eq!(
            dictionary.forward(&x).unwrap().codes.to_dense(),
            transcoder.dictionary().encode(&x).unwrap().to_dense()
        );
        let outcome = write_saelens(&dictionary, folder.path(), &[]);
        assert_eq!(outcome.is_ok(), written, "{variant}");
        if written {
            let back = read::<f64>(folder.path()).unwrap().dictionary;
            assert_eq!(back.target(), Target::Other);
            assert!(off(&back) < 1e-10, "{variant}");
        }
        if let (true, Some(at)) = (written, kept_for_saelens()) {
            let to = at.join(format!("trained_transcoder_{number}"));
            write_saelens(&dictionary, &to, &[]).unwrap();
            let codes = transcoder.dictionary().encode(&x).unwrap().to_dense();
            let all = [("x", x.clone()), ("feature_acts_f64", codes), ("recon_f64", expected)];
            let all = all.map(|(name, array)| (name, FileArray::from(array)));
            write_safetensors(to.join("io.safetensors"), &all, &[]).unwrap();
        }
    }
}

#[test]
fn every_member_of_ours_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sae.safetensors");
    let mut stream = RngStream::new(6, 0);
    let x = Array2::from_shape_simple_fn((300, 6), || stream.normal());
    let size = Size { d_model: 6, n_latents: 12 };
    let sparsity = CrosscoderSparsity::BatchTopK { k: 3.0, aux: None, threshold: Some(0.8) };
    for (variant, name) in [
        (Variant::from(AbsTopK::new(3)), "abs_topk"),
        (MatchingPursuit::new(3).into(), "matching_pursuit"),
        (Crosscoder::l1(2).into(), "crosscoder"),
        (Crosscoder { layers: 3, sparsity }.into(), "crosscoder"),
    ] {
        let mut weights = Sae::<f64>::new(variant, size, &mut stream).unwrap().into_weights();
        weights.b_dec.mapv_inplace(|_| 0.3 * stream.normal());
        weights.per_latent.iter_mut().for_each(|vector| vector.mapv_inplace(|_| 0.1 * stream.normal()));
        let sae = Sae::from_weights(variant, weights).unwrap();
        sae.save(&path).unwrap();
        let checkpoint = read::<f64>(&path).unwrap();
        let dictionary = checkpoint.dictionary;
        assert_eq!(dictionary.variant().name(), name);
        let out = dictionary.forward(&x).unwrap();
        assert_eq!(out.codes.to_dense(), sae.dictionary().encode(&x).unwrap().to_dense(), "{variant}");
        assert!(out.codes.n_stored() > 100, "{variant}");
        let off = out.reconstruction - sae.dictionary().reconstruct(&x).unwrap();
        assert!(off.iter().all(|v| v.abs() < 1e-12), "{variant}");
        assert_eq!(dictionary.cast::<f32>().variant().name(), name);
        let again = dictionary.to_sae().unwrap();
        assert_eq!(
            again.dictionary().encode(&x).unwrap().to_dense(),
            sae.dictionary().encode(&x).unwrap().to_dense(),
            "{variant}"
        );
        // What leaves the function as it is does, or is refused.
        let plain = agreement(&dictionary, &dictionary.clone().fold_input_bias(), &x).unwrap();
        assert!(plain.reconstruction < 1e-12, "{variant}: {plain}");
        let scaled = dictionary.clone().fold_input_scale(2.0);
        assert_eq!(scaled.is_err(), name == "matching_pursuit");
        if let Ok(scaled) = scaled {
            let (ours, theirs) = (scaled.forward(&x).unwrap(), dictionary.forward(&(&x * 2.0)).unwrap());
            assert_eq!(ours.codes.to_dense(), theirs.codes.to_dense(), "{variant}");
        }
        let factors = Array1::from_elem(12, 2.0);
        assert_eq!(dictionary.clone().rescale_latents(&factors).is_err(), name == "matching_pursuit");
        assert_eq!(
            write_saelens(&dictionary, folder.path().join(name), &[]).is_err(),
            matches!(name, "abs_topk" | "matching_pursuit")
        );
    }
    let input_bias = InputBias::NotSubtracted;
    let transcoder =
        Transcoder::<f64>::new(TopK { input_bias, ..TopK::new(2) }, 6, 4, 12, Skip::Zero, &mut stream)
            .unwrap();
    transcoder.save(&path).unwrap();
    let dictionary = read::<f64>(&path).unwrap().dictionary;
    assert_eq!((dictionary.target(), dictionary.d_out()), (Target::Other, 4));
    assert_eq!(transcoder.dictionary().clone(), dictionary);
    let error = Sae::<f64>::load(&path).unwrap_err().to_string();
    assert!(error.contains("collimate transcoder 1"), "{error}");
}
