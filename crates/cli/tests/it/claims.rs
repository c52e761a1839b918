//! `collimate claims` on the claims that need no download.

use super::{collimate, run};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

fn listed(folder: &std::path::Path) -> Vec<Value> {
    let (status, out, said) = run(folder, &["claims", "--list", "--json"]);
    assert_eq!(status, 0, "{said}");
    let value: Value = serde_json::from_str(&out).unwrap();
    value["claims"].as_array().unwrap().clone()
}

#[test]
fn the_list_describes_each_claim() {
    let folder = tempfile::tempdir().unwrap();
    let claims = listed(folder.path());
    assert!(!claims.is_empty());
    for claim in &claims {
        let id = claim["id"].as_str().unwrap();
        assert!(id.starts_with(&format!("{}/", claim["subject"].as_str().unwrap())), "{id}");
        assert!(
            ["theorem", "counterexample", "empirical"].contains(&claim["kind"].as_str().unwrap()),
            "{id}"
        );
        assert!(claim["real"].is_boolean() && !claim["statement"].as_str().unwrap().is_empty(), "{id}");
    }
    let (_, text, _) = run(folder.path(), &["claims", "--list"]);
    assert!(text.ends_with(&format!("{} claims\n", claims.len())), "{text}");
}

#[test]
fn a_filtered_run_writes_its_reports() {
    let folder = tempfile::tempdir().unwrap();
    let claims = listed(folder.path());
    let quick = claims.iter().find(|claim| claim["tier"] == "quick" && claim["real"] == false).unwrap();
    let id = quick["id"].as_str().unwrap();
    let (status, out, said) = run(
        folder.path(),
        &["claims", id, "--tier", "quick", "--seed", "5", "--output", "here", "--json=copy.json"],
    );
    assert_eq!(status, 0, "{out}{said}");
    let report = std::fs::read_to_string(folder.path().join("here/claims.json")).unwrap();
    assert_eq!(report, std::fs::read_to_string(folder.path().join("copy.json")).unwrap());
    let report: Value = serde_json::from_str(&report).unwrap();
    let first = &report["claims"][0];
    for key in [
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
        assert!(first.get(key).is_some(), "{key}: {first}");
    }
    assert!(first.get("margin").is_some() || first.get("interval").is_some(), "{first}");
    assert_eq!((&first["id"], &first["seed"]), (&Value::from(id), &Value::from(5)));
    assert!(std::fs::read_to_string(folder.path().join("here/report.html")).unwrap().contains(id));
    assert!(std::fs::read_to_string(folder.path().join("here/claims.md")).unwrap().contains(id));
}

#[test]
fn a_run_is_compared_with_recorded_verdicts() {
    let folder = tempfile::tempdir().unwrap();
    let claims = listed(folder.path());
    let quick = claims.iter().find(|claim| claim["tier"] == "quick" && claim["real"] == false).unwrap();
    let id = quick["id"].as_str().unwrap();
    let (status, out, said) = run(folder.path(), &["claims", id, "--tier", "quick", "--bless"]);
    assert_eq!(status, 0, "{out}{said}");
    let lock = folder.path().join("claims.lock");
    let text = std::fs::read_to_string(&lock).unwrap();
    let (right, wrong) =
        if text.contains("\"upheld\"") { ("upheld", "refuted") } else { ("refuted", "upheld") };
    std::fs::write(&lock, text.replace(right, wrong)).unwrap();
    let (status, out, _) = run(folder.path(), &["claims", id, "--tier", "quick"]);
    assert!(status == 1 && out.contains("changed:"), "{status} {out}");
    let (status, out, _) = run(folder.path(), &["claims", id, "--tier", "quick", "--no-lock"]);
    assert!(status == 0 && !out.contains("changed:"), "{status} {out}");
}

#[test]
fn reports_stand_in_target_only_in_a_checkout() {
    let folder = tempfile::tempdir().unwrap();
    let claims = listed(folder.path());
    let quick = claims.iter().find(|claim| claim["tier"] == "quick" && claim["real"] == false).unwrap();
    let arguments = ["claims", quick["id"].as_str().unwrap(), "--tier", "quick", "--quiet"];
    let (status, out, said) = run(folder.path(), &arguments);
    assert!(status == 0 && said.is_empty(), "{out}{said}");
    assert!(
        folder.path().join("collimate-claims/report.html").is_file()
            && !folder.path().join("target").exists()
    );
    // A checkout is a folder with the manifests of the workspace and of `studies`, here also from an inner folder.
    let studies = folder.path().join("crates/studies");
    std::fs::create_dir_all(&studies).unwrap();
    for place in [folder.path(), &studies] {
        std::fs::write(place.join("Cargo.toml"), "").unwrap();
    }
    let (status, out, said) = run(&studies, &arguments);
    assert_eq!(status, 0, "{out}{said}");
    assert!(folder.path().join("target/claims/report.html").is_file() && !studies.join("target").exists());
}

#[test]
fn a_word_behind_json_is_an_id() {
    let folder = tempfile::tempdir().unwrap();
    let all = listed(folder.path());
    let id = all[0]["id"].as_str().unwrap();
    let (status, out, said) = run(folder.path(), &["claims", "--list", "--json", id]);
    assert_eq!(status, 0, "{said}");
    let value: Value = serde_json::from_str(&out).unwrap();
    let ids: Vec<&str> =
        value["claims"].as_array().unwrap().iter().map(|claim| claim["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&id) && ids.iter().all(|found| found.contains(id)), "{ids:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no file has the name of a claim");
    let (status, _, said) = run(folder.path(), &["claims", "--list", "--json=list.json", id]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(std::fs::read_to_string(folder.path().join("list.json")).unwrap(), out);
}

#[test]
fn unknown_claims_and_tiers_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let (status, _, said) = run(folder.path(), &["claims", "no-such-claim"]);
    assert!(status == 2 && said.contains("no-such-claim"), "{said}");
    let (status, _, said) = run(folder.path(), &["claims", "--tier", "weekly"]);
    assert!(status == 2 && said.contains("weekly"), "{said}");
}

#[test]
fn a_selection_without_a_claim_is_an_error_with_the_option_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let claims = listed(folder.path());
    let id = |keep: &dyn Fn(&Value) -> bool| {
        claims.iter().find(|claim| keep(claim)).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let dearer = id(&|claim| claim["tier"] == "standard" && claim["real"] == false);
    let real = id(&|claim| claim["tier"] == "quick" && claim["real"] == true);
    for (arguments, words) in [
        (vec![&dearer[..], "--tier", "quick"], [&dearer[..], "--tier standard"]),
        (vec![&real, "--tier", "quick", "--no-real"], [&real, "leave out --no-real"]),
        (vec![&dearer, &real, "--tier", "quick", "--no-real"], ["--tier standard", "--no-real"]),
    ] {
        let (status, out, said) = run(folder.path(), &[&["claims"], &arguments[..]].concat());
        assert!(status == 2 && out.is_empty(), "{arguments:?}: {out}{said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{word}: {said}"));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no report was written");
}

#[test]
fn places_of_reports_are_tried_before_the_claims_run() {
    let folder = tempfile::tempdir().unwrap();
    let claims = listed(folder.path());
    let quick = claims.iter().find(|claim| claim["tier"] == "quick" && claim["real"] == false).unwrap();
    let id = quick["id"].as_str().unwrap();
    std::fs::write(folder.path().join("file"), "mine").unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    std::fs::write(folder.path().join("folder/claims.md"), "# My own notes").unwrap();
    for more in [
        ["--output", "file"],
        ["--output", "file/inner"],
        ["--output", "folder"],
        ["--json=file", "--no-lock"],
        ["--json=missing/report.json", "--no-lock"],
    ] {
        let (status, out, said) =
            run(folder.path(), &[&["claims", id, "--tier", "quick"], &more[..]].concat());
        assert!(status == 2 && out.is_empty() && !said.contains("[ 1/"), "{more:?}: {out}{said}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "{more:?}");
    }
    assert_eq!(std::fs::read(folder.path().join("folder/claims.md")).unwrap(), b"# My own notes");
}

#[cfg(unix)]
#[test]
fn ctrl_c_writes_the_finished_claims() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = collimate(folder.path())
        .args(["claims", "--tier", "nightly", "--no-real", "--no-lock"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.by_ref().map(Result::unwrap).find(|line| !line.starts_with("note:")).unwrap();
    assert!(first.starts_with("[ 1/"), "{first}");
    let signal = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert!(signal.success());
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let text = std::fs::read_to_string(folder.path().join("collimate-claims/claims.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert!(!report["claims"].as_array().unwrap().is_empty());
    assert!(!report["left_out"].as_array().unwrap().is_empty(), "the run was interrupted before its end");
    assert!(!folder.path().join("target").exists());
}

mod slow {
    use super::*;

    /// Returns the claims of a report without their times.
    fn numbers(folder: &std::path::Path, threads: &str) -> Vec<Value> {
        let (_, out, said) = run(
            folder,
            &["claims", "--tier", "quick", "--no-real", "--threads", threads, "--json=report.json"],
        );
        let text = std::fs::read_to_string(folder.join("report.json")).expect(&(out + &said));
        let mut report: Value = serde_json::from_str(&text).unwrap();
        let claims = report["claims"].as_array_mut().unwrap();
        for claim in claims.iter_mut() {
            claim.as_object_mut().unwrap().remove("seconds");
        }
        std::mem::take(claims)
    }

    #[test]
    fn all_quick_claims_give_the_same_numbers_on_any_number_of_threads() {
        let folder = tempfile::tempdir().unwrap();
        let one = numbers(folder.path(), "1");
        for threads in ["2", "3"] {
            let several = numbers(folder.path(), threads);
            assert_eq!(one.len(), several.len());
            for (one, several) in one.iter().zip(&several) {
                assert_eq!(one, several, "on {threads} threads");
            }
        }
    }
}
