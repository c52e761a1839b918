//! Attention-only transformers and their sequences of questions.

use collimate_grad::{Batch, CheckConfig, Objective, Scratch, check_gradient};
use collimate_stream::RngStream;
use collimate_studies::induction::{AttentionOnly, Bigrams, Questions, Size};

const SIZE: Size = Size { vocabulary: 6, positions: 7, width: 5, head_width: 3, heads: 2, layers: 2 };

/// The loss on fixed questions.
struct Asked(Questions);

impl Objective<f64> for Asked {
    fn n_parameters(&self) -> usize {
        SIZE.parameters()
    }
    fn n_samples(&self) -> usize {
        1
    }
    fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        let model = AttentionOnly::from_weights(SIZE, w.to_vec()).unwrap();
        let (loss, gradient) = model.loss_and_gradient(&self.0).unwrap();
        out.copy_from_slice(&gradient);
        loss
    }
}

#[test]
fn gradients_are_central_differences() {
    let mut stream = RngStream::new(2, 0);
    let questions = Bigrams::draw(6, 5, 2, 0.1, &mut stream).seen(3, &mut stream);
    let model = AttentionOnly::<f64>::new(SIZE, &mut stream);
    let report =
        check_gradient(&Asked(questions), model.weights(), Batch::All, &CheckConfig::default()).unwrap();
    assert!(report.passed(), "{report}");
    assert!(AttentionOnly::from_weights(SIZE, vec![0.0; 3]).is_err());
}

#[test]
fn held_out_bigrams_never_occur_in_training() {
    let mut stream = RngStream::new(3, 0);
    let bigrams = Bigrams::draw(10, 8, 3, 0.3, &mut stream);
    let seen = bigrams.seen(50, &mut stream);
    for row in seen.tokens.rows() {
        let neighbours = row.iter().zip(row.iter().skip(1));
        assert!(neighbours.into_iter().all(|(&a, &b)| !bigrams.is_held_out(a, b)));
    }
    assert_eq!(seen.counted().count(), 150);
    let unseen = bigrams.unseen(50, &mut stream);
    let share = unseen.counted().count() as f64 / 150.0;
    assert!((share - 0.3).abs() < 0.15, "{share}");
    for (questions, row) in [(&seen, 7), (&unseen, 31)] {
        for (question, answer) in questions.answers.row(row).iter().enumerate() {
            let tokens = questions.tokens.row(row);
            let place = tokens.iter().position(|&token| token == tokens[8 + question]).unwrap();
            assert!(place < 7 && tokens[place + 1] == *answer);
        }
    }
}

#[test]
fn a_model_without_weights_answers_nothing_right() {
    let mut stream = RngStream::new(4, 0);
    let questions = Bigrams::draw(6, 5, 2, 0.0, &mut stream).seen(20, &mut stream);
    let model = AttentionOnly::from_weights(SIZE, vec![0.0_f64; SIZE.parameters()]).unwrap();
    // Equal logits do not count as an answer.
    assert_eq!(model.accuracy(&questions).unwrap(), 0.0);
    assert!((model.loss_and_gradient(&questions).unwrap().0 - 6.0_f64.ln()).abs() < 1e-12);
}

#[test]
fn a_stream_determines_the_trained_model() {
    let trained = || {
        let mut stream = RngStream::new(5, 0);
        let bigrams = Bigrams::draw(6, 5, 2, 0.1, &mut stream);
        let mut model = AttentionOnly::<f32>::new(SIZE, &mut stream);
        model.train(20, 1e-2, || bigrams.seen(8, &mut stream)).unwrap();
        model
    };
    let model = trained();
    assert_eq!(model, trained());
    let mut model = model;
    assert!(model.train(1, f64::NAN, || unreachable!("the rate is checked first")).is_err());
}
