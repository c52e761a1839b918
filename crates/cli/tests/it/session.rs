//! The options that every command takes, and `--force`.

use super::run;
use collimate_tensor::files::{FileArray, write_npy};

#[test]
fn the_number_of_threads_changes_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["llc", "reduced-rank", "3", "2", "3", "--draws", "100", "--json", "--threads"];
    let [one, three] = ["1", "3"].map(|threads| run(folder.path(), &[&arguments[..], &[threads]].concat()));
    assert_eq!(one.0, 0, "{}", one.2);
    assert_eq!(one, three);
    // The option may stand before the command too.
    let (status, _, said) = run(folder.path(), &["--threads", "0", "rlct", "x^2"]);
    assert!(status == 2 && said.contains("--threads"), "{said}");
}

#[test]
fn a_debug_build_says_once_that_it_is_slow() {
    let folder = tempfile::tempdir().unwrap();
    let notes = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (status, _, said) = run(folder.path(), &words);
        assert_eq!(status, 0, "{line}: {said}");
        said.lines().filter(|line| line.starts_with("note: this is a debug build")).count()
    };
    let expected = usize::from(cfg!(debug_assertions));
    for line in ["llc crossing 1 --draws 50", "tms train --models 1 --steps 20 --batch 8"] {
        assert_eq!(notes(line), expected, "{line}");
        assert_eq!(notes(&format!("{line} --quiet")), 0, "{line}");
    }
    // Nothing is computed for long, or a program reads the output.
    for line in ["llc crossing 1 --draws 50 --json", "rlct x^2", "claims --list", "completions bash"] {
        assert_eq!(notes(line), 0, "{line}");
    }
}

#[test]
fn quiet_hides_progress_and_force_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let mut stream = collimate_stream::RngStream::new(4, 0);
    let rows = ndarray::Array2::from_shape_fn((200, 4), |_| stream.normal() as f32);
    write_npy(folder.path().join("rows.npy"), &FileArray::from(rows)).unwrap();
    let train = |k: &str, more: &[&str]| {
        let arguments =
            ["sae", "train", "--activations", "rows.npy", "--variant", "topk", "--latents", "8", "--k", k];
        let arguments =
            [&arguments[..], &["--steps", "20", "--batch", "16", "--output", "sae.safetensors"], more];
        run(folder.path(), &arguments.concat())
    };
    let (status, out, said) = train("2", &[]);
    assert!(status == 0 && said.contains("of 20 updates"), "{out}{said}");
    let (status, out, _) = train("2", &[]);
    assert!(status == 0 && out.contains("finished already"), "{out}");
    let (status, _, said) = train("3", &[]);
    assert!(status == 2 && said.contains("exists already") && said.contains("--force"), "{said}");
    let (status, out, said) = train("3", &["--force", "--quiet"]);
    assert!(status == 0 && said.is_empty() && out.contains("8 latents"), "{out}{said}");

    let convert = |more: &[&str]| {
        let arguments = ["sae", "convert", "sae.safetensors", "copy.safetensors", "--to", "collimate"];
        run(folder.path(), &[&arguments[..], more].concat())
    };
    assert_eq!(convert(&[]).0, 0);
    let (status, _, said) = convert(&[]);
    assert!(status == 2 && said.contains("--force"), "{said}");
    assert_eq!(convert(&["--force"]).0, 0);
}

#[test]
fn captured_activations_replace_only_shards_and_only_with_force() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("notes")).unwrap();
    std::fs::write(folder.path().join("notes/precious.txt"), "").unwrap();
    let arguments = ["activations", "--layer", "3", "--output", "notes"];
    let (status, _, said) = run(folder.path(), &arguments);
    assert!(status == 2 && said.contains("not empty") && said.contains("--force"), "{said}");
    let (status, _, said) = run(folder.path(), &[&arguments[..], &["--force"]].concat());
    assert!(status == 2 && said.contains("holds no shards"), "{said}");
    assert!(folder.path().join("notes/precious.txt").is_file());
}
