//! Single files.

use super::names;
use collimate_output::{Existing, OutputError, check, write};
use std::fs;
use std::io;
use std::path::Path;

fn put(path: &Path, existing: Existing, text: &str) -> Result<(), OutputError> {
    write(path, existing, |out| out.write_all(text.as_bytes()))
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a");
    put(&path, Existing::Replace, "old").expect("writes");
    let failed = write(&path, Existing::Replace, |out| {
        out.write_all(b"half")?;
        Err(io::Error::other("the disk is full"))
    });
    assert!(failed.expect_err("fails").to_string().contains("the disk is full"));
    let panicked = std::panic::catch_unwind(|| write(&path, Existing::Replace, |_| panic!("a fault")));
    assert!(panicked.is_err());
    assert_eq!(fs::read(&path).expect("is there"), b"old");
    assert_eq!(names(folder.path()), ["a"]);
}

#[test]
fn an_existing_file_is_refused_or_replaced_as_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a");
    put(&path, Existing::Refuse, "first").expect("writes");
    assert!(matches!(check(&path, Existing::Refuse), Err(OutputError::Exists { .. })));
    assert!(matches!(put(&path, Existing::Refuse, "second"), Err(OutputError::Exists { .. })));
    // Another process may come first while the content is made.
    let late = folder.path().join("b");
    let raced = write(&late, Existing::Refuse, |_| fs::write(&late, "theirs"));
    assert!(matches!(raced, Err(OutputError::Exists { .. })));
    assert_eq!(fs::read(&late).expect("is there"), b"theirs");
    put(&path, Existing::Replace, "third").expect("writes");
    assert_eq!(fs::read(&path).expect("is there"), b"third");
    assert_eq!(names(folder.path()), ["a", "b"]);
}

#[test]
fn folders_and_missing_folders_are_errors_that_name_the_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = check(folder.path(), Existing::Replace).expect_err("a folder");
    assert!(error.to_string().contains("is a folder"), "{error}");
    let missing = folder.path().join("no").join("file");
    let error = put(&missing, Existing::Replace, "").expect_err("no folder");
    assert!(error.to_string().contains("no/file"), "{error}");
}

#[test]
fn a_separator_at_the_end_means_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["new/", "new/.", "new//"] {
        let path = folder.path().join(name);
        for result in [check(&path, Existing::Replace), put(&path, Existing::Replace, "x")] {
            assert!(matches!(result, Err(OutputError::Folder { .. })), "{name}");
        }
    }
    assert!(names(folder.path()).is_empty());
    put(&folder.path().join("a."), Existing::Refuse, "x").expect("a name may end with a dot");
}

#[test]
fn the_longest_name_of_a_file_can_be_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = "n".repeat(255);
    put(&folder.path().join(&name), Existing::Refuse, "x").expect("writes");
    assert_eq!(names(folder.path()), [name]);
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    #[test]
    fn links_stay_links_and_permissions_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link, open) =
            (folder.path().join("file"), folder.path().join("link"), folder.path().join("open"));
        fs::write(&file, "old").expect("writes");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("sets");
        symlink("file", &link).expect("links");
        put(&link, Existing::Replace, "new").expect("writes");
        assert!(fs::symlink_metadata(&link).expect("is there").is_symlink());
        assert_eq!(fs::read(&file).expect("is there"), b"new");
        assert_eq!(fs::metadata(&file).expect("is there").permissions().mode() & 0o777, 0o640);
        // A link that points nowhere yet.
        symlink("later", &open).expect("links");
        put(&open, Existing::Refuse, "made").expect("writes");
        assert_eq!(fs::read(folder.path().join("later")).expect("is there"), b"made");
        assert!(fs::symlink_metadata(&open).expect("is there").is_symlink());
    }

    #[test]
    fn permissions_are_set_before_the_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        for mode in [0o600, 0o644, 0o400] {
            fs::write(&path, "old").expect("writes");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("sets");
            let mut seen = Vec::new();
            write(&path, Existing::Replace, |out| {
                for entry in fs::read_dir(folder.path())?.flatten() {
                    if entry.file_name() != "secret" {
                        seen.push(entry.metadata()?.permissions().mode() & 0o777);
                    }
                }
                out.write_all(b"new")
            })
            .expect("writes");
            assert_eq!(seen, [mode]);
            fs::remove_file(&path).expect("removes");
        }
    }

    #[test]
    fn devices_are_written_to() {
        let null = Path::new("/dev/null");
        check(null, Existing::Refuse).expect("a device can be written to");
        put(null, Existing::Refuse, "gone").expect("writes");
        assert!(!fs::metadata(null).expect("is there").is_file());
        // By a link, and by a longer name.
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        symlink("/dev/../dev/null", &link).expect("links");
        put(&link, Existing::Replace, "gone").expect("writes");
        assert!(fs::symlink_metadata(&link).expect("is there").is_symlink());
        assert!(!fs::metadata(null).expect("is there").is_file());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_ordinary_file_below_dev_is_an_ordinary_file() {
        // The memory file system of Linux lies below /dev.
        let Ok(folder) = tempfile::tempdir_in("/dev/shm") else { return };
        let path = folder.path().join("a");
        put(&path, Existing::Refuse, "long text").expect("a new file");
        assert!(matches!(put(&path, Existing::Refuse, "x"), Err(OutputError::Exists { .. })));
        put(&path, Existing::Replace, "x").expect("replaces");
        assert_eq!(fs::read(&path).expect("is there"), b"x");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_open_file_keeps_its_place() {
        use std::os::fd::AsRawFd;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        fs::write(&path, "one ").expect("writes");
        let open = fs::OpenOptions::new().append(true).open(&path).expect("opens");
        for name in ["/dev/fd", "/proc/self/fd", "/dev/../dev/fd"] {
            let name = Path::new(name).join(open.as_raw_fd().to_string());
            put(&name, Existing::Replace, "more ").expect("writes");
        }
        assert_eq!(fs::read(&path).expect("is there"), b"one more more more ");
        assert_eq!(names(folder.path()), ["log"]);
    }

    #[test]
    fn a_pipe_is_written_to_and_a_check_does_not_wait_for_its_reader() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        if !made.is_ok_and(|status| status.success()) {
            return;
        }
        check(&pipe, Existing::Refuse).expect("a pipe can be written to");
        let reader = {
            let pipe = pipe.clone();
            std::thread::spawn(move || fs::read(pipe))
        };
        put(&pipe, Existing::Refuse, "through").expect("writes");
        assert_eq!(reader.join().expect("ends").expect("reads"), b"through");
        assert_eq!(names(folder.path()), ["pipe"]);
    }

    #[test]
    fn a_socket_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let _listener = UnixListener::bind(&path).expect("binds");
        for result in [check(&path, Existing::Replace), put(&path, Existing::Replace, "x")] {
            assert!(matches!(result, Err(OutputError::Socket { .. })));
        }
    }
}
