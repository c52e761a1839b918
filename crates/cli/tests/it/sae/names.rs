//! The names of files: content counts, and a name neither hides nor destroys anything.

use super::train;
use crate::run;

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
