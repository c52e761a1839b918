//! The files of other libraries: encoded, converted and described.

use super::{case, checkpoints};
use crate::run;
use collimate_tensor::files::Safetensors;

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
