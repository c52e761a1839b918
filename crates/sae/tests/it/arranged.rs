//! Dictionaries whose input has further axes: files of other libraries, plain versions of their formulas, and damaged sets of files.

use crate::cases::folder;
use collimate_sae::formats::{Format, read, read_any};
use collimate_sae::{
    AnyDictionary, Arrangement, LayerActivation, LayeredTranscoder, Precision, Reach, SaeError,
    TranscoderLayer,
};
use collimate_stream::RngStream;
use collimate_tensor::files::{FileArray, FileData, Safetensors, write_safetensors};
use ndarray::{Array, Array1, Array2, Array3, ArrayD, Axis, Dimension, ShapeBuilder};
use std::fs;
use std::path::{Path, PathBuf};

/// The cases: the folder, the places that a user may name, and the format.
const CASES: [(&str, &[&str], Format); 10] = [
    ("clt_relu_mntss", &[".", "W_enc_1.safetensors", "W_dec_0.safetensors"], Format::CrossLayer),
    ("clt_jumprelu", &["."], Format::CrossLayer),
    ("plt_relu_mwhanna", &[".", "layer_0.safetensors", "layer_2.safetensors"], Format::PerLayer),
    ("plt_jumprelu_skip", &["."], Format::PerLayer),
    (
        "gemma_scope_2_clt",
        &["clt/width_262k_l0_medium", "clt/width_262k_l0_medium/params_layer_1.safetensors"],
        Format::GemmaScope2CrossLayer,
    ),
    ("crosscoder_relu", &["model.pt"], Format::Crosscoder),
    ("crosscoder_batchtopk", &["model.pt"], Format::Crosscoder),
    ("crosscoder_batchtopk_normalised", &["model.pt"], Format::Crosscoder),
    (
        "temporal_topk_tied",
        &["layer_4/temporal", "layer_4/temporal/latest_ckpt.safetensors"],
        Format::Temporal,
    ),
    ("temporal_relu_untied_saelens", &[".", "sae_weights.safetensors"], Format::Temporal),
];

pub(crate) fn case(name: &str) -> PathBuf {
    folder().join("arranged").join(name)
}

pub(crate) fn tensor(path: &Path, key: &str) -> ArrayD<f64> {
    Safetensors::open(path).unwrap().read(key).unwrap().to_f64()
}

pub(crate) fn normal<D: Dimension, S: ShapeBuilder<Dim = D>>(
    stream: &mut RngStream,
    shape: S,
) -> Array<f64, D> {
    Array::from_shape_simple_fn(shape, || stream.normal())
}

pub(crate) fn close<D: Dimension>(
    what: &str,
    ours: &Array<f64, D>,
    theirs: &Array<f64, D>,
    [rtol, atol]: [f64; 2],
) {
    assert_eq!(ours.shape(), theirs.shape(), "{what}");
    for (place, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= atol + rtol * b.abs(), "{what}, number {place}: {a} and not {b}");
    }
}

/// Compares the codes, the reconstruction and the predicted codes with those of the library of a file.
fn compare<F: Precision>(name: &str, at: &str, suffix: &str, tolerance: [f64; 2], format: Format) {
    let io = case(name).join("io.safetensors");
    let checkpoint =
        read_any::<F>(case(name).join(at)).unwrap_or_else(|error| panic!("{name} {at}: {error}"));
    assert_eq!(checkpoint.format, format, "{name}");
    let out = checkpoint.dictionary.forward(&tensor(&io, "x").mapv(F::from_f64)).unwrap();
    let wide = |array: &ArrayD<F>| array.mapv(|v| v.to_f64());
    let theirs = tensor(&io, &format!("feature_acts{suffix}"));
    let dense = out.codes.to_dense().into_dyn();
    let shape = [&out.code_axes[..], &[checkpoint.dictionary.n_latents()]].concat();
    let codes = wide(&dense).into_shape_with_order(shape).unwrap();
    close(&format!("{name} codes"), &codes, &theirs, tolerance);
    let supports = codes.iter().zip(&theirs).all(|(a, b)| (*a == 0.0) == (*b == 0.0));
    assert!(supports, "{name}: the supports differ");
    let recon = tensor(&io, &format!("recon{suffix}"));
    close(&format!("{name} reconstruction"), &wide(&out.reconstruction), &recon, tolerance);
    if let Some(predicted) = &out.predicted {
        let theirs = tensor(&io, &format!("predicted{suffix}"));
        close(&format!("{name} predicted"), &wide(predicted), &theirs, tolerance);
    }
}

#[test]
fn every_file_gives_the_codes_and_reconstructions_of_its_library() {
    for (name, places, format) in CASES {
        for at in places {
            // The tolerances are those of the list of cases: rounding of the precision, times the length of the sums.
            compare::<f32>(name, at, "", [1e-5, 1e-5], format);
            compare::<f64>(name, at, "_f64", [1e-10, 1e-12], format);
        }
    }
}

#[test]
fn readers_of_single_rows_name_the_architecture_and_its_axes() {
    for (name, [at, ..], _) in CASES.map(|(name, places, format)| (name, [places[0]], format)) {
        let error = read::<f32>(case(name).join(at)).expect_err(name).to_string();
        assert!(error.contains("takes an input [") && error.contains("sae encode"), "{name}: {error}");
    }
}

#[test]
fn an_input_with_other_axes_is_refused_with_the_expected_shape() {
    for (name, places, _) in CASES {
        let dictionary = read_any::<f64>(case(name).join(places[0])).unwrap().dictionary;
        let x = tensor(&case(name).join("io.safetensors"), "x");
        let flat = x.clone().into_shape_with_order(x.len()).unwrap().into_dyn();
        assert!(matches!(dictionary.forward(&flat), Err(SaeError::Mismatch { .. })), "{name}");
        let narrow = x.slice_each_axis(|axis| (0..if axis.axis.index() == 2 { 1 } else { axis.len }).into());
        assert!(matches!(dictionary.forward(&narrow.to_owned()), Err(SaeError::Mismatch { .. })), "{name}");
        let mut bad = x.clone();
        *bad.iter_mut().last().unwrap() = f64::NAN;
        let error = dictionary.forward(&bad).unwrap_err().to_string();
        let rows = x.len() / x.shape()[2] - 1;
        assert!(
            error.contains(&format!("x: the value at row {rows}")) && error.contains("NaN"),
            "{name}: {error}"
        );
        // No rows give no codes.
        let axis = if matches!(dictionary.arrangement(), Arrangement::LayersOfRows { .. }) { 1 } else { 0 };
        let none = x.slice_axis(Axis(axis), (0..0).into()).to_owned();
        let out = dictionary.forward(&none).unwrap();
        assert_eq!((out.codes.n_rows(), out.reconstruction.len()), (0, 0), "{name}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for (name, places, _) in CASES {
        let dictionary = read_any::<f32>(case(name).join(places[0])).unwrap().dictionary;
        let x = tensor(&case(name).join("io.safetensors"), "x").mapv(|v| v as f32);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| dictionary.forward(&x).unwrap())
        };
        assert_eq!(on(1), on(3), "{name}");
    }
}

/// Copies the files of a case into a folder of its own.
pub(crate) fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

/// Changes some tensors of a safetensors file.
pub(crate) fn change(path: &Path, with: impl FnOnce(&mut Vec<(String, FileArray)>)) {
    let file = Safetensors::open(path).unwrap();
    let mut tensors: Vec<_> = file.names().map(|name| (name.to_owned(), file.read(name).unwrap())).collect();
    with(&mut tensors);
    let tensors: Vec<_> = tensors.iter().map(|(name, array)| (name.as_str(), array.clone())).collect();
    write_safetensors(path, &tensors, &[]).unwrap();
}

fn replace(tensors: &mut [(String, FileArray)], name: &str, array: &ArrayD<f64>) {
    let (_, old) = tensors.iter_mut().find(|(given, _)| given == name).unwrap();
    *old = FileArray::new(array.shape().to_vec(), FileData::F32(array.iter().map(|&v| v as f32).collect()))
        .unwrap();
}

pub(crate) fn refused(path: &Path, words: &[&str]) {
    let error = read_any::<f32>(path).expect_err(&words.join(" ")).to_string();
    for word in words {
        assert!(error.contains(word), "'{word}' is not in: {error}");
    }
}

#[test]
fn decoder_layers_before_the_own_one_have_no_meaning_in_gemma_scope_2() {
    let from = case("gemma_scope_2_clt").join("clt/width_262k_l0_medium");
    let x = tensor(&case("gemma_scope_2_clt").join("io.safetensors"), "x");
    let expected = read_any::<f64>(&from).unwrap().dictionary.forward(&x).unwrap();
    for rest in [1.0, -250.0, 1e20] {
        let files = copy(&from);
        for layer in 1..3 {
            change(&files.path().join(format!("params_layer_{layer}.safetensors")), |tensors| {
                let mut w_dec = tensors.iter().find(|(name, _)| name == "w_dec").unwrap().1.to_f64();
                w_dec.slice_axis_mut(Axis(1), (0..layer).into()).fill(rest);
                replace(tensors, "w_dec", &w_dec);
            });
        }
        assert_eq!(
            read_any::<f64>(files.path()).unwrap().dictionary.forward(&x).unwrap(),
            expected,
            "{rest}"
        );
    }
}

/// Writes the layers of a cross-layer transcoder with skips as Gemma Scope 2 does.
#[test]
fn the_affine_connection_of_gemma_scope_2_multiplies_the_input_from_the_right() {
    let files = copy(&case("gemma_scope_2_clt").join("clt/width_262k_l0_medium"));
    let x = tensor(&case("gemma_scope_2_clt").join("io.safetensors"), "x");
    let before = read_any::<f64>(files.path()).unwrap().dictionary.forward(&x).unwrap().reconstruction;
    let mut stream = RngStream::new(3, 0);
    let skips: Vec<Array2<f64>> =
        (0..3).map(|_| normal(&mut stream, (6, 6)).mapv(|v| f64::from(v as f32))).collect();
    for (layer, skip) in skips.iter().enumerate() {
        change(&files.path().join(format!("params_layer_{layer}.safetensors")), |tensors| {
            tensors.push(("affine_skip_connection".into(), FileArray::from(skip.clone().into_dyn())));
        });
    }
    // The configuration contradicts the tensors now.
    refused(files.path(), &["affine_connection = false", "affine_skip_connection"]);
    let config = files.path().join("config.json");
    let text = fs::read_to_string(&config)
        .unwrap()
        .replace("\"affine_connection\": false", "\"affine_connection\": true");
    fs::write(&config, text).unwrap();
    let after = read_any::<f64>(files.path()).unwrap().dictionary.forward(&x).unwrap().reconstruction;
    for (layer, skip) in skips.iter().enumerate() {
        let of = |array: &ArrayD<f64>| {
            array.index_axis(Axis(0), layer).to_owned().into_dimensionality::<ndarray::Ix2>().unwrap()
        };
        // Six products of about one and a difference of two sums of about ten: far below 1e-12.
        close("skip", &(of(&after) - of(&before)), &of(&x).dot(skip), [1e-12, 1e-12]);
    }
}

#[test]
fn sets_of_files_with_a_gap_or_another_shape_are_refused_by_name() {
    let files = copy(&case("clt_relu_mntss"));
    fs::remove_file(files.path().join("W_enc_1.safetensors")).unwrap();
    refused(files.path(), &["W_enc_1.safetensors is missing", "layer 2"]);
    let files = copy(&case("clt_relu_mntss"));
    fs::remove_file(files.path().join("W_dec_0.safetensors")).unwrap();
    refused(files.path(), &["W_dec_0.safetensors is missing"]);
    // Without the last layer, the decoders of the others write to more layers than there are files.
    let files = copy(&case("clt_jumprelu"));
    for name in ["W_enc_2.safetensors", "W_dec_2.safetensors"] {
        fs::remove_file(files.path().join(name)).unwrap();
    }
    refused(files.path(), &["'W_dec_0' must have the shape [16, 2, 6]", "[16, 3, 6]"]);
    let files = copy(&case("plt_relu_mwhanna"));
    fs::remove_file(files.path().join("layer_0.safetensors")).unwrap();
    refused(files.path(), &["layer_0.safetensors is missing"]);
    let from = case("gemma_scope_2_clt").join("clt/width_262k_l0_medium");
    let files = copy(&from);
    fs::remove_file(files.path().join("params_layer_1.safetensors")).unwrap();
    refused(files.path(), &["params_layer_1.safetensors is missing"]);
    let files = copy(&from);
    fs::remove_file(files.path().join("params_layer_2.safetensors")).unwrap();
    refused(files.path(), &["num_layers", "3"]);
}

#[test]
fn tensors_and_settings_that_bear_on_the_result_are_used_or_refused() {
    let extra = |tensors: &mut Vec<(String, FileArray)>| {
        tensors.push(("W_skip_0".into(), FileArray::new(vec![1], FileData::F32(vec![1.0])).unwrap()));
    };
    let files = copy(&case("clt_relu_mntss"));
    change(&files.path().join("W_enc_0.safetensors"), extra);
    refused(files.path(), &["'W_skip_0' is not known"]);
    // Thresholds in one layer only.
    let files = copy(&case("clt_jumprelu"));
    change(&files.path().join("W_enc_1.safetensors"), |tensors| {
        tensors.retain(|(name, _)| name != "threshold_1")
    });
    refused(files.path(), &["layer 1 has none", "layer 0 has"]);
    // A configuration of another kind, or with another activation.
    for (case_name, from, to, words) in [
        ("clt_relu_mntss", "cross_layer_transcoder", "transcoder_set", ["model_kind", "transcoder_set"]),
        ("clt_relu_mntss", "scan: toy", "activation: jumprelu", ["jumprelu", "without thresholds"]),
        ("plt_jumprelu_skip", "scan: toy", "activation: relu", ["'relu'", "with thresholds"]),
        ("plt_relu_mwhanna", "scan: toy", "activation: topk", ["topk", "no 'k'"]),
        ("plt_relu_mwhanna", "scan: toy", "activation: gelu", ["gelu", "ReLU"]),
    ] {
        let files = copy(&case(case_name));
        let config = files.path().join("config.yaml");
        let text = fs::read_to_string(&config).unwrap();
        assert!(text.contains(from));
        fs::write(&config, text.replace(from, to)).unwrap();
        refused(files.path(), &words);
    }
    // A key that is not understood is noted.
    let files = copy(&case("clt_relu_mntss"));
    let config = files.path().join("config.yaml");
    fs::write(&config, fs::read_to_string(&config).unwrap() + "rotation: hadamard\n").unwrap();
    let notes = read_any::<f32>(files.path()).unwrap().notes.join(" ");
    assert!(notes.contains("rotation"), "{notes}");
}

#[test]
fn a_set_with_the_largest_latents_keeps_their_signs() {
    let files = copy(&case("plt_relu_mwhanna"));
    let config = files.path().join("config.yaml");
    fs::write(&config, fs::read_to_string(&config).unwrap() + "activation: topk\nk: 12\n").unwrap();
    let x = tensor(&case("plt_relu_mwhanna").join("io.safetensors"), "x");
    let dictionary = read_any::<f64>(files.path()).unwrap().dictionary;
    let out = dictionary.forward(&x).unwrap();
    let AnyDictionary::Transcoder(set) = &dictionary else { panic!("{}", dictionary.name()) };
    let mut negative = 0;
    for (layer, parameters) in set.layers().iter().enumerate() {
        let rows = x.index_axis(Axis(0), layer).to_owned().into_dimensionality::<ndarray::Ix2>().unwrap();
        let z = rows.dot(&parameters.w_enc.t()) + &parameters.b_enc;
        for (row, z) in z.rows().into_iter().enumerate() {
            let (latents, codes) = out.codes.row(layer * 5 + row);
            assert_eq!(latents.len(), 12);
            let least = codes.iter().copied().fold(f64::INFINITY, f64::min);
            // Sixteen latents, and the four smallest are left out.
            assert_eq!(z.iter().filter(|&&z| z < least - 1e-12).count(), 4);
            negative += codes.iter().filter(|&&code| code < 0.0).count();
        }
    }
    assert!(negative > 0);
    assert!(matches!(set.dictionary(0), Err(SaeError::Unsupported { .. })));
}

#[test]
fn one_layer_of_a_set_is_a_dictionary_of_single_rows() {
    for name in ["plt_relu_mwhanna", "plt_jumprelu_skip"] {
        let x = tensor(&case(name).join("io.safetensors"), "x");
        let theirs = tensor(&case(name).join("io.safetensors"), "recon_f64");
        let AnyDictionary::Transcoder(set) = read_any::<f64>(case(name)).unwrap().dictionary else {
            panic!()
        };
        let files = tempfile::tempdir().unwrap();
        let alone = files.path().join("layer_2.safetensors");
        fs::copy(case(name).join("layer_2.safetensors"), &alone).unwrap();
        let read = read::<f64>(&alone).unwrap();
        assert_eq!(read.dictionary, set.dictionary(2).unwrap());
        assert!(read.notes.iter().any(|note| note.contains("one layer alone")));
        let rows = x.index_axis(Axis(0), 2).to_owned().into_dimensionality::<ndarray::Ix2>().unwrap();
        let ours = read.dictionary.reconstruct(&rows).unwrap().into_dyn();
        close(name, &ours, &theirs.index_axis(Axis(0), 2).to_owned(), [1e-10, 1e-12]);
    }
}

#[test]
fn a_cross_layer_transcoder_predicts_what_automatic_differentiation_predicts() {
    let path = case("training").join("clt_jumprelu_ste.safetensors");
    let vector = |name: &str, l: usize| -> Array1<f64> {
        tensor(&path, &format!("w.{name}_{l}")).into_dimensionality().unwrap()
    };
    let cube = |name: &str| -> Array3<f64> { tensor(&path, name).into_dimensionality().unwrap() };
    let layers = (0..3).map(|l| TranscoderLayer {
        w_enc: tensor(&path, &format!("w.W_enc_{l}")).into_dimensionality().unwrap(),
        b_enc: vector("b_enc", l),
        activation: LayerActivation::JumpRelu(vector("threshold", l)),
        w_dec: cube(&format!("w.W_dec_{l}")),
        b_dec: vector("b_dec", l),
        w_skip: None,
    });
    let transcoder = LayeredTranscoder::new(layers.collect(), Reach::LaterLayers).unwrap();
    let codes = transcoder.encode(&cube("in.x")).unwrap();
    let theirs = cube("out.feature_acts");
    for (layer, codes) in codes.iter().enumerate() {
        close("codes", &codes.to_dense(), &theirs.index_axis(Axis(0), layer).to_owned(), [1e-10, 1e-12]);
    }
    close("predictions", &transcoder.decode(&codes).unwrap(), &cube("out.recon"), [1e-10, 1e-12]);
}

#[test]
fn layered_transcoders_of_any_size_are_those_of_plain_loops() {
    let mut stream = RngStream::new(11, 0);
    // Layers, latents, widths of the input and of the output, rows.
    for ([count, n, d_in, d_out, rows], reach, skip) in [
        ([1, 5, 3, 3, 4], Reach::LaterLayers, true),
        ([4, 7, 3, 5, 6], Reach::LaterLayers, false),
        ([5, 3, 6, 2, 300], Reach::LaterLayers, true),
        ([3, 9, 4, 5, 7], Reach::OwnLayer, true),
    ] {
        let layers = (0..count).map(|l| TranscoderLayer {
            w_enc: normal(&mut stream, (n, d_in)),
            b_enc: normal(&mut stream, n),
            activation: LayerActivation::Relu,
            w_dec: normal(&mut stream, (n, if reach == Reach::OwnLayer { 1 } else { count - l }, d_out)),
            b_dec: normal(&mut stream, d_out),
            w_skip: skip.then(|| normal(&mut stream, (d_out, d_in))),
        });
        let layers: Vec<_> = layers.collect();
        let x: Array3<f64> = normal(&mut stream, (count, rows, d_in));
        let mut expected = Array3::<f64>::zeros((count, rows, d_out));
        for r in 0..rows {
            for m in 0..count {
                for o in 0..d_out {
                    let mut y = layers[m].b_dec[o];
                    if let Some(skip) = &layers[m].w_skip {
                        y += (0..d_in).map(|j| skip[[o, j]] * x[[m, r, j]]).sum::<f64>();
                    }
                    for (l, layer) in layers.iter().enumerate().take(m + 1) {
                        if reach == Reach::OwnLayer && l < m {
                            continue;
                        }
                        for i in 0..n {
                            let z: f64 = (0..d_in).map(|j| layer.w_enc[[i, j]] * x[[l, r, j]]).sum();
                            y += (z + layer.b_enc[i]).max(0.0) * layer.w_dec[[i, m - l, o]];
                        }
                    }
                    expected[[m, r, o]] = y;
                }
            }
        }
        let transcoder = LayeredTranscoder::new(layers.clone(), reach).unwrap();
        // Sums of at most 36 products of about one.
        close("predictions", &transcoder.reconstruct(&x).unwrap(), &expected, [1e-12, 1e-12]);
        let (codes, predictions) = transcoder.forward(&x).unwrap();
        assert_eq!(
            (&codes, &predictions),
            (&transcoder.encode(&x).unwrap(), &transcoder.reconstruct(&x).unwrap())
        );
        // The null model has the same codes, and in each layer the same decoder rows in another order.
        let null = transcoder.null(3);
        assert_eq!(null.encode(&x).unwrap(), codes);
        assert_eq!(null, transcoder.null(3));
        for (one, other) in null.layers().iter().zip(&layers) {
            let sorted = |layer: &TranscoderLayer<f64>| {
                let mut rows: Vec<Vec<u64>> =
                    layer.w_dec.outer_iter().map(|row| row.iter().map(|w| w.to_bits()).collect()).collect();
                rows.sort();
                rows
            };
            assert_eq!(sorted(one), sorted(other));
            assert_eq!((&one.w_enc, &one.b_dec, &one.w_skip), (&other.w_enc, &other.b_dec, &other.w_skip));
        }
        assert_ne!(null, transcoder);
        if reach == Reach::OwnLayer {
            let [first, of_rows] = [null.dictionary(0), transcoder.dictionary(0).map(|d| d.null(3))];
            assert_eq!(first.unwrap(), of_rows.unwrap());
        }
        let whole: f64 = layers[0].w_dec.slice(ndarray::s![0, .., ..]).iter().map(|w| w * w).sum();
        assert!((transcoder.decoder_norms(0).unwrap()[0] - whole.sqrt()).abs() < 1e-12);
        assert!(transcoder.decoder_norms(count).is_err());
    }
}

#[test]
fn thresholds_below_zero_let_negative_codes_through_in_a_cross_layer_transcoder() {
    let layer = |threshold: f64| TranscoderLayer {
        w_enc: ndarray::array![[1.0], [-1.0]],
        b_enc: ndarray::array![0.0, 0.0],
        activation: LayerActivation::JumpRelu(ndarray::array![threshold, threshold]),
        w_dec: Array3::from_elem((2, 1, 1), 1.0),
        b_dec: ndarray::array![0.0],
        w_skip: None,
    };
    let x = ndarray::array![[[0.5], [2.0], [-0.25]]];
    for (threshold, expected) in [
        (-1.0, ndarray::array![[0.5, -0.5], [2.0, 0.0], [-0.25, 0.25]]),
        (0.5, ndarray::array![[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]]), // a value at the threshold is off
        (0.0, ndarray::array![[0.5, 0.0], [2.0, 0.0], [0.0, 0.25]]),
    ] {
        let set = LayeredTranscoder::new(vec![layer(threshold)], Reach::OwnLayer).unwrap();
        assert_eq!(set.encode(&x).unwrap()[0].to_dense(), expected, "{threshold}");
        assert_eq!(set.dictionary(0).is_err(), threshold < 0.0);
    }
}
