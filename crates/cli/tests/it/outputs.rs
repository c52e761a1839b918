//! No command destroys, overwrites or loses anything: each output of each command is tried with places that it must leave alone.

use super::{model, run};
use collimate_tensor::files::{FileArray, FileData, write_npy, write_safetensors};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

include!("places.rs");

/// The kinds of outputs.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    File,
    Folder,
}

/// A way to run a command with one output.
struct Case {
    /// The words before the output.
    words: Vec<String>,
    /// The words after the output.
    rest: Vec<&'static str>,
    kind: Kind,
    /// An input, if the command has one.
    input: Option<&'static str>,
    /// True if a run writes into a folder or a file that is already there, when it recognises its own.
    replaces_own: bool,
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// Returns the cases of an output of the lists.
fn cases(place: (&str, &str), quick_claim: &str) -> Vec<Case> {
    let case = |line: &str, kind, input| {
        vec![Case { words: words(line), rest: Vec::new(), kind, input, replaces_own: false }]
    };
    let train =
        "sae train --activations rows.npy --variant topk --k 2 --latents 8 --steps 10 --batch 16 --quiet";
    let llc = "llc crossing 1 --draws 50 --quiet";
    let claims = format!("claims {quick_claim} --tier quick --quiet");
    let own = |mut cases: Vec<Case>| {
        cases[0].replaces_own = true;
        cases
    };
    match place {
        ("attribute" | "patch" | "path", "output") => {
            let line =
                format!("{} model.gguf --clean 1,2,3 --corrupt 1,5,3 --answer 7 --wrong 8 --output", place.0);
            case(&line, Kind::File, Some("model.gguf"))
        }
        ("dla" | "lens", "output") => {
            let line = format!("{} model.gguf --ids 1,2,3 --answer 7 --wrong 8 --output", place.0);
            case(&line, Kind::File, Some("model.gguf"))
        }
        ("trace", "output") => case(
            "trace model.gguf --transcoders dictionaries --ids 1,2,3 --output",
            Kind::File,
            Some("model.gguf"),
        ),
        ("trace intervene", "output") => case(
            "trace intervene model.gguf --transcoders dictionaries --ids 1,2,3 --set 0:1:2=0 --mode free --output",
            Kind::File,
            Some("model.gguf"),
        ),
        ("activations", "output") => case(
            "activations --model model.gguf --layer 1 --corpus text.txt --quiet --output",
            Kind::Folder,
            Some("text.txt"),
        ),
        ("claims", "output") => own(case(&format!("{claims} --output"), Kind::Folder, None)),
        ("claims", "json") => own(case(&format!("{claims} --output reports --json="), Kind::File, None)),
        ("claims", "lock") => {
            own(case(&format!("{claims} --output reports --bless --lock"), Kind::File, None))
        }
        ("influence replay", "output") => case(
            "influence replay traces.safetensors --run full --observables train --output",
            Kind::File,
            Some("traces.safetensors"),
        ),
        ("susceptibilities replay", "output") => case(
            "susceptibilities replay traces.safetensors --runs head --full full --reference train --initial init_loss --observables \
             train --output",
            Kind::File,
            Some("traces.safetensors"),
        ),
        ("llc", "sweep") => case(&format!("{llc} --sweep"), Kind::File, None),
        ("lm train", "output") => case(
            "lm train --description config.json --tokens tokens.npy --context 4 --batch 2 --steps 3 --quiet --output",
            Kind::Folder,
            Some("tokens.npy"),
        ),
        ("model run", "output") => {
            case("model run model.gguf --input ids.safetensors --output", Kind::File, Some("ids.safetensors"))
        }
        ("manual", "output") => case("manual --output", Kind::Folder, None),
        ("sae convert", "-to") => {
            let mut both = case("sae convert sae.safetensors", Kind::File, Some("sae.safetensors"));
            both[0].rest = vec!["--to", "collimate"];
            both.extend(case("sae convert sae.safetensors", Kind::Folder, Some("sae.safetensors")));
            both[1].rest = vec!["--to", "saelens"];
            both
        }
        ("sae encode", "output") => {
            case("sae encode --sae sae.safetensors --input rows.npy --output", Kind::File, Some("rows.npy"))
        }
        ("sae top", "html") => case(
            "sae top sae.safetensors --model model.gguf --layer 1 --corpus text.txt --quiet --html",
            Kind::File,
            Some("text.txt"),
        ),
        ("sae train", "output") => case(&format!("{train} --output"), Kind::File, Some("rows.npy")),
        ("sae train", "metrics") => {
            case(&format!("{train} --output new.safetensors --metrics"), Kind::File, Some("rows.npy"))
        }
        ("tms phase", "output") => {
            case("tms phase --importances 2 --densities 2 --models 0 --starts 1 --output", Kind::Folder, None)
        }
        ("tms staircase", "output") => {
            case("tms staircase --features 3 --runs 2 --steps 20 --output", Kind::Folder, None)
        }
        ("tms train", "output") => {
            case("tms train --models 1 --steps 20 --batch 8 --output", Kind::Folder, None)
        }
        other => panic!("no case for {other:?}"),
    }
}

/// The configuration of a small language model.
const CONFIGURATION: &str = r#"{"model_type": "llama", "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 1,
    "num_attention_heads": 2, "intermediate_size": 12, "max_position_embeddings": 16}"#;

/// Makes the inputs of all cases.
fn prepare(folder: &Path) {
    let mut stream = collimate_stream::RngStream::new(3, 0);
    let rows = ndarray::Array2::from_shape_fn((100, model::WIDTH), |_| stream.normal() as f32);
    write_npy(folder.join("rows.npy"), &FileArray::from(rows)).unwrap();
    std::fs::write(folder.join("text.txt"), "the quick brown fox jumps over the lazy dog. ".repeat(4))
        .unwrap();
    model::write(&folder.join("model.gguf"));
    std::fs::write(folder.join("config.json"), CONFIGURATION).unwrap();
    let tokens = FileArray::new(vec![30], FileData::I64((0..30).map(|i| i * 7 % 11).collect())).unwrap();
    write_npy(folder.join("tokens.npy"), &tokens).unwrap();
    let ids = FileArray::new(vec![1, 3], FileData::I64(vec![1, 2, 3])).unwrap();
    write_safetensors(folder.join("ids.safetensors"), &[("input_ids", ids)], &[]).unwrap();
    let losses = ndarray::Array4::from_shape_fn((2, 6, 3, 2), |_| 2.0 + stream.normal());
    let initial = ndarray::Array2::from_elem((2, 2), 2.0);
    let tensors = [
        ("full.loss_train", FileArray::from(losses.clone())),
        ("head.loss_train", FileArray::from(losses)),
        ("init_loss", FileArray::from(initial)),
    ];
    write_safetensors(folder.join("traces.safetensors"), &tensors, &[]).unwrap();
    let dictionaries = folder.join("dictionaries");
    std::fs::create_dir(&dictionaries).unwrap();
    for layer in 0..2 {
        let mut array = |shape: Vec<usize>| {
            let data = (0..shape.iter().product()).map(|_| stream.normal() as f32).collect();
            FileArray::new(shape, FileData::F32(data)).unwrap()
        };
        let tensors = [
            ("W_enc", array(vec![8, model::WIDTH])),
            ("W_dec", array(vec![8, model::WIDTH])),
            ("b_enc", array(vec![8])),
            ("b_dec", array(vec![model::WIDTH])),
        ];
        write_safetensors(dictionaries.join(format!("layer_{layer}.safetensors")), &tensors, &[]).unwrap();
    }
    let about =
        "model_kind: transcoder_set\nfeature_input_hook: mlp.hook_in\nfeature_output_hook: mlp.hook_out\n";
    std::fs::write(dictionaries.join("config.yaml"), about).unwrap();
    let train =
        "sae train --activations rows.npy --variant topk --k 2 --latents 8 --steps 10 --batch 16 --quiet";
    let (status, _, said) = run(folder, &line(&words(&format!("{train} --output sae.safetensors"))));
    assert_eq!(status, 0, "{said}");
}

fn line(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Returns every path below a folder with its kind and content.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let content = match std::fs::symlink_metadata(&path).unwrap() {
                found if found.is_symlink() => format!("link to {:?}", std::fs::read_link(&path).unwrap()),
                found if found.is_dir() => {
                    folders.push(path.clone());
                    "folder".to_owned()
                }
                _ => format!("{:?}", std::fs::read(&path).unwrap()),
            };
            all.insert(path, content);
        }
    }
    all
}

/// Runs a case with an output, and returns the status and what it said.
fn attempt(folder: &Path, case: &Case, output: &str) -> (i32, String) {
    let mut all = line(&case.words);
    // An option that takes its value after an equals sign.
    let joined = all.last().filter(|word| word.ends_with('=')).map(|word| format!("{word}{output}"));
    match &joined {
        Some(joined) => *all.last_mut().unwrap() = joined,
        None => all.push(output),
    }
    all.extend(&case.rest);
    let (status, out, said) = run(folder, &all);
    (status, format!("{all:?}: {status}\n{out}{said}"))
}

/// Runs a case that must be refused, and checks that nothing changed.
fn refused(folder: &Path, case: &Case, output: &str) {
    let before = snapshot(folder);
    let (status, said) = attempt(folder, case, output);
    assert_eq!(status, 2, "{said}");
    let after = snapshot(folder);
    assert!(before == after, "{said}\n{:?}\n{:?}", before.keys(), after.keys());
}

#[cfg(unix)]
#[test]
fn no_output_of_any_command_destroys_anything_or_leaves_anything_behind() {
    use std::os::unix::fs::symlink;
    let root = tempfile::tempdir().unwrap();
    let base = root.path().join("base");
    std::fs::create_dir(&base).unwrap();
    prepare(&base);
    let (_, listed, _) = run(&base, &["claims", "--list", "--tier", "quick", "--no-real"]);
    let quick = listed.lines().find(|line| line.contains("quick") && !line.contains("real"));
    let quick = quick.unwrap().split_whitespace().next().unwrap().to_owned();
    for (number, case) in OUTPUTS.iter().flat_map(|place| cases(*place, &quick)).enumerate() {
        let folder = &root.path().join(number.to_string());
        copy(&base, folder);
        // A folder where a file is expected, and a file where a folder or a part of the path is expected.
        std::fs::create_dir(folder.join("folder")).unwrap();
        std::fs::write(folder.join("folder/precious"), "mine").unwrap();
        std::fs::write(folder.join("file"), "mine").unwrap();
        match case.kind {
            Kind::File => {
                refused(folder, &case, "folder");
                refused(folder, &case, "folder/");
                refused(folder, &case, "new/");
                refused(folder, &case, "missing/new");
            }
            Kind::Folder => refused(folder, &case, "file"),
        }
        refused(folder, &case, "file/new");
        // An existing file is replaced by nothing but the same command, and an input never.
        if case.kind == Kind::File {
            refused(folder, &case, "file");
            symlink("file", folder.join("link")).unwrap();
            refused(folder, &case, "link");
        }
        if let Some(input) = case.input {
            refused(folder, &case, input);
            symlink(input, folder.join("alias")).unwrap();
            refused(folder, &case, "alias");
            std::fs::hard_link(folder.join(input), folder.join("twin")).unwrap();
            if case.kind == Kind::File {
                refused(folder, &case, "twin");
            }
        }
        // A new output, alone: no temporary file, no lock, no checkpoint stays.
        let before: Vec<PathBuf> = snapshot(folder).into_keys().collect();
        let name = "output";
        let (status, said) = attempt(folder, &case, name);
        assert_eq!(status, 0, "{said}");
        let after = snapshot(folder);
        let new: Vec<&PathBuf> = after.keys().filter(|path| !before.contains(path)).collect();
        let besides = ["output", "reports", "new.safetensors"].map(|name| folder.join(name));
        for path in new {
            assert!(besides.iter().any(|own| path.starts_with(own)), "{path:?} is left behind: {said}");
            assert!(!path.file_name().unwrap().to_string_lossy().starts_with('.'), "{path:?}: {said}");
        }
        // The output itself is not replaced without a word, except by a command that knows it as its own.
        if case.replaces_own {
            assert_eq!(attempt(folder, &case, name).0, 0);
        } else {
            let before = snapshot(folder);
            let (status, said) = attempt(folder, &case, name);
            // A training that is finished says so, and writes the same log again.
            let finished = status == 0 && said.contains("finished already");
            assert!(status == 2 && said.contains("--force") || finished, "{said}");
            assert!(snapshot(folder) == before, "{said}");
        }
        // A device stays one, whether it is written to or refused.
        let (status, said) = attempt(folder, &case, "/dev/null");
        assert!(status == 0 || status == 2, "{said}");
        let null = std::fs::metadata("/dev/null").unwrap();
        assert!(!null.is_file() && !null.is_dir(), "{said}");
        // A link that points nowhere is written through, and stays a link.
        if case.kind == Kind::File {
            symlink("later", folder.join("open")).unwrap();
            let (status, said) = attempt(folder, &case, "open");
            assert!(status == 0 || said.contains("exists"), "{said}");
            assert!(std::fs::symlink_metadata(folder.join("open")).unwrap().is_symlink(), "{said}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let new = to.join(path.file_name().unwrap());
        if path.is_file() {
            std::fs::copy(&path, new).unwrap();
        } else {
            copy(&path, &new);
        }
    }
}

#[test]
fn every_listed_output_has_a_case() {
    assert!(OUTPUTS.iter().all(|place| !cases(*place, "claim").is_empty()));
    assert!(INPUTS.iter().all(|place| !OUTPUTS.contains(place)));
}
