//! `collimate data` without a network and without clients.

use super::run;

#[test]
fn verify_names_missing_items_and_downloads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (status, _, said) = run(folder.path(), &["data", "--verify", "--full", "--encoder"]);
    assert_eq!(status, 2, "{said}");
    for words in ["SmolLM2", "all-MiniLM-L6-v2", "Brown", "cargo xtask data --full", "xtask data --encoder"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!folder.path().join("cache").exists());
}

#[test]
fn a_missing_client_is_named_with_its_item() {
    let folder = tempfile::tempdir().unwrap();
    let (status, _, said) = run(folder.path(), &["data", "--full"]);
    assert_eq!(status, 2, "{said}");
    for words in ["92.9 MB", "Apache-2.0", "non-commercial", "pip was not found", "npm was not found"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_damaged_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("cache").join("smollm2-0.1.2");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("SmolLM2-135M-Instruct.Q4_1.gguf"), "GGUF").unwrap();
    let (status, _, said) = run(folder.path(), &["data", "--verify"]);
    assert!(
        status == 2 && said.contains("is damaged: size (expected 98362432 bytes, given 4 bytes)"),
        "{said}"
    );
}
