//! Runs are equal bit for bit: cut at a layer, on several threads, with other later tokens, and repeated.

use collimate_stream::RngStream;
use collimate_transformer::{Config, Decoder, Run};
use ndarray::{Array2, s};
use proptest::prelude::*;

pub(crate) fn decoder(seed: u64) -> Decoder {
    Decoder::random(Config::small(), &mut RngStream::new(seed, 0)).unwrap()
}

pub(crate) fn tokens(t: usize, seed: u64) -> Vec<u32> {
    let mut stream = RngStream::new(seed, 1);
    (0..t).map(|_| stream.below(Config::small().n_vocab) as u32).collect()
}

fn bits(x: &Array2<f32>) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_cut_at_a_layer_is_the_whole_run(t in 1..90_usize, layer in 0..=3_usize, seed in any::<u64>()) {
        let (decoder, tokens) = (decoder(seed), tokens(t, seed));
        let run = Run::of(&tokens);
        let residual = decoder.residual(run, layer, &mut ()).unwrap();
        let second = run.from_layer(layer, &residual.view());
        prop_assert_eq!(
            bits(&decoder.logits(run, &mut ()).unwrap()),
            bits(&decoder.logits(second, &mut ()).unwrap())
        );
        prop_assert_eq!(decoder.losses(run, &mut ()).unwrap(), decoder.losses(second, &mut ()).unwrap());
        // The given residual stream may have any strides.
        let turned = residual.t().as_standard_layout().into_owned();
        let third = run.from_layer(layer, &turned.t());
        prop_assert_eq!(decoder.losses(run, &mut ()).unwrap(), decoder.losses(third, &mut ()).unwrap());
    }

    #[test]
    fn later_tokens_change_nothing_before_them(t in 2..90_usize, seed in any::<u64>()) {
        let (decoder, mut tokens) = (decoder(seed), tokens(t, seed));
        let at = RngStream::new(seed, 2).below(t);
        let before = decoder.logits(Run::of(&tokens), &mut ()).unwrap();
        tokens[at] = (tokens[at] + 1) % Config::small().n_vocab as u32;
        let after = decoder.logits(Run::of(&tokens), &mut ()).unwrap();
        prop_assert_eq!(before.slice(s![..at, ..]), after.slice(s![..at, ..]));
        prop_assert_ne!(before.row(at), after.row(at));
    }

    #[test]
    fn the_number_of_threads_changes_no_bit(t in 1..90_usize, seed in any::<u64>()) {
        let (decoder, tokens) = (decoder(seed), tokens(t, seed));
        let on = |n: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| {
                let run = Run::of(&tokens);
                (bits(&decoder.logits(run, &mut ()).unwrap()), decoder.losses(run, &mut ()).unwrap())
            })
        };
        let one = on(1);
        prop_assert_eq!(&one, &on(2));
        prop_assert_eq!(&one, &on(3));
    }
}

#[test]
fn scratch_of_a_longer_run_leaves_no_trace() {
    let (decoder, long, short) = (decoder(1), tokens(80, 1), tokens(7, 2));
    let fresh = decoder.logits(Run::of(&short), &mut ()).unwrap();
    decoder.logits(Run::of(&long), &mut ()).unwrap();
    assert_eq!(bits(&decoder.logits(Run::of(&short), &mut ()).unwrap()), bits(&fresh));
}

#[test]
fn a_decoder_serves_several_threads_at_once() {
    let decoder = decoder(3);
    let alone: Vec<_> =
        (0..8).map(|i| decoder.losses(Run::of(&tokens(10 + 9 * i, 4)), &mut ()).unwrap()).collect();
    std::thread::scope(|scope| {
        for (i, expected) in alone.iter().enumerate() {
            let decoder = &decoder;
            scope.spawn(move || {
                for _ in 0..5 {
                    assert_eq!(&decoder.losses(Run::of(&tokens(10 + 9 * i, 4)), &mut ()).unwrap(), expected);
                }
            });
        }
    });
}

#[test]
fn random_decoders_follow_their_stream() {
    assert_eq!(decoder(5).fingerprint(), decoder(5).fingerprint());
    assert_ne!(decoder(5).fingerprint(), decoder(6).fingerprint());
    let mut stream = RngStream::new(5, 0);
    let first = Decoder::random(Config::small(), &mut stream).unwrap();
    let second = Decoder::random(Config::small(), &mut stream).unwrap();
    assert_ne!(first.fingerprint(), second.fingerprint());
}
