//! Locks of outputs.

use super::names;
use collimate_output::{OutputError, lock};
use std::fs;
use std::path::Path;

#[test]
fn a_lock_is_held_once_and_leaves_no_file() {
    let root = tempfile::tempdir().expect("a folder");
    let (path, other) = (root.path().join("a.st"), root.path().join("a"));
    let held = lock(&path).expect("is free");
    assert!(matches!(lock(&path), Err(OutputError::Busy { .. })));
    drop(lock(&other).expect("another output"));
    // By a link the output is the same.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("a.st", root.path().join("link")).expect("links");
        assert!(matches!(lock(&root.path().join("link")), Err(OutputError::Busy { .. })));
        fs::remove_file(root.path().join("link")).expect("removes");
    }
    drop(held);
    assert!(names(root.path()).is_empty());
    // The lock file of a process that was killed.
    fs::write(root.path().join(".a.st.lock"), "").expect("writes");
    drop(lock(&path).expect("is free"));
    assert!(names(root.path()).is_empty());
}

#[test]
fn a_lock_that_cannot_be_taken_names_the_output() {
    let root = tempfile::tempdir().expect("a folder");
    let error = lock(&root.path().join("no/file")).expect_err("no folder").to_string();
    assert!(error.contains("no/file"), "{error}");
    assert!(matches!(lock(root.path()), Err(OutputError::Folder { .. })));
    if cfg!(unix) {
        let _both = [lock(Path::new("/dev/null")), lock(Path::new("/dev/null"))].map(|l| l.expect("no lock"));
    }
}
