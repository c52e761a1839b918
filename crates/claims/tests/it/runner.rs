//! Selection, interruption, exit statuses and the lock.

use collimate_claims::{
    Budget, Change, Claims, ClaimsError, Context, Kind, LeftOut, Lock, Meta, Outcome, Progress, Recorded,
    Run, Runner, Study, Subject, Surprise, Tier, Verdict, Why,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

fn meta(id: &'static str, kind: Kind) -> Meta {
    Meta { kind, ..Meta::theorem(id, Subject::Own, "a statement") }
}

fn one(id: &'static str, kind: Kind, outcome: fn() -> Outcome) -> Claims {
    Claims::new().with(Study::new(meta(id, kind)).run(move |_| outcome()))
}

fn quick(claims: &Claims) -> Run {
    Runner::new(Budget::quick()).run(claims).unwrap()
}

#[test]
fn exit_statuses() {
    let empty = Lock::default();
    let cap = || Outcome::inconclusive(Why::Cap);
    let missing = || Outcome::unavailable("the model", "run `collimate data`");
    let cases: [(Kind, fn() -> Outcome, u8); 12] = [
        (Kind::Theorem, Outcome::upheld, 0),
        (Kind::Theorem, Outcome::refuted, 1),
        (Kind::Theorem, cap, 1),
        (Kind::Theorem, || panic!("a bug"), 1),
        (Kind::Theorem, missing, 2),
        (Kind::Counterexample, Outcome::refuted, 0),
        (Kind::Counterexample, Outcome::upheld, 1),
        (Kind::Counterexample, missing, 2),
        (Kind::Empirical, Outcome::refuted, 0),
        (Kind::Empirical, cap, 0),
        (Kind::Empirical, || panic!("a bug"), 1),
        (Kind::Empirical, missing, 2),
    ];
    for (i, (kind, outcome, status)) in cases.into_iter().enumerate() {
        assert_eq!(quick(&one("own/case", kind, outcome)).exit_status(&empty), status, "case {i}");
    }
    // A failure takes precedence over a claim that could not run.
    let both = one("own/a", Kind::Theorem, Outcome::refuted).extend(one("own/b", Kind::Theorem, missing));
    assert_eq!(quick(&both).exit_status(&empty), 1);
}

#[test]
fn selection_by_filter_tier_and_real() {
    let study = |meta: Meta| Study::new(meta).run(|_| Outcome::upheld());
    let claims = Claims::new()
        .with(study(meta("own/quick", Kind::Theorem)))
        .with(study(meta("own/slow", Kind::Theorem).tier(Tier::Nightly)))
        .with(study(meta("sae/real", Kind::Theorem).real()));
    let ids = |run: &Run| run.reports.iter().map(|report| report.meta.id).collect::<Vec<_>>();
    let run = quick(&claims);
    assert_eq!(ids(&run), ["own/quick", "sae/real"]);
    assert_eq!(run.left_out[0].1, LeftOut::Tier);
    let run = Runner::new(Budget::nightly()).real(false).run(&claims).unwrap();
    assert_eq!(ids(&run), ["own/quick", "own/slow"]);
    assert_eq!((run.left_out[0].0.id, run.left_out[0].1), ("sae/real", LeftOut::Real));
    assert_eq!(run.exit_status(&Lock::default()), 0);
    let run = Runner::new(Budget::nightly()).filter("own/*").filter("real").run(&claims).unwrap();
    assert_eq!(ids(&run), ["own/quick", "own/slow", "sae/real"]);
    let error = Runner::new(Budget::quick()).filter("slt").run(&claims).unwrap_err();
    assert!(matches!(error, ClaimsError::NothingMatches { filter } if filter == "slt"));
}

#[test]
fn ids_are_checked() {
    let twice =
        one("own/a", Kind::Theorem, Outcome::upheld).extend(one("own/a", Kind::Theorem, Outcome::upheld));
    assert!(matches!(twice.check(), Err(ClaimsError::DuplicateId { .. })));
    for id in ["", "Own/a", "own/a b", "own/\"x"] {
        assert!(
            matches!(one(id, Kind::Theorem, Outcome::upheld).check(), Err(ClaimsError::BadId { .. })),
            "{id}"
        );
    }
}

#[test]
fn an_interruption_keeps_finished_reports() {
    let flag = Arc::new(AtomicBool::new(false));
    let setter = Arc::clone(&flag);
    let interrupt = Study::new(meta("own/second", Kind::Theorem)).run(move |context| {
        setter.store(true, Ordering::Relaxed);
        if context.interrupted() { Outcome::inconclusive(Why::Interrupted) } else { Outcome::upheld() }
    });
    let claims = one("own/first", Kind::Theorem, Outcome::upheld).with(interrupt).extend(one(
        "own/third",
        Kind::Theorem,
        Outcome::upheld,
    ));
    let run = Runner::new(Budget::quick()).interruptible(flag).run(&claims).unwrap();
    assert_eq!(run.reports[0].outcome.verdict, Verdict::Upheld);
    assert_eq!(run.not_run(), ["own/second", "own/third"]);
    assert_eq!(run.exit_status(&Lock::default()), 2);
}

#[test]
fn long_claims_stop_when_interrupted() {
    use collimate_claims::{Exact, Proportion};
    let flag = Arc::new(AtomicBool::new(true));
    let exact = Exact::new(meta("own/exact", Kind::Theorem)).input(|_, s| Some(s.normal())).margin(|_| 1.0);
    let rate = Proportion::new(meta("own/rate", Kind::Empirical))
        .hypotheses(0.49, 0.5)
        .trial(|s| s.bernoulli(0.495));
    let claims: [&dyn collimate_claims::Claim; 2] = [&exact, &rate];
    for claim in claims {
        let context = collimate_claims::Context::new(claim.meta().id, &Budget::nightly());
        let report = collimate_claims::examine_in(claim, context.interruptible(Arc::clone(&flag)));
        assert_eq!(report.outcome.verdict, Verdict::Inconclusive(Why::Interrupted));
        assert!(report.outcome.trials < 10_000);
    }
}

#[test]
fn progress_is_reported_in_order() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let runner = Runner::new(Budget::quick()).on_progress(move |progress| {
        let line = match progress {
            Progress::Started { index, total, meta } => format!("start {index}/{total} {}", meta.id),
            Progress::Step { done, total, note, .. } => format!("step {done}/{total} {note}"),
            Progress::Waiting { note, .. } => format!("wait {note}"),
            Progress::Finished { report, .. } => format!("end {}", report.outcome.verdict),
        };
        log.lock().unwrap().push(line);
    });
    let study = Study::new(meta("own/a", Kind::Theorem)).run(|context| {
        context.progress(1, 2, "half");
        Outcome::upheld()
    });
    runner.run(&Claims::new().with(study)).unwrap();
    assert_eq!(*told.lock().unwrap(), ["start 0/1 own/a", "step 1/2 half", "end Upheld"]);
}

fn locked(outcome: fn() -> Outcome) -> Lock {
    let mut lock = Lock::default();
    lock.update(&quick(&one("own/h", Kind::Empirical, outcome)), None).unwrap();
    lock
}

#[test]
fn a_change_from_the_lock_fails_only_at_its_tier_and_seed() {
    let lock = locked(Outcome::upheld);
    let refuted = one("own/h", Kind::Empirical, Outcome::refuted);
    let run = |budget| Runner::new(budget).run(&refuted).unwrap();
    let change = |surprise| Change {
        id: "own/h".to_owned(),
        recorded: Recorded::Upheld,
        found: Recorded::Refuted,
        surprise,
    };
    assert_eq!(lock.compare(&run(Budget::quick())), [change(Surprise::Unexplained)]);
    assert_eq!(run(Budget::quick()).exit_status(&lock), 1);
    // Each tier has its own record, and under another seed a verdict may differ.
    assert_eq!(lock.compare(&run(Budget::standard())), []);
    assert_eq!(lock.compare(&run(Budget::quick().seed(4))), [change(Surprise::OtherSeed)]);
    assert_eq!(run(Budget::quick().seed(4)).exit_status(&lock), 0);
    assert_eq!(run(Budget::quick().fresh()).exit_status(&lock), 0);
}

#[test]
fn an_explained_change_passes() {
    let mut lock = locked(Outcome::upheld);
    let changed = quick(&one("own/h", Kind::Empirical, Outcome::refuted));
    let entry = lock.entries.get_mut("own/h").unwrap();
    entry.accepts.push(Recorded::Refuted);
    assert_eq!(changed.exit_status(&lock), 1, "accepted without an explanation is not explained");
    lock.entries.get_mut("own/h").unwrap().explanation = "differs between CPU levels".to_owned();
    assert_eq!(changed.exit_status(&lock), 0);
    assert_eq!(lock.compare(&changed)[0].surprise, Surprise::Explained);
}

#[test]
fn recording_demands_the_same_seed_a_reason_and_a_sound_run() {
    let mut lock = locked(Outcome::upheld);
    let before = lock.clone();
    let refuted = one("own/h", Kind::Empirical, Outcome::refuted);
    let other = Runner::new(Budget::quick().seed(1)).run(&refuted).unwrap();
    assert!(matches!(lock.update(&other, Some("why")), Err(ClaimsError::OtherSeed { lock: 0, run: 1 })));
    let changed = quick(&refuted);
    assert!(matches!(lock.update(&changed, None), Err(ClaimsError::Unexplained { .. })));
    assert!(matches!(lock.update(&changed, Some("  ")), Err(ClaimsError::Unexplained { .. })));
    let broken = quick(&one("own/t", Kind::Theorem, Outcome::refuted));
    assert!(matches!(lock.update(&broken, Some("why")), Err(ClaimsError::Broken { .. })));
    assert_eq!(lock, before, "an error changes nothing");
    assert_eq!(lock.update(&changed, Some("a new estimator")).unwrap().len(), 1);
    assert_eq!(lock.entries["own/h"].explanation, "a new estimator");
    assert_eq!(changed.exit_status(&lock), 0);
    // A claim that could not run does not change its line.
    let missing = quick(&one("own/h", Kind::Empirical, || Outcome::unavailable("x", "y")));
    lock.update(&missing, None).unwrap();
    assert_eq!(lock.entries["own/h"].verdicts[&Tier::Quick], Recorded::Refuted);
    let claims = one("own/other", Kind::Empirical, Outcome::upheld);
    assert_eq!(lock.stale(&claims), ["own/h"]);
    lock.prune(&claims);
    assert!(lock.entries.is_empty());
}

#[test]
fn a_value_that_was_interrupted_is_not_shared() {
    let flag = Arc::new(AtomicBool::new(false));
    let context = Context::new("own/once", &Budget::quick()).interruptible(Arc::clone(&flag));
    let half = context.once("key", || {
        flag.store(true, Ordering::Relaxed);
        Ok::<u64, String>(1)
    });
    assert_eq!(half, Ok(Arc::new(1)), "the caller gets it and sees the interruption itself");
    flag.store(false, Ordering::Relaxed);
    assert_eq!(context.once("key", || Ok::<u64, String>(2)), Ok(Arc::new(2)));
    assert_eq!(context.once("key", || Ok::<u64, String>(3)), Ok(Arc::new(2)));
}

#[test]
fn the_claims_of_a_run_share_a_value_that_is_computed_once() {
    let computed = Arc::new(AtomicU64::new(0));
    let sharing = |id, key: &'static str| {
        let computed = Arc::clone(&computed);
        Study::new(meta(id, Kind::Theorem)).run(move |context| {
            let value = context.once(key, || {
                computed.fetch_add(1, Ordering::Relaxed);
                // A value may use other shared values.
                context.once("nested", || Ok::<u64, String>(1)).map(|nested| u64::MAX - *nested)
            });
            Outcome::of_margin(if value == Ok(Arc::new(u64::MAX - 1)) { 0.0 } else { -1.0 })
        })
    };
    let claims = Claims::new()
        .with(sharing("own/a", "key"))
        .with(sharing("own/b", "key"))
        .with(sharing("own/c", "other key"));
    assert_eq!(quick(&claims).exit_status(&Lock::default()), 0);
    assert_eq!(computed.swap(0, Ordering::Relaxed), 2);
    // Another run computes the value again.
    quick(&claims);
    assert_eq!(computed.load(Ordering::Relaxed), 2);
}
