//! Error rates and power at the two ends of the indifference zone.

use collimate_claims::{
    Budget, Claim, ConfidenceSequence, Errors, Mean, Meta, Method, Proportion, Quantile, Sprt, Subject,
    Verdict, Zone, examine,
};
use collimate_measure::Interval;
use collimate_stream::RngStream;

const RUNS: u64 = 20_000;

fn meta() -> Meta {
    Meta::empirical(
        "own/planted",
        Subject::Own,
        "a planted hypothesis",
        "both error rates at their boundaries",
    )
}

/// Counts the verdicts of independent runs: upheld, refuted, inconclusive.
fn verdicts(claim: &dyn Claim, runs: u64) -> [u64; 3] {
    let half = |first: u64| {
        let mut counts = [0; 3];
        for seed in (first..runs).step_by(2) {
            let report = examine(claim, &Budget::quick().seed(seed).threads(1));
            counts[match report.outcome.verdict {
                Verdict::Upheld => 0,
                Verdict::Refuted => 1,
                Verdict::Inconclusive(_) => 2,
            }] += 1;
        }
        counts
    };
    let (a, b) = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        (half(0), other.join().unwrap())
    });
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// Asserts both error rates and the power at the two ends of the zone.
fn assert_rates(name: &str, claim: impl Fn(f64, bool) -> Box<dyn Claim>) {
    assert_rates_over(RUNS, name, claim);
}

fn assert_rates_over(runs: u64, name: &str, claim: impl Fn(f64, bool) -> Box<dyn Claim>) {
    for alpha in [0.05, 0.01] {
        for truth in [false, true] {
            let [upheld, refuted, open] = verdicts(&*claim(alpha, truth), runs);
            let (wrong, right) = if truth { (refuted, upheld) } else { (upheld, refuted) };
            let upper = Interval::clopper_pearson(wrong, runs, 0.95).unwrap().high;
            let place =
                format!("{name}, α = {alpha}, claim {truth}: {wrong} wrong, {right} right, {open} open");
            assert!(upper <= 1.1 * alpha, "{place}");
            assert!(right as f64 >= (1.0 - alpha) * runs as f64, "{place}");
        }
    }
}

fn proportion(alpha: f64, truth: bool) -> Box<dyn Claim> {
    let p = if truth { 0.7 } else { 0.5 };
    Box::new(Proportion::new(meta()).hypotheses(0.5, 0.7).errors(alpha, alpha).trial(move |s| s.bernoulli(p)))
}

fn betting_on_coins(alpha: f64, truth: bool) -> Box<dyn Claim> {
    let p = if truth { 0.65 } else { 0.35 };
    mean(Method::Betting, alpha, move |s| f64::from(u8::from(s.bernoulli(p))))
}

#[test]
fn the_sequential_ratio_test_keeps_its_error_rates() {
    assert_rates("proportion", proportion);
}

/// Twenty times more runs, which would show an error of a twentieth in a rate.
mod slow {
    use super::*;

    #[test]
    fn the_sequential_ratio_test_keeps_its_error_rates_over_many_runs() {
        assert_rates_over(20 * RUNS, "proportion", proportion);
    }

    #[test]
    fn betting_keeps_its_error_rates_over_many_runs() {
        assert_rates_over(20 * RUNS, "betting on coins", betting_on_coins);
    }
}

#[test]
fn the_sign_test_keeps_its_error_rates() {
    assert_rates("sequential sign test", |alpha, truth| {
        let shift = if truth { 0.674_489_750_196_081_7 } else { 0.0 }; // P(X ≥ 0) = 3/4 or 1/2
        let claim = Quantile::new(meta()).at_least(0.0).zone(0.25).errors(alpha, alpha);
        Box::new(claim.trial(move |s| s.normal() + shift))
    });
    assert_rates("fixed sign test", |alpha, truth| {
        let shift = if truth { 0.674_489_750_196_081_7 } else { 0.0 };
        let claim = Quantile::new(meta()).at_least(0.0).zone(0.25).errors(alpha, alpha);
        let trials = if alpha < 0.02 { 90 } else { 50 };
        Box::new(claim.fixed([trials; 3]).trial(move |s| s.normal() + shift))
    });
}

fn mean(
    method: Method,
    alpha: f64,
    trial: impl Fn(&mut RngStream) -> f64 + Send + Sync + 'static,
) -> Box<dyn Claim> {
    let claim = Mean::new(meta()).bounds(0.0, 1.0).hypotheses(0.35, 0.65);
    Box::new(claim.errors(alpha, alpha).method(method).trial(trial))
}

#[test]
fn betting_keeps_its_error_rates() {
    assert_rates("betting on coins", betting_on_coins);
    assert_rates("betting on numbers", |alpha, truth| {
        let middle = if truth { 0.65 } else { 0.35 };
        mean(Method::Betting, alpha, move |s| middle + 0.6 * (s.uniform() - 0.5))
    });
}

#[test]
fn empirical_bernstein_keeps_its_error_rates() {
    assert_rates("empirical Bernstein", |alpha, truth| {
        let p = if truth { 0.65 } else { 0.35 };
        mean(Method::EmpiricalBernstein, alpha, move |s| f64::from(u8::from(s.bernoulli(p))))
    });
}

#[test]
fn confidence_sequences_cover_at_all_times() {
    // The interval is checked at each power of two, and one miss counts.
    for method in [Method::Betting, Method::EmpiricalBernstein] {
        for (low, high, p) in [(0.0, 1.0, 0.5), (-2.0, 3.0, 0.1)] {
            let (alpha, sequences) = (0.1, 2_000);
            let mean = low + (high - low) * p;
            let mut missed = 0;
            let mut width = 0.0;
            for k in 0..sequences {
                let mut stream = RngStream::new(77, k);
                let mut sequence = ConfidenceSequence::new(low, high, alpha, method).unwrap();
                let mut miss = false;
                for t in 1..=256u32 {
                    sequence.push(if stream.bernoulli(p) { high } else { low }).unwrap();
                    miss |= t.is_power_of_two() && !sequence.interval().contains(mean);
                }
                missed += u64::from(miss);
                width += sequence.interval().width() / (high - low) / sequences as f64;
            }
            let upper = Interval::clopper_pearson(missed, sequences, 0.95).unwrap().high;
            assert!(upper <= alpha * 1.1, "{method:?}: {missed} of {sequences} missed");
            assert!(width < 0.35, "{method:?}: mean width {width}");
        }
    }
}

#[test]
fn a_confidence_sequence_rejects_numbers_outside_its_bounds() {
    let mut sequence = ConfidenceSequence::new(0.0, 1.0, 0.05, Method::Betting).unwrap();
    assert_eq!((sequence.interval().low, sequence.interval().high), (0.0, 1.0));
    for bad in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        assert!(sequence.push(bad).is_err());
    }
    assert_eq!(sequence.interval().width(), 1.0);
}

#[test]
fn a_confidence_sequence_never_becomes_wider() {
    for (method, p, looseness) in
        [(Method::Betting, 0.5, 1.01), (Method::Betting, 0.02, 1.01), (Method::EmpiricalBernstein, 0.3, 1.0)]
    {
        for seed in 0..3 {
            let mut stream = RngStream::new(5, seed);
            let mut sequence = ConfidenceSequence::new(-1.0, 3.0, 0.05, method).unwrap();
            let mut before = sequence.interval();
            // Numbers that drift, so that the interval of the numbers so far would widen again.
            for i in 0..2_000_u32 {
                let share: f64 = if i % 500 < 250 { p } else { 2.0 * p };
                sequence.push(if stream.bernoulli(share.min(1.0)) { 3.0 } else { -1.0 }).unwrap();
                let now = sequence.interval();
                assert!(now.low >= before.low && now.high <= before.high, "{method:?} at {i}");
                assert!(now.low <= now.high);
                before = now;
            }
            assert!(before.width() < 4.0 * 0.25 * looseness, "{method:?}: {before}");
        }
    }
}

#[test]
fn the_intersection_keeps_the_width_of_the_last_interval_of_a_steady_quantity() {
    // For an alternating quantity the last interval is the narrowest. The steps of the intersection add less than 1/64 to it.
    let mut sequence = ConfidenceSequence::new(0.0, 1.0, 0.05, Method::Betting).unwrap();
    for i in 0..1000 {
        sequence.push(f64::from(i % 2)).unwrap();
    }
    let width = sequence.interval().width();
    assert!((0.10..0.13).contains(&width), "{width}");
}

#[test]
fn crossed_bounds_leave_one_point() {
    // A quantity that jumps contradicts the coverage, so the bounds cross.
    let mut sequence = ConfidenceSequence::new(0.0, 1.0, 0.1, Method::Betting).unwrap();
    for i in 0..1500 {
        sequence.push(if i < 500 { 0.0 } else { 1.0 }).unwrap();
    }
    let one = sequence.interval();
    assert_eq!(one.low, one.high);
    sequence.push(1.0).unwrap();
    assert_eq!(sequence.interval(), one);
}

#[test]
fn bounds_and_error_rates_that_make_no_sense_are_refused() {
    for (low, high, alpha) in [
        (0.0, 1.0, 2.0),
        (0.0, 1.0, 0.0),
        (0.0, 1.0, -0.05),
        (0.0, 1.0, f64::NAN),
        (1.0, 1.0, 0.05),
        (1.0, 0.0, 0.05),
        (f64::NEG_INFINITY, 1.0, 0.05),
    ] {
        let error = ConfidenceSequence::new(low, high, alpha, Method::Betting).unwrap_err();
        assert!(error.to_string().contains("must be"), "{error}");
    }
    let errors = |support, refutation| Errors { false_support: support, false_refutation: refutation };
    let good = errors(0.01, 0.01);
    for (zone, errors, part) in [
        (Zone::new(0.5, 0.9), errors(0.0, 0.1), "error rates"),
        (Zone::new(0.5, 0.9), errors(0.1, 1.0), "error rates"),
        (Zone::new(0.5, 0.9), errors(0.6, 0.6), "sum below 1"),
        (Zone::new(0.5, 0.9), errors(f64::NAN, 0.6), "error rates"),
        (Zone::new(0.5, 0.5), good, "two different"),
        (Zone::new(-0.1, 0.5), good, "inside the bounds"),
        (Zone::new(0.1, f64::NAN), good, "finite"),
        (Zone::at_most(0.5, -0.1), good, "width"),
    ] {
        let error = Sprt::new(zone, errors).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(Sprt::new(Zone::new(0.5, 0.9), good).is_ok());
}
