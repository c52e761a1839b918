//! The values of the reference library for every architecture, from both styles of configuration, in f64 and f32.

use collimate_tensor::files::Safetensors;
use collimate_transformer::{Generation, Input, Model, Precision, RngStream, Targets};
use ndarray::{Array2, ArrayD, Dimension, IxDyn};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One case: a folder with the expected values.
struct Case {
    folder: PathBuf,
    entry: Value,
    io: BTreeMap<String, (bool, ArrayD<f64>)>,
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models");
    let manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(root.join("manifest.json")).unwrap()).unwrap();
    let entries = manifest["cases"].as_array().unwrap();
    assert_eq!(entries.len(), 64);
    entries
        .iter()
        .map(|entry| {
            let folder = root.join(entry["name"].as_str().unwrap());
            let file = Safetensors::open(folder.join("io.safetensors")).unwrap();
            let read = |name: &str| {
                let array = file.read(name).unwrap();
                (array.type_name() == "f32", array.to_f64())
            };
            let io = file.names().map(|name| (name.to_owned(), read(name))).collect();
            Case { folder, entry: entry.clone(), io }
        })
        .collect()
}

impl Case {
    fn name(&self) -> &str {
        self.entry["name"].as_str().unwrap()
    }

    fn array(&self, name: &str) -> Option<Array2<f64>> {
        let (_, array) = self.io.get(name)?;
        Some(array.clone().into_dimensionality().unwrap())
    }

    fn input(&self) -> Input {
        let mut input = Input::new(self.array("input_ids").unwrap().mapv(|x| x as u32));
        if let Some(mask) = self.array("attention_mask") {
            input = input.with_mask(mask.mapv(|x| x != 0.0));
        }
        if let Some(positions) = self.array("position_ids") {
            input = input.with_positions(positions.mapv(|x| x as i64));
        }
        if let Some(types) = self.array("token_type_ids") {
            input = input.with_types(types.mapv(|x| x as u32));
        }
        input
    }

    fn targets(&self) -> Targets {
        match self.array("labels") {
            Some(labels) => Targets::of(labels.mapv(|x| (x >= 0.0).then_some(x as u32))),
            None => Targets::next_tokens(&self.input()),
        }
    }

    fn open<F: Precision>(&self, configuration: &str) -> Model<F> {
        let path = self.folder.join(configuration);
        Model::open_with_configuration(&self.folder, path)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name()))
    }

    /// The largest distance of the values at tokens that are not padding, and the largest expected value.
    fn distance(&self, name: &str, given: &ArrayD<f64>) -> (f64, f64) {
        let expected = &self.io[name].1;
        assert_eq!(given.shape(), expected.shape(), "{}: {name}", self.name());
        let by_head = ["attentions.", "q.", "k.", "v."].iter().any(|start| name.starts_with(start));
        let mask = self.array("attention_mask");
        let mut off = 0.0f64;
        for (index, want) in expected.indexed_iter() {
            let at = if by_head { 2 } else { 1 };
            let padded = !name.starts_with("grad.")
                && !name.starts_with("hvp.")
                && index.ndim() >= 2
                && mask.as_ref().is_some_and(|mask| {
                    expected.shape()[at] == mask.ncols() && mask[[index[0], index[at]]] == 0.0
                });
            if !padded {
                off = off.max((given[&index] - want).abs());
                assert!(given[&index].is_finite(), "{}: {name} is not finite", self.name());
            }
        }
        (off, expected.iter().fold(1e-30, |most, x| most.max(x.abs())))
    }
}

#[test]
fn every_activation_in_f64_is_that_of_the_reference_library() {
    for case in cases() {
        for configuration in ["config.json", "config.legacy.json"] {
            let model = case.open::<f64>(configuration);
            let given = model
                .run_named(&case.input(), true)
                .unwrap_or_else(|error| panic!("{}: {error}", case.name()));
            let passes = ["grad", "generate", "jvp", "hvp", "loss"];
            let inputs = ["input_ids", "attention_mask", "position_ids", "token_type_ids", "labels"];
            for name in case.io.keys() {
                if passes.iter().any(|start| name.starts_with(start)) || inputs.contains(&name.as_str()) {
                    continue;
                }
                let x = given.get(name).unwrap_or_else(|| panic!("{}: no {name}", case.name()));
                let (off, most) = case.distance(name, x);
                let relative =
                    if case.io[name].0 { 6e-8 } else { case.entry["tolerance"]["f64_rel"].as_f64().unwrap() };
                assert!(
                    off <= relative * most,
                    "{} {configuration} {name}: off by {off:e} of {most}",
                    case.name()
                );
            }
        }
    }
}

#[test]
fn logits_in_f32_are_as_near_as_the_reference_library_says() {
    for case in cases().iter().filter(|case| case.io.contains_key("logits")) {
        let model = case.open::<f32>("config.json");
        let logits = model.run(&case.input(), &mut ()).unwrap().logits.unwrap();
        let (off, _) = case.distance("logits", &logits.mapv(f64::from).into_dyn());
        let limit = case.entry["tolerance"]["f32_abs"].as_f64().unwrap();
        assert!(off <= limit, "{}: off by {off:e}, limit {limit:e}", case.name());
    }
}

/// The direction of the reference data: sin(1 + 0.9 p + 0.37 i) for number i of tensor p in the order of the names.
fn direction(case: &Case) -> BTreeMap<String, ArrayD<f64>> {
    let mut shapes = BTreeMap::new();
    for entry in std::fs::read_dir(&case.folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".safetensors") && name != "io.safetensors" {
            let file = Safetensors::open(&path).unwrap();
            shapes.extend(file.names().map(|name| (name.to_owned(), file.shape(name).unwrap().to_vec())));
        }
    }
    let at = |(p, (name, shape)): (usize, (String, Vec<usize>))| {
        let n: usize = shape.iter().product();
        let values = (0..n).map(|i| (1.0 + 0.9 * p as f64 + 0.37 * i as f64).sin()).collect();
        (name, ArrayD::from_shape_vec(IxDyn(&shape), values).unwrap())
    };
    shapes.into_iter().enumerate().map(at).collect()
}

#[test]
fn gradients_and_derivatives_along_a_direction_are_those_of_the_reference_library() {
    let mut hessians = 0;
    for case in cases().iter().filter(|case| case.io.contains_key("loss")) {
        let model = case.open::<f64>("config.json");
        let v = model.parameters_from_tensors(&direction(case)).unwrap();
        let points = model.hidden_state_points();
        let g = model.gradients(&case.input(), &case.targets(), &points, Some(&v)).unwrap();
        let along = g.along.as_ref().unwrap();
        let largest = |start: &str| {
            let all =
                case.io.iter().filter(|(name, _)| name.starts_with(start)).flat_map(|(_, (_, x))| x.iter());
            all.fold(0.0f64, |most, x| most.max(x.abs()))
        };
        let limit = case.entry["tolerance"]["f64_grad_rel"].as_f64().unwrap() * largest("grad.");
        let check = |name: &str, x: &ArrayD<f64>, limit: f64| {
            let (off, _) = case.distance(name, x);
            assert!(off <= limit, "{} {name}: off by {off:e}, limit {limit:e}", case.name());
        };
        let one = |x: f64| ArrayD::from_elem(IxDyn(&[]), x);
        check("loss", &one(g.loss), 1e-10 * g.loss);
        for (name, x) in model.as_tensors(&g.by_parameter) {
            check(&format!("grad.{name}"), &x, limit);
        }
        for (k, point) in points.iter().enumerate() {
            check(&format!("grad_hidden.{k}"), &g.by_point[point], limit);
        }
        if case.io.contains_key("jvp.loss") {
            check("jvp.loss", &one(along.loss), 1e-8 * along.loss.abs());
            let x = along.logits.clone().into_dyn();
            let most = x.iter().fold(0.0f64, |most, x| most.max(x.abs()));
            check("jvp.logits", &x, 1e-8 * most);
        }
        if largest("hvp.") > 0.0 {
            hessians += 1;
            for (name, x) in model.as_tensors(&along.by_parameter) {
                check(&format!("hvp.{name}"), &x, 1e-8 * largest("hvp."));
            }
        }
    }
    assert!(hessians >= 6);
}

#[test]
fn greedy_texts_are_those_of_the_reference_library() {
    for case in cases().iter().filter(|case| case.io.contains_key("generate.ids")) {
        let model = case.open::<f64>("config.json");
        let length = case.entry["generate_prompt_length"].as_u64().unwrap() as usize;
        let ids = case.array("input_ids").unwrap();
        for (cached, name) in [(false, "generate.ids"), (true, "generate.ids_cached")] {
            let wanted = case.array(name).or_else(|| case.array("generate.ids")).unwrap();
            for (prompt, wanted) in ids.rows().into_iter().zip(wanted.rows()) {
                let prompt: Vec<u32> = prompt.iter().take(length).map(|&x| x as u32).collect();
                let wanted: Vec<u32> = wanted.iter().map(|&x| x as u32).collect();
                let generation =
                    Generation { cached, beyond_context: true, ..Generation::greedy(wanted.len()) };
                let given = model.generate(&prompt, &generation, &mut RngStream::new(0, 0), &mut ()).unwrap();
                assert_eq!(given, wanted, "{}, cached: {cached}", case.name());
            }
        }
    }
}

#[test]
fn gradients_in_f32_are_as_near_as_the_reference_library_says() {
    for case in cases().iter().filter(|case| case.io.contains_key("loss")) {
        let model = case.open::<f32>("config.legacy.json");
        let g = model.gradients(&case.input(), &case.targets(), &[], None).unwrap();
        let expected = case.io.iter().filter(|(name, _)| name.starts_with("grad."));
        let largest = expected.flat_map(|(_, (_, x))| x.iter()).fold(0.0f64, |most, x| most.max(x.abs()));
        let limit = case.entry["tolerance"]["f32_grad_rel"].as_f64().unwrap() * largest;
        for (name, x) in model.as_tensors(&g.by_parameter) {
            let (off, _) = case.distance(&format!("grad.{name}"), &x.mapv(f64::from));
            assert!(off <= limit, "{} {name}: off by {off:e}, limit {limit:e}", case.name());
        }
    }
}

#[test]
fn gguf_files_give_the_logits_of_the_expanded_weights() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gguf");
    let mut count = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "gguf") {
            continue;
        }
        count += 1;
        let expected = Safetensors::open(path.with_extension("expected.safetensors")).unwrap();
        let ids =
            expected.read("input_ids").unwrap().to_f64().mapv(|x| x as u32).into_dimensionality().unwrap();
        let model = Model::<f64>::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let logits = model.run(&Input::new(ids), &mut ()).unwrap().logits.unwrap().into_dyn();
        let expected = expected.read("logits").unwrap().to_f64();
        let most = expected.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        let off = (&logits - &expected).iter().fold(0.0f64, |most, x| most.max(x.abs()));
        assert!(off <= 1e-6 * most, "{}: off by {off:e} of {most}", path.display());
    }
    assert_eq!(count, 6);
}
