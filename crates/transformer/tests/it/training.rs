//! Training, its checkpoints, and folders that are written.

use collimate_transformer::{
    Activation, Activations, AttentionDescription, Decay, Description, Input, LayerDescription,
    MlpDescription, Model, Norm, Precision, RngStream, RunError, Schedule, ScheduleConfig, Targets, Training,
    TrainingConfig, WarmUp,
};
use ndarray::Array2;
use std::path::{Path, PathBuf};

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models");
    let manifest: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(root.join("manifest.json")).unwrap()).unwrap();
    let entries = manifest["cases"].as_array().unwrap().iter().filter(|entry| entry["later"] != true);
    entries.map(|entry| root.join(entry["name"].as_str().unwrap())).collect()
}

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models").join(name)
}

fn batches(steps: usize, vocabulary: usize) -> Vec<Array2<u32>> {
    let mut stream = RngStream::new(5, 0);
    (0..steps).map(|_| Array2::from_shape_simple_fn((3, 9), || stream.below(vocabulary) as u32)).collect()
}

fn config() -> TrainingConfig {
    TrainingConfig::new(Schedule::constant(3e-3).unwrap()).weight_decay(0.1).unwrap().clip(1.0).unwrap()
}

fn same<F: Precision>(a: &Model<F>, b: &Model<F>) -> bool {
    a.parameters().zip(b.parameters()).all(|((_, a), (_, b))| a == b)
}

/// The step as the paper writes it: AdamW on matrices, Adam on vectors, after the gradient of all parameters was shortened.
#[test]
fn a_step_is_that_of_the_definition() {
    let model = Model::<f64>::open(case("gpt2_tied")).unwrap();
    let batches = batches(3, 40);
    let rising = ScheduleConfig {
        peak: 3e-3,
        total_steps: 3,
        warm_up: WarmUp::Linear { steps: 4, from: 0.0 },
        decay: Decay::None,
    };
    let config = TrainingConfig::new(Schedule::new(rising).unwrap()).weight_decay(0.1).unwrap();
    let config = config.clip(0.5).unwrap();
    let mut training = Training::new(Model::open(case("gpt2_tied")).unwrap(), config).unwrap();
    let mut w: Vec<Array2<f64>> = model.parameters().map(|(_, x)| x.to_owned()).collect();
    let (mut m, mut v): (Vec<_>, Vec<_>) = w.iter().map(|x| (x * 0.0, x * 0.0)).unzip();
    let (beta1, beta2, epsilon, decay, clip) = (0.9, 0.999, 1e-8, 0.1, 0.5f64);
    let mut clipped = 0;
    for (number, batch) in (1..).zip(&batches) {
        let report = training.step(&[batch.view()]).unwrap();
        // The first of four steps has a quarter of the peak.
        let rate = 3e-3 * f64::from(number) / 4.0;
        assert!((report.rate - rate).abs() < 1e-18 && report.step == number as u64);
        let now = model.with_parameters(w.clone()).unwrap();
        let rows = ndarray::s![.., ..-1];
        let targets = collimate_transformer::Targets::of(batch.slice(ndarray::s![.., 1..]).mapv(Some));
        let g = now.gradients(&Input::new(batch.slice(rows).to_owned()), &targets, &[], None).unwrap();
        let norm = g.by_parameter.iter().map(|x| (x * x).sum()).sum::<f64>().sqrt();
        assert!((report.gradient_norm - norm).abs() < 1e-12 * norm && (report.loss - g.loss).abs() < 1e-13);
        let factor = (clip / norm).min(1.0);
        clipped += usize::from(factor < 1.0);
        for (at, (name, _)) in model.parameters().enumerate() {
            let g = &g.by_parameter[at] * factor;
            m[at] = &m[at] * beta1 + &g * (1.0 - beta1);
            v[at] = &v[at] * beta2 + &(&g * &g) * (1.0 - beta2);
            if !name.part.is_gain() && !name.part.is_bias() {
                w[at] *= 1.0 - rate * decay;
            }
            let (first, second) = (1.0 - beta1.powi(number), 1.0 - beta2.powi(number));
            w[at] = &w[at] - &((&m[at] / first) / ((&v[at] / second).mapv(f64::sqrt) + epsilon) * rate);
        }
    }
    assert!(clipped > 0);
    for ((name, given), expected) in training.model().parameters().zip(&w) {
        let off =
            given.iter().zip(expected).fold(0.0f64, |most, (a, b): (&f64, &f64)| most.max((a - b).abs()));
        // A bias of the keys moves all scores of a query alike: its gradient is rounding, which Adam blows up.
        let limit = if name.part == collimate_transformer::Part::KeyBias { 1e-10 } else { 1e-12 };
        assert!(off < limit, "{name}: {off:e}");
    }
}

// AdamW takes rate·decay·w from a matrix, and nothing from a gain, a bias, a sink or a vector of λ.
#[test]
fn the_decay_shortens_matrices_and_no_vector() {
    let mut attention = AttentionDescription::new(2, 1, 4);
    attention.sinks = true;
    let mlp = MlpDescription::new(16, true, Activation::Silu);
    let mut sinks = Description::new("sinks", 40, 8, 32);
    sinks.layers = vec![LayerDescription::new(attention, mlp, Norm::root_mean_square(1e-5))];
    let opened = ["diffllama", "gpt2_tied"].map(|name| Model::<f64>::open(case(name)).unwrap());
    let mut draw = RngStream::new(2, 0);
    let random = Model::<f64>::random(sinks, &RngStream::new(1, 0));
    // A random model has sinks and biases of zero, which no decay would change.
    let moved = random.parameters().map(|(_, x)| x.mapv(|x: f64| x + 0.1 * draw.normal())).collect();
    let random = random.with_parameters(moved).unwrap();
    let batch = batches(1, 40).remove(0);
    let (mut matrices, mut vectors) = (0, 0);
    for model in opened.into_iter().chain([random]) {
        let after = |decay: f64| {
            let config = TrainingConfig::new(Schedule::constant(0.01).unwrap()).weight_decay(decay).unwrap();
            let start =
                model.with_parameters(model.parameters().map(|(_, x)| x.to_owned()).collect()).unwrap();
            let mut training = Training::new(start, config).unwrap();
            training.step(&[batch.view()]).unwrap();
            training.finish()
        };
        let (plain, decayed) = (after(0.0), after(0.5));
        let all = plain.parameters().zip(decayed.parameters()).zip(model.parameters());
        for (((name, plain), (_, decayed)), (_, before)) in all {
            if before.nrows() == 1 {
                vectors += 1;
                assert_eq!(plain, decayed, "{name}");
            } else {
                matrices += 1;
                // Two sums of numbers below 2 are rounded.
                let all = plain.iter().zip(decayed).zip(before);
                let mut off = all.map(|((plain, decayed), w)| plain - decayed - 0.01 * 0.5 * w);
                assert!(off.all(|off: f64| off.abs() < 1e-15), "{name}");
            }
        }
    }
    assert!(matrices > 20 && vectors > 20, "{matrices} and {vectors}");
}

#[test]
fn a_continued_run_is_the_uninterrupted_one_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let start = || Training::<f32>::new(Model::open(case("llama_gqa")).unwrap(), config()).unwrap();
    let batches = batches(6, 40);
    let mut whole = start();
    let mut first = start();
    for (number, batch) in batches.iter().enumerate() {
        whole.step(&[batch.view()]).unwrap();
        if number < 3 {
            first.step(&[batch.view()]).unwrap();
        }
    }
    first.save_checkpoint(&path).unwrap();
    let mut second = start();
    second.load_checkpoint(&path).unwrap();
    assert_eq!(second.steps(), 3);
    for batch in &batches[3..] {
        second.step(&[batch.view()]).unwrap();
    }
    assert!(same(whole.model(), second.model()));
    // Another run, and another kind of file.
    let other = TrainingConfig::new(Schedule::constant(1e-3).unwrap());
    let mut other = Training::<f32>::new(Model::open(case("llama_gqa")).unwrap(), other).unwrap();
    assert!(other.load_checkpoint(&path).unwrap_err().to_string().contains("other settings"));
    let weights = case("llama_gqa").join("model.safetensors");
    assert!(other.load_checkpoint(weights).unwrap_err().to_string().contains("format"));
}

#[test]
fn only_the_chosen_layers_are_trained_and_their_run_continues_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let open = || Model::<f32>::open(case("llama_gqa")).unwrap();
    let start = || Training::of_chosen(open(), config(), |name| name.layer == Some(1)).unwrap();
    let (batches, before) = (batches(4, 40), open());
    let (mut whole, mut first) = (start(), start());
    let all = Training::new(open(), config()).unwrap().step(&[batches[0].view()]).unwrap();
    for (number, batch) in batches.iter().enumerate() {
        let report = whole.step(&[batch.view()]).unwrap();
        if number == 0 {
            // The same loss, and a gradient of fewer parameters.
            assert!(report.loss == all.loss && report.gradient_norm < all.gradient_norm);
        }
        if number < 2 {
            first.step(&[batch.view()]).unwrap();
        }
    }
    first.save_checkpoint(&path).unwrap();
    let mut second = start();
    second.load_checkpoint(&path).unwrap();
    for batch in &batches[2..] {
        second.step(&[batch.view()]).unwrap();
    }
    assert!(same(whole.model(), second.model()));
    for ((name, now), (_, old)) in whole.model().parameters().zip(before.parameters()) {
        assert_eq!(now == old, name.layer != Some(1), "{name}");
    }
    let mut other = Training::new(open(), config()).unwrap();
    assert!(other.load_checkpoint(&path).unwrap_err().to_string().contains("other settings"));
    let refused =
        |model, layer| Training::of_chosen(model, config(), |name| name.layer == Some(layer)).err().unwrap();
    assert!(refused(open(), 2).to_string().contains("choose a layer"));
    assert!(refused(Model::open(case("bert_mlm")).unwrap(), 0).to_string().contains("encoder"));
}

#[test]
fn gradients_that_are_accumulated_are_those_of_one_large_batch() {
    let start = || Training::<f64>::new(Model::open(case("gemma2_softcap")).unwrap(), config()).unwrap();
    let batch = batches(1, 40).remove(0);
    let (mut one, mut two) = (start(), start());
    one.step(&[batch.view()]).unwrap();
    two.step(&[batch.slice(ndarray::s![..1, ..]), batch.slice(ndarray::s![1.., ..])]).unwrap();
    for ((_, a), (_, b)) in one.model().parameters().zip(two.model().parameters()) {
        assert!(a.iter().zip(b).all(|(a, b): (&f64, &f64)| (a - b).abs() < 1e-10));
    }
}

#[test]
fn a_step_that_fails_changes_nothing() {
    let mut training = Training::<f32>::new(Model::open(case("llama_gqa")).unwrap(), config()).unwrap();
    let before = Model::<f32>::open(case("llama_gqa")).unwrap();
    let empty = Array2::<u32>::zeros((2, 1));
    assert!(training.step(&[empty.view()]).unwrap_err().to_string().contains("two tokens"));
    let unknown = Array2::from_elem((1, 4), 40u32);
    assert!(training.step(&[unknown.view()]).unwrap_err().to_string().contains("vocabulary"));
    assert!(same(training.model(), &before) && training.steps() == 0);
}

#[test]
fn a_folder_that_is_written_opens_as_the_same_model() {
    for path in cases() {
        let folder = tempfile::tempdir().unwrap();
        let model = Model::<f64>::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        model.save(folder.path()).unwrap();
        let again =
            Model::<f64>::open(folder.path()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(same(&model, &again), "{}", path.display());
    }
}

#[test]
fn a_configuration_alone_makes_a_model_that_can_be_written() {
    for path in cases() {
        let text = std::fs::read_to_string(path.join("config.legacy.json")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let model = Model::<f32>::random_of_configuration(&text, &RngStream::new(1, 0));
        let model = model.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        model.save(folder.path()).unwrap();
        let again =
            Model::<f32>::open(folder.path()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(same(&model, &again), "{}", path.display());
        let sound = Model::<f32>::open_with_configuration(&path, path.join("config.legacy.json")).unwrap();
        assert_eq!(sound.n_parameters(), model.n_parameters(), "{}", path.display());
    }
}

#[test]
fn hostile_configurations_are_refused_before_anything_is_made_of_them() {
    let text = std::fs::read_to_string(case("llama_gqa").join("config.json")).unwrap();
    let with = |key: &str, value: serde_json::Value| {
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        config[key] = value;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, config.to_string()).unwrap();
        match Model::<f32>::open_with_configuration(case("llama_gqa"), path) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{key} is accepted"),
        }
    };
    use serde_json::json;
    for (key, value) in [
        ("num_hidden_layers", json!(2_000_000_000)),
        ("num_hidden_layers", json!(3)),
        ("num_hidden_layers", json!(1)),
        ("hidden_size", json!(1 << 30)),
        ("num_attention_heads", json!(5)),
        ("num_key_value_heads", json!(3)),
        ("vocab_size", json!(41)),
        ("intermediate_size", json!("many")),
        ("rms_norm_eps", json!("small")),
        ("hidden_act", json!("quick_gelu")),
        ("model_type", json!("mamba")),
        ("rope_scaling", json!({ "rope_type": "spiral", "factor": 2.0 })),
        ("rope_scaling", json!({ "rope_type": "linear" })),
        ("attention_bias", json!(true)),
        ("tie_word_embeddings", json!("yes")),
        ("head_dim", json!(7)),
        ("attn_logit_softcapping", json!(30.0)),
        ("parallel_attn_mlp", json!(true)),
    ] {
        let error = with(key, value.clone());
        let named =
            [key, "tensor", "rope", "factor", "num_key_value_heads"].iter().any(|word| error.contains(word));
        assert!(named && !error.is_empty(), "{key} = {value}: {error}");
    }
}

/// Rows of tokens for several passes of a group: more than 512 tokens in each of four groups.
fn many_rows<F: Precision>(model: &Model<F>) -> Array2<u32> {
    let (length, vocabulary) = (model.description().context.min(40), model.description().vocabulary);
    let mut stream = RngStream::new(9, 0);
    Array2::from_shape_simple_fn((4 * 700 / length, length + 1), || stream.below(vocabulary) as u32)
}

#[test]
fn a_gradient_in_groups_and_one_of_layers_computed_again_are_that_of_one_pass() {
    let mut tried = 0;
    for case in cases() {
        let model = Model::<f64>::open(&case).unwrap();
        let rows = many_rows(&model);
        if !model.description().is_causal() {
            let refused = model.loss_gradient(rows.view(), |_| true, Activations::Kept).unwrap_err();
            assert!(matches!(refused, RunError::NotCausal | RunError::NoHead), "{refused}");
            continue;
        }
        let input = Input::new(rows.slice(ndarray::s![.., ..-1]).to_owned());
        let targets = Targets::of(rows.slice(ndarray::s![.., 1..]).mapv(Some));
        let whole = model.gradients(&input, &targets, &[], None).unwrap();
        for activations in [Activations::Kept, Activations::Recomputed] {
            let g = model.loss_gradient(rows.view(), |_| true, activations).unwrap();
            assert!((g.loss - whole.loss).abs() < 1e-12, "{case:?} {activations:?}");
            for ((name, _), (a, b)) in model.parameters().zip(g.by_parameter.iter().zip(&whole.by_parameter))
            {
                let size = b.iter().fold(1e-3_f64, |size, x| size.max(x.abs()));
                let off = a.iter().zip(b).fold(0.0_f64, |off, (a, b)| off.max((a - b).abs()));
                assert!(a.dim() == b.dim() && off < 1e-12 * size, "{case:?} {activations:?} {name}: {off:e}");
            }
        }
        tried += 1;
    }
    assert!(tried > 30, "{tried} models");
}

#[test]
fn a_gradient_of_many_sequences_has_the_same_bits_on_any_number_of_threads() {
    let model = Model::<f32>::open(case("llama_gqa")).unwrap();
    let rows = many_rows(&model);
    for activations in [Activations::Kept, Activations::Recomputed] {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| model.loss_gradient(rows.view(), |_| true, activations).unwrap())
        };
        let (one, three) = (on(1), on(3));
        assert_eq!(one.loss.to_bits(), three.loss.to_bits());
        assert_eq!(one.by_parameter, three.by_parameter);
    }
}
