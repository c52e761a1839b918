//! Models that compute, neurons shared by accident, heads with several behaviours, and greedy decoding.

use crate::differences::{distance, gradient};
use collimate_grad::{Batch, Objective, Scratch};
use collimate_stream::RngStream;
use collimate_superposition::{
    Activation, DecoderWeights, HeadBehaviours, IncidentalNeurons, Signed, SkipTrigrams, Source,
    SparseFeatures, TrainedTrigrams, TrigramLoss, TrigramSample, TwoLayerConfig, TwoLayerLoss,
    TwoLayerTarget, UniversalAnd, guaranteed_sparsity, largest_neurons, matching_pursuit, neuron_collisions,
    polysemantic_neurons, simplex,
};
use ndarray::{Array1, Array2, array};
use proptest::prelude::*;

fn random(rows: usize, columns: usize, stream: &mut RngStream) -> Array2<f64> {
    Array2::from_shape_fn((rows, columns), |_| stream.normal())
}

/// Asserts that the losses of single samples equal those of batches of one, in any batch, and that their mean is the loss.
fn per_sample_losses_agree(loss: &dyn Objective<f64>, w: &[f64]) {
    let (each, b, mut scratch) = (loss.per_sample_losses().unwrap(), loss.n_samples(), Scratch::new());
    let mut all = vec![f64::NAN; b];
    each.per_sample_losses_into(w, Batch::All, &mut scratch, &mut all);
    let whole = loss.loss(w, Batch::All, &mut scratch);
    let close = |found: f64, expected: f64| {
        assert!((found - expected).abs() <= 1e-12 * (1.0 + expected), "{found}, expected {expected}");
    };
    close(all.iter().sum::<f64>() / b as f64, whole);
    let repeated: Vec<usize> = (0..2 * b + 1).map(|k| (2 * k + k / b) % b).collect();
    let mut some = vec![f64::NAN; repeated.len()];
    each.per_sample_losses_into(w, Batch::Indices(&repeated), &mut scratch, &mut some);
    for (&i, &one) in repeated.iter().zip(&some) {
        close(one, loss.loss(w, Batch::Indices(&[i]), &mut scratch));
        close(one, all[i]);
    }
    close(
        some.iter().sum::<f64>() / some.len() as f64,
        loss.loss(w, Batch::Indices(&repeated), &mut scratch),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn two_layer_gradient_is_the_derivative(
        n in 1usize..5, m in 1usize..5, which in 0usize..4, seed in any::<u64>().no_shrink(),
    ) {
        let mut stream = RngStream::new(seed, 0);
        let mixing = random(n, n, &mut stream);
        let mut config = match which {
            0 => TwoLayerConfig::absolute_value(n, m),
            1 => TwoLayerConfig::neurons(n, m),
            2 => TwoLayerConfig::compressed(n, m, None),
            _ => TwoLayerConfig::compressed(n, m, Some(mixing)),
        };
        config.importance = (0..n).map(|i| 0.8_f64.powi(i as i32)).collect();
        let point: Vec<f64> = (0..config.parameters()).map(|_| stream.normal()).collect();
        let x = random(3, n, &mut stream);
        // Differences are not valid across a kink.
        let e = Array2::from_shape_fn((m, n), |(k, i)| point[k * n + i]);
        let d = match config.weights {
            DecoderWeights::Tied => e.clone(),
            DecoderWeights::Untied => Array2::from_shape_fn((m, n), |(k, i)| point[m * n + k * n + i]),
        };
        let b = Array1::from(point[point.len() - n..].to_vec());
        let before = x.dot(&e.t());
        let out = before.mapv(|z| z.max(0.0)).dot(&d) + &b;
        let smooth = config.output == Activation::Linear || out.iter().all(|z| z.abs() > 1e-3);
        prop_assume!(smooth && before.iter().all(|z| z.abs() > 1e-3));
        let loss = TwoLayerLoss::new(config, x).unwrap();
        let mut exact = vec![0.0; point.len()];
        let value = loss.loss_and_gradient_into(&point, Batch::All, &mut Scratch::new(), &mut exact);
        let differences = gradient(|p| loss.loss(p, Batch::All, &mut Scratch::new()), &point, 1e-6);
        prop_assert!(distance(&exact, &differences) < 1e-5 * (1.0 + value));
        let backwards = loss.loss(&point, Batch::Indices(&[2, 1, 0]), &mut Scratch::new());
        prop_assert!((value - backwards).abs() < 1e-12 * (1.0 + value));
        per_sample_losses_agree(&loss, &point);
    }
}

#[test]
fn enough_neurons_learn_the_absolute_value() {
    let source = Signed(SparseFeatures::uniform(3, 0.5).unwrap());
    let x = source.rows(500, &mut RngStream::new(9, 0));
    assert!(x.iter().any(|&v| v < 0.0) && x.iter().any(|&v| v > 0.0));
    // With linear outputs none can die.
    let config = TwoLayerConfig { output: Activation::Linear, ..TwoLayerConfig::absolute_value(3, 24) };
    let model = config.train(&source, 64, 2000, 1e-2, &RngStream::new(1, 0)).unwrap();
    let zero = TwoLayerTarget::Absolute.of(&x).mapv(|v| v * v).sum() / 500.0;
    assert!(model.loss(&x, &TwoLayerTarget::Absolute).unwrap() < 0.05 * zero);
    assert!(TwoLayerConfig::absolute_value(3, 0).train(&source, 64, 1, 1e-2, &RngStream::new(1, 0)).is_err());
    assert!(TwoLayerConfig::absolute_value(2, 4).train(&source, 64, 1, 1e-2, &RngStream::new(1, 0)).is_err());
}

#[test]
fn the_mixing_term_is_part_of_the_labels() {
    let mixing = TwoLayerTarget::Relu { mixing: Some(array![[0.0, 1.0], [0.0, 0.0]]) };
    assert_eq!(mixing.of(&array![[-1.0, 3.0]]), array![[3.0, 3.0]]);
}

#[test]
fn ands_of_two_active_features_are_exact() {
    let mut stream = RngStream::new(2, 0);
    let layer = UniversalAnd::random(20, 300, 0.3, &mut stream).unwrap();
    for i in 0..20 {
        for j in 0..i {
            let mut x = Array1::zeros(20);
            (x[i], x[j]) = (1.0, 1.0);
            let h = layer.neurons(&x).unwrap();
            assert_eq!(layer.read(&h, i, j).unwrap(), Some(1.0));
            let other = (0..20).find(|&k| k != i && k != j).unwrap();
            // Only sets that hold all three add to another pair: 0.3 of them on average.
            assert!(layer.read(&h, i, other).unwrap().unwrap() < 0.75);
        }
    }
    assert!(layer.neurons(&Array1::zeros(3)).is_err());
    assert!(layer.read(&Array1::zeros(300), 0, 20).is_err());
    assert!(UniversalAnd::random(5, 5, 0.0, &mut stream).is_err());
}

#[test]
fn incidental_sharing_is_rarer_with_more_neurons() {
    let count = |neurons: usize| -> usize {
        let sizes = IncidentalNeurons { features: 16, neurons, steps: 600, ..Default::default() };
        (0..4)
            .map(|seed| polysemantic_neurons(&sizes.train(&mut RngStream::new(seed, 0)).unwrap(), 0.25))
            .sum()
    };
    let (narrow, roomy) = (count(16), count(512));
    assert!(roomy < narrow, "{narrow} with 16 neurons, {roomy} with 512");
    let w = array![[0.1, -2.0], [0.0, 1.5], [3.0, 0.0]];
    assert_eq!(
        (largest_neurons(&w), neuron_collisions(&w), polysemantic_neurons(&w, 0.3)),
        (vec![1, 1, 0], 1, 1)
    );
}

#[test]
fn a_head_with_too_few_dimensions_drops_behaviours() {
    let mut stream = RngStream::new(3, 0);
    let head = HeadBehaviours::orthogonal(3, 8, &mut stream).unwrap();
    let small = head.output_value(2).unwrap();
    let answers = head.answers(&small, &head.reads.column(2)).unwrap();
    assert!(answers.iter().all(|a| a.abs() < 1e-12));
    assert!(head.disturbance(&small).unwrap().iter().all(|d| *d < 1e-24));
    assert!(HeadBehaviours::orthogonal(9, 8, &mut stream).is_err());
    assert!(head.output_value(0).is_err());
}

#[test]
fn matching_pursuit_decodes_and_states_its_guarantee() {
    // Two of six corners of a simplex in five dimensions: the guarantee holds below (1 + 5)/2.
    let simplex = simplex(5).unwrap();
    assert_eq!(guaranteed_sparsity(&simplex).unwrap(), 2);
    let x = array![0.0, 2.0, 0.0, 0.0, -1.0, 0.0];
    let found = matching_pursuit(&simplex, &simplex.dot(&x), 2).unwrap();
    assert!((found - &x).iter().all(|e| e.abs() < 1e-12));
    let nothing = matching_pursuit(&simplex, &Array1::zeros(5), 3).unwrap();
    assert_eq!(nothing, Array1::<f64>::zeros(6));
    assert_eq!(guaranteed_sparsity(&Array2::eye(4)).unwrap(), 4);
    assert!(matching_pursuit(&simplex, &Array1::zeros(4), 1).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn gradient_of_skip_trigrams_is_the_derivative(
        sources in 1usize..4, destinations in 1usize..4, heads in 1usize..4, dimension in 1usize..3, seed in any::<u64>().no_shrink(),
    ) {
        let task = SkipTrigrams { sources, destinations, heads, dimension, present: 0.5 };
        let mut stream = RngStream::new(seed, 0);
        let point: Vec<f64> = (0..task.parameters()).map(|_| stream.normal()).collect();
        let samples = task.samples(4, &mut stream);
        let (plain, nearest) = written_out(&task, &point, &samples);
        // Differences are not valid across a kink.
        prop_assume!(nearest > 1e-4);
        let loss = TrigramLoss::new(task, samples.clone()).unwrap();
        let mut exact = vec![0.0; point.len()];
        let value = loss.loss_and_gradient_into(&point, Batch::All, &mut Scratch::new(), &mut exact);
        prop_assert!((value - plain).abs() < 1e-12 * (1.0 + value), "{value}, expected {plain}");
        let differences = gradient(|p| loss.loss(p, Batch::All, &mut Scratch::new()), &point, 1e-6);
        prop_assert!(distance(&exact, &differences) < 1e-6 * (1.0 + value));
        let trained = TrainedTrigrams { task, parameters: point };
        prop_assert!((trained.loss(&samples) - value).abs() < 1e-12 * (1.0 + value));
        per_sample_losses_agree(&loss, &trained.parameters);
    }
}

/// Computes the loss of skip-trigrams directly from its formulas, and the distance of the outputs from their kinks.
fn written_out(task: &SkipTrigrams, w: &[f64], samples: &[TrigramSample]) -> (f64, f64) {
    let SkipTrigrams { sources, destinations, heads, dimension: r, .. } = *task;
    let answers = sources * destinations;
    let each = r * (destinations + 2 * sources + answers);
    let vector = |h: usize, row: usize, k: usize| w[h * each + row * r + k];
    let (mut loss, mut nearest) = (0.0, f64::INFINITY);
    for TrigramSample { destination, sources: present } in samples {
        for answer in 0..answers {
            let mut z = w[heads * each + answer];
            for h in 0..heads {
                let score = |a: usize| {
                    (0..r).map(|k| vector(h, *destination, k) * vector(h, destinations + a, k)).sum::<f64>()
                };
                let total = 1.0 + present.iter().map(|&a| score(a).exp()).sum::<f64>();
                for &a in present {
                    let written: f64 = (0..r)
                        .map(|k| {
                            vector(h, destinations + sources + a, k)
                                * vector(h, destinations + 2 * sources + answer, k)
                        })
                        .sum();
                    z += score(a).exp() / total * written;
                }
            }
            nearest = nearest.min(z.abs());
            let wanted = answer % destinations == *destination && present.contains(&(answer / destinations));
            loss += (z.max(0.0) - f64::from(u8::from(wanted))).powi(2) / samples.len() as f64;
        }
    }
    (loss, nearest)
}

#[test]
fn invalid_tasks_and_tokens_are_errors() {
    let task = SkipTrigrams::default();
    assert!(TrigramLoss::new(task, vec![]).is_err());
    assert!(TrigramLoss::new(task, vec![TrigramSample { destination: 3, sources: vec![] }]).is_err());
    assert!(TrigramLoss::new(task, vec![TrigramSample { destination: 0, sources: vec![2] }]).is_err());
    assert!(SkipTrigrams { heads: 0, ..task }.train(4, 1, 1e-2, &RngStream::new(1, 0)).is_err());
    assert!(SkipTrigrams { present: f64::NAN, ..task }.train(4, 1, 1e-2, &RngStream::new(1, 0)).is_err());
    assert!(task.train(0, 1, 1e-2, &RngStream::new(1, 0)).is_err());
    assert!(task.train(4, 1, -1.0, &RngStream::new(1, 0)).is_err());
}

#[test]
fn the_objective_of_incidental_neurons_is_their_loss() {
    let model = IncidentalNeurons { features: 3, neurons: 4, l1: 0.1, ..IncidentalNeurons::default() };
    let w = model.start(&mut RngStream::new(4, 0)).unwrap();
    let point = w.iter().copied().collect::<Vec<f64>>();
    let mut exact = vec![0.0; 12];
    let value = model.loss_and_gradient_into(&point, Batch::All, &mut Scratch::new(), &mut exact);
    let outputs = w.dot(&w.t()).mapv(|g| g.max(0.0)) - Array2::<f64>::eye(3);
    let plain = (outputs.mapv(|e| e * e).sum() + 0.1 * w.mapv(f64::abs).sum()) / 3.0;
    assert!((value - plain).abs() < 1e-14);
    let differences = gradient(|p| model.loss(p, Batch::All, &mut Scratch::new()), &point, 1e-6);
    assert!(distance(&exact, &differences) < 1e-8);
    // Training lowers this loss.
    let trained = model.train(&mut RngStream::new(4, 0)).unwrap();
    let end: Vec<f64> = trained.iter().copied().collect();
    assert!(model.loss(&end, Batch::All, &mut Scratch::new()) < value);
    let one = model.loss(&point, Batch::Indices(&[1]), &mut Scratch::new());
    let rest = model.loss(&point, Batch::Indices(&[0, 2]), &mut Scratch::new());
    assert!((one / 3.0 + 2.0 * rest / 3.0 - value).abs() < 1e-14);
}
