//! Mixtures of experts: files, weights as stored, the choice of experts, and configurations that do not fit.

use collimate_transformer::{Edit, Input, Model, ModelFileError, RngStream, Run, Site};
use ndarray::{ArrayViewMutD, array};
use std::path::{Path, PathBuf};

const CASES: [&str; 4] = ["mixtral_top2", "qwen3_moe_raw", "qwen3_moe_norm_step", "gpt_oss_sinks"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models").join(name)
}

fn input() -> Input {
    Input::new(array![[3, 1, 4, 1, 5, 9, 2], [6, 5, 3, 5, 8, 9, 7]])
}

#[test]
fn models_with_experts_are_written_and_read() {
    for name in CASES {
        let model = Model::<f32>::open(folder(name)).unwrap();
        let copy = tempfile::tempdir().unwrap();
        model.save(copy.path()).unwrap();
        let again = Model::<f32>::open(copy.path()).unwrap();
        assert!(model.parameters().eq(again.parameters()), "{name}");
        // A new model of the same configuration has tensors of the same shapes.
        let text = std::fs::read_to_string(folder(name).join("config.json")).unwrap();
        let new = Model::<f32>::random_of_configuration(&text, &RngStream::new(1, 0)).unwrap();
        let shapes = |model: &Model<f32>| -> Vec<(String, Vec<usize>)> {
            let numbers: Vec<_> = model.parameters().map(|(_, x)| x.to_owned()).collect();
            model.as_tensors(&numbers).into_iter().map(|(name, x)| (name, x.shape().to_vec())).collect()
        };
        assert_eq!(shapes(&new), shapes(&model), "{name}");
    }
}

#[test]
fn experts_that_stay_as_stored_give_the_logits_of_expanded_ones() {
    for name in CASES {
        let logits = |model: Model<f64>| model.logits(&input(), &mut ()).unwrap();
        let expanded = logits(Model::open(folder(name)).unwrap());
        let stored = logits(Model::open_as_stored(folder(name)).unwrap());
        // Sums of some tens of products, in another order.
        let off = (&expanded - &stored).iter().fold(0.0f64, |most, x| most.max(x.abs()));
        assert!(off < 1e-12, "{name}: {off:e}");
    }
}

#[test]
fn the_router_decides_which_experts_a_token_is_sent_to() {
    let model = Model::<f64>::open(folder("mixtral_top2")).unwrap();
    let point = Site::RouterLogits.of_layer(1);
    let output = |logits: [f64; 4]| {
        let mut edit = Edit::at_f64(point, |mut x: ArrayViewMutD<'_, f64>| {
            x.assign(&ndarray::arr1(&logits));
        });
        let mut capture = collimate_transformer::Capture::at([Site::MlpOutput.of_layer(1)]);
        model.visit(Run::on(&input()), &mut (&mut edit, &mut capture)).unwrap();
        capture.take(Site::MlpOutput.of_layer(1)).unwrap()
    };
    let both = output([1.0, 3.0, 2.0, -1.0]);
    // Two experts are chosen, and what the router says of the others has no effect.
    assert_eq!(both, output([-7.0, 3.0, 2.0, 1.9]));
    // With weights e³/(e³ + e²) and e²/(e³ + e²), the output lies between those of the two experts alone.
    let (one, two) = (output([0.0, 900.0, 0.0, -1.0]), output([0.0, -1.0, 900.0, -1.0]));
    let share = 1.0 / (1.0 + (-1.0f64).exp());
    let off = &one * share + &two * (1.0 - share) - &both;
    assert!(off.iter().all(|x| x.abs() < 1e-12));
    assert!((&one - &two).iter().any(|x| x.abs() > 0.1));
}

#[test]
fn configurations_with_other_numbers_of_experts_are_refused() {
    let refused = |name: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(folder(name).join("config.json")).unwrap();
        assert!(text.contains(from), "{name}: {from}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text.replace(from, to)).unwrap();
        Model::<f32>::open_with_configuration(folder(name), file.path()).err().unwrap()
    };
    let (count, per_token) = ("\"num_local_experts\": 4", "\"num_experts_per_tok\": 2");
    let fewer = refused("mixtral_top2", count, "\"num_local_experts\": 3").to_string();
    assert!(
        fewer.contains("block_sparse_moe.gate.weight' must have the shape [3, 24], but has [4, 24]"),
        "{fewer}"
    );
    let more = refused("mixtral_top2", count, "\"num_local_experts\": 5");
    assert!(matches!(&more, ModelFileError::MissingTensor { name } if name.contains("experts.4")), "{more}");
    for many in ["2000000000", "9007199254740993"] {
        let error = refused("mixtral_top2", count, &format!("\"num_local_experts\": {many}"));
        assert!(
            matches!(&error, ModelFileError::Metadata { key, .. } if key == "num_local_experts"),
            "{error}"
        );
    }
    let chosen = refused("qwen3_moe_raw", per_token, "\"num_experts_per_tok\": 5");
    assert!(chosen.to_string().contains("at most the number of experts, 4"), "{chosen}");
    for given in ["2", "4"] {
        let error =
            refused("gpt_oss_sinks", "\"num_local_experts\": 3", &format!("\"num_local_experts\": {given}"));
        let ModelFileError::TensorShape { name, expected, given: found } = &error else { panic!("{error}") };
        assert!(
            expected[0].to_string() == given && found[0] == 3 && expected.len() == found.len(),
            "{name}: {error}"
        );
    }
    let window = refused("qwen3_moe_raw", "\"use_sliding_window\": false", "\"use_sliding_window\": true");
    assert!(window.to_string().contains("use_sliding_window"), "{window}");
    let limit = refused("gpt_oss_sinks", "\"swiglu_limit\": 7.0", "\"swiglu_limit\": -7.0");
    assert!(limit.to_string().contains("a positive number"), "{limit}");
    let bits = refused(
        "gpt_oss_sinks",
        "\"use_cache\": true",
        "\"quantization_config\": {\"quant_method\": \"mxfp4\"}",
    );
    assert!(bits.to_string().contains("quantization_config"), "{bits}");
}
