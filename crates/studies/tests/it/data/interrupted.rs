//! Processes that are killed, and processes that run at the same time.

use super::made_up::{Serves, payload, wheel};
use collimate_studies::data::{Cache, DataError, Event, Fetcher, Item, install, locate};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The variable that makes a test play a second process.
const ROLE: &str = "COLLIMATE_TEST_CACHE";

/// Starts this test binary again with only the named test, as a process that installs into `cache`.
fn second_process(test: &str, cache: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, cache)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Writes half an archive and then hangs, as a download does when it is killed.
struct StopsHalfWay;

impl Fetcher for StopsHalfWay {
    fn fetch(&self, _: &'static Item, folder: &Path, _: &mut dyn FnMut(u64)) -> Result<PathBuf, DataError> {
        let (_, archive) = wheel();
        std::fs::write(folder.join("archive"), &archive[..archive.len() / 2]).unwrap();
        std::thread::sleep(Duration::from_secs(60));
        unreachable!("the parent kills this process")
    }
}

#[test]
fn a_killed_process_leaves_no_installed_item() {
    if let Some(root) = std::env::var_os(ROLE) {
        let _ = install(wheel().0, &Cache::at(root), &StopsHalfWay, &mut |_| {});
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let (item, archive) = wheel();
    let mut child =
        second_process("data::interrupted::a_killed_process_leaves_no_installed_item", folder.path());
    let half = || {
        let entries = folder.path().read_dir().unwrap().flatten();
        entries
            .map(|entry| entry.path())
            .find(|path| path.join("archive").metadata().is_ok_and(|file| file.len() > 0))
    };
    let started = Instant::now();
    let partial = loop {
        if let Some(partial) = half() {
            break partial;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "the second process never began");
        std::thread::sleep(Duration::from_millis(10));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(partial.exists() && matches!(locate(item, &cache), Err(DataError::Absent { .. })));

    let path = install(item, &cache, &Serves::these([archive]), &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), payload());
    assert!(!partial.exists(), "the leftover is cleared away");
}

/// A fetcher that serves the archive slowly, and counts the requests in a file that all processes share.
struct Slow<'a> {
    asked: &'a Path,
}

impl Fetcher for Slow<'_> {
    fn fetch(
        &self,
        item: &'static Item,
        folder: &Path,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<PathBuf, DataError> {
        use std::io::Write;
        let mut asked = std::fs::File::options().create(true).append(true).open(self.asked).unwrap();
        asked.write_all(b"+").unwrap();
        std::thread::sleep(Duration::from_millis(300));
        Serves::these([wheel().1]).fetch(item, folder, on_bytes)
    }
}

#[test]
fn two_processes_at_once_download_once() {
    let install_slowly = |root: &Path| {
        let asked = root.with_extension("asked");
        install(wheel().0, &Cache::at(root), &Slow { asked: &asked }, &mut |_| {}).unwrap()
    };
    if let Some(root) = std::env::var_os(ROLE) {
        install_slowly(Path::new(&root));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("cache");
    let mut children: Vec<Child> = (0..2)
        .map(|_| second_process("data::interrupted::two_processes_at_once_download_once", &root))
        .collect();
    let path = install_slowly(&root);
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(std::fs::read(path).unwrap(), payload());
    assert_eq!(
        std::fs::read_to_string(root.with_extension("asked")).unwrap(),
        "+",
        "one of the three downloads"
    );
}

#[test]
fn two_threads_at_once_download_once_and_the_second_reports_that_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let asked = folder.path().join("asked");
    let waited = AtomicUsize::new(0);
    let cache = Cache::at(folder.path().join("cache"));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let count = &mut |event: Event| {
                    waited.fetch_add(usize::from(matches!(event, Event::Waiting(_))), Ordering::Relaxed);
                };
                install(wheel().0, &cache, &Slow { asked: &asked }, count).unwrap();
            });
        }
    });
    assert_eq!(std::fs::read_to_string(asked).unwrap(), "+");
    assert_eq!(waited.into_inner(), 1);
}

#[test]
fn a_leftover_of_another_item_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let (item, archive) = wheel();
    let (own, foreign) =
        (folder.path().join("partial-made-up-1.0-x"), folder.path().join("partial-other-1.0-x"));
    std::fs::create_dir_all(own.join("contents")).unwrap();
    std::fs::create_dir_all(&foreign).unwrap();
    install(item, &cache, &Serves::these([archive]), &mut |_| {}).unwrap();
    assert_eq!((own.exists(), foreign.exists()), (false, true));
}
