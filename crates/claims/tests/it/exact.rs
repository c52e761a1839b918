//! False claims are refuted, and their counterexamples are shrunk to the smallest one.

use collimate_claims::{Budget, Case, Exact, Meta, Report, Subject, examine};
use ndarray::{Array1, Array2, Axis};

fn belief(id: &'static str) -> Meta {
    Meta::counterexample(id, Subject::Own, "planted: false")
}

fn literal(report: &Report) -> &str {
    let found = report.outcome.counterexample.as_ref();
    found.unwrap_or_else(|| panic!("no counterexample\n{report}")).literal.lines().last().unwrap()
}

/// Runs a claim under several seeds, because the smallest counterexample must not depend on the seed.
fn under_seeds<I: Case>(claim: &Exact<I>, check: impl Fn(&Report)) {
    for seed in 0..12 {
        let report = examine(claim, &Budget::quick().seed(seed));
        assert!(report.refuted(), "{report}");
        check(&report);
    }
}

#[test]
fn matrices_do_not_commute() {
    // The smallest pair: 2 × 2 with one entry 1 each.
    let claim = Exact::new(belief("own/commute"))
        .dims(&[("n", 1..=6)])
        .input(|dims, stream| {
            let mut draw = || Array2::from_shape_fn((dims[0], dims[0]), |_| stream.normal());
            Some((draw(), draw()))
        })
        .admits_all()
        .margin(|(a, b)| 1e-9 - (a.dot(b) - b.dot(a)).iter().fold(0.0, |m: f64, x| m.max(x.abs())));
    under_seeds(&claim, |report| {
        let found = report.outcome.counterexample.as_ref().unwrap();
        assert_eq!(found.dims, [("n", 2)]);
        assert!(found.shrink_steps > 0);
        // Two numbers are 1 and all others 0. Their positions depend on the seed.
        let text = literal(report);
        assert_eq!(text.matches("1.0").count(), 2, "{text}");
        assert_eq!(text.matches("0.0").count(), 6, "{text}");
    });
}

#[test]
fn two_dimensions_shrink_together() {
    // Violated only for n ≥ 2m + 1 and m ≥ 2, so both dimensions must be lowered together.
    let claim = Exact::new(belief("own/together"))
        .dims(&[("m", 1..=20), ("n", 1..=40)])
        .input(|dims, _| Some((dims[0], dims[1])))
        .margin(|&(m, n)| if n > 2 * m && m >= 2 { -1.0 } else { 1.0 });
    under_seeds(&claim, |report| assert_eq!(literal(report), "let input = (2usize, 5usize);"));
}

#[test]
fn a_diagonal_valley_is_crossed() {
    // Violated only for m = n ≥ 3, so no single dimension can be lowered.
    let claim = Exact::new(belief("own/valley"))
        .dims(&[("m", 1..=12), ("n", 1..=12)])
        .input(|dims, _| Some((dims[0], dims[1])))
        .margin(|&(m, n)| if m == n && m >= 3 { -1.0 } else { 1.0 });
    under_seeds(&claim, |report| assert_eq!(literal(report), "let input = (3usize, 3usize);"));
}

#[test]
fn large_dimensions_are_lowered() {
    let claim = Exact::new(belief("own/large"))
        .dims(&[("n", 1..=5000), ("unused", 0..=3000)])
        .input(|dims, _| Some(dims[0]))
        .margin(|&n| 136.5 - n as f64);
    under_seeds(&claim, |report| {
        assert_eq!(report.outcome.counterexample.as_ref().unwrap().dims, [("n", 137), ("unused", 0)]);
    });
}

#[test]
fn numbers_become_simple() {
    // A sum above 2.5 with entries at most 1 needs three of them; the simplest is three ones.
    let claim = Exact::new(belief("own/sum"))
        .dims(&[("n", 1..=10)])
        .names(&["x"])
        .input(|dims, stream| Some(Array1::from_shape_fn(dims[0], |_| stream.uniform())))
        .admits(|x| x.iter().all(|v| (0.0..=1.0).contains(v)))
        .margin(|x| 2.5 - x.sum());
    under_seeds(&claim, |report| assert_eq!(literal(report), "let x = array![1.0, 1.0, 1.0];"));
}

#[test]
fn guided_search_finds_what_sampling_misses() {
    // The probability of a violation is about 10⁻⁶ for each draw.
    let claim = |guided| {
        let claim = Exact::new(belief("own/rare"))
            .input(|_, stream| Some((stream.normal(), stream.normal(), stream.normal())))
            .margin(|&(x, y, z)| (x - 3.0).powi(2) + (y - 3.0).powi(2) + (z + 3.0).powi(2) - 0.25);
        let claim = if guided { claim.admits_all() } else { claim };
        examine(&claim, &Budget::quick())
    };
    assert!(claim(false).upheld(), "sampling alone should miss it");
    let report = claim(true);
    assert!(report.refuted(), "{report}");
    assert_eq!(literal(&report), "let input = (3.0, 3.0, -3.0);");
    assert!(report.outcome.guided > 0 && report.outcome.trials == Budget::quick().inputs);
}

#[test]
fn numbers_stay_in_the_domain() {
    // Columns of unit norm. Without `admits`, only drawn inputs may be reported.
    let claim = Exact::new(belief("own/unit"))
        .dims(&[("n", 2..=5)])
        .input(|dims, stream| {
            let x = Array1::from_shape_fn(dims[0], |_| stream.normal());
            let norm = x.dot(&x).sqrt();
            Some(x / norm)
        })
        .margin(|x| if (x.dot(x) - 1.0).abs() < 1e-9 { 0.5 - x[0] } else { -1.0 });
    under_seeds(&claim, |report| assert!(report.outcome.margin.unwrap() > -1.0, "{report}"));
}

#[test]
fn a_theorem_reports_the_meaning_of_no_violation() {
    let meta = Meta::theorem("own/triangle", Subject::Own, "norms obey the triangle inequality");
    let claim = Exact::new(meta)
        .dims(&[("n", 1..=5)])
        .input(|dims, stream| {
            let mut draw = || Array1::from_shape_fn(dims[0], |_| stream.normal());
            Some((draw(), draw()))
        })
        .admits_all()
        .margin(|(x, y)| {
            let norm = |v: &Array1<f64>| v.dot(v).sqrt();
            norm(x) + norm(y) - norm(&(x + y)) + 1e-12 * (norm(x) + norm(y))
        });
    let report = examine(&claim, &Budget::quick());
    assert!(report.upheld(), "{report}");
    let text = report.to_string();
    assert!(text.contains("no violation in 300 inputs; violating share below 0.01 (3/N) at 95 %"), "{text}");
    assert!(text.contains("which do not count in N"), "{text}");
    assert!(report.outcome.guided > 0);
}

#[test]
fn the_counterexample_is_rust_source_that_violates() {
    let margin = |x: &Array2<f64>| {
        let sums = x.sum_axis(Axis(0));
        1.5 - sums.iter().fold(f64::NEG_INFINITY, |m, s| m.max(*s))
    };
    let claim = Exact::new(belief("own/columns"))
        .dims(&[("rows", 1..=4), ("columns", 1..=4)])
        .input(|dims, stream| Some(Array2::from_shape_fn((dims[0], dims[1]), |_| stream.uniform())))
        .admits(|x| x.iter().all(|v| (0.0..=1.0).contains(v)))
        .margin(margin);
    let report = examine(&claim, &Budget::quick());
    let text = report.to_string();
    let expected = "// rows = 2, columns = 1, margin = -0.5\nlet input = array![[1.0], [1.0]];";
    assert!(text.ends_with(expected), "{text}");
    assert_eq!(margin(&ndarray::array![[1.0], [1.0]]), -0.5);
}

#[test]
fn named_parts_are_printed_on_separate_lines() {
    let claim = |names: &[&'static str]| {
        let claim = Exact::new(belief("own/names")).names(names).input(|_, s| Some((s.uniform(), 3usize)));
        examine(&claim.admits_all().margin(|_| -1.0), &Budget::quick())
            .outcome
            .counterexample
            .unwrap()
            .literal
    };
    assert_eq!(claim(&["x", "n"]), "// margin = -1\nlet x = 0.0;\nlet n = 0usize;");
    assert_eq!(claim(&["pair"]), "// margin = -1\nlet pair = (0.0, 0usize);");
    assert_eq!(claim(&[]), "// margin = -1\nlet input = (0.0, 0usize);");
}

#[test]
fn the_effort_is_proportional_to_the_number_of_inputs() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    let spent = |violation: bool| {
        let calls = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&calls);
        let claim = Exact::new(belief("own/costly"))
            .dims(&[("a", 1..=30), ("b", 1..=30)])
            .inputs([3, 30, 300])
            .input(|dims, _| Some((dims[0], dims[1])))
            .margin(move |&(a, b)| {
                count.fetch_add(1, Ordering::Relaxed);
                if violation && a * b >= 60 { -1.0 } else { 1.0 }
            });
        let report = examine(&claim, &Budget::quick().threads(1));
        assert_eq!(report.refuted(), violation);
        calls.load(Ordering::Relaxed)
    };
    assert!(spent(false) <= 6, "three inputs and three guided ones");
    assert!((100..=506).contains(&spent(true)), "the smallest effort to shrink");
}

#[test]
fn a_list_loses_the_entries_that_do_not_matter() {
    // Ten numbers of at most 10 cannot exceed 100, so eleven are the least.
    let at_most = |largest: f64| {
        Exact::new(belief("own/total"))
            .dims(&[("n", 1..=16)])
            .names(&["x"])
            .input(move |dims, s| Some(Array1::from_shape_fn(dims[0], |_| s.uniform_in(0.0, largest))))
            .admits(move |x| x.iter().all(|v| (0.0..=largest).contains(v)))
            .margin(|x| 100.0 - x.sum())
    };
    under_seeds(&at_most(20.0), |report| {
        let found = report.outcome.counterexample.as_ref().unwrap();
        assert_eq!(found.dims, [("n", 6)], "{report}");
    });
    // Without a bound one number is enough, and 101 is the least integer.
    let free = Exact::new(belief("own/total"))
        .dims(&[("n", 1..=20)])
        .names(&["x"])
        .input(|dims, s| Some(Array1::from_shape_fn(dims[0], |_| 30.0 * s.normal())))
        .admits_all()
        .margin(|x| 100.0 - x.sum());
    under_seeds(&free, |report| assert_eq!(literal(report), "let x = array![101.0];"));
}

#[test]
fn rows_and_columns_are_deleted_together() {
    // Violated by any negative diagonal entry of a square matrix that comes with a vector of its size.
    let claim = Exact::new(belief("own/diagonal"))
        .dims(&[("n", 1..=9)])
        .input(|dims, s| {
            let n = dims[0];
            Some((Array2::from_shape_fn((n, n), |_| s.normal()), Array1::from_shape_fn(n, |_| s.normal())))
        })
        .admits(|(a, x)| a.nrows() == x.len() && a.ncols() == x.len())
        .margin(|(a, x)| (0..x.len()).fold(1.0, |m: f64, i| m.min(a[[i, i]] + x[i].abs())));
    under_seeds(&claim, |report| assert_eq!(literal(report), "let input = (array![[-1.0]], array![0.0]);"));
}

#[test]
fn a_list_without_dimensions_becomes_shorter() {
    let claim = Exact::new(belief("own/list"))
        .input(|_, s| {
            let length = 3 + s.below(40);
            Some((0..length).map(|_| s.below(100) as u64).collect::<Vec<u64>>())
        })
        .admits_all()
        .margin(|x| if x.iter().any(|&v| v >= 70) { -1.0 } else { 1.0 });
    // The generator draws no list of fewer than three entries.
    under_seeds(&claim, |report| {
        let mut text = literal(report).to_owned();
        text = text.replace("70u64", "x");
        assert!(
            ["vec![x, 0u64, 0u64]", "vec![0u64, x, 0u64]", "vec![0u64, 0u64, x]"]
                .iter()
                .any(|expected| text == format!("let input = {expected};")),
            "{text}"
        );
    });
    let text = Exact::new(belief("own/text"))
        .input(|_, s| Some((0..s.below(30)).map(|_| ['a', 'b', 'λ'][s.below(3)]).collect::<String>()))
        .admits_all()
        .margin(|x| if x.matches('λ').count() >= 2 { -1.0 } else { 1.0 });
    under_seeds(&text, |report| assert_eq!(literal(report), "let input = \"λλ\".to_owned();"));
}

#[test]
fn the_least_integer_is_found_by_bisection() {
    for (least, most) in [(1_234_568_u64, 3_000_000_usize), (65_537, 1 << 40), (3, 100)] {
        let claim = Exact::new(belief("own/least"))
            .input(move |_, s| Some(s.below(most) as u64))
            .admits_all()
            .margin(move |&n| if n >= least { -1.0 } else { 1.0 });
        under_seeds(&claim, |report| assert_eq!(literal(report), format!("let input = {least}u64;")));
    }
    let below = Exact::new(belief("own/below"))
        .input(|_, s| Some(1e6 * s.normal()))
        .admits_all()
        .margin(|x| x + 777.5);
    under_seeds(&below, |report| assert_eq!(literal(report), "let input = -778.0;"));
}

#[test]
fn numbers_change_together() {
    // Only equal numbers violate, so none of them can change alone.
    let equal = Exact::new(belief("own/equal"))
        .dims(&[("n", 3..=6)])
        .input(|dims, s| {
            let x = 100.0 + s.below(900) as f64;
            Some(vec![x; dims[0]])
        })
        .admits_all()
        .margin(|x| if x.iter().all(|v| *v == x[0] && *v >= 50.0) { -1.0 } else { 1.0 });
    under_seeds(&equal, |report| assert_eq!(literal(report), "let input = vec![50.0, 50.0, 50.0];"));
    // Only a fixed difference violates.
    let apart = Exact::new(belief("own/apart"))
        .input(|_, s| {
            let x = s.below(1000) as f64;
            Some((x + 7.0, x))
        })
        .admits_all()
        .margin(|(x, y)| if x - y == 7.0 && *y >= 3.0 { -1.0 } else { 1.0 });
    under_seeds(&apart, |report| assert_eq!(literal(report), "let input = (10.0, 3.0);"));
    // Only a fixed ratio violates.
    let ratio = Exact::new(belief("own/ratio"))
        .input(|_, s| {
            let x = s.normal();
            Some((x, 2.0 * x))
        })
        .admits_all()
        .margin(|(x, y)| if *x != 0.0 && *y == 2.0 * x { -1.0 } else { 1.0 });
    under_seeds(&ratio, |report| assert_eq!(literal(report), "let input = (0.5, 1.0);"));
}

#[test]
fn trivial_dimensions_do_not_keep_guided_search_from_the_others() {
    // In floating point the mean of equal numbers can leave their range, but not for two numbers.
    let claim = |from: usize| {
        Exact::new(belief("own/mean-in-range"))
            .dims(&[("n", from..=10)])
            .input(|dims, s| Some((0..dims[0]).map(|_| s.normal()).collect::<Vec<f64>>()))
            .admits_all()
            .margin(|x| {
                let mean = x.iter().sum::<f64>() / x.len() as f64;
                let (low, high) = x.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
                (mean - low).min(high - mean)
            })
    };
    for from in [1, 2] {
        for budget in [Budget::quick(), Budget::standard(), Budget::nightly()] {
            for seed in 0..5 {
                let report = examine(&claim(from), &budget.clone().seed(seed));
                assert!(report.refuted(), "{report}");
            }
        }
    }
}
