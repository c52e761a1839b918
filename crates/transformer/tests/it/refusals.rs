//! Inputs that do not fit the model are refused.

use crate::runs::{decoder, tokens};
use collimate_stream::RngStream;
use collimate_transformer::{Config, Decoder, NonFinite, Run, RunError, TransformerError};
use ndarray::Array2;

#[test]
fn tokens_that_do_not_fit_are_refused() {
    let decoder = decoder(1);
    let logits = |tokens: &[u32]| decoder.logits(Run::of(tokens), &mut ());
    assert!(matches!(logits(&[]), Err(RunError::EmptyInput)));
    assert!(matches!(logits(&[3, 61, 99]), Err(RunError::UnknownToken { id: 61, position: 1, n_vocab: 61 })));
    assert!(logits(&tokens(96, 1)).is_ok());
    assert!(matches!(logits(&tokens(97, 1)), Err(RunError::ContextOverflow { given: 97, context: 96 })));
    assert!(decoder.losses(Run::of(&[4]), &mut ()).unwrap().nll.is_empty());
    let single = decoder.losses(Run::of(&[4]), &mut ()).unwrap();
    assert!(single.cross_entropy(decoder.fingerprint()).is_err());
}

#[test]
fn residual_streams_that_do_not_fit_are_refused() {
    let decoder = decoder(1);
    let from = |layer: usize, residual: &Array2<f32>| {
        decoder.logits(Run::of(&[1, 2]).from_layer(layer, &residual.view()), &mut ()).map(drop)
    };
    assert!(from(3, &Array2::ones((2, 32))).is_ok());
    assert!(matches!(from(4, &Array2::ones((2, 32))), Err(RunError::Layer { given: 3, first: 4, .. })));
    assert!(matches!(from(1, &Array2::ones((3, 32))), Err(RunError::Shape { .. })));
    assert!(matches!(from(1, &Array2::ones((2, 31))), Err(RunError::Shape { .. })));
    let mut broken = Array2::ones((2, 32));
    broken[[1, 4]] = f32::NEG_INFINITY;
    assert!(matches!(from(1, &broken), Err(RunError::NonFinite(NonFinite { count: 1, first: 36, .. }))));
}

#[test]
fn layers_outside_the_run_are_refused() {
    let decoder = decoder(1);
    let run = Run::of(&[1, 2]);
    let layer = |run: Run<'_>, layer| decoder.residual(run, layer, &mut ()).map(drop);
    assert!(layer(run, 3).is_ok());
    assert!(matches!(layer(run, 4), Err(RunError::Layer { given: 4, first: 0, last: 3 })));
    let residual = Array2::ones((2, 32));
    let late = run.from_layer(2, &residual.view());
    assert!(matches!(layer(late, 1), Err(RunError::Layer { given: 1, first: 2, last: 3 })));
}

#[test]
fn configurations_that_do_not_fit_together_are_refused() {
    let good = Config::small();
    for bad in [
        Config { n_layers: 0, ..good },
        Config { d_head: 7, ..good },
        Config { n_key_heads: 3, ..good },
        Config { rotary_base: f64::NAN, ..good },
        Config { norm_epsilon: 0.0, ..good },
        Config { d_model: usize::MAX, ..good },
        Config { d_model: 1 << 31, n_vocab: 1 << 31, ..good },
    ] {
        assert!(matches!(
            Decoder::random(bad, &mut RngStream::new(1, 0)),
            Err(TransformerError::OutOfRange(_))
        ));
    }
}
