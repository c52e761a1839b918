//! Dictionaries of Gemma Scope, first and second release.

use super::saelens::Made;
use crate::cases::folder;
use collimate_sae::formats::{Given, Target, read, read_given};
use collimate_stream::RngStream;
use collimate_tensor::files::write_npz;
use ndarray::{Array1, Array2};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;

/// Writes weights of Gemma Scope with 5 latents in 4 dimensions.
pub(super) fn gemma(path: &Path) {
    with(path, None);
}

/// Writes the weights of [`gemma`], with a tensor `scaling_factor` if one is given.
fn with(path: &Path, factors: Option<&Array1<f32>>) {
    let mut stream = RngStream::new(4, 0);
    let mut draw = |shape: (usize, usize)| Array2::from_shape_simple_fn(shape, || stream.normal() as f32);
    let mut arrays = vec![
        ("W_enc", draw((4, 5)).into()),
        ("W_dec", draw((5, 4)).into()),
        ("b_enc", draw((1, 5)).row(0).to_owned().into()),
        ("b_dec", draw((1, 4)).row(0).to_owned().into()),
        ("threshold", Array1::from_elem(5, 0.1_f32).into()),
    ];
    arrays.extend(factors.map(|factors| ("scaling_factor", factors.to_owned().into())));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_npz(path, &arrays).unwrap();
}

#[test]
fn a_path_scales_no_weights_except_the_folders_of_the_release() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| {
        let path = folder.path().join(path);
        gemma(&path);
        path
    };
    let plain = read::<f64>(at("a/params.npz")).unwrap().dictionary;
    for path in [
        "embedding-study/params.npz",
        "embedding/params.npz",
        "my-embedding/width_4k/average_l0_6/params.npz",
        "embedding/width_4k/average_l0_6/copy/params.npz",
        "transcoder-notes/params.npz",
    ] {
        let checkpoint = read::<f64>(at(path)).unwrap();
        assert_eq!(checkpoint.dictionary, plain, "{path}");
        assert!(!checkpoint.notes.iter().any(|note| note.contains("√d")), "{path}");
    }
    let release = at("gemma-scope-2b-pt-res/embedding/width_4k/average_l0_6/params.npz");
    let scaled = read::<f64>(&release).unwrap();
    assert!(scaled.notes.iter().any(|note| note.contains("√d")), "{:?}", scaled.notes);
    // √4 = 2 in single precision is exact.
    assert_eq!(scaled.dictionary.encoder().mapv(|w| w * 2.0), plain.encoder());
    assert_eq!(scaled.dictionary.decoder().mapv(|w| w / 2.0), plain.decoder());
    let given = Given { embedding: true, ..Given::default() };
    assert_eq!(read_given::<f64>(at("a/params.npz"), &given).unwrap().dictionary, scaled.dictionary);
    assert!(read_given::<f64>(Made::saelens(json!({})).write(), &given).is_err());
    let transcoder = at("models--google--gemma-scope-2b-pt-transcoders/snapshots/1/layer_3/params.npz");
    assert_eq!(read::<f64>(transcoder).unwrap().dictionary.target(), Target::Other);
}

#[test]
fn the_kind_of_a_second_gemma_scope_stands_in_its_configuration() {
    let from = folder()
        .join("formats/files/gemma_scope_2_transcoder_affine/transcoder/layer_12_width_16k_l0_medium_affine");
    let temporary = tempfile::tempdir().unwrap();
    let to = temporary.path().join("transcoder/layer_3");
    fs::create_dir_all(&to).unwrap();
    fs::copy(from.join("params.safetensors"), to.join("params.safetensors")).unwrap();
    let with = |config: Json| {
        fs::write(to.join("config.json"), config.to_string()).unwrap();
        read::<f64>(&to)
    };
    let hooks = json!({"architecture": "jump_relu", "hf_hook_point_in": "a", "hf_hook_point_out": "a"});
    assert_eq!(with(hooks).unwrap().dictionary.target(), Target::Input);
    assert_eq!(with(json!({"type": "transcoder"})).unwrap().dictionary.target(), Target::Other);
    for (config, word) in [
        (json!({"type": "sae", "affine_connection": false}), "affine_skip_connection"),
        (json!({"type": "crosscoder"}), "crosscoder"),
        (json!({"architecture": "topk"}), "topk"),
    ] {
        assert!(with(config).unwrap_err().to_string().contains(word));
    }
    fs::remove_file(to.join("config.json")).unwrap();
    let alone = read::<f64>(&to).unwrap();
    assert!(alone.notes.iter().any(|note| note.contains("by its tensors")), "{:?}", alone.notes);
}

#[test]
fn the_scaling_factor_multiplies_the_decoder_rows() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, factors: Option<Array1<f32>>| {
        let path = folder.path().join(name).join("params.npz");
        with(&path, factors.as_ref());
        read::<f64>(&path)
    };
    let plain = at("plain", None).unwrap().dictionary;
    // Powers of two: every product is exact.
    let powers = ndarray::array![2.0_f32, 0.5, 1.0, 4.0, 8.0];
    let scaled = at("scaled", Some(powers.clone())).unwrap();
    assert!(scaled.notes.iter().any(|note| note.contains("scaling_factor")), "{:?}", scaled.notes);
    let column = powers.mapv(f64::from).insert_axis(ndarray::Axis(1));
    assert_eq!(scaled.dictionary.decoder(), &(plain.decoder() * &column));
    assert_eq!(scaled.dictionary.encoder(), plain.encoder());
    let short = at("short", Some(ndarray::array![2.0, 2.0])).unwrap_err().to_string();
    assert!(short.contains("scaling_factor"), "{short}");
}
