//! The pinned encoder all-MiniLM-L6-v2 gives the embedding of a sentence that was computed elsewhere.

use super::{cache_root, skipped};
use collimate_transformer::{
    Activation, EncodeOptions, Input, Model, NormKind, Precision, RunError, SpecialTokens, Tokenizer,
};
use ndarray::{Array1, Array2, Axis};

/// The tokens of the sentence, and the start of its embedding, by a pass in f64 that was written with numpy from the equations alone.
const TOKENS: [u32; 7] = [101, 2023, 2003, 2019, 2742, 6251, 102];
const EMBEDDING: [f64; 6] = [
    0.067_656_896_093,
    0.063_495_903_460,
    0.048_713_104_948,
    0.079_304_979_055,
    0.037_448_053_490,
    0.002_652_798_379,
];

#[test]
fn the_pinned_encoder_embeds_a_sentence_as_elsewhere() {
    if skipped("the encoder") {
        return;
    }
    let folder = cache_root().join("minilm-0.1.0");
    assert!(
        folder.is_dir(),
        "the encoder is not at {}: get it with `cargo xtask data --encoder`, or skip this test with COLLIMATE_NO_REAL=1",
        folder.display()
    );
    let exact = Model::<f64>::open(&folder).unwrap();
    let d = exact.description();
    assert_eq!((d.layers.len(), d.width, d.vocabulary, d.context), (6, 384, 30_522, 512));
    let layer = &d.layers[0];
    assert_eq!((layer.attention.heads, layer.attention.head_width, layer.mlp.width), (12, 32, 1536));
    let norm = layer.sum_norm.unwrap();
    assert_eq!(
        (norm.kind, norm.epsilon, layer.mlp.activation),
        (NormKind::Layer, 1e-12, Activation::GeluErf)
    );
    assert_eq!(exact.skipped(), ["embeddings.position_ids"]);

    let tokenizer = Tokenizer::open(&folder).unwrap();
    let options = EncodeOptions { special_tokens: SpecialTokens::Added, ..EncodeOptions::default() };
    let encoding = tokenizer.encode_with("This is an example sentence", options).unwrap();
    assert_eq!(encoding.ids, TOKENS);
    // Twelve digits were printed. The error of f32 is some units of 1e-8, as that of numpy in f32 is.
    near(&embedding(&exact, &TOKENS), 1e-12);
    let model = Model::<f32>::open(&folder).unwrap();
    near(&embedding(&model, &TOKENS), 5e-7);

    // An encoder has hidden states, and neither logits nor a next token.
    let run = Input::of(&TOKENS);
    assert!(matches!(model.logits(&run, &mut ()), Err(RunError::NoHead)));
    assert!(matches!(model.fold_norms(), Err(RunError::NoHead)));
    let head = exact.head_weights(3, 7).unwrap();
    assert_eq!((head.ov().unwrap().dim(), head.qk().unwrap().dim()), ((384, 384), (384, 384)));
}

/// Computes the mean of the hidden states over the tokens, of length 1.
fn embedding<F: Precision>(model: &Model<F>, tokens: &[u32]) -> Array1<f64> {
    let hidden = model.hidden(&Input::of(tokens), &mut ()).unwrap();
    let rows: Array2<f64> = hidden.index_axis(Axis(0), 0).mapv(collimate_tensor::Scalar::to_f64);
    let mean = rows.mean_axis(Axis(0)).unwrap();
    let length = mean.dot(&mean).sqrt();
    mean / length
}

fn near(embedding: &Array1<f64>, tolerance: f64) {
    for (given, expected) in embedding.iter().zip(EMBEDDING) {
        assert!((given - expected).abs() < tolerance, "{given} for {expected}");
    }
}
