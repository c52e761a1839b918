//! Runs are equal bit for bit: cut at a layer, on several threads, with other later tokens, and repeated.

use collimate_stream::RngStream;
use collimate_transformer::{Description, Losses, Model, Run};
use ndarray::{Array3, s};
use proptest::prelude::*;

pub(crate) fn model(seed: u64) -> Model<f32> {
    Model::random(Description::small(), &RngStream::new(seed, 0))
}

pub(crate) fn losses(model: &Model<f32>, run: &Run<'_>) -> Losses {
    model.losses(run, &mut ()).unwrap().remove(0)
}

pub(crate) fn tokens(t: usize, seed: u64) -> Vec<u32> {
    let mut stream = RngStream::new(seed, 1);
    (0..t).map(|_| stream.below(Description::small().vocabulary) as u32).collect()
}

fn bits(x: &Array3<f32>) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_cut_at_a_layer_is_the_whole_run(t in 1..90_usize, layer in 0..=3_usize, seed in any::<u64>()) {
        let (model, tokens) = (model(seed), tokens(t, seed));
        let run = Run::of(&tokens);
        let residual = model.residual(&run, layer, &mut ()).unwrap();
        let second = run.from_layer(layer, residual.view());
        prop_assert_eq!(
            bits(&model.logits(&run, &mut ()).unwrap()),
            bits(&model.logits(&second, &mut ()).unwrap())
        );
        prop_assert_eq!(losses(&model, &run), losses(&model, &second));
        // The given residual stream may have any strides.
        let turned = residual.view().permuted_axes([0, 2, 1]).as_standard_layout().into_owned();
        let third = run.from_layer(layer, turned.view().permuted_axes([0, 2, 1]));
        prop_assert_eq!(losses(&model, &run), losses(&model, &third));
    }

    #[test]
    fn later_tokens_change_nothing_before_them(t in 2..90_usize, seed in any::<u64>()) {
        let (model, mut tokens) = (model(seed), tokens(t, seed));
        let at = RngStream::new(seed, 2).below(t);
        let before = model.logits(Run::of(&tokens), &mut ()).unwrap();
        tokens[at] = (tokens[at] + 1) % Description::small().vocabulary as u32;
        let after = model.logits(Run::of(&tokens), &mut ()).unwrap();
        prop_assert_eq!(before.slice(s![.., ..at, ..]), after.slice(s![.., ..at, ..]));
        prop_assert_ne!(before.slice(s![0, at, ..]), after.slice(s![0, at, ..]));
    }

    #[test]
    fn the_number_of_threads_changes_no_bit(t in 1..90_usize, seed in any::<u64>()) {
        let (model, tokens) = (model(seed), tokens(t, seed));
        let on = |n: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| {
                let run = Run::of(&tokens);
                (bits(&model.logits(&run, &mut ()).unwrap()), losses(&model, &run))
            })
        };
        let one = on(1);
        prop_assert_eq!(&one, &on(2));
        prop_assert_eq!(&one, &on(3));
    }
}

#[test]
fn a_longer_run_leaves_no_trace() {
    let (model, long, short) = (model(1), tokens(80, 1), tokens(7, 2));
    let fresh = model.logits(Run::of(&short), &mut ()).unwrap();
    model.logits(Run::of(&long), &mut ()).unwrap();
    assert_eq!(bits(&model.logits(Run::of(&short), &mut ()).unwrap()), bits(&fresh));
}

#[test]
fn a_model_serves_several_threads_at_once() {
    let model = model(3);
    let alone: Vec<_> = (0..8).map(|i| losses(&model, &Run::of(&tokens(10 + 9 * i, 4)))).collect();
    std::thread::scope(|scope| {
        for (i, expected) in alone.iter().enumerate() {
            let model = &model;
            scope.spawn(move || {
                for _ in 0..5 {
                    assert_eq!(&losses(model, &Run::of(&tokens(10 + 9 * i, 4))), expected);
                }
            });
        }
    });
}
