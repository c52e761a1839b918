//! Panics, NaN, vacuous and malformed claims.

use collimate_claims::{
    Approximate, Budget, Claim, Exact, Mean, Meta, Proportion, Quantile, Study, Subject, Verdict, Why,
    assert_claim, claim_test, examine,
};

fn theorem(id: &'static str) -> Meta {
    Meta::theorem(id, Subject::Own, "a statement")
}

fn verdict(claim: &dyn Claim) -> Verdict {
    examine(claim, &Budget::quick()).outcome.verdict
}

#[test]
fn a_panic_becomes_inconclusive_and_names_the_input() {
    let claim =
        Exact::new(theorem("own/panic")).dims(&[("n", 1..=9)]).input(|dims, _| Some(dims[0])).margin(|&n| {
            assert!(n < 5, "too many");
            1.0
        });
    let Verdict::Inconclusive(Why::Panicked(message)) = verdict(&claim) else { panic!("expected a panic") };
    assert!(message.starts_with("too many; on the input"), "{message}");
    assert!(message.contains("usize;"), "{message}");
    let claim = Proportion::new(theorem("own/panic")).hypotheses(0.1, 0.9).trial(|_| panic!("{}", "a trial"));
    assert_eq!(verdict(&claim), Verdict::Inconclusive(Why::Panicked("a trial".to_owned())));
}

#[test]
fn a_panic_while_shrinking_keeps_the_violation() {
    // Every input up to five panics, so the search for a smaller one runs into panics.
    let claim = Exact::new(theorem("own/shrink-panic"))
        .dims(&[("n", 1..=2000)])
        .input(|dims, _| Some(dims[0]))
        .margin(|&n| {
            assert!(n > 5, "too few");
            999.5 - n as f64
        });
    let report =
        (0..20).map(|seed| examine(&claim, &Budget::quick().seed(seed))).find(|report| report.refuted());
    let report = report.expect("inputs up to five are rare");
    assert_eq!(report.outcome.counterexample.unwrap().dims, [("n", 1000)]);
}

#[test]
fn nan_violates() {
    let claim = Exact::new(theorem("own/nan"))
        .input(|_, stream| Some(stream.normal()))
        .admits_all()
        .margin(|x| if *x > 1.0 { f64::NAN } else { 1.0 });
    let report = examine(&claim, &Budget::quick());
    assert!(report.refuted());
    let found = report.outcome.counterexample.unwrap();
    assert!(found.margin.is_nan());
    assert_eq!(found.literal, "// margin = NaN\nlet input = 2.0;");
}

#[test]
fn a_vacuous_claim_is_inconclusive() {
    let half = |share: f64| {
        Exact::new(theorem("own/vacuous"))
            .input(move |_, stream| Some(stream.uniform()).filter(|_| stream.bernoulli(share)))
            .margin(|x| *x)
    };
    assert_eq!(verdict(&half(0.8)), Verdict::Upheld);
    assert!(matches!(verdict(&half(0.2)), Verdict::Inconclusive(Why::Vacuous { .. })));
    let nothing = Exact::new(theorem("own/nothing")).input(|_, _| None::<f64>).margin(|x| *x);
    assert!(matches!(verdict(&nothing), Verdict::Inconclusive(Why::Vacuous { rejected: 300, drawn: 300 })));
    // A violation is a violation, however rare the inputs.
    let rare =
        Exact::new(theorem("own/rare")).input(|_, s| Some(s.uniform())).admits(|x| *x < 0.1).margin(|_| -1.0);
    assert_eq!(verdict(&rare), Verdict::Refuted);
}

#[test]
fn malformed_claims_are_inconclusive_with_a_reason() {
    let invalid = |claim: &dyn Claim, part: &str| match verdict(claim) {
        Verdict::Inconclusive(Why::Invalid(reason)) => assert!(reason.contains(part), "{reason}"),
        other => panic!("{other}"),
    };
    let meta = theorem("own/malformed");
    invalid(&Exact::<f64>::new(meta), "input");
    invalid(&Exact::new(meta).input(|_, s| Some(s.normal())), "margin");
    #[allow(clippy::reversed_empty_ranges)]
    let empty = Exact::new(meta).dims(&[("n", 3..=2)]).input(|_, s| Some(s.normal())).margin(|_| 0.0);
    invalid(&empty, "empty range");
    invalid(&Study::new(meta), "body");
    invalid(&Proportion::new(meta).trial(|_| true), "hypotheses");
    invalid(&Proportion::new(meta).hypotheses(0.5, 0.5).trial(|_| true), "hypotheses");
    invalid(&Proportion::new(meta).hypotheses(0.1, 0.9).errors(0.0, 0.1).trial(|_| true), "error rates");
    invalid(&Mean::new(meta).hypotheses(0.1, 0.9).trial(|_| 0.0), "bounds");
    invalid(&Mean::new(meta).bounds(0.0, 1.0).hypotheses(0.1, 1.9).trial(|_| 0.0), "inside the bounds");
    let outside = Mean::new(meta).bounds(0.0, 1.0).hypotheses(0.1, 0.9).trial(|_| 1.5);
    invalid(&outside, "trial 0: 1.5 lies outside the declared bounds 0 … 1");
    invalid(&Mean::new(meta).bounds(0.0, 1.0).hypotheses(0.1, 0.9).trial(|_| f64::NAN), "NaN");
    // A zone of negative width would reverse the claim.
    let reversed = Mean::new(meta).bounds(0.0, 1.0).at_least(0.9, -0.1).trial(|_| 1.0);
    invalid(&reversed, "the width of the zone must be at least 0, but is -0.1");
    invalid(&Mean::new(meta).bounds(0.0, 1.0).at_most(0.5, -0.2).trial(|_| 1.0), "width");
    invalid(&Proportion::new(meta).at_least(0.5, -0.2).trial(|_| true), "width");
    invalid(&Approximate::new(meta).at_least(0.5, -0.2).trial(|_| 1.0), "width");
    invalid(&Approximate::new(meta).trial(|_| 1.0), "hypotheses");
    invalid(&Quantile::new(meta).at_least(0.0).zone(-0.1).trial(|_| 1.0), "width");
    invalid(&Quantile::new(meta).at_least(0.0).level(1.0).trial(|_| 1.0), "level");
    invalid(&Quantile::new(meta).at_least(0.0).zone(0.6).trial(|_| 1.0), "inside the bounds");
    invalid(&Proportion::new(meta).hypotheses(0.1, 0.9).errors(0.6, 0.6).trial(|_| true), "sum below 1");
    invalid(&Proportion::new(meta).hypotheses(0.1, 0.9).cap(0).trial(|_| true), "needs a trial");
    invalid(&Quantile::new(meta).trial(|_| 1.0), "at_least");
    invalid(&Quantile::new(meta).at_least(0.0).trial(|_| f64::NAN), "NaN");
    invalid(&Quantile::new(meta).at_least(0.0).fixed([9; 3]).trial(|_| f64::NAN), "NaN");
    let approximate = |x: f64| Approximate::new(meta).at_most(1.0, 0.5).trial(move |_| x);
    invalid(&approximate(f64::INFINITY), "trials");
}

#[test]
fn one_trial_decides_extreme_hypotheses() {
    // "It never fails" is refuted by the first failure, "it can happen" upheld by the first success.
    let never = Proportion::new(theorem("own/never")).hypotheses(0.9, 1.0).trial(|s| s.bernoulli(0.8));
    assert_eq!(verdict(&never), Verdict::Refuted);
    let can = Proportion::new(theorem("own/can")).hypotheses(0.0, 0.1).trial(|s| s.bernoulli(0.5));
    assert_eq!(verdict(&can), Verdict::Upheld);
}

#[test]
fn a_claim_at_its_cap_is_inconclusive() {
    let claim =
        Proportion::new(theorem("own/cap")).hypotheses(0.49, 0.51).cap(50).trial(|s| s.bernoulli(0.5));
    assert_eq!(verdict(&claim), Verdict::Inconclusive(Why::Cap));
    let claim =
        Mean::new(theorem("own/cap")).bounds(0.0, 1.0).hypotheses(0.49, 0.51).cap(50).trial(|s| s.uniform());
    let report = examine(&claim, &Budget::quick());
    assert_eq!(report.outcome.verdict, Verdict::Inconclusive(Why::Cap));
    assert!(report.outcome.interval.unwrap().contains(0.5), "{report}");
}

#[test]
fn zones_work_in_both_directions() {
    let rate = |p: f64| Proportion::new(theorem("own/low")).at_most(0.2, 0.2).trial(move |s| s.bernoulli(p));
    assert_eq!((verdict(&rate(0.05)), verdict(&rate(0.6))), (Verdict::Upheld, Verdict::Refuted));
    let mean = |m: f64| {
        Mean::new(theorem("own/low")).bounds(-1.0, 3.0).at_most(1.0, 0.5).trial(move |s| m + s.uniform())
    };
    assert_eq!((verdict(&mean(0.0)), verdict(&mean(1.5))), (Verdict::Upheld, Verdict::Refuted));
    let median = |m: f64| Quantile::new(theorem("own/low")).at_most(0.0).trial(move |s| m + s.normal());
    assert_eq!((verdict(&median(-1.0)), verdict(&median(1.0))), (Verdict::Upheld, Verdict::Refuted));
    let tail = |m: f64| {
        Quantile::new(theorem("own/tail")).level(0.9).zone(0.08).at_most(0.0).trial(move |s| m + s.normal())
    };
    assert_eq!((verdict(&tail(-3.0)), verdict(&tail(0.0))), (Verdict::Upheld, Verdict::Refuted));
    let fixed = |m: f64| {
        Quantile::new(theorem("own/fixed")).at_least(0.0).fixed([200; 3]).trial(move |s| m + s.normal())
    };
    assert_eq!((verdict(&fixed(1.0)), verdict(&fixed(-0.5))), (Verdict::Upheld, Verdict::Refuted));
    let normal =
        |m: f64| Approximate::new(theorem("own/mean")).at_least(1.0, 1.0).trial(move |s| m + s.normal());
    assert_eq!((verdict(&normal(1.0)), verdict(&normal(0.0))), (Verdict::Upheld, Verdict::Refuted));
}

#[test]
#[should_panic(expected = "let input = ")]
fn the_adapter_prints_the_counterexample() {
    assert_claim(&Exact::new(theorem("own/false")).input(|_, s| Some(s.normal())).margin(|x| *x));
}

claim_test!(
    a_claim_as_a_test,
    Exact::new(theorem("own/square")).input(|_, s| Some(s.normal())).admits_all().margin(|x| x * x)
);

#[test]
fn an_input_that_panics_is_made_smaller() {
    let claim = Exact::new(theorem("own/panic"))
        .dims(&[("n", 1..=50)])
        .input(|dims, s| Some((0..dims[0]).map(|_| s.below(1000)).collect::<Vec<usize>>()))
        .admits_all()
        .margin(|x| {
            assert!(x.iter().all(|&v| v < 400), "{} is too large", x.len());
            1.0
        });
    for seed in 0..5 {
        let Verdict::Inconclusive(Why::Panicked(message)) =
            examine(&claim, &Budget::quick().seed(seed)).outcome.verdict
        else {
            panic!("expected a panic")
        };
        assert_eq!(message, "1 is too large; on the input\n// n = 1\nlet input = vec![400usize];");
    }
    // A panic of the generator names the dimensions.
    let claim = Exact::new(theorem("own/draw")).dims(&[("n", 4..=4)]).input(|dims, _| {
        assert!(dims[0] < 4, "no such matrix");
        Some(1.0)
    });
    let verdict = verdict(&claim.margin(|x| *x));
    let expected = "no such matrix; while an input was drawn at n = 4".to_owned();
    assert_eq!(verdict, Verdict::Inconclusive(Why::Panicked(expected)));
}

#[test]
fn a_margin_with_hidden_state_is_not_a_counterexample() {
    use std::sync::atomic::{AtomicU64, Ordering};
    // It violates at the first call, at every third call, or once on the way to a smaller input.
    let kinds: [fn(u64) -> bool; 3] =
        [|call| call == 0, |call| call % 3 == 0, |call| call < 4 || call % 2 == 0];
    for (kind, violates) in kinds.into_iter().enumerate() {
        let calls = AtomicU64::new(0);
        let claim = Exact::new(theorem("own/state"))
            .dims(&[("n", 1..=100)])
            .input(|dims, s| Some((dims[0], s.uniform())))
            .admits_all()
            .margin(move |_| if violates(calls.fetch_add(1, Ordering::Relaxed)) { -1.0 } else { 1.0 });
        let report = examine(&claim, &Budget::quick().threads(1));
        let Verdict::Inconclusive(Why::Invalid(reason)) = &report.outcome.verdict else {
            panic!("kind {kind}: {report}")
        };
        assert!(
            reason.starts_with("the margin is not a function of its input: it was -1.0 at first"),
            "{reason}"
        );
        assert!(reason.contains("let input = ("), "{reason}");
        assert!(!report.as_expected());
    }
}

#[test]
fn a_margin_that_does_not_return_is_named_and_can_be_interrupted() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let forever = || -> f64 {
        loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    };
    let interrupted = |claim: &dyn Claim, threads: usize| {
        let flag = Arc::new(AtomicBool::new(false));
        let setter = Arc::clone(&flag);
        std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(600));
            setter.store(true, Ordering::Relaxed);
        });
        let budget = Budget::quick().threads(threads);
        let context = collimate_claims::Context::new(claim.meta().id, &budget).interruptible(flag);
        let start = std::time::Instant::now();
        let report = collimate_claims::examine_in(claim, context);
        assert!(start.elapsed().as_secs_f64() < 10.0);
        report
    };
    for threads in [1, 2] {
        // At a random input.
        let claim = Exact::new(theorem("own/loop"))
            .dims(&[("n", 1..=9)])
            .input(|dims, _| Some(dims[0]))
            .margin(move |&n| if n == 7 { forever() } else { 1.0 });
        let report = interrupted(&claim, threads);
        assert_eq!(report.outcome.verdict, Verdict::Inconclusive(Why::Interrupted));
        let note = report.outcome.notes.last().unwrap();
        assert!(note.contains("without a result on the input\n// n = 7\nlet input = 7usize;"), "{note}");
        // While an input is drawn.
        let claim = Exact::new(theorem("own/draw-loop"))
            .dims(&[("n", 3..=3)])
            .input(move |_, _| Some(forever()))
            .margin(|x| *x);
        let report = interrupted(&claim, threads);
        assert_eq!(report.outcome.verdict, Verdict::Inconclusive(Why::Interrupted));
        assert!(report.outcome.notes[0].contains("while an input was drawn\n// n = 3"), "{report}");
        // During the search for a smaller counterexample, which keeps the one that was found.
        let claim = Exact::new(theorem("own/shrink-loop"))
            .dims(&[("n", 1..=1000)])
            .input(|dims, _| Some(dims[0]))
            .margin(move |&n| {
                if n > 500 {
                    -1.0
                } else if n == 1 {
                    forever()
                } else {
                    1.0
                }
            });
        let report = interrupted(&claim, threads);
        assert_eq!(report.outcome.verdict, Verdict::Refuted, "{report}");
        assert!(report.outcome.notes.iter().any(|note| note.contains("let input = 1usize;")), "{report}");
        // A trial.
        let claim =
            Proportion::new(theorem("own/trial-loop")).hypotheses(0.1, 0.9).trial(move |_| forever() > 0.0);
        let report = interrupted(&claim, threads);
        assert_eq!(report.outcome.verdict, Verdict::Inconclusive(Why::Interrupted));
    }
}
