//! The gradients of the metrics, and prompts that do not fit.

use collimate_circuits::{Answer, CircuitError, Metric, Pair};

#[test]
fn gradients_of_metrics_are_central_differences() {
    let logits = ndarray::array![[0.3, -0.2, 1.0], [0.5, 0.1, -0.7]];
    for metric in [
        Answer::LogitDifference { answer: 2, wrong: 0 },
        Answer::Probability { answer: 1 },
        Answer::Loss { answer: 1 },
    ] {
        let gradient = metric.gradient(&logits);
        for ((t, v), &given) in gradient.indexed_iter() {
            let at = |step: f64| {
                let mut moved = logits.clone();
                moved[[t, v]] += step;
                metric.value(&moved)
            };
            // The third derivative is at most 1, so the difference is off by h²/6 and by rounding of 2e-16/h.
            let difference = (at(1e-4) - at(-1e-4)) / 2e-4;
            assert!((given - difference).abs() < 1e-8, "{metric:?} {t} {v}: {given} for {difference}");
        }
    }
}

#[test]
fn prompts_of_unequal_length_are_refused_with_their_tokens() {
    let error = Pair::new(vec![1, 2, 3], vec![4, 5]).unwrap_err();
    assert!(matches!(error, CircuitError::UnequalLengths { .. }));
    let text = error.to_string();
    assert!(text.contains("3 tokens") && text.contains("[1, 2, 3]") && text.contains("[4, 5]"), "{text}");
    let unknown = Answer::Loss { answer: 9 }.check(9).unwrap_err().to_string();
    assert!(unknown.contains("9 of the metric"), "{unknown}");
}
