//! Models whose weights stay as the file stores them: the logits and gradients of the expanded weights, and refusals.

use collimate_transformer::{
    HookPoint, Input, Model, RunError, Schedule, Site, Targets, Training, TrainingConfig,
};
use ndarray::{Array2, ArrayD};
use std::path::{Path, PathBuf};

/// Returns the paths of all models of the test data that a folder or a GGUF file holds.
fn models() -> Vec<PathBuf> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let entries =
        |folder: &str| std::fs::read_dir(data.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let folders = entries("models").filter(|path| path.join("config.json").is_file());
    let files = entries("gguf").filter(|path| path.extension().is_some_and(|end| end == "gguf"));
    let mut all: Vec<PathBuf> = folders.chain(files).collect();
    all.sort();
    all
}

fn far<D: ndarray::Dimension>(a: &ndarray::Array<f64, D>, b: &ndarray::Array<f64, D>) -> f64 {
    let largest = b.iter().fold(1e-9_f64, |most, x| most.max(x.abs()));
    a.iter().zip(b).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs())) / largest
}

#[test]
fn every_model_gives_the_results_of_its_expanded_weights() {
    let (mut count, mut kept) = (0, 0);
    for path in models() {
        // Mixtures of experts are not read yet.
        let Ok(model) = Model::<f64>::open(&path) else { continue };
        count += 1;
        let stored =
            Model::<f64>::open_as_stored(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        kept += usize::from(stored.parameters().any(|(_, x)| x.is_empty()));
        assert_eq!(stored.fingerprint(), model.fingerprint(), "{}", path.display());
        assert_eq!(stored.n_parameters(), model.n_parameters());
        // Six tokens are multiplied tile by tile, two row by row.
        for length in [6, 2] {
            let ids = Array2::from_shape_fn((1, length), |(_, t)| 3 + 2 * t as u32);
            let input = Input::new(ids).beyond_context();
            let (a, b) = (stored.run(&input, &mut ()).unwrap(), model.run(&input, &mut ()).unwrap());
            assert!(far(&a.hidden, &b.hidden) < 1e-12, "{}", path.display());
            if let (Some(a), Some(b)) = (&a.logits, &b.logits) {
                assert!(far(a, b) < 1e-12, "{}", path.display());
            }
        }
        if model.description().head.is_none() {
            continue;
        }
        let input = Input::of(&[3, 5, 2, 7]);
        let point: HookPoint = Site::ResidualPre.of_layer(0);
        let targets = Targets::next_tokens(&input);
        let gradient = |model: &Model<f64>| -> ArrayD<f64> {
            model.gradients(&input, &targets, &[point], None).unwrap().by_point[&point].clone()
        };
        assert!(far(&gradient(&stored), &gradient(&model)) < 1e-10, "{}", path.display());
    }
    // The matrices of GPT-2 are transposed on disk, but its table of tokens is not.
    assert!(count > 60 && kept == count, "{count} {kept}");
}

#[test]
fn what_needs_the_weights_in_memory_is_refused_by_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/llama_headdim_bf16");
    let open = || Model::<f32>::open_as_stored(&folder).unwrap();
    let model = open();
    let (name, array) = model.parameters().find(|(_, x)| x.is_empty()).unwrap();
    assert!(model.parameter(name).is_none());
    let expanded = Model::<f32>::open(&folder).unwrap();
    assert_eq!(model.read_parameter(name).unwrap(), expanded.parameter(name).unwrap());
    assert!(array.is_empty());
    assert_eq!(model.embedding(), expanded.embedding());
    let parameters: Vec<_> = expanded.parameters().map(|(_, x)| x.to_owned()).collect();
    let refused = model.with_parameters(parameters.clone()).map(drop).unwrap_err();
    assert!(matches!(refused, RunError::Stored { .. }), "{refused}");
    assert!(refused.to_string().contains("open the model with its weights expanded"));
    let input = Input::of(&[3, 5]);
    let along = model.gradients(&input, &Targets::next_tokens(&input), &[], Some(&parameters));
    assert!(matches!(along.map(drop), Err(RunError::Stored { .. })));
    let training =
        Training::new(open(), TrainingConfig::new(Schedule::constant(1e-3).unwrap())).map(drop).unwrap_err();
    assert!(training.to_string().contains("training is not possible"), "{training}");
    let place = tempfile::tempdir().unwrap();
    assert!(model.save(place.path().join("copy")).unwrap_err().to_string().contains("cannot be written"));
    // A passing gradient by the weights is empty where they are stored, and full where they are not.
    let gradients = model.gradients(&input, &Targets::next_tokens(&input), &[], None).unwrap();
    for ((name, x), gradient) in model.parameters().zip(&gradients.by_parameter) {
        assert_eq!(x.dim(), gradient.dim(), "{name}");
    }
}
