use collimate_grad::{
    Activation, Adam, AdamConfig, Batch, CheckConfig, GradError, Objective, Optimiser, Parameters, Scratch,
    Tape, TapeObjective, Var, check_gradient,
};
use collimate_stream::RngStream;
use ndarray::{Array2, array};

fn normal(shape: (usize, usize), stream: &mut RngStream) -> Array2<f64> {
    Array2::from_shape_simple_fn(shape, || 0.7 * stream.normal())
}

/// Records a model that uses every operation of the tape.
fn everything(tape: &mut Tape<f64>, w: &[Var], batch: &[usize]) -> Result<Var, GradError> {
    let rows: Vec<usize> = batch.iter().flat_map(|&i| [i % 5, (i * 3 + 1) % 5]).collect();
    let x = tape.gather(w[0], &rows)?;
    let x = tape.reshape(x, (batch.len(), 8))?;
    let normed = tape.layer_norm(x, w[1], w[2], 1e-3)?;
    let hidden = tape.matmul(normed, w[3])?;
    let hidden = tape.add_bias(hidden, w[4])?;
    let mut sum = hidden;
    for kind in [Activation::GeluErf, Activation::GeluTanh, Activation::Silu, Activation::Tanh] {
        let y = tape.activation(kind, hidden)?;
        sum = tape.add(sum, y)?;
    }
    let hidden = tape.rms_norm(sum, w[5], 1e-3)?;
    let attention = {
        let t = tape.transpose(hidden)?;
        let scores = tape.matmul(hidden, t)?;
        let scores = tape.scale(scores, 0.3)?;
        tape.softmax(scores)?
    };
    let mixed = tape.matmul(attention, hidden)?;
    let negative = tape.scale(mixed, -1.0)?;
    let difference = tape.add(hidden, negative)?;
    let product = tape.mul(difference, hidden)?;
    let targets: Vec<usize> = batch.iter().map(|&i| i % 6).collect();
    let loss = tape.cross_entropy(product, &targets)?;
    let total = tape.sum(mixed)?;
    let mean = tape.mean(product)?;
    let total = tape.scale(total, 0.01)?;
    let loss = tape.add(loss, total)?;
    tape.add(loss, mean)
}

fn parameters(stream: &mut RngStream) -> Parameters<f64> {
    Parameters::new()
        .with("table", normal((5, 4), stream))
        .with("gain", normal((1, 8), stream))
        .with("bias", normal((1, 8), stream))
        .with("weight", normal((8, 6), stream))
        .with("shift", normal((1, 6), stream))
        .with("scale", normal((1, 6), stream))
}

#[test]
fn every_operation_passes_the_gradient_checker() {
    let layout = parameters(&mut RngStream::new(1, 0));
    let w = layout.flat().to_vec();
    let objective = TapeObjective::new(layout, 7, everything).unwrap();
    for batch in [Batch::All, Batch::Indices(&[2, 2, 6])] {
        let report = check_gradient(&objective, &w, batch, &CheckConfig::default()).unwrap();
        assert!(report.passed() && report.kinks.is_empty(), "{report}");
        assert_eq!(report.judged, w.len());
    }
}

#[test]
fn two_passes_give_the_same_bits() {
    let layout = parameters(&mut RngStream::new(2, 0));
    let w = layout.flat().to_vec();
    let objective = TapeObjective::new(layout, 7, everything).unwrap();
    let run = || {
        let mut out = vec![0.0; w.len()];
        objective.loss_and_gradient_into(&w, Batch::All, &mut Scratch::new(), &mut out);
        out.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn an_mlp_learns_exclusive_or() {
    let (x, y) = (array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]);
    let model = move |tape: &mut Tape<f64>, w: &[Var], batch: &[usize]| {
        let input = tape.leaf(x.select(ndarray::Axis(0), batch));
        let hidden = tape.matmul(input, w[0])?;
        let hidden = tape.add_bias(hidden, w[1])?;
        let hidden = tape.activation(Activation::Tanh, hidden)?;
        let logits = tape.matmul(hidden, w[2])?;
        tape.cross_entropy(logits, &batch.iter().map(|&i| y[i]).collect::<Vec<_>>())
    };
    let stream = &mut RngStream::new(3, 0);
    let layout = Parameters::new()
        .with("in", normal((2, 8), stream))
        .with("bias", normal((1, 8), stream))
        .with("out", normal((8, 2), stream));
    let mut w = layout.flat().to_vec();
    let objective = TapeObjective::new(layout, 4, model).unwrap();
    let mut adam = Adam::new(w.len(), AdamConfig::default()).unwrap();
    let (mut gradient, mut scratch) = (vec![0.0; w.len()], Scratch::new());
    for _ in 0..400 {
        objective.loss_and_gradient_into(&w, Batch::All, &mut scratch, &mut gradient);
        adam.step(0.05, &gradient, &mut w).unwrap();
    }
    assert!(objective.loss(&w, Batch::All, &mut scratch) < 0.01);
}

#[test]
fn wrong_variables_and_shapes_are_errors() {
    let mut tape = Tape::<f64>::new();
    let mut other = Tape::<f64>::new();
    let a = tape.leaf(array![[1.0, 2.0]]);
    let b = other.leaf(array![[1.0, 2.0]]);
    assert!(matches!(tape.add(a, b), Err(GradError::UnknownVariable { .. })));
    assert!(matches!(tape.backward(a), Err(GradError::Shape(_))));
    assert!(matches!(tape.matmul(a, a), Err(GradError::Shape(_))));
    assert!(matches!(tape.reshape(a, (3, 1)), Err(GradError::Shape(_))));
    tape.clear();
    assert!(tape.value(a).is_err());
    let unused = tape.scalar(1.0);
    let used = tape.scalar(2.0);
    let gradients = tape.backward(used).unwrap();
    assert!(gradients.of(unused).is_none());
}

#[test]
fn a_model_that_fails_on_a_later_batch_returns_its_own_error() {
    // The model reads a table of five rows, and doubles the index of a sample that comes first in its batch.
    let model = |tape: &mut Tape<f64>, w: &[Var], batch: &[usize]| {
        let mut rows = batch.to_vec();
        rows[0] *= 2;
        let rows = tape.gather(w[0], &rows)?;
        tape.mean(rows)
    };
    let layout = Parameters::new().with("table", Array2::from_shape_fn((5, 1), |(i, _)| i as f64));
    let w = layout.flat().to_vec();
    let objective = TapeObjective::new(layout, 5, model).unwrap();
    let own = |index| GradError::Index { argument: "indices", position: 0, index, len: 5 };
    let mut out = vec![0.0; 5];
    assert_eq!(objective.evaluate(&w, &[4, 1], &mut out), Err(own(8)));
    assert_eq!(objective.evaluate(&w, &[2, 1], &mut out), Ok(2.5));
    assert_eq!(out, [0.0, 0.5, 0.0, 0.0, 0.5]);
    // The inner loop gives NaN, and the objective says why.
    let loss = objective.loss_and_gradient_into(&w, Batch::Indices(&[3]), &mut Scratch::new(), &mut out);
    assert!(loss.is_nan() && out.iter().all(|g| g.is_nan()));
    assert_eq!(objective.failure(&w, Batch::Indices(&[3])), Some(own(6)));
    assert_eq!(objective.failure(&w, Batch::All), None);
    let check = |batch| check_gradient(&objective, &w, batch, &CheckConfig::default());
    assert_eq!(check(Batch::Indices(&[4])).unwrap_err(), own(8));
    assert!(check(Batch::All).unwrap().passed());
    // Samples and lengths that do not exist are errors of their own.
    let error = objective.evaluate(&w, &[0, 5], &mut out).unwrap_err();
    assert_eq!(error, GradError::Sample { position: 1, index: 5, n_samples: 5 });
    assert!(matches!(objective.evaluate(&w[1..], &[0], &mut out), Err(GradError::Length(_))));
    assert!(matches!(objective.evaluate(&w, &[0], &mut out[1..]), Err(GradError::Length(_))));
}
