//! `collimate llc`.

use super::{collimate, run};
use serde_json::Value;
use std::process::Stdio;

#[test]
fn an_estimate_stands_beside_the_exact_value() {
    let folder = tempfile::tempdir().unwrap();
    let (status, out, said) =
        run(folder.path(), &["llc", "crossing", "1", "1", "--draws", "1000", "--json", "--seed", "3"]);
    assert_eq!(status, 0, "{said}");
    let value: Value = serde_json::from_str(&out).unwrap();
    let number = |key: &str| value[key].as_f64().unwrap();
    assert!((number("exact") - 0.3559).abs() < 1e-4, "{out}");
    assert!((number("estimate") - number("exact")).abs() < 4.5 * number("standard_error"), "{out}");
    assert_eq!((&value["lambda"], &value["multiplicity"]), (&"1/2".into(), &2.into()));
    let (status, out, _) = run(folder.path(), &["llc", "deep-linear", "2", "2", "2", "--draws", "300"]);
    assert!(status == 0 && out.contains("tempered estimate") && out.contains("verdict:"), "{out}");
    assert!(out.contains("the asymptotic λ = 3/2, multiplicity 1 is another quantity"), "{out}");
}

#[test]
fn the_other_models_run() {
    let folder = tempfile::tempdir().unwrap();
    let models = [
        vec!["polynomial", "x^2*y^4 + x^4*y^2"],
        vec!["toy-model", "5", "6"],
        vec!["reduced-rank", "2", "2", "2"],
    ];
    for (model, lambda) in models.into_iter().zip(["1/3", "7", "3/2"]) {
        let arguments = [&["llc"], &model[..], &["--draws", "200", "--json"]].concat();
        let (status, out, said) = run(folder.path(), &arguments);
        assert_eq!(status, 0, "{said}");
        let value: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["lambda"], lambda, "{out}");
        assert!(value["estimate"].as_f64().unwrap() > 0.0 && value["trusted"].is_boolean(), "{out}");
    }
}

#[test]
fn the_bias_of_a_step_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        ["llc", "reduced-rank", "2", "1", "2", "--method", "sgld", "--epsilon", "4e-3", "--halve"];
    let (status, out, said) = run(folder.path(), &arguments);
    assert!(status == 0 && out.contains("is the step") && out.contains("at ε → 0"), "{out}{said}");
    let (_, out, _) = run(folder.path(), &[&arguments[..], &["--json"]].concat());
    let value: Value = serde_json::from_str(&out).unwrap();
    let number = |of: &str, key: &str| value[of][key].as_f64().unwrap();
    // Euler steps widen the posterior. The extrapolated estimate agrees with the exact value.
    assert!(number("step_bias", "value") > 0.0, "{out}");
    let off = number("extrapolated", "value") - value["exact"].as_f64().unwrap();
    assert!(off.abs() < 4.5 * number("extrapolated", "standard_error"), "{out}");
    let (status, _, said) = run(folder.path(), &["llc", "crossing", "1", "--halve"]);
    assert!(status == 2 && said.contains("--method sgld"), "{said}");
}

#[test]
fn a_sweep_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["llc", "reduced-rank", "2", "1", "2", "--draws", "200", "--sweep", "sweep.svg"];
    let (status, _, said) = run(folder.path(), &arguments);
    assert_eq!(status, 0, "{said}");
    let svg = std::fs::read_to_string(folder.path().join("sweep.svg")).unwrap();
    assert_eq!(svg.matches("<rect").count(), 5 * 3 * 3);
}

#[test]
fn a_figure_is_written_before_anything_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    // The reader of the result ends at once, as `head` does. That ends the command, but the figure is complete.
    for more in [&[][..], &["--json"]] {
        let mut child = collimate(folder.path())
            .args(["llc", "crossing", "1", "--draws", "50", "--sweep", "sweep.svg"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        assert!(child.wait().unwrap().success());
        let svg = std::fs::read_to_string(folder.path().join("sweep.svg")).unwrap();
        assert!(svg.ends_with("</svg>"), "{svg}");
        std::fs::remove_file(folder.path().join("sweep.svg")).unwrap();
    }
}

#[test]
fn a_trace_of_another_sampler_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String =
        (0..400).map(|i| format!("{},{}\n", i % 2, 1.0 + 0.1 * f64::from(i * 7919 % 401) / 401.0)).collect();
    std::fs::write(folder.path().join("trace.csv"), format!("chain,loss\n{rows}")).unwrap();
    let judge = |baseline: &str| {
        run(
            folder.path(),
            &["llc", "trace", "trace.csv", "--n-beta", "100", "--baseline", baseline, "--gamma", "1"],
        )
    };
    let (status, out, said) = judge("1.0");
    assert!(status == 0 && out.contains("2 chains of 200 draws"), "{out}{said}");
    assert!(judge("2.0").1.contains("negative: w* is not a minimum"));
    let json = ["llc", "trace", "trace.csv", "--n-beta", "100", "--baseline", "1", "--json"];
    let value: Value = serde_json::from_str(&run(folder.path(), &json).1).unwrap();
    assert_eq!((&value["chains"], &value["draws"]), (&2.into(), &200.into()));
    let (status, _, said) = run(folder.path(), &["llc", "trace", "trace.csv"]);
    assert!(status == 2 && said.contains("--baseline"), "{said}");
}

#[test]
fn traces_are_read_by_their_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let judge = |files: &[&str]| {
        let arguments =
            [&["llc", "trace"], files, &["--n-beta", "100", "--baseline", "1", "--gamma", "1"]].concat();
        run(folder.path(), &arguments)
    };
    // An npy array under a wrong name, and one with its axes exchanged.
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (300, 2), }";
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{header:<117}\n").into_bytes());
    bytes.extend((0..600).flat_map(|i| (1.0 + 0.1 * f64::from(i * 7919 % 401) / 401.0).to_le_bytes()));
    std::fs::write(path("losses.txt"), &bytes).unwrap();
    let (status, out, said) = judge(&["losses.txt"]);
    assert!(status == 0 && out.contains("300 chains of 2 draws"), "{out}{said}");
    assert!(said.contains("transpose the array"), "{said}");
    // UTF-16, as PowerShell writes it, and one file for each chain.
    let text: String =
        (0..200).map(|i| format!("{}\r\n", 1.0 + 0.1 * f64::from(i * 7919 % 401) / 401.0)).collect();
    let wide: Vec<u8> = [0xfeff_u16]
        .into_iter()
        .chain(format!("loss\r\n{text}").encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    std::fs::write(path("one.csv"), wide).unwrap();
    std::fs::write(path("two.csv"), format!("\u{feff}\"loss\"\r\n{text}")).unwrap();
    let (status, out, said) = judge(&["one.csv", "two.csv"]);
    assert!(
        status == 0 && out.contains("2 chains of 200 draws") && !said.contains("transpose"),
        "{out}{said}"
    );
    std::fs::write(path("x.npz"), b"PK\x03\x04rest").unwrap();
    assert!(judge(&["x.npz"]).2.contains("zip archive"));
}

#[test]
fn options_that_do_not_apply_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.csv"), "loss\n1\n2\n").unwrap();
    let trace = ["llc", "trace", "t.csv", "--n-beta", "1", "--baseline", "0"];
    for option in [
        vec!["--method", "sgld"],
        vec!["--n", "0"],
        vec!["--rank", "0"],
        vec!["--epsilon", "1"],
        vec!["--halve"],
        vec!["--chains", "4"],
        vec!["--draws", "2000"],
        vec!["--seed", "0"],
        vec!["--sweep", "s.svg"],
    ] {
        let (status, _, said) = run(folder.path(), &[&trace[..], &option].concat());
        assert!(status == 2 && said.contains(option[0]) && said.contains("no effect"), "{option:?}: {said}");
    }
    let (status, _, said) = run(folder.path(), &["llc", "crossing", "1", "--baseline", "0"]);
    assert!(status == 2 && said.contains("--baseline"), "{said}");
    assert_eq!(run(folder.path(), &trace).0, 0);
}

#[test]
fn an_accepted_step_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let judged = |arguments: &[&str]| {
        let (status, out, said) = run(folder.path(), &[&["llc"], arguments, &["--json"]].concat());
        assert_eq!(status, 0, "{said}");
        let value: Value = serde_json::from_str(&out).unwrap();
        (value["trusted"].as_bool().unwrap(), value["doubts"].to_string())
    };
    let (trusted, doubts) = judged(&["crossing", "1", "--method", "sgld"]);
    assert!(!trusted && doubts.contains("the step shifts") && doubts.contains("ALARM"), "{doubts}");
    let (trusted, doubts) = judged(&["crossing", "1", "1"]);
    assert!(trusted, "{doubts}");
    let basins = ["polynomial", "(x-1/2)^4*x^2", "--n", "100000000"];
    let (trusted, doubts) = judged(&basins);
    assert!(!trusted && doubts.contains("the chains disagree"), "{doubts}");
}

#[test]
fn wrong_arguments_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, word) in [
        (vec!["llc", "perceptron"], "possible values: reduced-rank"),
        (vec!["llc", "reduced-rank", "2", "two", "2"], "a size must be a whole number"),
        (vec!["llc", "reduced-rank", "2", "1"], "three sizes"),
        (vec!["llc", "crossing", "1", "--method", "gibbs"], "possible values: hmc"),
        (vec!["llc", "polynomial", "x + y"], "is not a loss"),
        (vec!["llc", "polynomial", "x + y"], "its square"),
        (vec!["llc", "polynomial", "1 + x^2"], "refused: K is not a loss"),
        (vec!["llc", "polynomial", "x^4+y^4+z^4-4*x*y*z^2"], "K = -1 at x = 1, y = 1, z = 1"),
        (vec!["llc", "polynomial", "(a+b)^96/35*y"], "is negative arbitrarily close"),
        (vec!["llc", "crossing"], "at least one power"),
        (vec!["llc", "crossing", "99999999999"], "a power must be below 2^32"),
        (vec!["llc", "crossing", "1", "--draws", "1000000000000000000"], "use a larger `thin`"),
        (vec!["llc", "crossing", "1", "--chains", "100000000000"], "use a larger `thin`"),
        (vec!["llc", "toy-model", "5", "100000000"], "too large to sample"),
        (vec!["llc", "crossing", "1", "--sweep", "nowhere/s.svg"], "nowhere/s.svg"),
        (vec!["llc", "reduced-rank", "5", "3", "5", "--rank", "-2"], "invalid value '-2'"),
        (vec!["llc", "reduced-rank", "5", "3", "5", "--gamma", "-1"], "localisation must be at least 0"),
        (vec!["llc", "reduced-rank", "5", "3", "5", "--n-beta", "nan"], "positive and finite"),
        (vec!["llc", "reduced-rank", "1000000", "1000000", "1000000"], "too large to sample"),
        (vec!["llc", "crossing", "1", "--rank", "1"], "--rank is for"),
        (
            vec!["llc", "trace", "x.csv", "--n-beta", "3", "--baseline", "nan"],
            "--baseline must be a finite number",
        ),
    ] {
        let (status, _, said) = run(folder.path(), &arguments);
        assert!(status == 2 && said.contains(word), "{arguments:?}: {said}");
    }
}
