//! The files of a report and of the lock.

use collimate_claims::figures::{Bars, Chart, Figure, HeatMap, Histogram, Series};
use collimate_claims::{
    Budget, Claim, Claims, Exact, Lock, Meta, Outcome, Page, Proportion, Recorded, Run, Runner, Study,
    Subject, Tier, list_json,
};
use collimate_measure::{Fingerprint, Interval, Measurement, Quantity, Unit};

const LOSS: Quantity =
    Quantity { name: "loss <recovered>", definition: "one minus a ratio & more", unit: Unit::Fraction };

/// Returns claims of every kind, with every figure, and hostile text in every place that takes text.
fn claims() -> Claims {
    let hostile = "<script>alert(\"x\")</script> & 'quotes' | `ticks` ]]>";
    let theorem =
        Meta::theorem("own/norm", Subject::Own, "a square is <not> negative").code("S2").source(hostile);
    let belief = Meta::counterexample("own/positive", Subject::Own, "every number is positive");
    let coin =
        Meta::empirical("slt/coin", Subject::Slt, "the coin is fair", hostile).below_nightly("fewer throws");
    let figures = Meta::empirical("sae/figures", Subject::Sae, "figures are drawn", "no threshold").real();
    let missing = Meta::empirical("sae/missing", Subject::Sae, "the model is read", "no threshold").real();
    Claims::new()
        .with(Exact::new(theorem).input(|_, s| Some(s.normal())).admits_all().margin(|x| x * x))
        .with(
            Exact::new(belief)
                .dims(&[("n", 1..=3)])
                .input(|_, s| Some(s.normal()))
                .admits_all()
                .margin(|x| *x),
        )
        .with(Proportion::new(coin).at_least(0.4, 0.2).trial(|s| s.bernoulli(0.5)))
        .with(Study::new(figures).run(move |_| drawn().note(hostile).counterexample("\"</pre><b>\"")))
        .with(Study::new(missing).run(|_| Outcome::unavailable("the model <x>", "run `collimate data`")))
}

fn drawn() -> Outcome {
    let sweep = |scale: f64| (1..8).map(move |i| (f64::from(1 << i), 1.0 - scale / f64::from(i)));
    let bars = |scale: f64| sweep(scale).map(|(_, y)| (y - 0.03, y + 0.02));
    let chart = Chart::new(
        "Loss recovered against L0",
        "Higher and further left is better; bars are bootstrap intervals.",
    )
    .axes("L0 (latents per token)", "loss recovered")
    .log_x()
    .with(Series::line("ReLU & L1", sweep(0.5)).bars(bars(0.5)))
    .with(Series::line("Gated", sweep(0.4)).bars(bars(0.4)))
    .with(Series::line("TopK", sweep(0.3)))
    .with(Series::points("untrained", [(4.0, 0.2), (f64::NAN, 1.0), (-3.0, 0.3)]))
    .reference(1.0, "the model itself = 1");
    let bars = Bars::new("Part of speech", "Accuracy on held-out documents.", "share of tokens")
        .with("five latents", 0.71, Some((0.69, 0.73)))
        .with("best five neurons", 0.66, Some((0.64, 0.68)))
        .with("untrained dictionary with a long name", 0.52, None)
        .with("most frequent tag", 0.42, None);
    let scores: Vec<f64> =
        (0..270).map(|i| (f64::from(i) * 0.37).sin().powi(8) * 0.3).chain([0.93, f64::NAN]).collect();
    let histogram =
        Histogram::new("Induction scores", "All heads.", "score", &scores, 30).mark(0.93, "L5.H1");
    let map = HeatMap::new(
        "WᵀW",
        "Blue is negative.",
        ndarray::Array2::from_shape_fn((12, 16), |(i, j)| ((i * j) as f64).sin()),
    )
    .axes("feature", "feature");
    let measured = Measurement::estimate(&LOSS, 0.93, 0.01, 40, Fingerprint::of(b"x"));
    Outcome::refuted()
        .estimate(0.93)
        .approximate_interval(Interval { low: 0.91, high: 0.95, confidence: 0.95 })
        .measured(measured)
        .figure(chart.figure())
        .figure(bars.figure())
        .figure(histogram.figure())
        .figure(map.figure())
        .figure(Figure {
            title: "A bad one".into(),
            caption: String::new(),
            svg: "<svg onload=\"x\"></svg>".into(),
        })
}

fn run() -> Run {
    Runner::new(Budget::quick()).run(&claims()).unwrap()
}

#[test]
fn the_three_files_are_written() {
    let (run, lock) = (run(), Lock::default());
    let page = Page { run: &run, lock: &lock, cpu_level: "avx2", version: "0.1.0" };
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b");
    let paths = page.write(&deep).unwrap();
    assert!(paths.iter().all(|path| path.is_file()));
    assert_eq!(std::fs::read_dir(&deep).unwrap().count(), 3, "nothing else is left behind");
    page.write(&deep).unwrap();
    page.write_json(&folder.path().join("c.json")).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("c.json")).unwrap(), page.json());
    // A folder that cannot be made is an error that names the path.
    let error = page.write(&paths[0]).unwrap_err();
    assert!(error.to_string().contains("claims.json"), "{error}");
}

#[test]
fn json_holds_what_readers_need() {
    let (run, lock) = (run(), Lock::default());
    let text = Page { run: &run, lock: &lock, cpu_level: "avx2", version: "0.1.0" }.json();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["tier"], &json["seed"], &json["exit_status"]), (&"quick".into(), &0.into(), &2.into()));
    let claims = json["claims"].as_array().unwrap();
    assert_eq!(claims.len(), 5);
    for claim in claims {
        for field in [
            "id",
            "subject",
            "statement",
            "kind",
            "verdict",
            "trials",
            "seconds",
            "seed",
            "real",
            "counterexample",
        ] {
            assert!(claim.get(field).is_some(), "{field} is missing");
        }
        let ran = claim["missing"].is_null();
        assert!(!ran || claim["margin"].is_f64() || claim["interval"].is_object(), "{claim}");
    }
    let list: serde_json::Value =
        serde_json::from_str(&list_json(&self::claims().iter().collect::<Vec<&dyn Claim>>())).unwrap();
    assert_eq!(list["claims"].as_array().unwrap().len(), 5);
    assert_eq!((&list["claims"][2]["id"], &list["claims"][2]["tier"]), (&"slt/coin".into(), &"quick".into()));
    assert_eq!(claims[0]["verdict"], "upheld");
    assert_eq!(claims[1]["counterexample"], "// n = 1, margin = -1\nlet input = -1.0;");
    assert_eq!(claims[3]["interval"]["approximate"], true);
    assert_eq!((&claims[3]["real"], &claims[4]["missing"]), (&true.into(), &"the model <x>".into()));
}

#[test]
fn html_is_self_contained_and_escaped() {
    let (run, lock) = (run(), Lock::default());
    let html = Page { run: &run, lock: &lock, cpu_level: "avx2 & more", version: "0.1.0" }.html();
    for bad in
        ["<script", "onload=\"x\"></svg>", "</pre><b>", "<x>", "http://www.w3.org/1999", "src=", "@import"]
    {
        assert!(!html.contains(bad), "{bad}");
    }
    assert!(
        !html.replace("http://www.w3.org/2000/svg", "").contains("http"),
        "nothing is loaded from elsewhere"
    );
    assert_eq!(html.matches("<svg").count(), 4, "the bad figure is shown as text");
    assert!(html.contains("&lt;svg onload"));
    assert!(
        html.contains("The coin is fair.")
            && html.contains("fewer throws")
            && html.contains("avx2 &amp; more")
    );
    assert!(html.contains("2 hypotheses tested (1 upheld, 1 refuted, 0 inconclusive), 1 could not run"));
    assert!(html.contains("<pre>// n = 1, margin = -1\nlet input = -1.0;</pre>"));
    assert!(html.contains("href=\"#own.norm\"") && html.contains("id=\"own.norm\""));
    for tag in ["article", "section", "figure", "table", "dl", "ul", "pre", "div", "svg", "text", "title"] {
        let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
        let opened = html.matches(&format!("{open}>")).count() + html.matches(&format!("{open} ")).count();
        assert_eq!(opened, html.matches(&close).count(), "{tag}");
    }
}

#[test]
fn html_is_written_to_a_folder_for_inspection() {
    // A person can open the file.
    let (run, lock) = (run(), Lock::default());
    let page = Page { run: &run, lock: &lock, cpu_level: "avx2", version: "0.1.0" };
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("claims-page");
    page.write(&folder).unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("report.html")).unwrap(), page.html());
    let again = drawn();
    assert_eq!(again.figures, drawn().figures);
}

#[test]
fn markdown_shows_text_literally() {
    let (run, lock) = (run(), Lock::default());
    let text = Page { run: &run, lock: &lock, cpu_level: "avx2", version: "0.1.0" }.markdown();
    assert!(text.contains("| `own/positive` | counterexample | ✓ refuted |"), "{text}");
    assert!(text.contains("\\<script\\>") && !text.contains(" <script"));
    assert!(text.contains("```rust\n// n = 1, margin = -1\nlet input = -1.0;\n```"), "{text}");
}

#[test]
fn a_written_lock_is_read_back_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claims.lock");
    assert_eq!(Lock::read(&path).unwrap(), Lock::default(), "no file is an empty lock");
    let mut lock = Lock::default();
    lock.update(&Runner::new(Budget::quick()).filter("own/*").filter("slt").run(&claims()).unwrap(), None)
        .unwrap();
    lock.update(&Runner::new(Budget::standard()).filter("coin").run(&claims()).unwrap(), None).unwrap();
    let entry = lock.entries.get_mut("slt/coin").unwrap();
    entry.accepts = vec![Recorded::Inconclusive];
    entry.explanation = "a \"quoted\" word, a 'tick', a \\ and a = [1]".to_owned();
    lock.write(&path).unwrap();
    assert_eq!(Lock::read(&path).unwrap(), lock);
    assert_eq!(lock.entries["slt/coin"].verdicts.len(), 2);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().skip_while(|line| *line != "[claims]").skip(1).collect();
    assert_eq!(lines.len(), 3, "one line a claim\n{text}");
    assert!(lines.is_sorted(), "{text}");
    assert_eq!(lines[0], "\"own/norm\" = { quick = \"upheld\" }");
    for seed in [0, u64::MAX] {
        let lock = Lock { seed, ..lock.clone() };
        assert_eq!(Lock::parse(&lock.to_text()).unwrap(), lock);
    }
    // A line break in an explanation does not break the line.
    lock.entries.get_mut("slt/coin").unwrap().explanation = "two\nlines".to_owned();
    assert_eq!(Lock::parse(&lock.to_text()).unwrap().entries["slt/coin"].explanation, "two lines");
}

#[test]
fn the_error_for_a_broken_lock_names_the_place() {
    let reason = |text: &str| Lock::parse(text).unwrap_err().to_string();
    assert!(reason("").contains("seed: missing"));
    assert!(reason("seed = \"x\"").contains("not an integer"));
    assert!(reason("seed = -1").contains("negative"));
    assert!(reason("seed = 0\nclaims = 3").contains("not a table"));
    assert!(reason("seed = 0\n[claims]\n\"a\" = 3").contains("a: not a table"));
    assert!(
        reason("seed = 0\n[claims]\n\"a\" = { quick = \"maybe\" }").contains("unknown verdict \"maybe\"")
    );
    assert!(
        reason("seed = 0\n[claims]\n\"a\" = { weekly = \"upheld\" }").contains("unknown field \"weekly\"")
    );
    assert!(reason("seed = 0\n[claims\n").contains("line 2"), "{}", reason("seed = 0\n[claims\n"));
    assert_eq!(Lock::parse("seed = 7").unwrap().seed, 7);
    assert!("weekly".parse::<Tier>().is_err());
}
