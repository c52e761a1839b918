//! `collimate tms` on small cases with known answers.

use super::run;
use collimate_tensor::files::{FileArray, write_npy};
use ndarray::array;

#[test]
fn trained_models_are_described_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let (status, printed, said) = run(
        folder.path(),
        &[
            "tms",
            "train",
            "--models",
            "2",
            "--sparsest",
            "0.02",
            "--steps",
            "3000",
            "--batch",
            "128",
            "--output",
            "drawn",
        ],
    );
    assert_eq!(status, 0, "{said}");
    assert!(printed.contains("pentagon"), "{printed}");
    let star = std::fs::read_to_string(folder.path().join("drawn").join("star.svg")).unwrap();
    assert!(star.starts_with("<svg"));
}

#[test]
fn a_small_phase_diagram() {
    let folder = tempfile::tempdir().unwrap();
    let (status, printed, said) =
        run(folder.path(), &["tms", "phase", "--importances", "3", "--densities", "5", "--models", "0"]);
    assert_eq!(status, 0, "{said}");
    assert!(printed.contains("canonical") && printed.contains("optimum"), "{printed}");
    let arguments =
        ["tms", "phase", "--importances", "3", "--densities", "4", "--models", "1", "--output", "drawn"];
    let (status, _, said) = run(folder.path(), &arguments);
    assert_eq!(status, 0, "{said}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join("drawn").join(name)).unwrap();
    assert!(read("regions.svg").contains("superposition, antipodal"));
    let all: serde_json::Value = serde_json::from_str(&read("phase.json")).unwrap();
    for name in ["canonical", "optimum", "trained"] {
        let regions = &all["diagrams"][name]["region"];
        // The sparsest features share the dimension. The more important of two dense features has it alone.
        assert_eq!(regions[0][1], "superposition, antipodal", "{name}");
        assert_eq!((regions.as_array().unwrap().len(), regions[3].as_array().unwrap().len()), (4, 3));
        if name != "trained" {
            assert_eq!(
                (&regions[3][0], &regions[3][2]),
                (&"not represented".into(), &"dedicated dimension".into())
            );
        }
        assert!(all["diagrams"][name]["loss"][0][0].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn a_staircase_ends_at_polygons() {
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        ["tms", "staircase", "--runs", "4", "--steps", "2000", "--start", "0.3", "--output", "drawn"];
    let (status, printed, said) = run(folder.path(), &arguments);
    assert_eq!(status, 0, "{said}");
    // Losses and coefficients are exact and do not depend on the runs.
    assert!(printed.contains("hexagon          0.048192    17/2"), "{printed}");
    let svg = std::fs::read_to_string(folder.path().join("drawn").join("staircase.svg")).unwrap();
    assert!(svg.matches("<path").count() >= 4 && svg.contains("pentagon"), "{printed}");
    for (option, value) in [("--features", "9"), ("--rate", "0"), ("--runs", "0")] {
        let (status, _, said) = run(folder.path(), &["tms", "staircase", option, value]);
        assert!(status == 2 && said.contains(option), "{said}");
    }
    let (status, _, said) = run(folder.path(), &["tms", "staircase", "--rate", "1e200", "--runs", "1"]);
    assert!(
        status == 2 && said.contains("step 1: the loss is") && said.contains("smaller learning rate"),
        "{said}"
    );
}

#[test]
fn a_square_is_named_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("square.npy");
    write_npy(&file, &FileArray::from(array![[1.0_f64, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]])).unwrap();
    let (status, printed, said) = run(folder.path(), &["tms", "geometry", "square.npy"]);
    assert_eq!(status, 0, "{said}");
    assert!(printed.contains("digon + digon [2 of these: square]"), "{printed}");
    std::fs::write(&file, "no array").unwrap();
    let (status, _, said) = run(folder.path(), &["tms", "geometry", "square.npy"]);
    assert!(status == 2 && said.contains("square.npy"), "{said}");
    // Directions of length 0 have no arrangement, and no bound either.
    write_npy(&file, &FileArray::from(ndarray::Array2::<f64>::zeros((2, 3)))).unwrap();
    let (status, printed, said) = run(folder.path(), &["tms", "geometry", "square.npy"]);
    assert!(status == 0 && printed.contains("(at least 0.0000)"), "{printed}{said}");
    assert!(printed.contains("arrangement              none; 3 absent"), "{printed}");
    let (status, printed, said) = run(folder.path(), &["tms", "geometry", "square.npy", "--tolerance", "2"]);
    assert!(status == 2 && printed.is_empty() && said.contains("at most 0.5"), "{said}");
    for what in ["geometry", "diagnose"] {
        write_npy(&file, &FileArray::from(array![1.0_f64, 2.0])).unwrap();
        let (status, _, said) = run(folder.path(), &["tms", what, "square.npy"]);
        assert_eq!(
            (status, said.as_str()),
            (2, "error: square.npy: expected a matrix (two axes), but its shape is [2]\n")
        );
    }
}

#[test]
fn a_pentagon_is_diagnosed_and_without_labels_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut stream = collimate_stream::RngStream::new(1, 0);
    let x =
        ndarray::Array2::from_shape_fn(
            (200, 5),
            |_| {
                if stream.bernoulli(0.3) { stream.uniform() } else { 0.0 }
            },
        );
    let turn = |i: usize| std::f64::consts::TAU * i as f64 / 5.0;
    let w =
        ndarray::Array2::from_shape_fn((5, 2), |(i, k)| if k == 0 { turn(i).cos() } else { turn(i).sin() });
    write_npy(folder.path().join("h.npy"), &FileArray::from(x.dot(&w))).unwrap();
    write_npy(folder.path().join("x.npy"), &FileArray::from(x)).unwrap();
    let (status, printed, said) = run(folder.path(), &["tms", "diagnose", "h.npy", "--labels", "x.npy"]);
    assert_eq!(status, 0, "{said}");
    assert!(
        printed.contains("explanation  Superposition") && printed.contains("variance linear"),
        "{printed}"
    );
    let (status, printed, _) = run(folder.path(), &["tms", "diagnose", "h.npy"]);
    assert!(status == 0 && printed.contains("cannot be told") && printed.contains("--labels"), "{printed}");
    let (status, _, said) = run(folder.path(), &["tms", "diagnose", "h.npy", "--labels", "absent.npy"]);
    assert!(status == 2 && said.contains("absent.npy"), "{said}");
}

#[test]
fn senseless_options_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (option, value) in [
        ("--models", "0"),
        ("--features", "0"),
        ("--hidden", "0"),
        ("--batch", "0"),
        ("--steps", "0"),
        ("--points", "0"),
        ("--sparsest", "2"),
        ("--sparsest", "nan"),
        ("--rate", "-1"),
        ("--importance", "-1"),
    ] {
        let (status, _, said) = run(folder.path(), &["tms", "train", option, value]);
        assert!(status == 2 && said.contains(option) && said.contains(value), "{option} {value}: {said}");
    }
    let (status, _, said) = run(folder.path(), &["tms", "phase", "--importances", "0"]);
    assert!(status == 2 && said.contains("--importances"), "{said}");
    // Sizes that fit no memory are refused before the work.
    for (arguments, word) in [
        (vec!["train", "--features", "1000000", "--hidden", "1000000"], "too many to hold"),
        (vec!["train", "--points", "10000000", "--features", "1000"], "too many to hold"),
        (vec!["train", "--batch", "100000000", "--features", "1000000"], "--batch × features"),
        (vec!["train", "--batch", "100000000", "--hidden", "1000000"], "--batch × features"),
        (vec!["train", "--models", "100000000000"], "--models"),
        (vec!["train", "--batch", "1000000000000"], "--batch"),
        (vec!["train", "--importance", "1e300"], "feature 2 would have an importance"),
        (vec!["phase", "--importances", "100000000000"], "--importances"),
        (vec!["phase", "--models", "100000000000"], "--models"),
        (vec!["staircase", "--runs", "100000000000"], "--runs"),
    ] {
        let (status, _, said) = run(folder.path(), &[&["tms"], &arguments[..]].concat());
        assert!(status == 2 && said.contains(word), "{arguments:?}: {said}");
    }
    // A large learning rate makes the loss non-finite. The error names the step and the remedy.
    let arguments = ["tms", "train", "--rate", "1e30", "--steps", "20", "--batch", "16", "--models", "2"];
    let (status, printed, said) = run(folder.path(), &arguments);
    assert!(status == 2 && printed.is_empty(), "{said}");
    assert!(said.contains("at step 2: the loss is") && said.contains("smaller learning rate"), "{said}");
    // A folder that cannot be created is an error before the training.
    std::fs::write(folder.path().join("file"), "").unwrap();
    let (status, printed, said) = run(folder.path(), &["tms", "train", "--output", "file/figures"]);
    assert!(status == 2 && printed.is_empty() && said.contains("figures"), "{said}");
}

#[test]
fn few_points_are_drawn_too() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["tms", "train", "--models", "1", "--sparsest", "0.3", "--steps", "50", "--batch", "16"];
    let (status, printed, said) =
        run(folder.path(), &[&arguments[..], &["--points", "4", "--output", "drawn"]].concat());
    assert!(status == 0 && printed.contains("memorisation.svg"), "{said}");
}
