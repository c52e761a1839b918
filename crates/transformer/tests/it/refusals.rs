//! Inputs that do not fit the model are refused.

use crate::runs::{losses, model, tokens};
use collimate_transformer::{Input, NonFinite, Run, RunError};
use ndarray::Array3;

#[test]
fn tokens_that_do_not_fit_are_refused() {
    let model = model(1);
    let logits = |tokens: &[u32]| model.logits(Run::of(tokens), &mut ());
    assert!(matches!(logits(&[]), Err(RunError::EmptyInput)));
    assert!(matches!(logits(&[3, 61, 99]), Err(RunError::UnknownToken { id: 61, position: 1, n_vocab: 61 })));
    assert!(logits(&tokens(96, 1)).is_ok());
    assert!(matches!(logits(&tokens(97, 1)), Err(RunError::ContextOverflow { given: 97, context: 96 })));
    let longer = Input::of(&tokens(97, 1)).beyond_context();
    assert!(model.logits(&longer, &mut ()).is_ok());
    assert!(losses(&model, &Run::of(&[4])).nll.is_empty());
    let single = losses(&model, &Run::of(&[4]));
    assert!(single.cross_entropy(model.fingerprint()).is_err());
}

#[test]
fn residual_streams_that_do_not_fit_are_refused() {
    let model = model(1);
    let from = |layer: usize, residual: &Array3<f32>| {
        model.logits(Run::of(&[1, 2]).from_layer(layer, residual.view()), &mut ()).map(drop)
    };
    assert!(from(3, &Array3::ones((1, 2, 32))).is_ok());
    assert!(matches!(
        from(4, &Array3::ones((1, 2, 32))),
        Err(RunError::Layer { given: 4, first: 0, last: 3 })
    ));
    assert!(matches!(from(1, &Array3::ones((1, 3, 32))), Err(RunError::Shape { .. })));
    assert!(matches!(from(1, &Array3::ones((1, 2, 31))), Err(RunError::Shape { .. })));
    let mut broken = Array3::ones((1, 2, 32));
    broken[[0, 1, 4]] = f32::NEG_INFINITY;
    assert!(matches!(from(1, &broken), Err(RunError::NonFinite(NonFinite { count: 1, first: 36, .. }))));
}

#[test]
fn layers_outside_the_run_are_refused() {
    let model = model(1);
    let run = Run::of(&[1, 2]);
    let layer = |run: &Run<'_>, layer| model.residual(run, layer, &mut ()).map(drop);
    assert!(layer(&run, 3).is_ok());
    assert!(matches!(layer(&run, 4), Err(RunError::Layer { given: 4, first: 0, last: 3 })));
    let residual = Array3::ones((1, 2, 32));
    let late = run.from_layer(2, residual.view());
    assert!(matches!(layer(&late, 1), Err(RunError::Layer { given: 1, first: 2, last: 3 })));
}
