//! Files of another kind than expected: every reader says what the file is and what to do.

use crate::refusal;
use collimate_tensor::files::{FileError, FileKind, Gguf, Npz, Safetensors, TorchFile, read_npy};
use std::fs;
use std::path::Path;

const MAGIC: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";

fn readers() -> [fn(&Path) -> Result<(), FileError>; 5] {
    [
        |path| Safetensors::open(path).map(drop),
        |path| Npz::open(path).map(drop),
        |path| TorchFile::open(path).map(drop),
        |path| Gguf::open(path).map(drop),
        |path| read_npy(path).map(drop),
    ]
}

#[test]
fn texts_pages_and_empty_files_are_named_by_every_reader() {
    let _guard = crate::alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    for (content, expected) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"[..], "git lfs pull"),
        (b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>", "an HTML page"),
        (b"\n  <html lang=\"en\">", "an HTML page"),
        (b"{\"error\":\"Repository not found\"}", "the error of a server"),
        (b"Entry not found", "begins with \"Entry not found\""),
        (b"", "an empty file"),
    ] {
        fs::write(&path, content).unwrap();
        for read in readers() {
            let message = refusal(read(&path));
            assert!(message.contains(expected), "{message}");
        }
    }
}

#[test]
fn a_file_of_another_format_differs_from_a_broken_one() {
    let _guard = crate::alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    fs::write(&path, MAGIC).unwrap();
    let message = refusal(Safetensors::open(&path));
    assert!(message.contains("before torch 1.6") && message.contains("ending of its kind"), "{message}");
    assert_eq!(FileKind::of(&path).unwrap(), FileKind::TorchLegacy);
    let header = b"{\"w\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}";
    let file = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat();
    fs::write(&path, &file).unwrap();
    assert!(Safetensors::open(&path).is_ok());
    for read in [readers()[1], readers()[2]] {
        assert!(refusal(read(&path)).contains("this is a safetensors file"));
    }
    let archive = crate::npy::zipped("w.npy", &crate::npy::npy("{}", &[]), zip::CompressionMethod::Stored);
    fs::write(&path, &archive).unwrap();
    assert_eq!(FileKind::of(&path).unwrap(), FileKind::Npz);
    assert!(refusal(Safetensors::open(&path)).contains("zip archive"));
    fs::write(&path, &archive[..archive.len() / 2]).unwrap();
    assert!(refusal(FileKind::of(&path)).contains("its end is missing"));
}
