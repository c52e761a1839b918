//! `collimate sae` on the published checkpoints, which need no model.

use super::run;
use collimate_tensor::files::Safetensors;
use std::path::{Path, PathBuf};

fn checkpoints() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sae/tests/conformance/checkpoints")
}

fn case(name: &str) -> String {
    checkpoints().join(name).display().to_string()
}

#[test]
fn encode_writes_the_codes_and_reconstructions_of_any_format() {
    let folder = tempfile::tempdir().unwrap();
    for (name, file) in [
        ("saelens_gated_bdec", ""),
        ("saelens_standard_hook_z", ""),
        ("saelens_skip_transcoder", ""),
        ("gemma_scope_compressed", "params.npz"),
        ("sparsify_groupmax", ""),
        ("dl_matryoshka", ""),
        ("openai_topk", "3.pt"),
    ] {
        let io = checkpoints().join(name).join("io.safetensors");
        let sae = checkpoints().join(name).join(file).display().to_string();
        let input = io.display().to_string();
        let arguments =
            ["sae", "encode", "--sae", &sae, "--input", &input, "--key", "x", "--output", "out.safetensors"];
        let (status, out, said) = run(folder.path(), &[&arguments[..], &["--dense", "--force"]].concat());
        assert_eq!(status, 0, "{name}: {said}");
        assert!(out.contains("6 rows"), "{out}");
        let (ours, theirs) = (
            Safetensors::open(folder.path().join("out.safetensors")).unwrap(),
            Safetensors::open(&io).unwrap(),
        );
        for key in ["feature_acts", "recon"] {
            let (a, b) = (ours.read(key).unwrap(), theirs.read(key).unwrap());
            assert_eq!(a.shape(), b.shape(), "{name} {key}");
            assert!((a.to_f64() - b.to_f64()).iter().all(|v| v.abs() < 1e-5), "{name} {key}");
        }
        // Without --dense the codes are written as compressed rows.
        let (status, _, said) = run(folder.path(), &[&arguments[..], &["--force"]].concat());
        assert_eq!(status, 0, "{name}: {said}");
        let sparse = Safetensors::open(folder.path().join("out.safetensors")).unwrap();
        let offsets = sparse.read("feature_acts.offsets").unwrap().to_i64().unwrap();
        let values = sparse.read("feature_acts.values").unwrap();
        assert_eq!((offsets.len(), offsets[6]), (7, values.shape()[0] as i64));
    }
}

#[test]
fn convert_compares_both_dictionaries_and_info_describes_them() {
    let folder = tempfile::tempdir().unwrap();
    let (status, out, said) =
        run(folder.path(), &["sae", "convert", &case("dl_gated"), "out", "--to", "saelens", "--fold-norms"]);
    assert_eq!(status, 0, "{said}");
    assert!(out.contains("on 64 rows: reconstructions differ by at most"), "{out}");
    let (status, out, _) = run(folder.path(), &["sae", "info", "out"]);
    assert!(
        status == 0 && out.contains("saelens") && out.contains("gated autoencoder") && out.contains("24"),
        "{out}"
    );
    let io = checkpoints().join("dl_gated/io.safetensors").display().to_string();
    let arguments = [
        "sae",
        "convert",
        "out",
        "one.safetensors",
        "--to",
        "collimate",
        "--fold-bias",
        "--sample",
        &io,
        "--key",
        "x",
    ];
    let (status, out, said) = run(folder.path(), &arguments);
    assert!(status == 0 && out.contains("on 6 rows"), "{out}{said}");
    let (status, out, _) = run(folder.path(), &["sae", "info", "one.safetensors"]);
    assert!(status == 0 && out.contains("format        collimate"), "{out}");
}

#[test]
fn errors_for_wrong_inputs_name_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let io = checkpoints().join("dl_gated/io.safetensors").display().to_string();
    let encode = |sae: &str, input: &str, key: &[&str]| {
        let arguments =
            [&["sae", "encode", "--sae", sae, "--input", input, "--output", "out.safetensors"], key].concat();
        let (status, _, said) = run(folder.path(), &arguments);
        assert_eq!(status, 2, "{said}");
        said
    };
    let sae = case("dl_gated");
    assert!(encode("nowhere", &io, &["--key", "x"]).contains("nowhere"));
    assert!(encode(&sae, &io, &[]).contains("name one with --key"));
    assert!(encode(&sae, &io, &["--key", "y"]).contains("there is no 'y'"));
    assert!(encode(&sae, &io, &["--key", "feature_acts"]).contains("rows of width 8"));
    std::fs::write(folder.path().join("rows.csv"), "1,2\n").unwrap();
    assert!(encode(&sae, "rows.csv", &[]).contains("expected a file .safetensors"));
    let (status, _, said) =
        run(folder.path(), &["sae", "convert", &case("sparsify_groupmax"), "out", "--to", "saelens"]);
    assert!(status == 2 && said.contains("groupmax"), "{said}");
    let (status, _, said) = run(folder.path(), &["sae", "top", &sae, "--layer", "3"]);
    assert!(status == 2 && said.contains("collimate data"), "{said}");
}

/// Writes rows as shards of a hundred rows, in documents of eighty tokens. The first token of each document is dropped.
fn write_shards(folder: &Path, rows: &ndarray::Array2<f32>) {
    use collimate_sae::shards::ShardWriter;
    let source = collimate_measure::Fingerprint::of(b"test");
    let mut writer = ShardWriter::create(folder, rows.ncols(), 100, source).unwrap();
    for (document, block) in rows.axis_chunks_iter(ndarray::Axis(0), 80).enumerate() {
        writer.push_document(document as u32, 0, &block).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn training_on_shards_is_finished_once_and_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let mut stream = collimate_stream::RngStream::new(1, 0);
    let rows = ndarray::Array2::from_shape_fn((400, 6), |_| stream.normal() as f32);
    write_shards(&folder.path().join("acts"), &rows);
    let arguments = [
        "sae",
        "train",
        "--activations",
        "acts",
        "--output",
        "sae.safetensors",
        "--variant",
        "topk",
        "--k",
        "2",
        "--latents",
        "16",
        "--steps",
        "40",
        "--batch",
        "32",
        "--checkpoint-every",
        "15",
        "--metrics",
        "log.jsonl",
    ];
    let (status, out, said) = run(folder.path(), &arguments);
    assert!(status == 0 && out.contains("16 latents"), "{out}{said}");
    let log = std::fs::read_to_string(folder.path().join("log.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["step"], 40);
    assert!(!folder.path().join("sae.safetensors.checkpoint").exists());
    let (status, out, _) = run(folder.path(), &arguments);
    assert!(status == 0 && out.contains("finished already"), "{out}");
    let (status, out, said) =
        run(folder.path(), &["sae", "eval", "sae.safetensors", "--activations", "acts"]);
    assert_eq!(status, 0, "{said}");
    for part in ["L0 = ", "explained variance (per row)", "null (decoder rows", "effective number of latents"]
    {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (_, out, _) =
        run(folder.path(), &["sae", "eval", "sae.safetensors", "--activations", "acts", "--json"]);
    let first: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(first["measured"]["quantity"], "L0");
    // The last line is the histogram that the text shows. It counts every latent once.
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let counts = last["densities"].as_array().unwrap().iter().map(|bin| bin["latents"].as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), 16);
    let (status, _, said) = run(folder.path(), &["sae", "eval", &case("dl_gated"), "--activations", "acts"]);
    assert!(status == 2 && said.contains("width 8"), "{said}");
}

/// Returns the options of a short run on a place of rows.
fn train<'a>(place: &'a str, variant: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut all =
        vec!["sae", "train", "--activations", place, "--output", "sae.safetensors", "--variant", variant];
    all.extend(["--latents", "16", "--steps", "40", "--batch", "32"]);
    all.extend(more);
    all
}

#[test]
fn training_takes_a_file_of_rows_and_every_member() {
    use collimate_tensor::files::{FileArray, write_npy, write_safetensors};
    let folder = tempfile::tempdir().unwrap();
    let mut stream = collimate_stream::RngStream::new(2, 0);
    let rows = ndarray::Array2::from_shape_fn((300, 6), |_| stream.normal() as f32);
    let array = FileArray::from(rows.clone());
    write_npy(folder.path().join("rows.npy"), &array).unwrap();
    let both = [("a", FileArray::from(rows.slice(ndarray::s![..9, ..]).to_owned())), ("b", array)];
    write_safetensors(folder.path().join("rows.safetensors"), &both, &[]).unwrap();
    for (variant, more) in [
        ("relu", &["--l1", "0.1"][..]),
        ("pnorm", &["--l1", "0.1"]),
        ("gated", &["--l1", "0.1", "--target-l0", "3"]),
        ("topk", &["--k", "2"]),
        ("batchtopk", &["--k", "2"]),
        ("matryoshka", &["--k", "2"]),
        ("jumprelu", &["--l1", "0.1"]),
        ("abstopk", &["--k", "2"]),
        ("pursuit", &["--k", "2"]),
    ] {
        let (status, out, said) = run(folder.path(), &train("rows.npy", variant, more));
        assert!(status == 0 && out.contains("16 latents"), "{variant}: {out}{said}");
        let eval = ["sae", "eval", "sae.safetensors", "--activations", "rows.safetensors", "--key", "b"];
        let (status, out, said) = run(folder.path(), &eval);
        assert!(status == 0 && out.contains("L0 = "), "{variant}: {out}{said}");
        std::fs::remove_file(folder.path().join("sae.safetensors")).unwrap();
    }
}

#[test]
fn errors_for_wrong_training_data_name_the_next_step() {
    use collimate_tensor::files::{FileArray, write_npy};
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, array: FileArray| write_npy(folder.path().join(name), &array).unwrap();
    let mut rows = ndarray::Array2::<f32>::ones((300, 6));
    write("good.npy", FileArray::from(rows.clone()));
    rows[[7, 2]] = f32::NAN;
    write("nan.npy", FileArray::from(rows));
    write("vector.npy", FileArray::from(ndarray::Array1::<f32>::ones(9)));
    write("empty.npy", FileArray::from(ndarray::Array2::<f32>::ones((0, 6))));
    std::fs::write(folder.path().join("rows.csv"), "1,2\n").unwrap();
    std::fs::write(folder.path().join("hostile.npy"), b"\x93NUMPY\x01\x00\xff\xff{'descr': '<f4'").unwrap();
    let refused = |arguments: &[&str], parts: &[&str]| {
        let (status, out, said) = run(folder.path(), arguments);
        assert_eq!(status, 2, "{arguments:?}: {out}{said}");
        parts.iter().for_each(|part| assert!(said.contains(part), "{part}: {said}"));
        assert!(!folder.path().join("sae.safetensors").exists());
    };
    let topk = |place| train(place, "topk", &["--k", "2"]);
    refused(&topk("nowhere"), &["nowhere", "collimate activations --output", ".npy"]);
    refused(&topk("nan.npy"), &["nan.npy", "row 7, column 2 is NaN"]);
    refused(&topk("vector.npy"), &["vector.npy", "[9]", "expected an array of rows"]);
    refused(&topk("empty.npy"), &["empty.npy", "[0, 6]"]);
    refused(&topk("rows.csv"), &["rows.csv", "expected a file .safetensors"]);
    refused(&topk("hostile.npy"), &["hostile.npy"]);
    refused(
        &train("good.npy", "topk", &["--k", "17"]),
        &["k must be at least 1 and at most the number of latents, but is 17"],
    );
    refused(&train("good.npy", "topk", &[]), &["--k"]);
    refused(&train("good.npy", "gated", &[]), &["--l1"]);
    refused(&train("good.npy", "gated", &["--l1", "-1"]), &["l1"]);
    refused(&train("good.npy", "gated", &["--l1", "nan"]), &["l1"]);
    // A checkpoint of other options.
    std::fs::write(folder.path().join("sae.safetensors.checkpoint"), b"{}").unwrap();
    refused(&topk("good.npy"), &["sae.safetensors.checkpoint", "is no checkpoint"]);
}

/// Writes two sets of rows on the same tokens, of widths 6 and 4, as shards and as files. The second is a function of the first.
fn two_places(folder: &Path) {
    use collimate_tensor::files::{FileArray, write_npy};
    let mut stream = collimate_stream::RngStream::new(3, 0);
    let x = ndarray::Array2::from_shape_fn((400, 6), |_| stream.normal() as f32);
    let y = x.slice(ndarray::s![.., ..4]).mapv(f32::abs);
    for (name, rows) in [("x", &x), ("y", &y)] {
        write_npy(folder.join(format!("{name}.npy")), &FileArray::from(rows.clone())).unwrap();
        write_shards(&folder.join(name), rows);
    }
}

#[test]
fn a_transcoder_is_trained_and_measured_by_its_target() {
    let folder = tempfile::tempdir().unwrap();
    two_places(folder.path());
    for (x, y) in [("x", "y"), ("x.npy", "y.npy")] {
        let more = ["--target", y, "--skip", "--k", "3", "--metrics", "log.jsonl", "--learning-rate", "0.01"];
        let arguments = train(x, "topk", &more);
        let (status, out, said) = run(folder.path(), &arguments);
        assert!(status == 0 && out.contains("16 latents"), "{out}{said}");
        let log = std::fs::read_to_string(folder.path().join("log.jsonl")).unwrap();
        assert_eq!(log.lines().count(), 40);
        // The run is finished already: the log is written again from the file of the result.
        std::fs::remove_file(folder.path().join("log.jsonl")).unwrap();
        let (status, out, said) = run(folder.path(), &arguments);
        assert!(status == 0 && out.contains("finished already"), "{out}{said}");
        assert_eq!(std::fs::read_to_string(folder.path().join("log.jsonl")).unwrap(), log);
        let (_, out, _) = run(folder.path(), &["sae", "info", "sae.safetensors"]);
        assert!(out.contains("topk transcoder") && out.contains("6 in, 4 out"), "{out}");
        assert!(out.contains("skip          yes"), "{out}");
        let eval = ["sae", "eval", "sae.safetensors", "--activations", x];
        let (status, out, said) = run(folder.path(), &[&eval[..], &["--target", y, "--json"]].concat());
        assert_eq!(status, 0, "{said}");
        let explained = out.lines().find(|line| line.contains("explained variance (global R²)")).unwrap();
        let explained: serde_json::Value = serde_json::from_str(explained).unwrap();
        let (found, null) = (&explained["measured"]["value"], &explained["null"]);
        assert!(found.as_f64().unwrap() > null.as_f64().unwrap() + 0.1, "{explained}");
        // Rows that do not fit are refused.
        let (status, _, said) = run(folder.path(), &eval);
        assert!(status == 2 && said.contains("--target"), "{said}");
        let (status, _, said) = run(folder.path(), &[&eval[..], &["--target", x]].concat());
        assert!(status == 2 && said.contains("width 4") && said.contains("width 6"), "{said}");
        std::fs::remove_file(folder.path().join("sae.safetensors")).unwrap();
    }
}

#[test]
fn a_crosscoder_is_trained_on_several_places() {
    let folder = tempfile::tempdir().unwrap();
    two_places(folder.path());
    for sparsity in [["--k", "2"], ["--l1", "0.1"]] {
        let more = [&["--activations", "x"][..], &sparsity].concat();
        let (status, out, said) = run(folder.path(), &train("x", "crosscoder", &more));
        assert!(status == 0 && out.contains("16 latents"), "{out}{said}");
        let (_, out, _) = run(folder.path(), &["sae", "info", "sae.safetensors"]);
        // Both layers have equal rows, so no latent belongs to one of them alone.
        let alone = "layers 0, 1   0 latents in 0 alone";
        assert!(
            out.contains("12 in, 12 out") && out.contains(alone) && out.contains("0 in 1 alone"),
            "{out}"
        );
        let eval = ["sae", "eval", "sae.safetensors", "--activations", "x", "--activations", "x"];
        let (status, out, said) = run(folder.path(), &eval);
        assert!(status == 0 && out.contains("L0 = "), "{out}{said}");
        std::fs::remove_file(folder.path().join("sae.safetensors")).unwrap();
    }
}

#[test]
fn contradictory_places_and_options_are_refused() {
    use collimate_tensor::files::{FileArray, write_npy};
    let folder = tempfile::tempdir().unwrap();
    two_places(folder.path());
    let short = FileArray::from(ndarray::Array2::<f32>::ones((399, 6)));
    write_npy(folder.path().join("short.npy"), &short).unwrap();
    let refused = |variant: &str, more: &[&str], part: &str| {
        let (status, out, said) = run(folder.path(), &train("x", variant, more));
        assert_eq!(status, 2, "{variant} {more:?}: {out}{said}");
        assert!(said.contains(part), "{part}: {said}");
        assert!(!folder.path().join("sae.safetensors").exists());
    };
    refused("crosscoder", &["--k", "2"], "at least twice");
    refused("crosscoder", &["--activations", "y", "--k", "2"], "[6, 4]");
    refused("crosscoder", &["--activations", "x"], "takes either --l1");
    refused("crosscoder", &["--activations", "x", "--k", "2", "--l1", "1"], "takes either --l1");
    refused("crosscoder", &["--activations", "x", "--k", "2", "--target", "y"], "no --target");
    refused("topk", &["--activations", "x", "--k", "2"], "the layers of a crosscoder");
    refused("topk", &["--k", "2", "--l1", "1"], "takes no --l1");
    refused("relu", &["--k", "2", "--l1", "1"], "takes no --k");
    refused("pursuit", &["--k", "2", "--target", "y"], "no --target");
    refused("topk", &["--k", "2", "--skip"], "--target");
    refused("topk", &["--k", "2", "--target", "y", "--target", "y"], "--target is given 2 times");
    refused("topk", &["--k", "2", "--target", "y.npy"], "folders only, or files only");
    refused("topk", &["--k", "2", "--target", "y", "--target-key", "b"], "--key names an array of a file");
    let (status, _, said) =
        run(folder.path(), &train("x.npy", "topk", &["--k", "2", "--target", "short.npy"]));
    assert!(status == 2 && said.contains("399 rows") && said.contains("400"), "{said}");
    // An autoencoder is not measured by a target.
    let (status, _, said) = run(folder.path(), &train("x", "topk", &["--k", "2"]));
    assert_eq!(status, 0, "{said}");
    let eval = ["sae", "eval", "sae.safetensors", "--activations", "x", "--target", "y"];
    let (status, _, said) = run(folder.path(), &eval);
    assert!(status == 2 && said.contains("no --target"), "{said}");
}

#[test]
fn a_dictionary_is_trained_further_from_what_it_computes() {
    use collimate_sae::formats;
    use collimate_tensor::files::{FileArray, write_npy};
    let folder = tempfile::tempdir().unwrap();
    let mut stream = collimate_stream::RngStream::new(9, 0);
    let rows = ndarray::Array2::from_shape_fn((400, 8), |_| 3.0 * stream.normal() as f32 + 0.5);
    write_npy(folder.path().join("rows.npy"), &FileArray::from(rows.clone())).unwrap();
    let train = |variant: &str, more: &[&str]| {
        let mut words =
            vec!["sae", "train", "--activations", "rows.npy", "--variant", variant, "--batch", "32"];
        words.extend(more);
        run(folder.path(), &words)
    };
    for (variant, sparsity) in [
        ("topk", ["--k", "2"]),
        ("gated", ["--l1", "0.1"]),
        ("batchtopk", ["--k", "1.5"]),
        ("jumprelu", ["--l1", "0.1"]),
    ] {
        let output = ["--output", "first.safetensors", "--latents", "16", "--steps", "60", "--force"];
        let (status, _, said) = train(variant, &[&output[..], &sparsity].concat());
        assert_eq!(status, 0, "{variant}: {said}");
        // A learning rate of almost zero leaves the dictionary as it is.
        let output = ["--output", "next.safetensors", "--latents", "16", "--steps", "20", "--force"];
        let more = ["--start-from", "first.safetensors", "--learning-rate", "1e-12"];
        let (status, _, said) = train(variant, &[&output[..], &sparsity, &more].concat());
        assert_eq!(status, 0, "{variant}: {said}");
        let [first, next] = ["first", "next"].map(|name| {
            let path = folder.path().join(format!("{name}.safetensors"));
            formats::read::<f32>(path).unwrap().dictionary
        });
        let off = (first.reconstruct(&rows).unwrap() - next.reconstruct(&rows).unwrap()).mapv(f32::abs);
        // The threshold of BatchTopK follows the batches.
        let allowed = if variant == "batchtopk" { f32::INFINITY } else { 1e-3 };
        assert!(off.iter().all(|&off| off <= allowed), "{variant}: {off}");
        let weights = (first.decoder() - next.decoder()).mapv(f32::abs);
        assert!(weights.iter().all(|&off| off < 1e-4), "{variant}: {weights}");
    }
    // A dictionary of another library. Its rows have width 8 and its file 24 latents.
    let foreign = case("dl_gated");
    let more = ["--latents", "24", "--l1", "0.1", "--steps", "20", "--output", "foreign.safetensors"];
    let (status, out, said) = train("gated", &[&more[..], &["--start-from", &foreign]].concat());
    assert!(status == 0 && out.contains("24 latents"), "{out}{said}");
    for (variant, more, word) in [
        ("topk", ["--latents", "24", "--k", "2"], "gated dictionary"),
        ("gated", ["--latents", "16", "--l1", "0.1"], "24 latents"),
    ] {
        let more = [&more[..], &["--output", "x.safetensors", "--start-from", &foreign]].concat();
        let (status, _, said) = train(variant, &more);
        assert!(status == 2 && said.contains(word), "{said}");
    }
}

#[test]
fn options_that_cancel_or_do_not_fit_are_refused_with_the_reason() {
    use collimate_tensor::files::{FileArray, write_npy};
    let folder = tempfile::tempdir().unwrap();
    let mut stream = collimate_stream::RngStream::new(2, 0);
    let rows = ndarray::Array2::from_shape_fn((300, 8), |_| stream.normal() as f32);
    write_npy(folder.path().join("x.npy"), &FileArray::from(rows)).unwrap();
    let train = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        run(
            folder.path(),
            &[&["sae", "train", "--activations", "x.npy", "--output", "d"], &words[..]].concat(),
        )
    };
    for (line, word) in [
        ("--variant gated --latents 16 --l1 0 --target-l0 3", "--l1 must not be 0"),
        ("--variant relu --latents 16 --l1 0.1 --target-l0 0", "--target-l0 must be above 0"),
        ("--variant relu --latents 16 --l1 0.1 --target-l0 17", "at most --latents"),
        ("--variant relu --latents 16 --l1 0.1 --target-l0 nan", "--target-l0"),
        ("--variant topk --latents 16 --k 2.5", "--k must be a whole number"),
        ("--variant abstopk --latents 16 --k nan", "--k must be a whole number"),
        ("--variant topk --latents 16 --k -1", "--k must be a whole number"),
        ("--variant batchtopk --latents 16 --k 0", "k must be positive"),
        // Sizes beyond the memory are refused before anything is allocated.
        ("--variant topk --k 2 --latents 400000000", "--latents: about"),
        ("--variant topk --k 2 --latents 16 --batch 1000000000000", "--batch: about"),
        ("--variant topk --k 2 --latents 18446744073709551615", "--latents: about"),
    ] {
        let (status, out, said) = train(line);
        assert_eq!(status, 2, "{line}: {out}{said}");
        assert!(said.contains(word), "{line}: {said}");
        assert!(!folder.path().join("d").exists() && !folder.path().join("d.checkpoint").exists());
    }
    // Short runs have no warm-up, and fractions of k belong to a batch.
    for (steps, variant) in
        [("1", "topk --k 2"), ("10", "topk --k 2"), ("19", "gated --l1 0.1"), ("2", "pnorm --l1 0.1")]
    {
        let line = format!("--variant {variant} --latents 16 --batch 64 --steps {steps} --force");
        let (status, out, said) = train(&line);
        assert!(status == 0 && out.contains("16 latents"), "{line}: {said}");
    }
    let (status, _, said) = train("--variant batchtopk --latents 16 --k 0.5 --steps 40 --batch 64 --force");
    assert_eq!(status, 0, "{said}");
    let (_, out, _) = run(folder.path(), &["sae", "info", "d"]);
    assert!(out.contains("0.5 on average"), "{out}");
}

#[test]
fn options_without_effect_are_told() {
    use collimate_tensor::files::{FileArray, write_npy};
    let folder = tempfile::tempdir().unwrap();
    let mut stream = collimate_stream::RngStream::new(2, 0);
    let rows = ndarray::Array2::from_shape_fn((300, 8), |_| stream.normal() as f32);
    write_npy(folder.path().join("x.npy"), &FileArray::from(rows)).unwrap();
    for (variant, more, word) in [
        (
            "gated",
            ["--l1", "0"],
            Some("note: λ is 0, so that nothing makes the codes of a gated dictionary sparse"),
        ),
        ("relu", ["--l1", "0"], Some("note: λ is 0")),
        ("gated", ["--l1", "0.1"], None),
        ("topk", ["--k", "2"], None),
    ] {
        let (status, _, said) =
            run(folder.path(), &train("x.npy", variant, &[&more[..], &["--force"]].concat()));
        assert_eq!(status, 0, "{said}");
        match word {
            Some(word) => assert!(said.contains(word), "{variant}: {said}"),
            None => assert!(!said.contains("no effect") && !said.contains("λ is 0"), "{variant}: {said}"),
        }
    }
    // A run of one step has no step after which a latent could be dead.
    let arguments = ["--k", "2", "--force", "--steps", "1"];
    let words: Vec<&str> =
        train("x.npy", "topk", &[]).into_iter().filter(|word| !["--steps", "40"].contains(word)).collect();
    let (status, _, said) = run(folder.path(), &[&words[..], &arguments].concat());
    assert!(status == 0 && said.contains("note: AuxK has no effect"), "{said}");
}

#[test]
fn rows_are_read_by_their_content() {
    use collimate_tensor::files::{FileArray, write_npy, write_npz, write_safetensors};
    let folder = tempfile::tempdir().unwrap();
    let mut stream = collimate_stream::RngStream::new(2, 0);
    let rows = ndarray::Array2::from_shape_fn((300, 8), |_| stream.normal() as f32);
    let array = FileArray::from(rows);
    write_npy(folder.path().join("a.dat"), &array).unwrap();
    write_npz(folder.path().join("b.npy"), &[("x", array.clone())]).unwrap();
    write_safetensors(folder.path().join("c"), &[("x", array)], &[]).unwrap();
    let mut bytes = Vec::new();
    for place in ["a.dat", "b.npy", "c"] {
        let (status, _, said) = run(folder.path(), &train(place, "topk", &["--k", "2", "--force"]));
        assert_eq!(status, 0, "{place}: {said}");
        bytes.push(std::fs::read(folder.path().join("sae.safetensors")).unwrap());
    }
    assert!(bytes.windows(2).all(|pair| pair[0] == pair[1]));
    std::fs::write(folder.path().join("x.npy"), "<!DOCTYPE html><html></html>").unwrap();
    let (status, _, said) = run(folder.path(), &train("x.npy", "topk", &["--k", "2", "--force"]));
    assert!(status == 2 && said.contains("an HTML page"), "{said}");
}

#[test]
fn a_folder_of_another_library_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("sparsify");
    std::fs::create_dir(&foreign).unwrap();
    for entry in std::fs::read_dir(case("sparsify_groupmax")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, foreign.join(path.file_name().unwrap())).unwrap();
    }
    let content = || -> std::collections::BTreeMap<_, _> {
        let entries = std::fs::read_dir(&foreign).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect()
    };
    let before = content();
    for from in ["sparsify".to_owned(), case("dl_gated")] {
        for more in [&[][..], &["--force"]] {
            let arguments = [&["sae", "convert", &from, "sparsify", "--to", "saelens"], more].concat();
            let (status, _, said) = run(folder.path(), &arguments);
            assert_eq!(status, 2, "{arguments:?}: {said}");
            assert_eq!(content(), before, "{arguments:?}");
        }
    }
}

#[test]
fn the_same_command_writes_the_same_bytes_and_names_do_not_matter() {
    use collimate_tensor::files::{FileArray, write_npy};
    let folder = tempfile::tempdir().unwrap();
    let mut stream = collimate_stream::RngStream::new(2, 0);
    let rows = ndarray::Array2::from_shape_fn((300, 8), |_| stream.normal() as f32);
    write_npy(folder.path().join("x.npy"), &FileArray::from(rows)).unwrap();
    let bytes = |words: &[&str], output: &str| {
        let (status, _, said) = run(folder.path(), words);
        assert_eq!(status, 0, "{words:?}: {said}");
        std::fs::read(folder.path().join(output)).unwrap()
    };
    let train = |output: &'static str| {
        let words =
            ["sae", "train", "--activations", "x.npy", "--variant", "topk", "--k", "2", "--latents", "16"];
        [&words[..], &["--batch", "64", "--steps", "200", "--output", output]].concat()
    };
    // A name that ends like a checkpoint keeps its result.
    let first = bytes(&train("dict.checkpoint"), "dict.checkpoint");
    assert!(!folder.path().join("dict.checkpoint.checkpoint").exists());
    // A dictionary under the name of a checkpoint is not replaced by one.
    let (status, _, said) = run(folder.path(), &train("dict"));
    assert!(status == 2 && said.contains("dict.checkpoint is no checkpoint"), "{said}");
    std::fs::remove_file(folder.path().join("dict.checkpoint")).unwrap();
    for output in ["dict.safetensors", "dict.npz", "dict"] {
        assert_eq!(bytes(&train(output), output), first, "{output}");
    }
    let convert = |output: &'static str| ["sae", "convert", "dict.safetensors", output, "--to", "collimate"];
    assert_eq!(bytes(&convert("one"), "one"), bytes(&convert("two"), "two"));
    let saelens = |output: &'static str| ["sae", "convert", "dict.safetensors", output, "--to", "saelens"];
    for file in ["cfg.json", "sae_weights.safetensors"] {
        let [one, two] = ["a", "b"].map(|folder| format!("{folder}{file}/{file}"));
        let (a, b) = (format!("a{file}").leak(), format!("b{file}").leak());
        assert_eq!(bytes(&saelens(a), &one), bytes(&saelens(b), &two));
    }
    // Only dictionaries are replaced, also with --force.
    std::fs::write(folder.path().join("notes"), "mine").unwrap();
    for words in [&train("notes")[..], &convert("notes")] {
        let (status, _, said) = run(folder.path(), &[words, &["--force"]].concat());
        assert!(status == 2 && said.contains("replaces only dictionaries"), "{said}");
        assert_eq!(std::fs::read(folder.path().join("notes")).unwrap(), b"mine");
    }
    std::fs::write(folder.path().join("new.checkpoint"), "mine").unwrap();
    let (status, _, said) = run(folder.path(), &[&train("new")[..], &["--force"]].concat());
    assert!(status == 2 && said.contains("is no checkpoint"), "{said}");
    assert_eq!(std::fs::read(folder.path().join("new.checkpoint")).unwrap(), b"mine");
}

#[test]
fn metrics_of_equal_rows_are_undefined_and_say_so() {
    use collimate_tensor::files::{FileArray, write_npy};
    let folder = tempfile::tempdir().unwrap();
    let rows = ndarray::Array2::from_shape_fn((500, 6), |(_, j)| 0.1 + j as f32);
    write_npy(folder.path().join("x.npy"), &FileArray::from(rows)).unwrap();
    let more = ["--k", "2", "--metrics", "log.jsonl"];
    let (status, _, said) = run(folder.path(), &train("x.npy", "topk", &more));
    assert!(status == 0 && said.contains("explained undefined"), "{said}");
    let log = std::fs::read_to_string(folder.path().join("log.jsonl")).unwrap();
    assert!(log.lines().all(|line| line.contains("\"explained_variance\":null")), "{log}");
    let (status, out, said) =
        run(folder.path(), &["sae", "eval", "sae.safetensors", "--activations", "x.npy"]);
    assert_eq!(status, 0, "{said}");
    for name in ["explained variance (global R²)", "explained variance (per row)"] {
        let line = out.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.contains("= undefined"), "{line}");
    }
    assert!(said.contains("all rows are equal"), "{said}");
}

#[test]
fn held_out_rows_are_measured_while_a_run_goes_on() {
    use collimate_tensor::files::{FileArray, write_npy};
    let folder = tempfile::tempdir().unwrap();
    let mut stream = collimate_stream::RngStream::new(5, 0);
    let rows = ndarray::Array2::from_shape_fn((400, 6), |_| 10.0 * stream.normal() as f32);
    write_npy(folder.path().join("x.npy"), &FileArray::from(rows.slice(ndarray::s![..300, ..]).to_owned()))
        .unwrap();
    write_npy(
        folder.path().join("held.npy"),
        &FileArray::from(rows.slice(ndarray::s![300.., ..]).to_owned()),
    )
    .unwrap();
    let more = ["--k", "3", "--metrics", "log.jsonl", "--held-out", "held.npy", "--held-out-every", "15"];
    let words = train("x.npy", "topk", &more);
    let (status, _, said) = run(folder.path(), &words);
    assert!(status == 0 && said.contains("held out at step 15: explained"), "{said}");
    let log = || std::fs::read_to_string(folder.path().join("log.jsonl")).unwrap();
    let measured: Vec<serde_json::Value> = log()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|entry: &serde_json::Value| entry["held_out"].is_object())
        .collect();
    assert_eq!(
        measured.iter().map(|entry| entry["step"].as_u64().unwrap()).collect::<Vec<_>>(),
        [15, 30, 40]
    );
    // The last measurement is the evaluation of the finished dictionary on these rows.
    let eval = ["sae", "eval", "sae.safetensors", "--activations", "held.npy", "--json"];
    let (_, out, _) = run(folder.path(), &eval);
    let evaluated = |name: &str| {
        let mut lines = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.find(|line| line["measured"]["quantity"] == name).unwrap()["measured"]["value"]
            .as_f64()
            .unwrap()
    };
    let last = &measured[2]["held_out"];
    for (key, name) in [("l0", "L0"), ("explained_variance", "explained variance (global R²)")] {
        let (a, b) = (last[key].as_f64().unwrap(), evaluated(name));
        assert!((a - b).abs() < 1e-4, "{name}: {a} {b}");
    }
    // The finished run keeps its measurements.
    let before = log();
    let (status, out, _) = run(folder.path(), &words);
    assert!(status == 0 && out.contains("finished already"), "{out}");
    assert_eq!(log(), before);
    let narrow = FileArray::from(ndarray::Array2::<f32>::ones((9, 5)));
    write_npy(folder.path().join("narrow.npy"), &narrow).unwrap();
    let words = train("x.npy", "topk", &["--k", "3", "--seed", "1", "--force", "--held-out", "narrow.npy"]);
    let (status, _, said) = run(folder.path(), &words);
    assert!(status == 2 && said.contains("width 5"), "{said}");
}
