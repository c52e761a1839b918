//! Norms folded into matrices, centred writing, and the weights of single heads.

use collimate_transformer::claims::{Models, SmallModels};
use collimate_transformer::{Description, GainForm, Input, Model, NormKind, RngStream, RunError};
use ndarray::{Array2, Array3, Axis};
use std::path::Path;

fn input(model: &Model<f64>) -> Input {
    let n = model.description().vocabulary;
    Input::new(Array2::from_shape_fn((2, 6), |(b, t)| ((5 * t + 3 * b + 2) % n) as u32))
}

fn logits(model: &Model<f64>) -> Array3<f64> {
    model.run(&input(model), &mut ()).unwrap().logits.unwrap()
}

fn largest(x: &Array3<f64>) -> f64 {
    x.iter().fold(0.0, |most, x| most.max(x.abs()))
}

/// Checks that a changed model has the logits of the model.
fn same(before: &Model<f64>, after: &Model<f64>, name: &str) {
    let (before, after) = (logits(before), logits(after));
    let off = largest(&(&after - &before));
    // A few hundred operations are rounded.
    assert!(off <= 1e-11 * (1.0 + largest(&before)), "{name}: off by {off:e} of {}", largest(&before));
}

/// Checks that no norm of the stream has a gain or a bias.
fn is_bare(d: &Description) -> bool {
    let of_layers = d.layers.iter().flat_map(|layer| [layer.attention_norm, layer.mlp_norm]);
    let norms = of_layers.chain([d.final_norm, d.embedding.norm]).flatten();
    norms.into_iter().all(|norm| norm.gain == GainForm::None && !norm.bias)
}

#[test]
fn models_of_every_architecture_fold_or_are_refused_by_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models");
    let (mut folded, mut centred, mut refused) = (0, 0, 0);
    for entry in std::fs::read_dir(root).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let Ok(model) = Model::<f64>::open(&folder) else { continue };
        match model.fold_norms() {
            Ok(other) => {
                assert!(is_bare(other.description()), "{name}");
                same(&model, &other, &name);
                folded += 1;
                if let Ok(more) = other.centre_writes() {
                    same(&model, &more, &name);
                    centred += 1;
                }
            }
            Err(RunError::Folding { place, .. }) => {
                let after = ["gemma2", "gemma3", "olmo2"].iter().any(|start| name.starts_with(start));
                let of_heads = ["qwen3", "cohere_qk", "phi_qk", "stablelm_qk"]
                    .iter()
                    .any(|start| name.starts_with(start));
                let of_stream = ["bert", "opt_postnorm"].iter().any(|start| name.starts_with(start));
                let expected = match (after, of_heads, of_stream) {
                    (true, ..) => "after attention or the MLP",
                    (_, true, _) => "of queries and keys",
                    (_, _, true) if name.starts_with("bert") => "of the embedding",
                    (_, _, true) => "of the residual stream",
                    _ => "before attention or the MLP",
                };
                assert!(place.contains(expected), "{name}: {place}");
                refused += 1;
            }
            Err(RunError::NoHead) => assert!(name.starts_with("bert_pooled"), "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    println!("{folded} folded, {centred} centred, {refused} refused");
    assert!(folded >= 38 && centred >= 12 && refused >= 12, "{folded}, {centred}, {refused}");
}

#[test]
fn a_centred_stream_has_the_mean_zero() {
    let layer_norms = |d: &Description| {
        let of_layer = |layer: &collimate_transformer::LayerDescription| {
            layer.attention_norm.is_some_and(|norm| norm.kind == NormKind::Layer)
                && layer.sum_norm.is_none()
                && !layer.residual_is_normed
        };
        d.layers.iter().all(of_layer)
    };
    let models = SmallModels::of(layer_norms);
    assert!(models.count() >= 7);
    for architecture in 0..models.count() {
        let model = models.model(architecture, &mut RngStream::new(5, 0));
        let name = model.description().name.clone();
        let centred = model.centre_writes().unwrap_or_else(|error| panic!("{name}: {error}"));
        same(&model, &centred, &name);
        for layer in 0..=model.description().layers.len() {
            let stream = centred.residual(&input(&centred), layer, &mut ()).unwrap();
            let means = stream.mean_axis(Axis(2)).unwrap();
            assert!(means.iter().all(|mean| mean.abs() < 1e-14), "{name}: {means}");
            let own = model.residual(&input(&model), layer, &mut ()).unwrap().mean_axis(Axis(2)).unwrap();
            assert!(own.iter().any(|mean| mean.abs() > 1e-3), "{name}: nothing was centred");
        }
    }
    let llama = Model::<f64>::random(Description::small(), &RngStream::new(1, 0));
    let refused = llama.centre_writes().err().unwrap().to_string();
    assert!(refused.contains("before layer 0") && refused.contains("no layer norm"), "{refused}");
}

#[test]
fn a_circuit_that_does_not_exist_is_refused_and_the_other_one_is_given() {
    let mut d = Description::small();
    d.layers[1].attention.head_norm = Some(collimate_transformer::HeadNorm::new(
        collimate_transformer::Norm::root_mean_square(1e-5),
        collimate_transformer::HeadNormOver::SharedGain,
    ));
    d.layers[2].attention_post_norm = Some(collimate_transformer::Norm::root_mean_square(1e-5));
    let model = Model::<f64>::random(d, &RngStream::new(1, 0));
    let normed = model.head_weights(1, 3).unwrap();
    assert_eq!((normed.key_head, normed.w_q.dim(), normed.w_o.dim()), (1, (32, 8), (8, 32)));
    let refused = normed.qk().unwrap_err().to_string();
    assert!(
        refused.contains("the QK circuit of head 3 of layer 1") && refused.contains("normed"),
        "{refused}"
    );
    assert_eq!(normed.ov().unwrap().dim(), (32, 32));
    let after = model.head_weights(2, 0).unwrap();
    assert!(
        after.qk().is_ok()
            && after.ov().unwrap_err().to_string().contains("the OV circuit of head 0 of layer 2")
    );
    for (layer, head, named) in [(3, 0, "layer"), (0, 4, "head")] {
        let error = model.head_weights(layer, head).unwrap_err();
        assert!(matches!(error, RunError::OutOfRange(_)) && error.to_string().contains(named), "{error}");
    }
    let pairs = SmallModels::of(|d| d.name == "diffllama").model(0, &mut RngStream::new(1, 0));
    assert!(pairs.head_weights(0, 1).unwrap_err().to_string().contains("head 1 of layer 0"));
}

#[test]
fn a_model_as_stored_gives_the_weights_of_its_heads_but_is_not_folded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/models/llama_gqa");
    let (expanded, stored) =
        (Model::<f64>::open(&folder).unwrap(), Model::<f64>::open_as_stored(&folder).unwrap());
    let of = |model: &Model<f64>| model.head_weights(1, 3).unwrap();
    assert_eq!((of(&expanded).w_q, of(&expanded).w_o), (of(&stored).w_q, of(&stored).w_o));
    assert!(matches!(stored.fold_norms(), Err(RunError::Stored { .. })));
    assert!(matches!(stored.centre_writes(), Err(RunError::Stored { .. })));
}
