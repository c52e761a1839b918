//! Passes that give the same results: with a cache, in a batch, with padding, and trained twice.

use super::models::{Models, largest, logits, over_texts, unmoved};
use crate::hooks::Capture;
use crate::network::Generation;
use crate::pass::Input;
use crate::site::Site;
use crate::train::{Training, TrainingConfig};
use collimate_claims::{Claim, Meta, Subject};
use collimate_grad::Schedule;
use collimate_stream::RngStream;
use ndarray::{Array2, Axis, concatenate, s};

/// Claims that a cache of keys and values changes nothing. The angles must not depend on the length of the text.
pub fn cache_changes_nothing(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/cache-changes-nothing",
        Subject::Transformer,
        "with keys and values of earlier tokens kept, a model reads a text as it does in one pass",
    )
    .source("definition");
    cache(meta, models)
}

/// Claims the same of models whose rotary base grows with the text, where it is false.
pub fn cache_with_a_growing_base_changes_nothing(models: impl Models) -> impl Claim {
    let meta = Meta::counterexample(
        "transformer/cache-with-a-growing-base-changes-nothing",
        Subject::Transformer,
        "keeping keys and values changes nothing, also where the base of the rotary angles grows with the text",
    )
    .source("kept keys have the angles of their time, a pass over the whole text has those of its length");
    cache(meta, models)
}

fn cache(meta: Meta, models: impl Models) -> impl Claim {
    over_texts(meta, models, |model, text, stream| {
        let point = Site::FinalHidden.of_layer(0);
        let last = |x: &ndarray::ArrayD<f64>| x.slice(s![0, -1, ..]).to_owned();
        let mut capture = Capture::at([point]);
        let prompt: Vec<u32> = text.iter().copied().collect();
        let new =
            model.generate(&prompt, &Generation::greedy(4), stream, &mut capture).expect("a causal model");
        // The last pass read the last but one of the new tokens.
        let cached = last(capture.get(point).expect("the pass ended"));
        let all: Vec<u32> = prompt.iter().chain(&new[..3]).copied().collect();
        let whole = Array2::from_shape_vec((1, all.len()), all).expect("one row");
        model.run(&Input::new(whole), &mut capture).expect("the claim draws texts that fit");
        let whole = last(capture.get(point).expect("the pass ended"));
        1e-11 * (1.0 + largest(&whole)) - largest(&(cached - &whole))
    })
}

/// Claims that a text in a batch has the logits that it has alone, whatever stands in the other rows and behind its end.
pub fn padding_changes_nothing(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/padding-changes-nothing",
        Subject::Transformer,
        "a text that is padded on the right, in a batch with a longer one, has the logits that it has alone",
    )
    .source("definition");
    over_texts(meta, models, |model, text, stream| {
        let (vocabulary, length) = (model.description().vocabulary, text.ncols());
        let longer = length + 1 + stream.below(3);
        let mut drawn =
            |rows, columns| Array2::from_shape_simple_fn((rows, columns), || stream.below(vocabulary) as u32);
        let padded = concatenate![Axis(1), *text, drawn(1, longer - length)];
        let batch = concatenate![Axis(0), padded, drawn(1, longer)];
        let mask = Array2::from_shape_fn((2, longer), |(row, t)| row == 1 || t < length);
        let alone = logits(model, &Input::new(text.clone()), &mut ());
        let together = logits(model, &Input::new(batch).with_mask(mask), &mut ());
        unmoved(&alone, &together.slice(s![..1, ..length, ..]).to_owned())
    })
}

/// Claims that a training that is run twice gives the same bits, on one thread and on three. The models must be causal.
pub fn training_repeats(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/training-repeats",
        Subject::Transformer,
        "a training that is run twice gives the same bits, on any number of threads",
    )
    .source("the determinism promise of Training");
    over_texts(meta, models, |model, text, stream: &mut RngStream| {
        let vocabulary = model.description().vocabulary;
        let rows = Array2::from_shape_fn((3, text.ncols()), |(row, t)| match row {
            0 => text[[0, t]],
            _ => stream.below(vocabulary) as u32,
        });
        let trained = |threads: usize| -> Vec<u64> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| {
                let copy = model.with_parameters(model.parameters().map(|(_, x)| x.to_owned()).collect());
                let schedule = Schedule::constant(1e-2).expect("a rate in range");
                let mut training =
                    Training::new(copy.expect("the same shapes"), TrainingConfig::new(schedule))
                        .expect("a causal model");
                for _ in 0..2 {
                    training.step(&[rows.slice(s![..1, ..]), rows.slice(s![1.., ..])]).expect("a step");
                }
                let numbers = training.model().parameters();
                numbers.flat_map(|(_, x)| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>()).collect()
            })
        };
        if trained(1) == trained(3) { 0.0 } else { -1.0 }
    })
}
