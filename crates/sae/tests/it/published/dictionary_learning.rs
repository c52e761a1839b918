//! Dictionaries with the keys of dictionary_learning.

use super::compare::apart;
use crate::torch_files::{self, Value, tensor};
use collimate_sae::formats::{Checkpoint, read};
use collimate_stream::RngStream;
use ndarray::Array2;
use std::fs;

/// Returns the arrays of dictionary_learning's Matryoshka and of T-SAE, with a threshold.
pub(super) fn matryoshka(threshold: Option<f32>) -> Vec<(&'static str, Value)> {
    let mut stream = RngStream::new(15, 0);
    let mut draw =
        |shape: &[usize]| tensor(&ndarray::ArrayD::from_shape_simple_fn(shape, || stream.normal() as f32));
    let mut entries = vec![
        ("W_enc", draw(&[3, 6])),
        ("W_dec", draw(&[6, 3])),
        ("b_enc", draw(&[6])),
        ("b_dec", draw(&[3])),
        ("k", Value::Int(2)),
        ("group_sizes", Value::Tensor(vec![2], vec![2.0, 4.0])),
    ];
    entries.extend(threshold.map(|threshold| ("threshold", Value::Tensor(vec![], vec![threshold]))));
    entries
}

#[test]
fn temporal_and_older_files_with_the_keys_of_dictionary_learning_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ae.pt");
    let x = Array2::from_shape_fn((10, 3), |(i, j)| ((2 * i + 3 * j) as f64).cos());
    let of = |checkpoint: &Checkpoint<f64>| {
        let dictionary = &checkpoint.dictionary;
        let z = (&x - dictionary.decoder_bias()).dot(&dictionary.encoder().t());
        (z + &dictionary.weights().per_latent[0], dictionary.encode(&x).unwrap().to_dense())
    };
    torch_files::write(&path, matryoshka(Some(0.5)));
    let (z, codes) = of(&read(&path).unwrap());
    assert!(apart(&codes, &z.mapv(|z| if z > 0.5 { z } else { 0.0 })) < 1e-12);
    // Without a threshold the 2·10 largest codes of the ten rows stay.
    torch_files::write(&path, matryoshka(None));
    let batch = read::<f64>(&path).unwrap();
    assert!(batch.notes.iter().any(|note| note.contains("no threshold")), "{:?}", batch.notes);
    let (z, codes) = of(&batch);
    let mut sorted: Vec<f64> = z.iter().copied().collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    assert!(apart(&codes, &z.mapv(|z| if z >= sorted[19] && z > 0.0 { z } else { 0.0 })) < 1e-12);
    // A class that keeps no largest codes contradicts the tensors.
    fs::write(folder.path().join("config.json"), r#"{"trainer": {"dict_class": "NewSAE", "dict_size": 6}}"#)
        .unwrap();
    assert!(read::<f64>(&path).is_ok());
    let lower = |names: [&'static str; 4]| {
        let mut entries = matryoshka(Some(0.5));
        entries.pop();
        entries.pop();
        let shapes: [(usize, &[usize]); 2] = [(0, &[6, 3]), (1, &[3, 6])];
        for (entry, name) in entries.iter_mut().zip(names) {
            entry.0 = name;
        }
        for (at, shape) in shapes {
            if let Value::Tensor(old, _) = &mut entries[at].1 {
                *old = shape.to_vec();
            }
        }
        entries
    };
    torch_files::write(&path, lower(["encoder.weight", "decoder.weight", "encoder.bias", "b_dec"]));
    let error = read::<f64>(&path).unwrap_err().to_string();
    assert!(error.contains("NewSAE") && error.contains("AutoEncoderTopK"), "{error}");
    fs::write(folder.path().join("config.json"), r#"{"trainer": {"dict_size": 7}}"#).unwrap();
    assert!(read::<f64>(&path).unwrap_err().to_string().contains("dict_size"));
}
