//! Diagnostics on chains with known problems.

use collimate_slt::{
    BatchSampling, Beta, ChainDiagnosis, ChainMean, DiagnosisInput, Doubt, ExternalTrace, Llc, NBeta,
    QuadraticLoss, Sampling, StepSize, Sweep, autocorrelation_time, bulk_ess, rank_normalised_r_hat,
    read_csv, tail_ess,
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
    assert!((bulk_ess(&x).unwrap() - bulk_ess(&wild).unwrap()).abs() < 1e-6);
    assert!((tail_ess(&x).unwrap() - tail_ess(&wild).unwrap()).abs() < 1e-6);
    // (1 + ρ)/(1 − ρ) = 4.
    assert!((bulk_ess(&x).unwrap() / 4000.0 - 1.0).abs() < 0.15, "{}", bulk_ess(&x).unwrap());
    assert!((autocorrelation_time(&x).unwrap() / 4.0 - 1.0).abs() < 0.15);
    assert!(tail_ess(&x).unwrap() > 3000.0 && rank_normalised_r_hat(&x).unwrap() < 1.01);
}

#[test]
fn the_folded_statistic_detects_chains_of_different_widths() {
    let mut stream = RngStream::new(2, 0);
    let mut x = chains(0.0, 1000, &mut stream);
    x[0].iter_mut().for_each(|x| *x *= 4.0);
    assert!(collimate_slt::split_r_hat(&x).unwrap() < 1.02);
    assert!(rank_normalised_r_hat(&x).unwrap() > 1.1);
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
    assert!(ChainDiagnosis::of(&healthy).unwrap().trusted(), "{}", ChainDiagnosis::of(&healthy).unwrap());
    let doubts = |change: &dyn Fn(&mut DiagnosisInput)| {
        let mut ill = healthy.clone();
        change(&mut ill);
        ChainDiagnosis::of(&ill).unwrap().doubts
    };
    assert_eq!(doubts(&|e| e.baseline = 2.0), [Doubt::Negative]);
    assert_eq!(doubts(&|e| e.gamma = 0.0), [Doubt::ImproperTarget]);
    assert_eq!(doubts(&|e| (e.gamma, e.bounded) = (0.0, true)), []);
    assert_eq!(doubts(&|e| e.divergences = 3), [Doubt::Divergences { count: 3 }]);
    // Of many steps, a few may diverge, unless their draws change the estimate.
    assert_eq!(doubts(&|e| (e.divergences, e.steps) = (3, 10_000)), []);
    assert_eq!(doubts(&|e| (e.divergences, e.steps) = (200, 10_000)), [Doubt::Divergences { count: 200 }]);
    let moved =
        |e: &mut DiagnosisInput| (e.divergences, e.steps, e.divergence_effect) = (3, 10_000, Some(2.0));
    assert_eq!(doubts(&moved), [Doubt::Divergences { count: 3 }]);
    assert_eq!(doubts(&|e| e.mala_acceptance = Some(0.5)), [Doubt::StepSizeDominated { acceptance: 0.5 }]);
    // A measured bias is judged instead of an acceptance. The standard error here is near 0.2.
    let biased = |value, standard_error| {
        doubts(&|e| {
            e.mala_acceptance = Some(0.5);
            e.step_bias = Some(ChainMean { value, standard_error, ess: 100.0 });
        })
    };
    assert_eq!(biased(0.1, 0.05), []);
    assert_eq!(biased(1.0, 0.05), [Doubt::StepBias { bias: 1.0, error: 0.05 }]);
    assert_eq!(biased(0.1, 1.0), [Doubt::StepBias { bias: 0.1, error: 1.0 }]);
    assert!(matches!(biased(f64::NAN, f64::NAN)[..], [Doubt::StepBias { .. }]));
    let exact = doubts(&|e| e.exact = Some(20.0));
    assert!(matches!(exact[..], [Doubt::Contradicted { exact: 20.0, z }] if z < -10.0), "{exact:?}");
    assert_eq!(doubts(&|e| e.exact = Some(10.0)), []);
    let undefined =
        |e: &mut DiagnosisInput| (e.undefined, e.divergences, e.first_undefined) = (2, 2, Some((1, Some(7))));
    assert_eq!(doubts(&undefined), [Doubt::Undefined { count: 2, chain: 1, draw: Some(7) }]);
    assert!(doubts(&undefined)[0].to_string().contains("chain 1 at draw 7"));
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
fn slow_distances_and_noisy_batches_raise_doubts() {
    let mut stream = RngStream::new(6, 0);
    // Losses of batches: independent noise hides a slow part.
    let slow = chains(0.99, 2000, &mut stream);
    let noisy: Vec<Vec<f64>> =
        slow.iter().map(|c| c.iter().map(|x| 0.3 * x + 3.0 * stream.normal()).collect()).collect();
    let mut ill = input(noisy);
    (ill.distances, ill.baseline) =
        (slow.iter().map(|c| c.iter().map(|x| 10.0 + x).collect()).collect(), -5.0);
    ill.batches = true;
    let doubts = ChainDiagnosis::of(&ill).unwrap().doubts;
    assert!(doubts.iter().any(|d| matches!(d, Doubt::DistanceNotMixed { .. })), "{doubts:?}");
    let share =
        doubts.iter().find_map(|d| if let Doubt::BatchNoise { share } = d { Some(*share) } else { None });
    // The noise has the variance 9 of 9.09.
    assert!(share.is_some_and(|share| (share - 0.99).abs() < 0.03), "{doubts:?}");
    // Without batches, losses that vary fast are only fast.
    ill.batches = false;
    assert!(!ChainDiagnosis::of(&ill).unwrap().doubts.iter().any(|d| matches!(d, Doubt::BatchNoise { .. })));
    for rho in [0.0, 0.5] {
        let fine = chains(rho, 2000, &mut stream);
        let mut healthy = input(fine.clone());
        (healthy.distances, healthy.batches, healthy.baseline) = (fine, true, -5.0);
        healthy.distances.iter_mut().flatten().for_each(|x| *x += 10.0);
        let doubts = ChainDiagnosis::of(&healthy).unwrap().doubts;
        assert!(
            !doubts.iter().any(|d| matches!(d, Doubt::BatchNoise { .. } | Doubt::DistanceNotMixed { .. })),
            "{doubts:?}"
        );
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
fn tables_as_people_have_them_are_read() {
    let expected = [vec![1.5, 2.5, 3.5], vec![4.5, 5.5, 6.5]];
    for (program, text) in [
        ("byte order mark", "\u{feff}chain,loss\n0,1.5\n0,2.5\n0,3.5\n1,4.5\n1,5.5\n1,6.5\n"),
        ("another name", "chain_id,Loss\n0,1.5\n0,2.5\n0,3.5\n1,4.5\n1,5.5\n1,6.5\n"),
        ("draws out of order", "draw,chain,loss\n2,0,3.5\n0,0,1.5\n1,0,2.5\n10,1,5.5\n9,1,4.5\n11,1,6.5\n"),
        (
            "R",
            "\"\",\"chain\",\"iteration\",\"loss\"\n\"1\",1,1,1.5\n\"2\",1,2,2.5\n\"3\",1,3,3.5\n\"4\",2,1,4.5\n\"5\",2,2,5.5\n\"6\",2,3,6.5\n",
        ),
        ("R write.table", "\"V1\" \"V2\"\n\"1\" 1.5 4.5\n\"2\" 2.5 5.5\n\"3\" 3.5 6.5\n"),
        ("R write.csv2", "\"chain\";\"loss\"\n1;1,5\n1;2,5\n1;3,5\n2;4,5\n2;5,5\n2;6,5\n"),
        (
            "posterior",
            ".chain,.iteration,.draw,loss\n1,1,1,1.5\n1,2,2,2.5\n1,3,3,3.5\n2,1,4,4.5\n2,2,5,5.5\n2,3,6,6.5\n",
        ),
        (
            "pandas, long",
            ",chain,draw,loss\n0,0,0,1.5\n1,0,1,2.5\n2,0,2,3.5\n3,1,0,4.5\n4,1,1,5.5\n5,1,2,6.5\n",
        ),
        ("pandas, wide", ",0,1\n0,1.5,4.5\n1,2.5,5.5\n2,3.5,6.5\n"),
        ("pandas, without an index", "0,1\n1.5,4.5\n2.5,5.5\n3.5,6.5\n"),
        (
            "ArviZ",
            "chain,draw,\"('posterior', 'loss')\",\"('posterior', 'w[0]')\"\n0,0,1.5,9\n0,1,2.5,9\n0,2,3.5,9\n1,0,4.5,9\n1,1,5.5,9\n1,2,6.5,9\n",
        ),
        (
            "Weights & Biases",
            "\"Step\",\"a - loss\",\"a - loss__MIN\",\"a - loss__MAX\",\"b - loss\",\"b - loss__MIN\",\"b - loss__MAX\"\n\"0\",\"1.5\",\"1.5\",\"1.5\",\"4.5\",\"4.5\",\"4.5\"\n\"10\",\"2.5\",\"2.5\",\"2.5\",\"5.5\",\"5.5\",\"5.5\"\n\"20\",\"3.5\",\"3.5\",\"3.5\",\"6.5\",\"6.5\",\"6.5\"\n",
        ),
        ("TSV", "chain\tloss\r\n0\t1.5\r\n0\t2.5\r\n0\t3.5\r\n1\t4.5\r\n1\t5.5\r\n1\t6.5\r\n"),
        (
            "savetxt",
            "# losses of two chains\n1.500000000000000000e+00 4.500000000000000000e+00\n2.5 5.5\n3.5 6.5\n",
        ),
        (
            "savetxt with a header",
            "# chain draw loss\n0 0 1.5\n0 1 2.5\n0 2 3.5\n1 0 4.5\n1 1 5.5\n1 2 6.5\n",
        ),
    ] {
        let trace = read_csv(text).unwrap_or_else(|error| panic!("{program}: {error}"));
        assert_eq!(trace.losses(), expected, "{program}");
    }
    // Stan writes one file for each chain, with comments before and between the draws.
    let stan = |from: f64| {
        let rows: String = (0..3).map(|i| format!("-7.0,0.9,{}\n", from + f64::from(i))).collect();
        let text = format!(
            "# model = m\n# seed = 1\nlp__,accept_stat__,loss\n# Adaptation terminated\n{rows}#\n# Elapsed\n"
        );
        read_csv(&text).unwrap()
    };
    assert_eq!(ExternalTrace::joined([stan(1.5), stan(4.5)]).unwrap().losses(), expected);
    let shape = |a, b, c| ndarray::Array3::<f64>::ones((a, b, c));
    assert_eq!(ExternalTrace::from_any(&shape(2, 3, 1)).unwrap().losses().len(), 2);
    assert_eq!(ExternalTrace::from_any(&shape(1, 9, 1)).unwrap().losses()[0].len(), 9);
    let tall = ndarray::Array2::<f64>::ones((50, 4));
    assert!(ExternalTrace::from_array(&tall).unwrap().looks_transposed());
    assert!(!ExternalTrace::from_array(&tall.t().to_owned()).unwrap().looks_transposed());
}

#[test]
fn what_a_table_does_not_say_is_named() {
    for (text, said) in [
        ("chain,draw,loss\n1,5,1\n1,6,nan\n2,5,1\n2,6,1\n", "chain 1, draw 6: the loss is NaN"),
        ("chain,loss\na,1\nb,1\nb,NA\na,2\n", "chain b, draw 1: the loss is NaN"),
        ("draw,a - loss,b - loss\n0,1,2\n7,3,\n", "chain b - loss, draw 7: the loss is NaN"),
        ("chain,loss\n0,inf\n", "chain 0, draw 0: the loss is inf"),
        ("draw,loss\n0,1\n1,2\n0,3\n1,4\n", "draw 0 occurs twice; a column `chain` is needed"),
        ("chain,draw,loss\n0,0,1\n0,0,2\n", "chain 0: draw 0 occurs twice"),
        ("draw,chainlength,loss\n0,1,2\n", "\"chainlength\" is not understood"),
        ("train_loss,val_loss\n0,1\n", "several columns may be the loss"),
        ("lp__,stepsize__\n-1,2\n", "log density"),
        ("{\"loss\": [1, 2]}", "the text is JSON"),
        ("<!DOCTYPE html><html>", "HTML"),
        ("\"loss\n1\n", "a quote is not closed"),
    ] {
        let error = read_csv(text).unwrap_err();
        assert!(error.to_string().contains(said), "{text:?}: {error}");
    }
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

#[test]
fn chains_of_different_lengths_are_an_error_with_both_lengths() {
    let chains = [vec![1.0, 2.0, 3.0, 4.0, 5.0], vec![1.0, 2.0, 3.0, 4.0]];
    let expected = collimate_slt::WrongLength { argument: "a chain", expected: 5, given: 4 };
    let all: [fn(&[Vec<f64>]) -> Result<f64, collimate_slt::WrongLength>; 6] = [
        collimate_slt::effective_sample_size,
        collimate_slt::split_r_hat,
        bulk_ess,
        tail_ess,
        rank_normalised_r_hat,
        autocorrelation_time,
    ];
    for of in all {
        assert_eq!(of(&chains), Err(expected));
        assert!(of(&[]).unwrap().is_nan());
    }
    assert_eq!(collimate_slt::ChainMean::of(&chains), Err(expected));
    let short = [vec![1.0; 5]];
    assert!(collimate_slt::ChainMean::covariance(&short, &[vec![1.0; 4]]).is_err());
    assert!(collimate_slt::ChainMean::covariance(&short, &[]).is_err());
    let input = DiagnosisInput { losses: chains.to_vec(), ..DiagnosisInput::default() };
    assert_eq!(ChainDiagnosis::of(&input), Err(expected));
}
