use collimate_grad::{Batch, CheckConfig, Coordinates, GradError, Kinks, Objective, Scratch, check_gradient};

/// Σ c_i sin(w_i) + |w_last|, with one derivative off by a factor.
struct Planted {
    scales: Vec<f64>,
    wrong: Option<(usize, f64)>,
}

impl Objective<f64> for Planted {
    fn n_parameters(&self) -> usize {
        self.scales.len() + 1
    }
    fn n_samples(&self) -> usize {
        1
    }
    fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        let n = self.scales.len();
        let mut loss = w[n].abs();
        out[n] = w[n].signum();
        for i in 0..n {
            loss += self.scales[i] * w[i].sin();
            out[i] = self.scales[i] * w[i].cos();
        }
        if let Some((at, factor)) = self.wrong {
            out[at] *= factor;
        }
        loss
    }
    fn coordinate_name(&self, index: usize) -> String {
        if index == self.scales.len() { "the kink".into() } else { format!("angle {index}") }
    }
}

fn w(n: usize, last: f64) -> Vec<f64> {
    (0..n).map(|i| 0.3 + 0.17 * i as f64).chain([last]).collect()
}

#[test]
fn a_right_gradient_passes_over_nine_orders_of_magnitude() {
    let objective = Planted { scales: vec![1e5, 1.0, 1e-4, 0.0], wrong: None };
    let report = check_gradient(&objective, &w(4, 0.8), Batch::All, &CheckConfig::default()).unwrap();
    assert!(report.passed(), "{report}");
    assert_eq!(report.judged, 5);
}

#[test]
fn an_error_of_one_in_a_hundred_thousand_is_found_and_named() {
    for at in 0..3 {
        let objective = Planted { scales: vec![2.0, 1.0, 0.5], wrong: Some((at, 1.0 + 1e-5)) };
        let report = check_gradient(&objective, &w(3, -0.8), Batch::All, &CheckConfig::default()).unwrap();
        assert_eq!(report.failed, 1, "{report}");
        assert_eq!(report.worst.as_ref().unwrap().name, format!("angle {at}"));
        assert!(report.to_string().contains(&format!("the worst is angle {at}")));
    }
}

#[test]
fn a_kink_is_set_aside_unless_it_is_to_be_judged() {
    let objective = Planted { scales: vec![1.0], wrong: None };
    for near in [0.0, 2e-5, -7e-5] {
        let report = check_gradient(&objective, &w(1, near), Batch::All, &CheckConfig::default()).unwrap();
        assert_eq!((report.kinks.as_slice(), report.judged), (&[1usize][..], 1), "{report}");
        assert!(report.passed());
    }
    let judge = CheckConfig { kinks: Kinks::Judge, ..CheckConfig::default() };
    let report = check_gradient(&objective, &w(1, 0.0), Batch::All, &judge).unwrap();
    assert_eq!((report.failed, report.judged), (1, 2));
    assert_eq!(report.worst.unwrap().name, "the kink");
}

#[test]
fn a_sample_of_coordinates_is_reproducible_and_without_repeats() {
    let objective = Planted { scales: vec![1.0; 50], wrong: None };
    let config =
        CheckConfig { coordinates: Coordinates::Sample { count: 20, seed: 4 }, ..CheckConfig::default() };
    let report = check_gradient(&objective, &w(50, 1.0), Batch::All, &config).unwrap();
    assert_eq!(report.judged, 20);
    assert_eq!(report, check_gradient(&objective, &w(50, 1.0), Batch::All, &config).unwrap());
}

#[test]
fn a_loss_that_is_not_a_number_is_an_error_and_not_a_pass() {
    let objective = Planted { scales: vec![1.0], wrong: None };
    let error =
        check_gradient(&objective, &[f64::NAN, 1.0], Batch::All, &CheckConfig::default()).unwrap_err();
    assert!(matches!(error, GradError::NonFinite { argument: "loss", .. }));
    assert!(check_gradient(&objective, &[1.0], Batch::All, &CheckConfig::default()).is_err());
}

#[test]
fn a_batch_that_is_empty_or_names_no_sample_is_an_error() {
    let objective = Planted { scales: vec![1.0], wrong: None };
    let check = |batch| check_gradient(&objective, &w(1, 1.0), batch, &CheckConfig::default());
    let error = check(Batch::Indices(&[])).unwrap_err();
    assert_eq!(error.to_string(), "the number of terms of the batch must be at least 1, but is 0");
    let error = check(Batch::Indices(&[0, 1])).unwrap_err();
    assert_eq!(error.to_string(), "batch[1] is sample 1, but there are only 1 samples");
    assert!(check(Batch::Indices(&[0, 0])).unwrap().passed());
    assert!(Batch::All.check(0).is_err() && Batch::All.check(1).is_ok());
}

#[test]
fn settings_without_a_meaning_are_errors() {
    let objective = Planted { scales: vec![1.0], wrong: None };
    let good = CheckConfig::default();
    for (bad, name) in [
        (CheckConfig { step: 0.0, ..good }, "step"),
        (CheckConfig { step: f64::NAN, ..good }, "step"),
        (CheckConfig { relative: -1.0, ..good }, "relative"),
        (CheckConfig { of_largest: f64::INFINITY, ..good }, "of_largest"),
    ] {
        let error = check_gradient(&objective, &w(1, 1.0), Batch::All, &bad).unwrap_err();
        assert!(error.to_string().starts_with(name), "{error}");
    }
}
