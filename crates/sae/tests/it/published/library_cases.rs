//! The cases of the own code of each library.

use super::compare::rows;
use crate::cases::folder;
use collimate_sae::Precision;
use collimate_sae::formats::read;
use collimate_tensor::files::Safetensors;
use serde_json::Value as Json;
use std::fs;
use std::path::Path;

fn check<F: Precision>(what: &str, path: &Path, io: &Safetensors, suffix: &str, tolerance: &Json) {
    let dictionary = read::<F>(path).unwrap_or_else(|error| panic!("{what}: {error}")).dictionary;
    let out = dictionary.forward(&rows::<F>(io, "x")).unwrap();
    let [rtol, atol] = ["rtol", "atol"].map(|key| tolerance[key].as_f64().unwrap());
    for (key, ours) in [("feature_acts", out.codes.to_dense()), ("recon", out.reconstruction)] {
        let theirs = rows::<f64>(io, &format!("{key}{suffix}"));
        assert_eq!(ours.dim(), theirs.dim(), "{what} {key}");
        for ((place, &value), &expected) in ours.indexed_iter().zip(&theirs) {
            let off = (value.to_f64() - expected).abs();
            assert!(off <= atol + rtol * expected.abs(), "{what} {key}{place:?}: {value} and not {expected}");
            let both = (value == F::zero()) == (expected == 0.0);
            assert!(both || key == "recon", "{what} {key}{place:?}: the supports differ");
        }
    }
}

#[test]
fn every_published_case_gives_the_codes_and_reconstructions_of_its_library() {
    let text = fs::read_to_string(folder().join("formats/cases.json")).unwrap();
    let cases: Vec<Json> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 20);
    for case in &cases {
        let name = case["case"].as_str().unwrap();
        let io = Safetensors::open(folder().join(format!("formats/io/{name}.safetensors"))).unwrap();
        for open in case["open"].as_array().unwrap() {
            let path = folder().join("formats/files").join(name).join(open.as_str().unwrap());
            check::<f32>(name, &path, &io, "", &case["tolerance"]["f32"]);
            check::<f64>(name, &path, &io, "_f64", &case["tolerance"]["f64"]);
        }
    }
}
