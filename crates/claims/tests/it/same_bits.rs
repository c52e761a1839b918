//! Threads, filters and other claims change no result.

use collimate_claims::{
    Budget, Claims, Exact, Mean, Meta, Proportion, Quantile, Report, Runner, Subject, examine,
};

fn claims() -> Claims {
    let meta = |id| Meta::empirical(id, Subject::Own, "a statement", "a protocol");
    Claims::new()
        .with(Proportion::new(meta("own/rate")).hypotheses(0.4, 0.6).trial(|s| s.bernoulli(0.55)))
        .with(
            Mean::new(meta("own/mean")).bounds(0.0, 1.0).at_least(0.5, 0.05).trial(|s| s.uniform().powf(0.8)),
        )
        .with(Quantile::new(meta("own/median")).at_least(0.0).zone(0.1).trial(|s| s.normal() + 0.1))
        .with(
            Exact::new(meta("own/false"))
                .dims(&[("n", 1..=30)])
                .input(|dims, s| Some((0..dims[0]).map(|_| s.normal()).collect::<Vec<f64>>()))
                .admits_all()
                .margin(|x| 20.0 - x.iter().map(|v| v * v).sum::<f64>()),
        )
        .with(
            Exact::new(meta("own/true"))
                .input(|_, s| Some((s.normal(), s.normal())))
                .admits_all()
                .margin(|(x, y)| x * x + y * y - 2.0 * x * y + 1e-9),
        )
}

/// Returns a report without its wall time, as text. Floats are printed in full, so equal text means equal bits.
fn bits(mut report: Report) -> String {
    report.seconds = 0.0;
    format!("{report:?}")
}

#[test]
fn one_thread_and_many_give_the_same_bits() {
    for claim in claims().iter() {
        let on = |threads| bits(examine(claim, &Budget::quick().seed(5).threads(threads)));
        let one = on(1);
        // No thread at all means the calling one.
        let none = bits(examine(claim, &Budget { threads: 0, ..Budget::quick().seed(5) }));
        assert_eq!(none, one);
        assert!([2, 3, 7].into_iter().all(|threads| on(threads) == one), "{one}");
        let id = claim.meta().id;
        assert_ne!(one, bits(examine(claim, &Budget::quick().seed(6).threads(1))), "{id} ignores the seed");
    }
}

#[test]
fn a_filter_changes_no_verdict_and_no_bit() {
    let claims = claims();
    let all = Runner::new(Budget::quick()).run(&claims).unwrap();
    assert_eq!(all.reports.len(), claims.len());
    for report in all.reports {
        let alone = Runner::new(Budget::quick()).filter(report.meta.id).run(&claims).unwrap();
        assert_eq!(alone.reports.len(), 1);
        assert_eq!(bits(alone.reports[0].clone()), bits(report));
    }
}

#[test]
fn a_fresh_seed_differs_and_can_be_repeated() {
    let (one, two) = (Budget::quick().fresh(), Budget::quick().fresh());
    assert!(one.fresh && one.seed != two.seed);
    let claims = claims();
    let claim = claims.get("own/mean").unwrap();
    let repeat = Budget::quick().seed(one.seed);
    assert_eq!(bits(examine(claim, &one)), bits(examine(claim, &repeat)));
}

/// A margin that violates above 0.995 and panics or sleeps below 0.005.
fn troubled(trouble: fn()) -> Exact<f64> {
    let meta = Meta::empirical("own/troubled", Subject::Own, "a statement", "a protocol");
    Exact::new(meta).inputs([3000; 3]).input(|_, s| Some(s.uniform())).margin(move |&x| {
        if x < 0.005 {
            trouble();
        }
        if x > 0.995 { -1.0 } else { 1.0 }
    })
}

#[test]
fn a_panic_after_the_decision_does_not_count() {
    let claim = troubled(|| panic!("below 0.005"));
    let mut refuted = 0;
    for seed in 0..20 {
        let on = |threads| bits(examine(&claim, &Budget::quick().seed(seed).threads(threads)));
        let one = on(1);
        assert!([2, 3, 8].into_iter().all(|threads| on(threads) == one), "seed {seed}: {one}");
        refuted += usize::from(one.contains("verdict: Refuted"));
    }
    assert!((4..=16).contains(&refuted), "both come first under some seeds, but {refuted} of 20 are refuted");
}

#[test]
fn work_after_the_decision_costs_no_time() {
    let claim = troubled(|| std::thread::sleep(std::time::Duration::from_secs(5)));
    let quickly = |seed: u64, threads| {
        let start = std::time::Instant::now();
        let report = examine(&claim, &Budget::quick().seed(seed).threads(threads));
        (report.refuted() && start.elapsed().as_secs_f64() < 4.0).then(|| bits(report))
    };
    // Seeds under which no input sleeps before the first violation.
    let early = |seed: u64| {
        let base = collimate_claims::Context::new("own/troubled", &Budget::quick().seed(seed))
            .named_stream("inputs");
        let first = (0..3000).map(|i| base.child(i).uniform()).find(|x| !(0.005..=0.995).contains(x));
        first.is_some_and(|x| x > 0.5)
    };
    let seeds: Vec<u64> = (0..12).filter(|&seed| early(seed)).collect();
    assert!(seeds.len() >= 3);
    for seed in seeds {
        let one = quickly(seed, 1);
        assert!(one.is_some() && quickly(seed, 2) == one && quickly(seed, 8) == one, "seed {seed}");
    }
}

#[test]
fn a_trial_after_the_decision_does_not_count() {
    let meta = Meta::empirical("own/later", Subject::Own, "a statement", "a protocol");
    // (0.9/0.1)⁴ > 1000, so four successes decide. A trial is known by the first number of its stream.
    let base = collimate_claims::Context::new("own/later", &Budget::quick()).named_stream("trials");
    let first: Vec<u64> = (0..4).map(|i| base.child(i).bits()).collect();
    let claim = Proportion::new(meta).hypotheses(0.1, 0.9).errors(1e-3, 1e-3).trial(move |stream| {
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(first.contains(&stream.bits()), "a trial after the decision");
        true
    });
    for threads in [1, 2, 8] {
        let report = examine(&claim, &Budget::quick().threads(threads));
        assert!(report.upheld() && report.outcome.trials == 4, "{report}");
    }
}
