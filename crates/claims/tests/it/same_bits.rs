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
