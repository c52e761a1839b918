//! The gradients of the networks against finite differences and against the general transformer.

use super::network::{AdditionNetwork, place};
use super::one_layer::OneLayer;
use super::two_layer::{TwoLayer, Unit};
use crate::development::numbers::Numbers;
use approx::assert_abs_diff_eq;
use collimate_transformer::{
    Activation, AttentionDescription, Description, Input, LayerDescription, LearnedPositions, MlpDescription,
    Model, Norm, ParameterName, Part, RngStream,
};
use ndarray::Array2;

const P: usize = 7;
const PAIRS: [[usize; 2]; 5] = [[0, 3], [6, 6], [2, 5], [3, 0], [1, 1]];

fn sums() -> Vec<usize> {
    PAIRS.iter().map(|[a, b]| (a + b) % P).collect()
}

fn gradient(network: &mut dyn AdditionNetwork<f64>) -> Vec<Array2<f64>> {
    let mut gradient: Vec<_> =
        network.tensors().iter().map(|x| Array2::from_elem(x.dim(), f64::NAN)).collect();
    network.gradient(&PAIRS, &sums(), &mut gradient);
    gradient
}

fn agrees_with_finite_differences(network: &mut dyn AdditionNetwork<f64>) {
    let gradient = gradient(network);
    // The error of a central difference is h²/6 times a third derivative of order 1, plus 1e-16/h.
    let h = 1e-5;
    for (tensor, gradient) in gradient.iter().enumerate() {
        for (at, slope) in gradient.indexed_iter() {
            let kept = network.tensors()[tensor][at];
            let mut loss = |x: f64| {
                network.tensors_mut()[tensor][at] = x;
                network.entropy(&PAIRS, &sums()).loss
            };
            let difference = (loss(kept + h) - loss(kept - h)) / (2.0 * h);
            network.tensors_mut()[tensor][at] = kept;
            assert_abs_diff_eq!(difference, *slope, epsilon = 1e-8);
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    agrees_with_finite_differences(&mut TwoLayer::new(Unit::Square, P, 6, 1, Numbers::SplitMix));
    agrees_with_finite_differences(&mut TwoLayer::new(Unit::Relu, P, 6, 1, Numbers::SplitMix));
    agrees_with_finite_differences(&mut OneLayer::new(P, 8, 1, Numbers::SplitMix));
}

/// Returns the same transformer as a model of any architecture.
fn general(network: &OneLayer<f64>, width: usize) -> Model<f64> {
    let attention = AttentionDescription::new(4, 4, width / 4);
    let mlp = MlpDescription::new(4 * width, false, Activation::Relu);
    let mut layer = LayerDescription::new(attention, mlp, Norm::layer(1e-5));
    (layer.attention_norm, layer.mlp_norm) = (None, None);
    let mut description = Description::new("addition", P + 1, width, 3);
    description.embedding.positions = Some(LearnedPositions::new(3));
    description.layers = vec![layer];
    let model = Model::random(description, &RngStream::new(1, 0));
    let weights = model.parameters().map(|(ParameterName { part, .. }, old)| {
        let own = network.tensors()[number(part)].clone();
        // The general model has the logit of "=" too.
        let mut whole = Array2::zeros(old.dim());
        whole.slice_mut(ndarray::s![..own.nrows(), ..]).assign(&own);
        whole
    });
    let weights = weights.collect();
    model.with_parameters(weights).unwrap()
}

fn number(part: Part) -> usize {
    match part {
        Part::TokenEmbedding => place::EMBEDDING,
        Part::PositionEmbedding => place::POSITIONS,
        Part::Query => place::QUERY,
        Part::Key => place::KEY,
        Part::Value => place::VALUE,
        Part::AttentionOutput => place::OUTPUT,
        Part::Up => place::UP,
        Part::Down => place::DOWN,
        Part::Head => place::UNEMBEDDING,
        other => panic!("{other:?} has no place"),
    }
}

#[test]
fn the_transformer_by_tables_has_the_loss_of_the_general_transformer() {
    let mut network = OneLayer::<f64>::new(P, 8, 2, Numbers::ChaCha);
    let model = general(&network, 8);
    let token = |row: usize, t: usize| [PAIRS[row][0], PAIRS[row][1], P][t] as u32;
    let input = Input::new(Array2::from_shape_fn((PAIRS.len(), 3), |(row, t)| token(row, t)));
    let logits = model.run(&input, &mut ()).unwrap().logits.unwrap();
    let losses = sums().into_iter().enumerate().map(|(row, sum)| {
        let logits = logits.slice(ndarray::s![row, 2, ..P]);
        logits.iter().map(|x| x.exp()).sum::<f64>().ln() - logits[sum]
    });
    let expected = losses.sum::<f64>() / PAIRS.len() as f64;
    // Sums of some ten terms of order 1 each.
    assert_abs_diff_eq!(network.entropy(&PAIRS, &sums()).loss, expected, epsilon = 1e-13);
}
