//! Folders that appear as a whole.

use super::names;
use collimate_output::{NewFolder, OutputError, check_folder, create_folder, is_free, remove_unfinished};
use std::fs;

#[test]
fn a_trial_leaves_no_folder_behind() {
    let root = tempfile::tempdir().expect("a folder");
    check_folder(&root.path().join("a/b/c")).expect("can be created");
    check_folder(root.path()).expect("is there");
    assert!(names(root.path()).is_empty());
    fs::write(root.path().join("file"), "text").expect("writes");
    for inner in ["file", "file/inner"] {
        let error = check_folder(&root.path().join(inner)).expect_err("a file");
        assert!(error.to_string().contains(inner), "{error}");
    }
    create_folder(&root.path().join("a/b")).expect("creates");
    assert_eq!(names(root.path()), ["a", "file"]);
}

#[test]
fn files_appear_together_in_a_new_folder_and_in_an_old_one() {
    let root = tempfile::tempdir().expect("a folder");
    for name in ["new", "a/b/new", "old"] {
        let folder = root.path().join(name);
        if name == "old" {
            fs::create_dir(&folder).expect("creates");
            for (file, text) in [("index", "old"), ("0.rows", "old"), ("1.rows", "old"), ("note", "mine")] {
                fs::write(folder.join(file), text).expect("writes");
            }
        }
        let new = NewFolder::begin(&folder).expect("begins");
        fs::write(new.path().join("0.rows"), "new").expect("writes");
        fs::write(new.path().join("index"), "new").expect("writes");
        new.finish("index", &["0.rows".to_owned(), "1.rows".to_owned()]).expect("finishes");
        let expected: &[&str] =
            if name == "old" { &["0.rows", "index", "note"] } else { &["0.rows", "index"] };
        assert_eq!(names(&folder), expected);
        assert_eq!(fs::read(folder.join("index")).expect("is there"), b"new");
    }
    assert_eq!(names(root.path()), ["a", "new", "old"]);
}

#[test]
fn an_unfinished_folder_leaves_nothing_behind() {
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir(root.path().join("empty")).expect("creates");
    for name in ["new", "a/b/new", "empty"] {
        let new = NewFolder::begin(&root.path().join(name)).expect("begins");
        fs::write(new.path().join("index"), "half").expect("writes");
    }
    assert_eq!(names(root.path()), ["empty"]);
    assert!(names(&root.path().join("empty")).is_empty());
}

#[test]
fn what_a_killed_process_left_is_removed_and_does_not_count() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("set");
    for left in ["set/.files.1.0.part", ".set.1.7.part"] {
        fs::create_dir_all(root.path().join(left)).expect("creates");
        fs::write(root.path().join(left).join("0.rows"), "half").expect("writes");
    }
    assert!(is_free(&folder).expect("is a folder"));
    drop(NewFolder::begin(&folder).expect("begins"));
    assert!(names(&folder).is_empty());
    fs::remove_dir(&folder).expect("is empty");
    drop(NewFolder::begin(&folder).expect("begins"));
    assert!(names(root.path()).is_empty());
    fs::create_dir(&folder).expect("creates");
    fs::write(folder.join(".hidden"), "mine").expect("writes");
    assert!(!is_free(&folder).expect("is a folder"));
}

#[test]
fn one_process_fills_a_folder_and_the_other_one_is_refused() {
    let root = tempfile::tempdir().expect("a folder");
    fs::create_dir(root.path().join("old")).expect("creates");
    for name in ["old", "new"] {
        let folder = root.path().join(name);
        let first = NewFolder::begin(&folder).expect("begins");
        assert!(matches!(NewFolder::begin(&folder), Err(OutputError::Busy { .. })), "{name}");
        drop(first);
        drop(NewFolder::begin(&folder).expect("is free again"));
    }
    fs::write(root.path().join("file"), "text").expect("writes");
    let refused = NewFolder::begin(&root.path().join("file"));
    assert!(matches!(refused, Err(OutputError::NotAFolder { .. })));
}

#[test]
fn the_present_folder_by_its_short_name() {
    // `.` has no name that a folder beside it could have, so the files are staged within.
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("inner");
    fs::create_dir(&folder).expect("creates");
    let new = NewFolder::begin(&folder.join(".")).expect("begins");
    fs::write(new.path().join("index"), "x").expect("writes");
    new.finish("index", &[]).expect("finishes");
    assert_eq!(names(&folder), ["index"]);
}

#[test]
fn a_signal_handler_removes_what_is_unfinished() {
    let root = tempfile::tempdir().expect("a folder");
    let new = NewFolder::begin(&root.path().join("a/b/set")).expect("begins");
    fs::write(new.path().join("index"), "half").expect("writes");
    remove_unfinished();
    assert!(names(root.path()).is_empty());
    drop(new);
}
