//! Loss and KL recovered where the exact values are known, and activations written to shards.

use approx::assert_abs_diff_eq;
use collimate_measure::Fingerprint;
use collimate_sae::shards::Shards;
use collimate_sae::{Dictionary, InputBias, PenaltyWeight, Relu, Sae, Weights};
use collimate_stream::RngStream;
use collimate_studies::language_model::{CaptureTarget, capture, capture_into, mean_row, source_of};
use collimate_studies::latents::{TopOptions, top_firings};
use collimate_studies::splicing::{HeldOut, Recovered, RecoveredOptions, loss_recovered, recovered};
use collimate_studies::{LeaveOut, Provenance, RowRule, Sequence, StudyError, rows_at};
use collimate_transformer::{Description, HookPoint, Model, Run, Site};
use ndarray::{Array1, Array2, Axis, concatenate, s};

fn random() -> Model<f32> {
    Model::<f32>::random(Description::small(), &RngStream::new(6, 0))
}

fn sequences(seed: u64) -> Vec<Sequence> {
    let mut stream = RngStream::new(seed, 0);
    (0..4)
        .map(|document| Sequence { document, tokens: (0..12).map(|_| stream.below(61) as u32).collect() })
        .collect()
}

/// Makes a dictionary with codes ReLU(±x) whose reconstruction is `gain` times the input.
fn identity(d: usize, gain: f32) -> Dictionary<f32> {
    let eye = Array2::<f32>::eye(d);
    let both = concatenate(Axis(0), &[eye.view(), (-&eye).view()]).unwrap();
    let weights = Weights {
        w_dec: &both * gain,
        w_enc: both,
        b_dec: Array1::zeros(d),
        per_latent: vec![Array1::zeros(2 * d)],
    };
    let relu = Relu { penalty: PenaltyWeight::DecoderNorm, input_bias: InputBias::NotSubtracted };
    Sae::from_weights(relu, weights).unwrap().into_dictionary()
}

/// Measures a dictionary where no row but position 0 is left out.
fn alone(
    model: &Model<f32>,
    dictionary: &Dictionary<f32>,
    point: HookPoint,
    sequences: &[Sequence],
    mean: &Array1<f32>,
) -> Recovered {
    let options = RecoveredOptions { point, mean, rule: RowRule::default() };
    let [found] = recovered(model, [dictionary], &options, sequences, &mut |_| true).unwrap();
    found
}

#[test]
fn a_perfect_dictionary_recovers_all_and_an_empty_one_nothing() {
    let (model, sequences) = (random(), sequences(1));
    let d = model.description().width;
    for site in [Site::ResidualPost, Site::AttentionOutput, Site::MlpOutput] {
        let point = HookPoint { layer: 1, site };
        let mean = Array1::from_elem(d, 0.3);
        let of = |gain| alone(&model, &identity(d, gain), point, &sequences, &mean);
        let perfect = of(1.0);
        assert_eq!(perfect.predictions, 4 * 10);
        assert!((perfect.loss.against_zero() - 1.0).abs() < 1e-4, "{:?}", perfect.loss);
        assert!((perfect.loss.against_mean() - 1.0).abs() < 1e-4, "{:?}", perfect.loss);
        assert!(perfect.kl.reconstructed.abs() < 1e-6 && (perfect.kl.against_zero() - 1.0).abs() < 1e-4);
        // The clean loss is the model's own, without the prediction made at position 0.
        let own: f64 = sequences
            .iter()
            .map(|q| model.losses(Run::of(&q.tokens), &mut ()).unwrap()[0].nll[1..].iter().sum::<f64>())
            .sum();
        assert_abs_diff_eq!(perfect.loss.clean, own / 40.0, epsilon = 1e-5);
        let empty = of(0.0);
        assert!(empty.loss.against_zero().abs() < 1e-6 && empty.kl.against_zero().abs() < 1e-6, "{empty:?}");
        assert_eq!(empty.loss.zero_ablated, perfect.loss.zero_ablated);
    }
}

#[test]
fn means_are_pooled_by_their_predictions_and_the_null_is_a_floor() {
    let model = random();
    let d = model.description().width;
    let (point, mean) = (Site::ResidualPost.of_layer(0), Array1::from_elem(d, 0.1));
    let (some, others) = (sequences(2), sequences(3)[..2].to_vec());
    let both: Vec<Sequence> = some.iter().chain(&others).cloned().collect();
    let dictionary = identity(d, 0.9);
    let options = RecoveredOptions { point, mean: &mean, rule: RowRule::default() };
    let of = |q: &[Sequence]| {
        recovered(&model, [&dictionary, &dictionary.null(7)], &options, q, &mut |_| true).unwrap()
    };
    let ([mut a, _], [b, _], [whole, null]) = (of(&some), of(&others), of(&both));
    a.merge(&b);
    assert_eq!(a.predictions, whole.predictions);
    for (x, y) in [
        (a.loss.clean, whole.loss.clean),
        (a.loss.reconstructed, whole.loss.reconstructed),
        (a.loss.mean_ablated, whole.loss.mean_ablated),
        (a.kl.reconstructed, whole.kl.reconstructed),
        (a.kl.zero_ablated, whole.kl.zero_ablated),
    ] {
        assert_abs_diff_eq!(x, y, epsilon = 1e-9);
    }
    // The codes with shuffled directions recover far less of the predictions. The loss of a random model on random text is chance, so it
    // says nothing here.
    assert!(null.kl.against_zero() < whole.kl.against_zero() - 0.3, "{null:?} {whole:?}");
    let pairs = whole.with_null(&null, Fingerprint::of(b"dictionary"));
    assert_eq!(pairs.len(), 11, "two ratios and four losses, two ratios and three divergences");
    assert!(pairs.iter().all(|pair| pair.measured.n == 60 && pair.measured.quantity == pair.null.quantity));
    assert!(pairs[0].to_string().contains("decoder rows shuffled"), "{}", pairs[0]);
    assert_eq!(of(&others)[1], of(&others)[1], "the seed decides the null");
}

#[test]
fn captured_shards_hold_the_rows_of_the_site() {
    let (model, sequences) = (random(), sequences(4));
    let folder = tempfile::tempdir().unwrap();
    let point = Site::HeadOutput.of_layer(2);
    let targets = [(point, folder.path().join("a")), (Site::MlpOutput.of_layer(0), folder.path().join("b"))];
    let shards = &capture(&model, &sequences, &targets, &mut |_| true).unwrap()[0];
    assert_eq!(shards.source(), source_of(&model, &sequences, point));
    assert_eq!((shards.rows(), shards.width()), (4 * 11, 32));
    let expected: Vec<Array2<f32>> = sequences
        .iter()
        .map(|q| rows_at(&model, &q.tokens, point).unwrap().slice(s![1.., ..]).to_owned())
        .collect();
    let views: Vec<_> = expected.iter().map(|rows| rows.view()).collect();
    let expected = concatenate(Axis(0), &views).unwrap();
    let mean = mean_row(shards).unwrap();
    let off = (&mean - &expected.mean_axis(Axis(0)).unwrap()).fold(0.0, |m: f32, v| m.max(v.abs()));
    assert!(off < 1e-3, "{off}"); // stored in half precision
    // A capture that is stopped or refused leaves nothing behind, and what was there stays.
    let stopped = capture(&model, &sequences, &[(point, folder.path().join("c"))], &mut |done| done < 2);
    assert!(matches!(stopped, Err(StudyError::Interrupted)));
    let refused = capture(&model, &sequences[..1], &targets[..1], &mut |_| true);
    assert!(matches!(refused, Err(StudyError::Output(_))));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    assert_eq!(Shards::open(folder.path().join("a")).unwrap().rows(), shards.rows());
    // A latent fires most where its code is largest.
    let dictionary = identity(32, 1.0);
    let options = TopOptions { latents: &[3], most: 2, ..TopOptions::default() };
    let found = top_firings(&model, &dictionary, point, &sequences, &options, &mut |_| true).unwrap();
    let (tops, fired) = (found.tops, found.fired);
    assert_eq!(found.rows, 4 * 11);
    let largest = expected.column(3).fold(0.0, |m: f32, &v| m.max(v));
    assert_abs_diff_eq!(tops[0].firings[0].code, largest, epsilon = 1e-6);
    assert_eq!(fired[3], expected.column(3).iter().filter(|v| **v > 0.0).count() as u64);
    assert_eq!(tops[0].fired, fired[3]);
}

#[test]
fn held_out_text_gives_the_same_losses_as_the_hooks_of_a_whole_run() {
    let (model, sequences) = (random(), sequences(5));
    let d = model.description().width;
    let (mean, dictionary) = (Array1::from_elem(d, 0.2), identity(d, 0.8));
    for site in [Site::ResidualPost, Site::AttentionOutput, Site::MlpOutput] {
        let point = HookPoint { layer: 1, site };
        let expected = alone(&model, &dictionary, point, &sequences, &mean).loss;
        let held_out = HeldOut::new(&model, point, sequences.clone(), &mean).unwrap();
        let found = held_out.fidelity(&model, &dictionary, &mut || true).unwrap();
        assert_eq!((found.losses.len(), held_out.predictions()), (4, 40));
        let losses = loss_recovered(&found.losses, &[0, 1, 2, 3]);
        for (a, b) in [
            (losses.clean, expected.clean),
            (losses.reconstructed, expected.reconstructed),
            (losses.zero_ablated, expected.zero_ablated),
            (losses.mean_ablated, expected.mean_ablated),
            (held_out.ablations().mean_ablated, expected.mean_ablated),
        ] {
            assert!((a - b).abs() < 1e-4, "{point}: {losses} and not {expected}");
        }
        let rows = HeldOut::rows_only(&model, point, sequences.clone()).unwrap();
        let alone = rows.reconstruction(&dictionary).unwrap();
        assert_eq!(alone, found.evaluation.documents);
    }
}

#[test]
fn rows_that_are_left_out_stay_as_they_are() {
    let (model, sequences) = (random(), sequences(7));
    let (d, point) = (model.description().width, Site::ResidualPost.of_layer(1));
    let (mean, half) = (Array1::from_elem(d, 0.2), identity(d, 0.5));
    let of = |rule: &LeaveOut| {
        let rule = rule.at(&model, &sequences, point).unwrap();
        let options = RecoveredOptions { point, mean: &mean, rule };
        let [found] = recovered(&model, [&half], &options, &sequences, &mut |_| true).unwrap();
        found
    };
    // A rule that leaves nothing out is the default.
    let plain = alone(&model, &half, point, &sequences, &mean);
    assert_eq!(of(&LeaveOut::default()), plain);
    // A rule that leaves everything out changes no prediction.
    let all = of(&LeaveOut { tokens: (0..61).collect(), max_norm: None });
    for loss in [all.loss.reconstructed, all.loss.zero_ablated, all.loss.mean_ablated] {
        assert_abs_diff_eq!(loss, all.loss.clean, epsilon = 1e-9);
    }
    // Between the two, fewer rows are halved.
    let some = of(&LeaveOut { tokens: Vec::new(), max_norm: Some(1.0) });
    assert!(some.kl.reconstructed > 0.0 && some.kl.reconstructed < plain.kl.reconstructed, "{some:?}");
}

#[test]
fn captured_rows_are_left_out_by_token_and_by_norm_and_the_set_says_so() {
    let (model, sequences) = (random(), sequences(8));
    let folder = tempfile::tempdir().unwrap();
    let point = Site::ResidualPost.of_layer(2);
    let captured = |name: &str, rule: &LeaveOut| {
        let mut target = CaptureTarget::begin(point, &folder.path().join(name)).unwrap();
        target.about = Provenance::of(&model, point, rule).known().clone();
        capture_into(&model, &sequences, vec![target], rule, &mut |_| true).map(|mut sets| sets.remove(0))
    };
    let all = captured("all", &LeaveOut::default()).unwrap();
    assert_eq!(all.source(), source_of(&model, &sequences, point));
    assert_eq!(all.about()["left_out"], "position 0");
    let token = sequences[0].tokens[3];
    let times = |tokens: &[u32]| tokens[1..].iter().filter(|&&other| other == token).count() as u64;
    let expected = all.rows() - sequences.iter().map(|q| times(&q.tokens)).sum::<u64>();
    let without = captured("token", &LeaveOut { tokens: vec![token], max_norm: None }).unwrap();
    assert_eq!(without.rows(), expected);
    assert!(
        without.source() != all.source() && without.about()["left_out"].contains(&format!("tokens {token}"))
    );
    let short = captured("norm", &LeaveOut { tokens: Vec::new(), max_norm: Some(1.0) }).unwrap();
    // Half of the rows are at most as long as the median.
    assert_eq!(short.rows(), all.rows().div_ceil(2));
    let norms = |set: &Shards| -> Vec<f32> {
        let blocks = set.blocks(100).map(|block| block.unwrap().rows);
        blocks.flat_map(|rows| rows.rows().into_iter().map(|row| row.dot(&row)).collect::<Vec<_>>()).collect()
    };
    let longest = norms(&short).into_iter().fold(0.0, f32::max);
    assert_eq!(norms(&all).into_iter().filter(|&norm| norm <= longest).count() as u64, short.rows());
    // A rule that leaves nothing to capture is an error, and leaves nothing behind.
    let none = captured("none", &LeaveOut { tokens: (0..61).collect(), max_norm: None });
    assert!(matches!(none, Err(StudyError::NoRows)));
    assert!(!folder.path().join("none").exists());
    let bad = captured("bad", &LeaveOut { tokens: Vec::new(), max_norm: Some(-1.0) });
    assert!(bad.unwrap_err().to_string().contains("max_norm"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn latents_of_both_signs_fire_and_rows_that_are_left_out_do_not() {
    use collimate_sae::{AbsTopK, Size};
    let (model, sequences) = (random(), sequences(9));
    let (d, point) = (model.description().width, Site::ResidualPost.of_layer(1));
    let size = Size { d_model: d, n_latents: 6 };
    let sae = Sae::<f32>::new(AbsTopK::new(3), size, &mut RngStream::new(2, 0)).unwrap();
    let dictionary = sae.into_dictionary();
    let latents: Vec<u32> = (0..6).collect();
    let options = TopOptions { latents: &latents, most: 4, ..TopOptions::default() };
    let found = top_firings(&model, &dictionary, point, &sequences, &options, &mut |_| true).unwrap();
    let (tops, fired) = (found.tops, found.fired);
    assert_eq!(fired.iter().sum::<u64>(), 3 * 4 * 11, "three latents fire at every position");
    for top in &tops {
        assert_eq!(top.histogram.iter().sum::<u64>(), top.fired);
        assert!(top.firings.windows(2).all(|pair| pair[0].code.abs() >= pair[1].code.abs()));
        assert!(top.range[0] <= 0.0 && top.range[1] >= 0.0);
        let largest = top.firings[0].code;
        assert!(largest == top.range[0] || largest == top.range[1], "{largest} {:?}", top.range);
    }
    assert!(tops.iter().any(|top| top.firings.iter().any(|firing| firing.code < 0.0)));
    assert!(tops.iter().any(|top| top.firings.iter().any(|firing| firing.code > 0.0)));
    let rule = LeaveOut { tokens: vec![sequences[0].tokens[3]], max_norm: None };
    let rule = rule.at(&model, &sequences, point).unwrap();
    let options = TopOptions { rule, ..options };
    let found = top_firings(&model, &dictionary, point, &sequences, &options, &mut |_| true).unwrap();
    assert!(found.rows < 44 && found.fired.iter().sum::<u64>() == 3 * found.rows, "{}", found.rows);
}
