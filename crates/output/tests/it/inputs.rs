//! Inputs stay, and reading waits for nobody.

use collimate_output::{OutputError, check_inputs, open_regular, open_stream};
use std::fs;
use std::io::Read;

#[test]
fn an_output_replaces_no_input_by_any_name() {
    let root = tempfile::tempdir().expect("a folder");
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("sae")).expect("creates");
    fs::write(at("sae/cfg.json"), "{}").expect("writes");
    fs::write(at("rows"), "rows").expect("writes");
    fs::hard_link(at("rows"), at("twin")).expect("links");
    let refused = |output: &str, input: &str| {
        matches!(check_inputs(&at(output), [at(input).as_path()]), Err(OutputError::Input { .. }))
    };
    assert!(refused("rows", "rows") && refused("sae/../rows", "rows") && refused("twin", "rows"));
    // The folder of the input, the folder above it, and an existing file of an input folder.
    assert!(refused("sae", "sae") && refused("sae", "sae/cfg.json") && refused(".", "rows"));
    assert!(refused("sae/cfg.json", "sae"));
    assert!(!refused("codes", "rows") && !refused("sae/codes", "sae") && !refused("rows", "absent"));
    assert!(!refused("no/such/folder/codes", "rows"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("rows", at("link")).expect("links");
        assert!(refused("link", "rows") && refused("rows", "link"));
        let null = std::path::Path::new("/dev/null");
        check_inputs(null, [null]).expect("a device is no file");
    }
}

#[test]
fn only_regular_files_are_opened() {
    let root = tempfile::tempdir().expect("a folder");
    let file = root.path().join("file");
    fs::write(&file, "text").expect("writes");
    for open in [open_regular, open_stream] {
        let mut text = String::new();
        open(&file).expect("opens").read_to_string(&mut text).expect("reads");
        assert_eq!(text, "text");
        assert!(open(root.path()).expect_err("a folder").to_string().contains("is a folder"));
        assert!(open(&root.path().join("absent")).is_err());
        let pipe = root.path().join("pipe");
        let _ = std::process::Command::new("mkfifo").arg(&pipe).status();
        if pipe.exists() {
            assert!(open(&pipe).expect_err("a pipe").to_string().contains("is a pipe"));
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_stream_that_is_open_already_is_read() {
    use std::os::fd::AsRawFd;
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    std::io::Write::write_all(&mut writer, b"through").expect("writes");
    drop(writer);
    let name = format!("/dev/fd/{}", reader.as_raw_fd());
    let mut text = String::new();
    open_stream(name.as_ref()).expect("opens").read_to_string(&mut text).expect("reads");
    assert_eq!(text, "through");
    assert!(open_regular(name.as_ref()).is_err());
}
