//! Interventions as values: each has the effect of the hook that is written by hand, and what cannot apply is refused.

use crate::runs::model;
use collimate_transformer::{
    Capture, Edit, HookPoint, Input, Intervention, Interventions, MeanOver, Model, RunError, Site,
};
use ndarray::{Array1, ArrayD, ArrayViewMutD, Axis, array, s};

fn input() -> Input {
    Input::new(array![[5, 9, 2, 11], [7, 7, 30, 1]])
}

fn captured(model: &Model<f32>, point: HookPoint) -> ArrayD<f32> {
    let mut capture = Capture::at([point]);
    model.visit(&input(), &mut capture).unwrap();
    capture.take(point).unwrap()
}

/// Checks that an intervention gives the logits of a hook.
fn same(
    model: &Model<f32>,
    one: Intervention<f32>,
    by_hand: &mut (dyn FnMut(ArrayViewMutD<'_, f32>) + Send),
    point: HookPoint,
) {
    let mut hooks = Interventions::new(model, &input(), [one]).unwrap();
    let found = model.logits(&input(), &mut hooks).unwrap();
    let mut edit = Edit::at(point, |x: ArrayViewMutD<'_, f32>| by_hand(x));
    assert_eq!(found, model.logits(&input(), &mut edit).unwrap());
    assert_ne!(found, model.logits(&input(), &mut ()).unwrap());
}

#[test]
fn each_action_is_the_hook_written_by_hand() {
    let model = model(3);
    let z = Site::HeadOutput.of_layer(1);
    same(
        &model,
        Intervention::zero(z).of_heads([1, 3]).at_positions([2]),
        &mut |mut x| [1, 3].iter().for_each(|&h| x.slice_mut(s![.., 2, h, ..]).fill(0.0)),
        z,
    );
    let keys = Site::Key.of_layer(2);
    same(
        &model,
        Intervention::scale(keys, 0.5).of_heads([1]),
        &mut |mut x| x.slice_mut(s![.., .., 1, ..]).mapv_inplace(|x| 0.5 * x),
        keys,
    );
    let residual = Site::ResidualMid.of_layer(0);
    let direction = Array1::from_shape_fn(32, |i| i as f32 / 10.0);
    same(
        &model,
        Intervention::add(residual, direction.clone().into_dyn()).at_positions([1]).in_sequences([0]),
        &mut |mut x| {
            let mut row = x.slice_mut(s![0, 1, ..]);
            row += &direction;
        },
        residual,
    );
    let neurons = Site::MlpNeurons.of_layer(1);
    let other = captured(&model, neurons).mapv(|x| x * x);
    same(
        &model,
        Intervention::replace(neurons, other.clone()).of_neurons([4, 40]),
        &mut |mut x| {
            [4, 40].iter().for_each(|&n| x.slice_mut(s![.., .., n]).assign(&other.slice(s![.., .., n])))
        },
        neurons,
    );
    let pattern = Site::Pattern.of_layer(0);
    same(
        &model,
        Intervention::zero(pattern).of_heads([2]).of_neurons([0]),
        &mut |mut x| x.slice_mut(s![.., 2, .., 0]).fill(0.0),
        pattern,
    );
}

#[test]
fn means_run_over_what_they_name() {
    let model = model(4);
    let point = Site::MlpOutput.of_layer(0);
    let clean = captured(&model, point);
    let of = |over| {
        let mut hooks = Interventions::new(&model, &input(), [Intervention::mean(point, over)]).unwrap();
        let mut capture = Capture::at([point]);
        model.visit(&input(), &mut (&mut hooks, &mut capture)).unwrap();
        capture.take(point).unwrap()
    };
    let by_position = clean.mean_axis(Axis(0)).unwrap();
    let found = of(MeanOver::Sequences);
    assert_eq!(
        (found.index_axis(Axis(0), 0), found.index_axis(Axis(0), 1)),
        (by_position.view(), by_position.view())
    );
    let all = by_position.mean_axis(Axis(0)).unwrap();
    assert!(of(MeanOver::Positions).lanes(Axis(2)).into_iter().all(|row| row.into_dyn() == all));
}

#[test]
fn changes_that_cannot_be_made_are_refused_with_the_reason() {
    let model = model(5);
    let refused = |one: Intervention<f32>| {
        Interventions::new(&model, &input(), [one]).map(drop).unwrap_err().to_string()
    };
    let residual = Site::ResidualPost.of_layer(0);
    for (one, reason) in [
        (Intervention::zero(Site::ResidualPost.of_layer(3)), "the model has 3 layers"),
        (Intervention::zero(residual).of_heads([0]), "none of them is h"),
        (Intervention::zero(residual).at_positions([4]), "index 4 of the axis t is not below its size, 4"),
        (Intervention::zero(residual).of_neurons([32]), "index 32 of the axis d"),
        (Intervention::zero(residual).in_sequences([2]), "index 2 of the axis b"),
        (Intervention::zero(residual).at_positions([]), "name at least one"),
        (
            Intervention::zero(Site::Key.of_layer(0)).of_heads([2]),
            "index 2 of the axis g is not below its size, 2",
        ),
        (Intervention::scale(residual, f32::NAN), "the factor is not finite"),
        (
            Intervention::add(residual, ArrayD::zeros(vec![31])),
            "must have the shape [2, 4, 32] or [32], but has [31]",
        ),
        (Intervention::replace(residual, ArrayD::from_elem(vec![32], f32::INFINITY)), "NaN or infinite"),
        (Intervention::mean(Site::Pattern.of_layer(0), MeanOver::Positions), "has no meaning"),
    ] {
        let text = refused(one);
        assert!(text.contains(reason), "{text} (expected {reason})");
    }
    let error = Interventions::new(&model, &input(), [Intervention::zero(residual).of_heads([0])]).map(drop);
    assert!(matches!(error, Err(RunError::Intervention { .. })));
}
