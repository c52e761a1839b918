//! `collimate sae encode` and `info` on every architecture, and the places that they read and write.

use super::run;
use collimate_sae::shards::ShardWriter;
use collimate_tensor::files::{FileArray, FileData, Safetensors, write_safetensors};
use ndarray::{Array2, ArrayD, Axis, s};
use std::fs;
use std::path::{Path, PathBuf};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sae/tests/conformance/arranged").join(name)
}

fn tensor(path: &Path, key: &str) -> ArrayD<f64> {
    Safetensors::open(path).unwrap().read(key).unwrap().to_f64()
}

/// Encodes with more arguments, and returns the written file.
fn encode(folder: &Path, sae: &Path, inputs: &[&str], more: &[&str]) -> PathBuf {
    let sae = sae.display().to_string();
    let mut arguments = vec!["sae", "encode", "--sae", &sae, "--output", "out.safetensors", "--force"];
    inputs.iter().for_each(|input| arguments.extend(["--input", input]));
    arguments.extend(more);
    let (status, out, said) = run(folder, &arguments);
    assert_eq!(status, 0, "{}: {out}{said}", arguments.join(" "));
    folder.join("out.safetensors")
}

fn close(what: &str, ours: &ArrayD<f64>, theirs: &ArrayD<f64>, tolerance: f64) {
    assert_eq!(ours.shape(), theirs.shape(), "{what}");
    let fits = ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() <= tolerance * (1.0 + b.abs()));
    assert!(fits, "{what}");
}

const CASES: [(&str, &str, &str); 6] = [
    ("clt_jumprelu", ".", "cross-layer transcoder"),
    ("plt_jumprelu_skip", "layer_0.safetensors", "set of transcoders"),
    ("gemma_scope_2_clt", "clt/width_262k_l0_medium", "cross-layer transcoder"),
    ("crosscoder_batchtopk_normalised", "model.pt", "crosscoder"),
    ("temporal_topk_tied", "layer_4/temporal", "temporal dictionary"),
    ("temporal_relu_untied_saelens", ".", "temporal dictionary"),
];

#[test]
fn every_architecture_is_encoded_with_the_axes_of_its_input() {
    let folder = tempfile::tempdir().unwrap();
    for (name, at, _) in CASES {
        let io = case(name).join("io.safetensors");
        // The tolerances of the list of cases.
        for (precision, suffix, tolerance) in [("f32", "", 1e-5), ("f64", "_f64", 1e-10)] {
            let more = ["--key", "x", "--dense", "--precision", precision];
            let written = encode(folder.path(), &case(name).join(at), &[&io.display().to_string()], &more);
            for key in ["feature_acts", "recon"] {
                close(name, &tensor(&written, key), &tensor(&io, &format!("{key}{suffix}")), tolerance);
            }
            let file = Safetensors::open(&written).unwrap();
            assert_eq!(file.read("recon").unwrap().type_name(), precision);
            if name.starts_with("temporal") {
                close(
                    name,
                    &tensor(&written, "predicted"),
                    &tensor(&io, &format!("predicted{suffix}")),
                    tolerance,
                );
            }
        }
    }
}

#[test]
fn info_names_the_architecture_the_layers_and_the_axes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, at, architecture) in CASES {
        let (status, out, said) =
            run(folder.path(), &["sae", "info", &case(name).join(at).display().to_string()]);
        assert_eq!(status, 0, "{name}: {said}");
        for words in [format!("architecture  {architecture}"), "input         [".into(), "fingerprint".into()]
        {
            assert!(out.contains(&words), "{name}: '{words}' is not in {out}");
        }
    }
    let (_, out, _) = run(folder.path(), &["sae", "info", &case("clt_jumprelu").display().to_string()]);
    for words in
        ["layers        3", "latents       16", "[layer, row, d] with 3 layers", "JumpReLU", "hook_resid_mid"]
    {
        assert!(out.contains(words), "'{words}' is not in {out}");
    }
}

#[test]
fn commands_for_single_rows_say_that_the_dictionary_has_layers() {
    let folder = tempfile::tempdir().unwrap();
    let sae = case("clt_jumprelu").display().to_string();
    for arguments in [
        &["sae", "convert", &sae, "out", "--to", "saelens"][..],
        &["sae", "ablate", &sae, "--layer", "0", "--prompt", "a", "--latent", "0"],
    ] {
        let (status, _, said) = run(folder.path(), arguments);
        assert!(
            status == 2 && said.contains("cross-layer transcoder") && said.contains("[layer, row, d]"),
            "{said}"
        );
        assert!(said.contains("`collimate sae encode`"), "{said}");
    }
}

#[test]
fn a_crosscoder_is_measured_on_its_concatenated_layers() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["crosscoder_relu", "crosscoder_batchtopk"] {
        let io = case(name).join("io.safetensors");
        let (x, recon, codes) = (tensor(&io, "x"), tensor(&io, "recon"), tensor(&io, "feature_acts"));
        for layer in 0..2 {
            save(
                &folder.path().join(format!("{layer}")),
                x.index_axis(Axis(1), layer).mapv(|v| v as f32).into_dyn(),
            );
        }
        let sae = case(name).join("model.pt").display().to_string();
        let eval = ["sae", "eval", &sae, "--activations", "0", "--activations", "1", "--json"];
        let (status, out, said) = run(folder.path(), &eval);
        assert_eq!(status, 0, "{name}: {said}");
        let value = |quantity: &str| -> f64 {
            let mut lines = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
            let line = lines.find(|line| line["measured"]["quantity"] == quantity).unwrap();
            line["measured"]["value"].as_f64().unwrap()
        };
        let rows = x.len_of(Axis(0)) as f64;
        let active = codes.iter().filter(|code| **code != 0.0).count() as f64 / rows;
        assert!(
            active > 0.0 && (value("L0") - active).abs() < 1e-12,
            "{name}: {} and not {active}",
            value("L0")
        );
        // Both sides are sums in f64 over rows in f32.
        let mean = x.mean_axis(Axis(0)).unwrap();
        let squares = |difference: ArrayD<f64>| difference.iter().map(|v| v * v).sum::<f64>();
        let explained = 1.0 - squares(&x - &recon) / squares(&x - &mean);
        let found = value("explained variance (global R²)");
        assert!((found - explained).abs() < 1e-4, "{name}: {found} and not {explained}");
        let (status, _, said) = run(folder.path(), &["sae", "eval", &sae, "--activations", "0"]);
        assert!(status == 2 && said.contains("rows of width 16"), "{said}");
    }
    let normalised = case("crosscoder_batchtopk_normalised").join("model.pt").display().to_string();
    let (status, _, said) =
        run(folder.path(), &["sae", "eval", &normalised, "--activations", "0", "--activations", "1"]);
    assert!(
        status == 2 && said.contains("`collimate sae encode`") && said.contains("normalised crosscoder"),
        "{said}"
    );
}

/// Returns the numbers of a quantity in the lines of `sae eval --json`, layer by layer, measured and of the null model.
fn by_layer(out: &str, quantity: &str) -> Vec<[f64; 2]> {
    let lines = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut found: Vec<(u64, [f64; 2])> = lines
        .filter(|line| line["measured"]["quantity"] == quantity)
        .map(|line| {
            let number = |value: &serde_json::Value| value.as_f64().unwrap_or(f64::NAN);
            (line["layer"].as_u64().unwrap(), [number(&line["measured"]["value"]), number(&line["null"])])
        })
        .collect();
    found.sort_by_key(|(layer, _)| *layer);
    assert!(found.iter().map(|(layer, _)| *layer).eq(0..found.len() as u64), "{out}");
    found.into_iter().map(|(_, value)| value).collect()
}

#[test]
fn transcoders_of_several_layers_are_measured_layer_by_layer() {
    let folder = tempfile::tempdir().unwrap();
    for (name, at) in [("clt_jumprelu", "."), ("plt_jumprelu_skip", "."), ("plt_relu_mwhanna", ".")] {
        let io = case(name).join("io.safetensors");
        let (x, recon, codes) = (tensor(&io, "x"), tensor(&io, "recon"), tensor(&io, "feature_acts"));
        let sae = case(name).join(at).display().to_string();
        // The true outputs are at a known distance from the predictions.
        let target = &recon + &recon.mapv(|v| 0.25 * (7.0 * v).sin());
        let mut eval = vec!["sae".to_owned(), "eval".into(), sae.clone(), "--json".into()];
        for layer in 0..3 {
            for (option, place, rows) in [("--activations", "in", &x), ("--target", "out", &target)] {
                let place = format!("{place}{layer}");
                let rows = rows.index_axis(Axis(0), layer).mapv(|v| v as f32).into_dyn();
                save(&folder.path().join(&place), rows);
                eval.extend([option.to_owned(), place]);
            }
        }
        let eval: Vec<&str> = eval.iter().map(String::as_str).collect();
        let (status, out, said) = run(folder.path(), &eval);
        assert_eq!(status, 0, "{name}: {said}");
        let (l0, explained) = (by_layer(&out, "L0"), by_layer(&out, "explained variance (global R²)"));
        assert_eq!((l0.len(), explained.len()), (3, 3), "{out}");
        for layer in 0..3 {
            let of = |all: &ArrayD<f64>| all.index_axis(Axis(0), layer).to_owned();
            let active = of(&codes).iter().filter(|code| **code != 0.0).count() as f64 / 5.0;
            // The null model keeps the codes.
            assert_eq!(l0[layer], [active, active], "{name}, layer {layer}");
            let (y, predicted) = (of(&target), of(&recon));
            let mean = y.mean_axis(Axis(0)).unwrap();
            let squares = |difference: ArrayD<f64>| difference.iter().map(|v| v * v).sum::<f64>();
            let expected = 1.0 - squares(&y - &predicted) / squares(&y - &mean);
            let [measured, null] = explained[layer];
            // Both are sums in f64 over rows in f32; one code moves them by about 1e-6.
            assert!((measured - expected).abs() < 1e-4, "{name}, layer {layer}: {measured} and {expected}");
            assert!(null < measured || active == 0.0, "{name}, layer {layer}: {null} and {measured}");
        }
        assert_eq!(out.lines().filter(|line| line.contains("densities")).count(), 3, "{out}");
        let (_, out, _) =
            run(folder.path(), &eval.iter().copied().filter(|word| *word != "--json").collect::<Vec<_>>());
        assert!(["layer 0:", "layer 1:", "layer 2:"].iter().all(|words| out.contains(words)), "{out}");
        // Every layer has one place of inputs and one target.
        let refused = |more: &[&str], words: &[&str]| {
            let (status, out, said) = run(folder.path(), &[&["sae", "eval", &sae][..], more].concat());
            assert!(
                status == 2 && out.is_empty() && words.iter().all(|words| said.contains(words)),
                "{said}"
            );
        };
        let inputs = ["--activations", "in0", "--activations", "in1", "--activations", "in2"];
        refused(&inputs, &["--target 3 times", "not 0 times"]);
        refused(&inputs[..4], &["--activations 3 times", "not 2 times"]);
        save(&folder.path().join("wide"), ArrayD::zeros(vec![5, 7]));
        let wide = ["--target", "out0", "--target", "wide", "--target", "out2"];
        refused(&[&inputs[..], &wide].concat(), &["layer 1", "width 6", "number 2 has width 7"]);
        let targets = ["--target", "out0", "--target", "out1", "--target", "out2"];
        let in_model = [&inputs[..], &targets, &["--in-model", "--layer", "0"]].concat();
        refused(&in_model, &["--layer is for dictionaries of one layer"]);
    }
}

/// Writes rows as shards, in documents of the given lengths.
fn write_shards(folder: &Path, rows: &Array2<f32>, lengths: &[usize]) {
    let mut writer =
        ShardWriter::create(folder, rows.ncols(), 4, collimate_measure::Fingerprint::of(b"test")).unwrap();
    let mut start = 0;
    for (document, &length) in lengths.iter().enumerate() {
        for (position, row) in rows.slice(s![start..start + length, ..]).rows().into_iter().enumerate() {
            writer.push_row(document as u32, position as u32, &row.to_vec()).unwrap();
        }
        start += length;
    }
    writer.finish().unwrap();
}

/// Returns rows that half precision holds exactly.
fn rows(count: usize, width: usize, seed: u64) -> Array2<f32> {
    let mut stream = collimate_stream::RngStream::new(seed, 0);
    Array2::from_shape_simple_fn((count, width), || (stream.below(33) as f32 - 16.0) / 8.0)
}

fn save(path: &Path, array: ArrayD<f32>) {
    let values = FileData::F32(array.iter().copied().collect());
    write_safetensors(path, &[("x", FileArray::new(array.shape().to_vec(), values).unwrap())], &[]).unwrap();
}

#[test]
fn shards_of_captured_activations_are_encoded_like_the_same_rows_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let same = |ours: &Path, theirs: &Path, axes: &[usize]| {
        for key in ["feature_acts", "recon"] {
            let (a, b) = (tensor(ours, key), tensor(theirs, key));
            assert_eq!(a.shape()[..axes.len()], *axes);
            assert!(a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a == b), "{key}");
        }
    };
    let keep = |written: PathBuf| {
        let kept = at("kept.safetensors");
        fs::rename(written, &kept).unwrap();
        kept
    };
    // Single rows.
    let x = rows(9, 8, 1);
    write_shards(&at("one"), &x, &[5, 4]);
    save(&at("one.safetensors"), x.clone().into_dyn());
    let gated = case("../checkpoints/dl_gated");
    let file = keep(encode(folder.path(), &gated, &["one.safetensors"], &["--dense"]));
    same(&encode(folder.path(), &gated, &["one"], &["--dense"]), &file, &[9]);
    // Layers, each in a folder of its own.
    let layers: Vec<Array2<f32>> = (0..3).map(|seed| rows(9, 6, 2 + seed)).collect();
    for (layer, x) in layers.iter().enumerate() {
        write_shards(&at(&format!("layer{layer}")), x, &[5, 4]);
    }
    let views: Vec<_> = layers.iter().map(|x| x.view()).collect();
    save(&at("layers.safetensors"), ndarray::stack(Axis(0), &views).unwrap().into_dyn());
    let file = keep(encode(folder.path(), &case("clt_jumprelu"), &["layers.safetensors"], &["--dense"]));
    let written = encode(folder.path(), &case("clt_jumprelu"), &["layer0", "layer1", "layer2"], &["--dense"]);
    same(&written, &file, &[3, 9]);
    // The layers of a crosscoder.
    let layers: Vec<Array2<f32>> = (0..2).map(|seed| rows(9, 8, 7 + seed)).collect();
    for (layer, x) in layers.iter().enumerate() {
        write_shards(&at(&format!("model{layer}")), x, &[5, 4]);
    }
    let views: Vec<_> = layers.iter().map(|x| x.view()).collect();
    save(&at("models.safetensors"), ndarray::stack(Axis(1), &views).unwrap().into_dyn());
    let crosscoder = case("crosscoder_batchtopk").join("model.pt");
    let file = keep(encode(folder.path(), &crosscoder, &["models.safetensors"], &["--dense"]));
    same(&encode(folder.path(), &crosscoder, &["model0", "model1"], &["--dense"]), &file, &[9]);
    // The documents of shards are the sequences of a temporal dictionary.
    let temporal = case("temporal_topk_tied").join("layer_4/temporal");
    let whole = keep(encode(folder.path(), &temporal, &["one"], &["--dense"]));
    for (start, end) in [(0, 5), (5, 9)] {
        save(&at("document.safetensors"), x.slice(s![start..end, ..]).to_owned().into_dyn());
        let part = encode(folder.path(), &temporal, &["document.safetensors"], &["--dense"]);
        for key in ["feature_acts", "recon", "predicted"] {
            let document = tensor(&whole, key).slice_axis(Axis(0), (start..end).into()).to_owned();
            assert_eq!(tensor(&part, key), document, "{key}");
        }
    }
    // Shards of a single document are one sequence.
    write_shards(&at("single"), &x.slice(s![..5, ..]).to_owned(), &[5]);
    let part = encode(folder.path(), &temporal, &["single"], &["--dense"]);
    let first = tensor(&whole, "feature_acts").slice_axis(Axis(0), (0..5).into()).to_owned();
    assert_eq!(tensor(&part, "feature_acts"), first);
    // A conversion is compared on shards too.
    let (status, out, said) = run(
        folder.path(),
        &["sae", "convert", &gated.display().to_string(), "written", "--to", "saelens", "--sample", "one"],
    );
    assert!(status == 0 && out.contains("on 9 rows"), "{out}{said}");
}

#[test]
fn an_output_is_tried_first_and_never_replaces_an_input() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    save(&at("x.safetensors"), rows(4, 8, 1).into_dyn());
    write_shards(&at("shards"), &rows(4, 8, 1), &[4]);
    let sae = case("../checkpoints/dl_gated").display().to_string();
    let before = fs::read(at("x.safetensors")).unwrap();
    let refused = |input: &str, output: &str, more: &[&str], words: &str| {
        let arguments = ["sae", "encode", "--sae", &sae, "--input", input, "--output", output];
        let (status, _, said) = run(folder.path(), &[&arguments[..], more].concat());
        assert!(status == 2 && said.contains(words), "{output}: {said}");
    };
    refused("x.safetensors", "x.safetensors", &["--force"], "the input");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("x.safetensors", at("link")).unwrap();
        refused("x.safetensors", "link", &["--force"], "the input");
        fs::remove_file(at("link")).unwrap();
    }
    refused("shards", "shards/index", &["--force"], "the input");
    fs::write(at("old.safetensors"), "precious").unwrap();
    refused("x.safetensors", "old.safetensors", &[], "--force");
    // The output is tried before the input is read.
    refused("missing.safetensors", "no/folder/out.safetensors", &[], "no/folder");
    assert_eq!(fs::read(at("x.safetensors")).unwrap(), before);
    assert_eq!(fs::read(at("old.safetensors")).unwrap(), b"precious");
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["old.safetensors", "shards", "x.safetensors"]);
}

#[test]
fn facts_that_a_file_lacks_are_options() {
    let folder = tempfile::tempdir().unwrap();
    // A file of Qwen Scope outside the folder that names the number of its active latents.
    let formats = case("../formats");
    let original = formats.join("files/qwen_scope/SAE-Res-Qwen3-1.7B-Base-W32K-L0_4/layer0.sae.pt");
    let moved = folder.path().join("layer0.sae.pt");
    fs::copy(&original, &moved).unwrap();
    let io = formats.join("io/qwen_scope.safetensors");
    let (sae, input) = (moved.display().to_string(), io.display().to_string());
    let arguments =
        ["sae", "encode", "--sae", &sae, "--input", &input, "--key", "x", "--output", "x.safetensors"];
    let (status, _, said) = run(folder.path(), &arguments);
    assert!(status == 2 && said.contains("the number k") && said.contains("--k"), "{said}");
    let written = encode(folder.path(), &moved, &[&input], &["--key", "x", "--dense", "--k", "4"]);
    for key in ["feature_acts", "recon"] {
        close(key, &tensor(&written, key), &tensor(&io, key), 1e-5);
    }
    // A fact that the file holds is not given.
    let original = original.display().to_string();
    let (status, _, said) = run(folder.path(), &["sae", "info", &original, "--k", "4"]);
    assert!(status == 2 && said.contains("leave it out"), "{said}");
    // Every command that reads such a file takes the number.
    let (status, out, said) = run(folder.path(), &["sae", "info", &sae, "--k", "4"]);
    assert!(status == 0 && out.contains("k             4"), "{out}{said}");
    let (status, out, said) =
        run(folder.path(), &["sae", "convert", &sae, "own", "--to", "collimate", "--k", "4"]);
    assert!(status == 0 && out.contains("own"), "{out}{said}");
    let eval = ["sae", "eval", &sae, "--activations", &input, "--key", "x"];
    assert_eq!(run(folder.path(), &eval).0, 2);
    let (status, out, said) = run(folder.path(), &[&eval[..], &["--k", "4"]].concat());
    assert!(status == 0 && out.contains("L0 = "), "{out}{said}");
    let further = |input: &str, latents: &str, more: &[&str]| {
        let rows = ["sae", "train", "--activations", input, "--key", "x", "--batch", "4", "--steps", "2"];
        let output = ["--latents", latents, "--output", "further.safetensors", "--force"];
        run(folder.path(), &[&rows[..], &output, more].concat())
    };
    let top = ["--variant", "topk", "--k", "2", "--start-from", &sae];
    let (status, _, said) = further(&input, "24", &top);
    assert!(status == 2 && said.contains("the number k") && said.contains("--start-k"), "{said}");
    // With the number the file is read. The decoder rows of this one are not unit vectors, which a selection does not allow.
    let (status, _, said) = further(&input, "24", &[&top[..], &["--start-k", "4"]].concat());
    assert!(status == 2 && said.contains("cannot be made unit vectors"), "{said}");
    // --start-k belongs to --start-from.
    let (status, _, said) = further(&input, "24", &["--variant", "topk", "--k", "2", "--start-k", "4"]);
    assert!(status == 2 && said.contains("--start-from"), "{said}");
    // The kind of a dictionary of Gemma Scope stands in its path only.
    let gemma = case("../checkpoints/gemma_scope_compressed/params.npz").display().to_string();
    let (status, out, said) = run(folder.path(), &["sae", "info", &gemma, "--embedding"]);
    assert!(status == 0 && out.contains("embeddings, as was given"), "{out}{said}");
    let embedded = case("../checkpoints/gemma_scope_compressed/io.safetensors").display().to_string();
    let jump = ["--variant", "jumprelu", "--l1", "0.1", "--learning-rate", "1e-12", "--start-from", &gemma];
    let start = |more: &[&str]| {
        let (status, _, said) = further(&embedded, "23", &[&jump[..], more].concat());
        assert_eq!(status, 0, "{said}");
        collimate_sae::formats::read::<f32>(folder.path().join("further.safetensors")).unwrap().dictionary
    };
    // Almost without a learning rate, the run leaves the dictionary as it was read: here with W_enc/3 and W_dec·3, for a width of 9.
    let [plain, embedding] = [start(&[]), start(&["--start-embedding"])];
    let x = tensor(Path::new(&embedded), "x").mapv(|v| v as f32).into_dimensionality().unwrap();
    let given = collimate_sae::formats::Given { embedding: true, ..Default::default() };
    for (trained, given) in [(plain, Default::default()), (embedding, given)] {
        let read = collimate_sae::formats::read_given::<f32>(&gemma, &given).unwrap().dictionary;
        let off = trained.reconstruct(&x).unwrap() - read.reconstruct(&x).unwrap();
        assert!(off.iter().all(|off| off.abs() < 1e-4), "{given:?}: {off}");
    }
}

#[test]
fn inputs_with_other_axes_are_refused_with_those_expected() {
    let folder = tempfile::tempdir().unwrap();
    save(&folder.path().join("x.safetensors"), rows(6, 6, 1).into_dyn());
    for (name, at, axes) in [
        ("clt_relu_mntss", ".", "[layer, row, d] with 3 layers, d = 6"),
        ("crosscoder_relu", "model.pt", "[row, layer, d] with 2 layers, d = 8"),
        ("temporal_topk_tied", "layer_4/temporal", "[sequence, position, d], d = 8"),
    ] {
        let sae = case(name).join(at).display().to_string();
        let arguments =
            ["sae", "encode", "--sae", &sae, "--input", "x.safetensors", "--output", "out.safetensors"];
        let (status, _, said) = run(folder.path(), &arguments);
        assert!(status == 2 && said.contains(axes) && said.contains("[6, 6]"), "{said}");
    }
}
