//! Pinned small cases that need no file.

use collimate_sae::{Gated, InputBias, JumpRelu, Sae, Weights};
use ndarray::{Array1, array};

#[test]
fn a_gate_that_is_worked_out_by_hand() {
    // d = 2, n = 3, all encoder and decoder entries one: h = 0.6 for every latent.
    let weights = Weights {
        w_enc: ndarray::Array2::ones((3, 2)),
        w_dec: ndarray::Array2::ones((3, 2)),
        b_dec: Array1::zeros(2),
        per_latent: vec![array![-2.0, 0.0, 1.0], Array1::ones(3), array![1.0, 2.0, 3.0]],
    };
    let sae = Sae::from_weights(Gated::paper(), weights).unwrap();
    let x = array![[0.3, 0.3]];
    let codes = sae.dictionary().encode(&x).unwrap().to_dense();
    let expected = [0.0, 0.6 * 2f64.exp() + 1.0, 0.6 * 3f64.exp() + 1.0];
    assert_eq!(codes[[0, 0]], 0.0);
    for (ours, expected) in codes.iter().zip(expected) {
        assert!((ours - expected).abs() < 1e-12);
    }
    let x_hat = sae.dictionary().reconstruct(&x).unwrap();
    assert!((x_hat[[0, 0]] - 18.4848).abs() < 5e-5, "{x_hat}");
    // b_mag − e^r b_gate = 1 + 2e, 1, 1 − e³: the last is negative and becomes 0.
    let jump = sae.to_jump_relu().unwrap();
    let thresholds = &jump.weights().per_latent[1];
    assert!((thresholds[0] - (1.0 + 2.0 * 1f64.exp())).abs() < 1e-12);
    assert_eq!((thresholds[1], thresholds[2]), (1.0, 0.0));
}

#[test]
fn the_thresholds_of_the_published_example() {
    let weights = Weights {
        w_enc: ndarray::Array2::ones((2, 1)),
        w_dec: ndarray::Array2::ones((2, 1)),
        b_dec: Array1::zeros(1),
        per_latent: vec![array![0.3, -0.4], array![0.1, -0.2], array![0.0, 0.5]],
    };
    let jump = Sae::from_weights(Gated::paper(), weights).unwrap().to_jump_relu().unwrap();
    let thresholds = &jump.weights().per_latent[1];
    assert_eq!(thresholds[0], 0.0); // −0.2 without the maximum
    assert!((thresholds[1] - 0.459_488_508_28_f64).abs() < 1e-10);
}

#[test]
fn a_value_at_the_threshold_is_off() {
    let weights = Weights {
        w_enc: array![[1.0]],
        w_dec: array![[1.0]],
        b_dec: array![0.0],
        per_latent: vec![array![0.0], array![0.5]],
    };
    let sae = Sae::from_weights(JumpRelu::with_input_bias(InputBias::NotSubtracted), weights).unwrap();
    let codes = sae.dictionary().encode(&array![[0.35], [0.5], [0.55], [-0.2]]).unwrap().to_dense();
    assert_eq!(codes, array![[0.0], [0.0], [0.55], [0.0]]);
}
