//! Diagnostics on chains with known problems.

use collimate_slt::{
    BatchSampling, Beta, ChainDiagnosis, DiagnosisInput, Doubt, ExternalTrace, Llc, NBeta, QuadraticLoss,
    Sampling, StepSize, Sweep, autocorrelation_time, bulk_ess, rank_normalised_r_hat, read_csv, tail_ess,
};
use collimate_stream::RngStream;

/// Runs chains of an autoregression with coefficient ρ.
fn chains(rho: f64, draws: usize, stream: &mut RngStream) -> Vec<Vec<f64>> {
    (0..4)
        .map(|_| {
            let mut x = stream.normal();
            let mut step = || {
                x = rho * x + (1.0 - rho * rho).sqrt() * stream.normal();
                x
            };
            (0..draws).map(|_| step()).collect()
        })
        .collect()
}

#[test]
fn a_monotone_map_keeps_rank_based_sizes() {
    let mut stream = RngStream::new(1, 0);
    let x = chains(0.6, 4000, &mut stream);
    let wild: Vec<Vec<f64>> = x.iter().map(|c| c.iter().map(|x| (4.0 * x).exp()).collect()).collect();
    assert!((bulk_ess(&x) - bulk_ess(&wild)).abs() < 1e-6);
    assert!((tail_ess(&x) - tail_ess(&wild)).abs() < 1e-6);
    // (1 + ρ)/(1 − ρ) = 4.
    assert!((bulk_ess(&x) / 4000.0 - 1.0).abs() < 0.15, "{}", bulk_ess(&x));
    assert!((autocorrelation_time(&x) / 4.0 - 1.0).abs() < 0.15);
    assert!(tail_ess(&x) > 3000.0 && rank_normalised_r_hat(&x) < 1.01);
}

#[test]
fn the_folded_statistic_detects_chains_of_different_widths() {
    let mut stream = RngStream::new(2, 0);
    let mut x = chains(0.0, 1000, &mut stream);
    x[0].iter_mut().for_each(|x| *x *= 4.0);
    assert!(collimate_slt::split_r_hat(&x) < 1.02);
    assert!(rank_normalised_r_hat(&x) > 1.1);
}

fn input(losses: Vec<Vec<f64>>) -> DiagnosisInput {
    DiagnosisInput {
        n_beta: 10.0,
        gamma: 1.0,
        dimensions: 4,
        baseline: -1.0,
        losses,
        ..DiagnosisInput::default()
    }
}

#[test]
fn every_doubt_has_its_cause() {
    let mut stream = RngStream::new(3, 0);
    let healthy = input(chains(0.2, 1000, &mut stream));
    assert!(ChainDiagnosis::of(&healthy).trusted(), "{}", ChainDiagnosis::of(&healthy));
    let doubts = |change: &dyn Fn(&mut DiagnosisInput)| {
        let mut ill = healthy.clone();
        change(&mut ill);
        ChainDiagnosis::of(&ill).doubts
    };
    assert_eq!(doubts(&|e| e.baseline = 2.0), [Doubt::Negative]);
    assert_eq!(doubts(&|e| e.gamma = 0.0), [Doubt::ImproperTarget]);
    assert_eq!(doubts(&|e| (e.gamma, e.bounded) = (0.0, true)), []);
    assert_eq!(doubts(&|e| e.divergences = 3), [Doubt::Divergences { count: 3 }]);
    assert_eq!(doubts(&|e| e.mala_acceptance = Some(0.5)), [Doubt::StepSizeDominated { acceptance: 0.5 }]);
    let apart = doubts(&|e| e.losses[0].iter_mut().for_each(|x| *x += 3.0));
    assert!(matches!(apart[..], [Doubt::NotMixed { .. }, ..]), "{apart:?}");
    let few = doubts(&|e| e.losses.iter_mut().for_each(|c| c.truncate(12)));
    assert!(few.iter().any(|d| matches!(d, Doubt::FewEffectiveDraws { .. })), "{few:?}");
    let away: Vec<Vec<f64>> =
        (0..4).map(|_| (0..1000).map(|i| f64::from(i) * 0.01 + stream.normal()).collect()).collect();
    let drifting = doubts(&|e| e.distances = away.clone());
    assert!(drifting.iter().any(|d| matches!(d, Doubt::Drifting { z } if *z > 5.0)), "{drifting:?}");
    let still: Vec<Vec<f64>> =
        (0..4).map(|_| (0..1000).map(|_| 1.0 + 0.1 * stream.normal()).collect()).collect();
    let slope = doubts(&|e| (e.distances, e.gradient_norm) = (still.clone(), Some(2.0)));
    assert!(slope.iter().any(|d| matches!(d, Doubt::Unconverged { .. })), "{slope:?}");
    // The losses fall with the squared distance, so the local prior determines them.
    let pulled = doubts(&|e| {
        e.distances = e.losses.iter().map(|c| c.iter().map(|x| (4.0 - x).max(0.0)).collect()).collect();
    });
    assert!(pulled.iter().any(|d| matches!(d, Doubt::LocalisationDominated { .. })), "{pulled:?}");
    for doubt in apart.iter().chain(&few).chain(&drifting).chain(&slope).chain(&pulled) {
        assert!(!doubt.to_string().is_empty());
    }
}

#[test]
fn the_bias_of_the_localisation_is_its_derivative() {
    // nβ E[L] = nβh/2a with a = nβh + γ, so γ d/dγ = −γ nβh/2a².
    let (h, gamma) = (0.3, 20.0);
    let llc = Llc {
        localisation: gamma,
        sampling: Sampling { draws: 5000, ..Sampling::hmc(6) },
        ..Llc::at(1000, Beta::InverseLogN)
    };
    let found = llc.estimate(&QuadraticLoss::new(&[h]), &[0.0], &mut RngStream::new(4, 0)).unwrap();
    let t = found.n_beta;
    let a = t * h + gamma;
    let exact = -gamma * t * h / (2.0 * a * a);
    let bias = found.diagnosis().localisation_bias.unwrap();
    assert!((bias.value - exact).abs() < 4.5 * bias.standard_error, "{bias:?} {exact}");
    assert!(found.diagnosis().doubts.iter().any(|d| matches!(d, Doubt::LocalisationDominated { .. })));
}

#[test]
fn traces_of_other_programs_are_read() {
    let rows = "0.5,0.6\n0.7,0.8\n0.9,1.0\n";
    assert_eq!(read_csv(rows).unwrap().losses(), [vec![0.5, 0.7, 0.9], vec![0.6, 0.8, 1.0]]);
    let long = "draw,loss,chain\n0,1,a\n1,2,a\n0,3,b\n1,4,b\n";
    let trace = read_csv(long).unwrap();
    assert_eq!(trace.losses(), [vec![1.0, 2.0], vec![3.0, 4.0]]);
    assert_eq!(trace.without_burn_in(1).unwrap().losses(), [vec![2.0], vec![4.0]]);
    assert!(trace.without_burn_in(2).is_err());
    let array = ndarray::array![[1.0, 2.0], [3.0, 4.0]];
    assert_eq!(ExternalTrace::from_array(&array).unwrap(), trace);
    assert_eq!(ExternalTrace::from_any(&ndarray::array![1.0, 2.0]).unwrap().losses(), [vec![1.0, 2.0]]);
    for (text, said) in [
        ("", "no draws"),
        ("chain,x\n0,1\n", "no column `loss`"),
        ("chain,loss\n0,1\n0,two\n", "line 3: \"two\" is not a number"),
        ("chain,loss\n0,1\n0,2\n1,3\n", "chain 1: it has 1 draws, but chain 0 has 2"),
        ("1,2\n3\n", "line 2: 1 columns; expected 2"),
        ("loss\nNaN\n", "chain 0, draw 0: the loss is NaN"),
        ("chain,loss\n0,1\n0\n", "line 3: only 1 columns; expected 2"),
    ] {
        let error = read_csv(text).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
    let cube = ndarray::Array3::<f64>::zeros((1, 2, 3));
    assert!(ExternalTrace::from_any(&cube).unwrap_err().to_string().contains("[1, 2, 3]"));
    let diagnosis = trace.diagnose(NBeta::new(10.0).unwrap(), 1.0, 0.0);
    assert!(!diagnosis.trusted());
}

#[test]
fn a_sweep_shows_which_settings_to_trust() {
    let objective = QuadraticLoss::new(&[1.0, 2.0]);
    let sampling = Sampling { burn_in: 300, draws: 1500, thin: 3, ..Sampling::sgld(BatchSampling::Full) };
    let base = Llc { sampling, ..Llc::at(1000, Beta::InverseLogN) };
    let axes: [&[f64]; 3] = [&[1e-4, 1e-3, 1e-1], &[100.0, 150.0], &[1.0, 500.0]];
    let sweep = Sweep::run(&base, &objective, &[0.0; 2], axes, &mut RngStream::new(5, 0)).unwrap();
    assert_eq!(sweep.cells.len(), 12);
    // The middle step with a weak localisation is correct. The large step diverges. The strong localisation dominates.
    let good = sweep.cell(1, 0, 0);
    assert!(good.trusted && (good.value.unwrap() - 0.99).abs() < 0.2, "{good:?}");
    assert_eq!(sweep.cell(2, 1, 0).value, None);
    assert!(!sweep.cell(1, 0, 1).trusted, "{:?}", sweep.cell(1, 0, 1));
    let svg = sweep.svg();
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && svg.contains("γ = 500"));
    assert_eq!(svg.matches("<rect").count(), 12);
    assert!(svg.contains("diverged") && svg.contains("dominated by γ"));
    assert_eq!(svg, Sweep::run(&base, &objective, &[0.0; 2], axes, &mut RngStream::new(5, 0)).unwrap().svg());
    let none: [&[f64]; 3] = [&[], &[1.0], &[1.0]];
    assert!(Sweep::run(&base, &objective, &[0.0; 2], none, &mut RngStream::new(5, 0)).is_err());
    let fixed = Sampling { step_size: StepSize::Fixed(1e-3), ..base.sampling };
    assert_eq!(fixed.method, base.sampling.method);
}
