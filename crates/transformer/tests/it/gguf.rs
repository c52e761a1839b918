//! Model files made here: a model reads the values that were written, and refuses damaged files.

use crate::reference::{SMALL, Sizes, Weights};
use approx::assert_abs_diff_eq;
use collimate_stream::RngStream;
use collimate_tensor::files::Gguf;
use collimate_transformer::{Description, Model, ModelFileError, RotaryLayout, Run};
use ndarray::ArrayD;

/// A metadata value: type number and bytes.
type Value = (u32, Vec<u8>);

/// A model file before it is written.
#[derive(Clone)]
pub(crate) struct ModelFile {
    pub(crate) values: Vec<(String, Value)>,
    pub(crate) tensors: Vec<(String, ArrayD<f32>)>,
}

fn text(s: &str) -> Vec<u8> {
    let mut out = (s.len() as u64).to_le_bytes().to_vec();
    out.extend(s.as_bytes());
    out
}

impl ModelFile {
    pub(crate) fn of(config: &Sizes, weights: &Weights) -> Self {
        let mut file = Self { values: Vec::new(), tensors: weights.tensors() };
        file.set("general.architecture", (8, text("llama")));
        for (key, value) in [
            ("llama.block_count", config.n_layers),
            ("llama.context_length", config.context),
            ("llama.embedding_length", config.d_model),
            ("llama.feed_forward_length", config.d_ff),
            ("llama.attention.head_count", config.n_heads),
            ("llama.attention.head_count_kv", config.n_key_heads),
            ("llama.vocab_size", config.n_vocab),
            ("llama.rope.dimension_count", config.d_head),
        ] {
            file.set(key, (4, (value as u32).to_le_bytes().to_vec()));
        }
        for (key, value) in [
            ("llama.rope.freq_base", config.rotary_base),
            ("llama.attention.layer_norm_rms_epsilon", config.norm_epsilon),
        ] {
            file.set(key, (6, (value as f32).to_le_bytes().to_vec()));
        }
        file
    }

    pub(crate) fn set(&mut self, key: &str, value: Value) {
        self.values.retain(|(other, _)| other != key);
        self.values.push((key.into(), value));
    }

    fn without(&self, key: &str) -> Self {
        let mut file = self.clone();
        file.values.retain(|(other, _)| other != key);
        file.tensors.retain(|(other, _)| other != key);
        file
    }

    fn with_number(&self, key: &str, value: u32) -> Self {
        let mut file = self.clone();
        file.set(key, (4, value.to_le_bytes().to_vec()));
        file
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.values.len() as u64).to_le_bytes());
        for (key, (kind, bytes)) in &self.values {
            out.extend(text(key));
            out.extend(kind.to_le_bytes());
            out.extend(bytes);
        }
        let mut data: Vec<u8> = Vec::new();
        for (name, tensor) in &self.tensors {
            data.resize(data.len().next_multiple_of(32), 0);
            out.extend(text(name));
            out.extend((tensor.ndim() as u32).to_le_bytes());
            tensor.shape().iter().rev().for_each(|&n| out.extend((n as u64).to_le_bytes()));
            out.extend(0_u32.to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            tensor.iter().for_each(|x| data.extend(x.to_le_bytes()));
        }
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(data);
        out
    }

    pub(crate) fn model(&self) -> Result<Model<f32>, ModelFileError> {
        Model::from_gguf(&Gguf::from_bytes(self.bytes())?)
    }
}

pub(crate) fn sample() -> ModelFile {
    ModelFile::of(&SMALL, &Weights::random(&SMALL, &mut RngStream::new(2, 0)))
}

#[test]
fn the_description_comes_from_the_metadata() {
    let model = sample().model().unwrap();
    let description = model.description();
    // The file holds the constants in single precision. Pairs of neighbours are stored so that halves are turned.
    let mut expected = Description::small();
    for layer in &mut expected.layers {
        layer.attention.rotary.as_mut().unwrap().layout = RotaryLayout::HalfSplit;
        layer.attention_norm = description.layers[0].attention_norm;
        layer.mlp_norm = description.layers[0].mlp_norm;
    }
    expected.final_norm = description.final_norm;
    assert_eq!(*description, expected);
    assert_abs_diff_eq!(description.final_norm.unwrap().epsilon, 1e-5, epsilon = 1e-11);
}

#[test]
fn the_fingerprint_tells_models_apart() {
    let file = sample();
    let same = file.model().unwrap().fingerprint();
    assert_eq!(file.model().unwrap().fingerprint(), same);
    for name in ["token_embd.weight", "output_norm.weight", "blk.1.ffn_up.weight", "blk.2.attn_v.weight"] {
        let mut other = file.clone();
        let tensor = other.tensors.iter_mut().find(|(n, _)| n == name).unwrap();
        let last = tensor.1.iter_mut().last().unwrap();
        *last += 1e-3;
        assert_ne!(other.model().unwrap().fingerprint(), same, "{name}");
    }
}

#[test]
fn an_untied_unembedding_is_used() {
    let mut file = sample();
    let tied = file.model().unwrap().last_logits(Run::of(&[1, 2]), &mut ()).unwrap();
    let embedding = file.tensors.iter().find(|(name, _)| name == "token_embd.weight").unwrap().1.clone();
    file.tensors.push(("output.weight".into(), embedding.mapv(|x| 2.0 * x)));
    let untied = file.model().unwrap().last_logits(Run::of(&[1, 2]), &mut ()).unwrap();
    assert!(tied.iter().zip(&untied).all(|(a, b)| (2.0 * a - b).abs() < 1e-6));
}

#[test]
fn damaged_models_are_refused_with_the_reason() {
    let file = sample();
    let infinite = |name: &str| {
        let mut file = file.clone();
        let tensor = file.tensors.iter_mut().find(|(n, _)| n == name).unwrap();
        tensor.1.as_slice_mut().unwrap()[5] = f32::INFINITY;
        file
    };
    let mut scaled = file.clone();
    scaled.set("llama.rope.scaling.type", (8, text("yarn")));
    let mut biased = file.clone();
    biased.tensors.push(("blk.0.attn_q.bias".into(), ArrayD::zeros(vec![32])));
    let mut foreign = file.clone();
    foreign.set("general.architecture", (8, text("gpt2")));
    for (file, reason) in [
        (foreign, "gpt2"),
        (scaled, "yarn"),
        (biased, "blk.0.attn_q.bias"),
        (file.without("llama.block_count"), "'llama.block_count': expected a whole number, found nothing"),
        (file.without("blk.1.attn_k.weight"), "blk.1.attn_k.weight"),
        (file.without("token_embd.weight"), "'llama.vocab_size': expected the rows of token_embd.weight, 0"),
        (file.with_number("llama.block_count", 0), "llama.block_count"),
        (file.with_number("llama.block_count", 4), "blk.3.attn_norm.weight"),
        (file.with_number("llama.block_count", 2), "blk.2."),
        (file.with_number("llama.block_count", u32::MAX), "llama.block_count"),
        (file.with_number("llama.context_length", u32::MAX), "context"),
        (file.with_number("llama.attention.head_count", 0), "the width of a head, 0"),
        (file.with_number("llama.attention.head_count", 1 << 20), "the width of a head, 0"),
        (file.with_number("llama.attention.head_count_kv", 3), "llama.attention.head_count_kv"),
        (file.with_number("llama.embedding_length", 64), "llama.rope.dimension_count"),
        (file.with_number("llama.feed_forward_length", 47), "ffn_gate"),
        (file.with_number("llama.vocab_size", 60), "llama.vocab_size"),
        (infinite("blk.1.ffn_down.weight"), "'blk.1.ffn_down.weight': 1 values are NaN or infinite"),
        (infinite("token_embd.weight"), "token_embd.weight"),
    ] {
        let text = match file.model() {
            Ok(_) => panic!("accepted, but: {reason}"),
            Err(error) => error.to_string(),
        };
        assert!(text.contains(reason), "{text} (expected {reason})");
    }
}

fn number(x: f32) -> Value {
    (6, x.to_le_bytes().to_vec())
}

fn natural(x: u32) -> Value {
    (4, x.to_le_bytes().to_vec())
}

#[test]
fn entries_that_change_the_function_are_refused_by_name() {
    let context = SMALL.context as u32;
    for (key, value) in [
        ("llama.rope.scaling.type", (8, text("yarn"))),
        ("llama.rope.scaling.type", natural(1)),
        ("llama.rope.scale_linear", number(2.0)),
        ("llama.rope.scaling.attn_factor", number(0.8)),
        ("llama.rope.scaling.yarn_log_multiplier", number(0.1)),
        ("llama.rope.dimension_sections", natural(3)),
        ("llama.attention.sliding_window", natural(context - 1)),
        ("llama.attention.sliding_window_pattern", natural(2)),
        ("llama.logit_scale", number(0.0625)),
        ("llama.residual_scale", number(0.22)),
        ("llama.embedding_scale", number(12.0)),
        ("llama.attention.scale", number(0.25)),
        ("llama.attn_logit_softcapping", number(50.0)),
        ("llama.final_logit_softcapping", number(30.0)),
        ("llama.expert_count", natural(8)),
        ("llama.attention.causal", (7, vec![0])),
        ("llama.use_parallel_residual", (7, vec![1])),
        ("llama.attention.clamp_kqv", number(8.0)),
        ("llama.attention.layer_norm_epsilon", number(1e-5)),
        ("llama.tensor_data_layout", (8, text("something else"))),
        ("llama.an_entry_of_next_year", number(0.0)),
    ] {
        let mut file = sample();
        file.set(key, value);
        let error = file.model().map(drop).unwrap_err().to_string();
        assert!(error.contains(&format!("metadata entry '{key}': expected")), "{key}: {error}");
    }
}

#[test]
fn entries_that_leave_the_function_as_it_is_are_no_obstacle() {
    let plain = sample();
    let run = |file: &ModelFile| file.model().unwrap().logits(Run::of(&[1, 5, 2, 9]), &mut ()).unwrap();
    let expected = run(&plain);
    let mut file = plain.clone();
    for (key, value) in [
        ("llama.rope.scaling.type", (8, text("linear"))),
        ("llama.rope.scaling.factor", number(1.0)),
        ("llama.rope.scaling.original_context_length", natural(48)),
        ("llama.rope.scaling.finetuned", (7, vec![1])),
        ("llama.attention.sliding_window", natural(SMALL.context as u32)),
        ("llama.logit_scale", number(1.0)),
        ("llama.attention.scale", number(1.0 / 8_f32.sqrt())),
        ("llama.final_logit_softcapping", number(0.0)),
        ("llama.expert_count", natural(0)),
        ("llama.attention.causal", (7, vec![1])),
        ("llama.tensor_data_layout", (8, text("Meta AI original pth"))),
        ("general.name", (8, text("a model"))),
        ("general.file_type", natural(1)),
        ("tokenizer.ggml.model", (8, text("gpt2"))),
        ("split.count", (2, vec![1, 0])),
    ] {
        file.set(key, value);
    }
    assert_eq!(run(&file), expected);
}

#[test]
fn a_model_in_two_parts_is_the_model_in_one_file() {
    let whole = sample();
    let mut first = whole.clone();
    let rest = first.tensors.split_off(whole.tensors.len() / 2);
    let second = ModelFile { values: Vec::new(), tensors: rest };
    let folder = tempfile::tempdir().unwrap();
    let path = |number| folder.path().join(format!("model-{number:05}-of-00002.gguf"));
    for (number, mut part) in [(1, first), (2, second)] {
        part.set("split.no", (2, vec![number - 1, 0]));
        part.set("split.count", (2, vec![2, 0]));
        part.set("split.tensors.count", natural(whole.tensors.len() as u32));
        std::fs::write(path(number), part.bytes()).unwrap();
    }
    let logits = |model: &Model<f32>| model.logits(Run::of(&[1, 5, 2, 9]), &mut ()).unwrap();
    let parts = Model::<f32>::open(path(2)).unwrap();
    assert_eq!(logits(&parts), logits(&whole.model().unwrap()));
}

#[test]
fn a_sparse_model_of_a_tebibyte_is_refused_before_memory_is_taken() {
    let c = Sizes {
        n_layers: 1,
        n_vocab: 1 << 30,
        d_model: 256,
        n_heads: 1,
        n_key_heads: 1,
        d_head: 256,
        ..SMALL
    };
    // All sizes fit together and into the apparent length of the file. Only the machine has no room for them.
    let mut out = b"GGUF".to_vec();
    let mut file = sample();
    file.tensors.clear();
    for (key, value) in [
        ("llama.block_count", c.n_layers),
        ("llama.embedding_length", c.d_model),
        ("llama.feed_forward_length", c.d_ff),
        ("llama.attention.head_count", c.n_heads),
        ("llama.attention.head_count_kv", c.n_key_heads),
        ("llama.vocab_size", c.n_vocab),
        ("llama.rope.dimension_count", c.d_head),
    ] {
        file.set(key, natural(value as u32));
    }
    let (d, f) = (c.d_model, c.d_ff);
    let mut names = vec![("token_embd".to_owned(), vec![c.n_vocab, d]), ("output_norm".to_owned(), vec![d])];
    for (part, shape) in [
        ("attn_norm", vec![d]),
        ("attn_q", vec![d, d]),
        ("attn_k", vec![d, d]),
        ("attn_v", vec![d, d]),
        ("attn_output", vec![d, d]),
        ("ffn_norm", vec![d]),
        ("ffn_gate", vec![f, d]),
        ("ffn_up", vec![f, d]),
        ("ffn_down", vec![d, f]),
    ] {
        names.push((format!("blk.0.{part}"), shape));
    }
    out.extend(3_u32.to_le_bytes());
    out.extend((names.len() as u64).to_le_bytes());
    out.extend((file.values.len() as u64).to_le_bytes());
    for (key, (kind, bytes)) in &file.values {
        out.extend(text(key));
        out.extend(kind.to_le_bytes());
        out.extend(bytes);
    }
    let mut offset = 0_u64;
    for (name, shape) in &names {
        out.extend(text(&format!("{name}.weight")));
        out.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|&n| out.extend((n as u64).to_le_bytes()));
        out.extend(0_u32.to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset += (4 * shape.iter().product::<usize>() as u64).next_multiple_of(32);
    }
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), &out).unwrap();
    let length = offset + out.len() as u64 + 64;
    std::fs::OpenOptions::new().write(true).open(path.path()).unwrap().set_len(length).unwrap();
    let error = Model::<f32>::open(path.path()).map(drop).unwrap_err();
    assert!(matches!(error, ModelFileError::Memory { needed } if needed > 1 << 40), "{error}");
}
