//! Dictionaries of Qwen Scope.

use crate::torch_files::{self, tensor};
use collimate_sae::formats::{Given, read, read_given};
use collimate_sae::{TopK, Variant};
use collimate_stream::RngStream;
use ndarray::Array2;
use std::path::Path;

/// Writes a file of Qwen Scope with 6 latents in `d` dimensions.
fn qwen(path: &Path, d: usize) {
    let mut stream = RngStream::new(8, 0);
    let mut draw = |shape: &[usize]| ndarray::ArrayD::from_shape_simple_fn(shape, || stream.normal() as f32);
    torch_files::write(
        path,
        vec![
            ("W_enc", tensor(&draw(&[6, d]))),
            ("W_dec", tensor(&draw(&[d, 6]))),
            ("b_enc", tensor(&draw(&[6]))),
            ("b_dec", tensor(&draw(&[d]))),
        ],
    );
}

#[test]
fn k_of_qwen_scope_comes_from_its_folder_or_is_given() {
    let folder = tempfile::tempdir().unwrap();
    // Width 6 makes the matrices square, which hides a transposition from the shapes.
    for d in [4, 6] {
        let at = |path: &str| {
            let path = folder.path().join(format!("{d}")).join(path);
            qwen(&path, d);
            path
        };
        let k = |path: &Path, given: Option<usize>| {
            read_given::<f64>(path, &Given { k: given, ..Given::default() }).map(|checkpoint| {
                match *checkpoint.dictionary.variant() {
                    Variant::TopK(TopK { k, .. }) => k,
                    other => panic!("{other}"),
                }
            })
        };
        let own = at("SAE-Res-Qwen3-1.7B-Base-W32K-L0_3/layer0.sae.pt");
        assert_eq!(k(&own, None).unwrap(), 3);
        assert!(k(&own, Some(2)).unwrap_err().to_string().contains("says it itself"));
        let cached = at("models--Qwen--SAE-Res-L0_2/snapshots/0a1b/layer0.sae.pt");
        assert_eq!(k(&cached, None).unwrap(), 2);
        for other in ["downloads/layer4.sae.pt", "run-L0_3/copies/layer0.sae.pt", "L0_x/layer0.sae.pt"] {
            let path = at(other);
            let error = k(&path, None).unwrap_err().to_string();
            assert!(error.contains("the number k") && error.contains("L0_50"), "{error}");
            assert_eq!(k(&path, Some(5)).unwrap(), 5);
            assert!(k(&path, Some(7)).unwrap_err().to_string().contains("at most the number of latents"));
        }
        let dictionary = read::<f64>(&own).unwrap().dictionary;
        let x = Array2::from_shape_fn((5, d), |(i, j)| (i as f64 - 2.0) * 0.7 + (j as f64).sin());
        let z = x.dot(&dictionary.encoder().t()) + &dictionary.weights().per_latent[0];
        let codes = dictionary.encode(&x).unwrap().to_dense();
        for (z, codes) in z.rows().into_iter().zip(codes.rows()) {
            let mut sorted = z.to_vec();
            sorted.sort_by(|a, b| b.total_cmp(a));
            for (z, &code) in z.iter().zip(codes) {
                let expected = if *z >= sorted[2] { z.max(0.0) } else { 0.0 };
                assert!((code - expected).abs() < 1e-12, "{code} and not {expected}");
            }
        }
    }
}
