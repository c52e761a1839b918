//! Training runs and the evaluation of their results.

use super::{case, train, two_places, write_shards};
use crate::run;

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
