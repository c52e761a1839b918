//! Dictionaries of sparsify.

use super::compare::rows;
use crate::cases::folder;
use collimate_sae::formats::{Checkpoint, read};
use collimate_tensor::files::Safetensors;
use serde_json::{Value as Json, json};
use std::fs;

#[test]
fn a_signed_file_is_not_read_as_todays_release_reads_it() {
    let io = Safetensors::open(folder().join("formats/io/sparsify_signed.safetensors")).unwrap();
    let (signed, today) = (rows::<f64>(&io, "feature_acts"), rows::<f64>(&io, "sparsify_1_3_3_acts"));
    assert!(signed.iter().any(|&code| code < 0.0) && today.iter().all(|&code| code >= 0.0));
}

#[test]
fn signed_codes_of_sparsify_are_told_from_those_of_later_releases() {
    let from = folder().join("formats/files/sparsify_signed");
    let temporary = tempfile::tempdir().unwrap();
    fs::copy(from.join("sae.safetensors"), temporary.path().join("sae.safetensors")).unwrap();
    let with = |config: Json| {
        fs::write(temporary.path().join("cfg.json"), config.to_string()).unwrap();
        read::<f64>(temporary.path())
    };
    let name = |checkpoint: Checkpoint<f64>| checkpoint.dictionary.variant().name();
    assert_eq!(with(json!({"k": 4, "signed": true})).map(name).unwrap(), "abs_topk");
    assert_eq!(with(json!({"k": 4, "signed": false, "activation": "topk"})).map(name).unwrap(), "topk");
    assert_eq!(with(json!({"k": 4})).map(name).unwrap(), "topk");
    let error = with(json!({"k": 4, "signed": true, "activation": "topk"})).unwrap_err().to_string();
    assert!(error.contains("'signed'") && error.contains("activation"), "{error}");
    assert!(with(json!({"k": 0})).unwrap_err().to_string().contains("'k'"));
    assert!(with(json!({})).unwrap_err().to_string().contains("'k'"));
}
