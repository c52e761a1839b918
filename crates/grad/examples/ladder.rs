//! Four models with one tape, from a product of two scalars to a small language model.
//!
//! 1. a product of scalars,  2. a multi-layer perceptron,  3. a bigram model,  4. a perceptron over three characters.

use collimate_grad::{
    Activation, Adam, AdamConfig, Batch, CheckConfig, GradError, Objective, Optimiser, Parameters, Schedule,
    ScheduleConfig, Scratch, Tape, TapeObjective, Var, check_gradient, clip_global_norm,
};
use collimate_stream::RngStream;
use ndarray::{Array2, array};

/// The model learns to predict each next character of this text.
const TEXT: &str = "a singular model is one whose parameters cannot be told apart by what the model does; \
    a regular model is one whose parameters can. neural networks are singular, and their learning coefficient \
    is smaller than half the number of their parameters. what a network has learned is a matter of measurement, \
    and a measurement is worth as much as its definition.";

/// Returns the characters of the text as numbers, and the number of different characters.
fn tokens() -> (Vec<usize>, usize) {
    let mut alphabet: Vec<char> = TEXT.chars().collect();
    alphabet.sort_unstable();
    alphabet.dedup();
    (
        TEXT.chars().map(|c| alphabet.binary_search(&c).expect("c is in the alphabet")).collect(),
        alphabet.len(),
    )
}

fn normal(shape: (usize, usize), scale: f64, stream: &mut RngStream) -> Array2<f64> {
    Array2::from_shape_simple_fn(shape, || scale * stream.normal())
}

/// Trains on batches of 64 samples and returns the loss over all samples.
fn train<M>(
    objective: &TapeObjective<f64, M>,
    steps: u64,
    peak: f64,
    stream: &mut RngStream,
) -> Result<f64, GradError>
where
    M: Fn(&mut Tape<f64>, &[Var], &[usize]) -> Result<Var, GradError> + Send + Sync,
{
    let mut w = objective.layout().flat().to_vec();
    let schedule = Schedule::new(ScheduleConfig {
        peak,
        total_steps: steps,
        warm_up: collimate_grad::WarmUp::Linear { steps: 20, from: 0.0 },
        decay: collimate_grad::Decay::Cosine { to: 0.05 },
    })?;
    let mut adam = Adam::new(w.len(), AdamConfig::default())?;
    let (mut gradient, mut scratch) = (vec![0.0; w.len()], Scratch::new());
    for step in 0..steps {
        let batch: Vec<usize> = (0..64).map(|_| stream.below(objective.n_samples())).collect();
        objective.loss_and_gradient_into(&w, Batch::Indices(&batch), &mut scratch, &mut gradient);
        clip_global_norm(&mut [&mut gradient], 1.0)?;
        adam.step(schedule.rate(step), &gradient, &mut w)?;
    }
    Ok(objective.loss(&w, Batch::All, &mut scratch))
}

fn main() -> Result<(), GradError> {
    let mut stream = RngStream::named(1, "ladder");

    // 1. d(ab + a²)/da = b + 2a
    let mut tape = Tape::<f64>::new();
    let (a, b) = (tape.scalar(2.0), tape.scalar(-3.0));
    let (product, square) = (tape.mul(a, b)?, tape.mul(a, a)?);
    let f = tape.add(product, square)?;
    let slope = tape.backward(f)?.of(a).expect("f depends on a")[[0, 0]];
    println!("1  d(ab + a²)/da at (2, −3) = {slope}");
    assert_eq!(slope, 1.0);

    // 2. exclusive or
    let (x, y) = (array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]);
    let layout = Parameters::new()
        .with("in", normal((2, 8), 1.0, &mut stream))
        .with("bias", Array2::zeros((1, 8)))
        .with("out", normal((8, 2), 0.5, &mut stream));
    let perceptron = TapeObjective::new(layout, 4, move |tape, w, batch| {
        let input = tape.leaf(x.select(ndarray::Axis(0), batch));
        let hidden = tape.matmul(input, w[0])?;
        let hidden = tape.add_bias(hidden, w[1])?;
        let hidden = tape.activation(Activation::Tanh, hidden)?;
        let logits = tape.matmul(hidden, w[2])?;
        tape.cross_entropy(logits, &batch.iter().map(|&i| y[i]).collect::<Vec<_>>())
    })?;
    let report =
        check_gradient(&perceptron, perceptron.layout().flat(), Batch::All, &CheckConfig::default())?;
    assert!(report.passed(), "{report}");
    let exclusive_or = train(&perceptron, 400, 0.05, &mut stream)?;
    println!("2  exclusive or: cross-entropy {exclusive_or:.4} nats");
    assert!(exclusive_or < 0.02);

    // 3. a bigram model: the table of logits has the counts' conditional entropy as its lowest loss.
    let (text, n) = tokens();
    let samples = text.len() - 3;
    let counts = |pairs: &mut dyn Iterator<Item = (usize, usize)>| {
        let mut counts = Array2::<f64>::zeros((n, n));
        pairs.for_each(|(from, to)| counts[[from, to]] += 1.0);
        counts
    };
    let table = counts(&mut (3..text.len()).map(|i| (text[i - 1], text[i])));
    let entropy: f64 = table
        .rows()
        .into_iter()
        .flat_map(|row| {
            let total = row.sum();
            row.iter().filter(|c| **c > 0.0).map(|c| -c * (c / total).ln()).collect::<Vec<f64>>()
        })
        .sum::<f64>()
        / samples as f64;
    let (t, layout) = (text.clone(), Parameters::new().with("logits", Array2::zeros((n, n))));
    let bigram = TapeObjective::new(layout, samples, move |tape, w, batch| {
        let logits = tape.gather(w[0], &batch.iter().map(|&i| t[i + 2]).collect::<Vec<_>>())?;
        tape.cross_entropy(logits, &batch.iter().map(|&i| t[i + 3]).collect::<Vec<_>>())
    })?;
    let two = train(&bigram, 1500, 0.1, &mut stream)?;
    println!("3  bigram: {two:.3} nats a character, the counts' conditional entropy is {entropy:.3}");
    assert!(two >= entropy - 1e-9 && two < entropy + 0.05);

    // 4. three characters through an embedding and a hidden layer see more than one.
    let layout = Parameters::new()
        .with("embedding", normal((n, 8), 0.5, &mut stream))
        .with("hidden", normal((24, 48), 0.2, &mut stream))
        .with("bias", Array2::zeros((1, 48)))
        .with("out", normal((48, n), 0.1, &mut stream));
    let t = text;
    let model = TapeObjective::new(layout, samples, move |tape, w, batch| {
        let context: Vec<usize> = batch.iter().flat_map(|&i| t[i..i + 3].to_vec()).collect();
        let rows = tape.gather(w[0], &context)?;
        let rows = tape.reshape(rows, (batch.len(), 24))?;
        let hidden = tape.matmul(rows, w[1])?;
        let hidden = tape.add_bias(hidden, w[2])?;
        let hidden = tape.activation(Activation::GeluTanh, hidden)?;
        let logits = tape.matmul(hidden, w[3])?;
        tape.cross_entropy(logits, &batch.iter().map(|&i| t[i + 3]).collect::<Vec<_>>())
    })?;
    let four = train(&model, 1500, 0.01, &mut stream)?;
    println!("4  three characters and a hidden layer: {four:.3} nats a character");
    assert!(four < entropy - 0.3, "no table of pairs reaches this on the same text");
    Ok(())
}
