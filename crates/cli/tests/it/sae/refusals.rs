//! Options and rows that are refused with the reason, and options that cannot take effect.

use super::{train, two_places};
use crate::run;

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
