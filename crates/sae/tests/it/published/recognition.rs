//! Recognition of formats by their content.

use super::gemma_scope::gemma;
use super::saelens::Made;
use collimate_sae::formats::{Dictionary, Format, read};
use collimate_sae::{Sae, Size, TopK};
use collimate_stream::RngStream;
use collimate_tensor::files::{FileArray, write_safetensors};
use ndarray::{Array2, array};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

#[test]
fn the_content_of_a_file_tells_its_format() {
    let folder = tempfile::tempdir().unwrap();
    let size = Size { d_model: 3, n_latents: 6 };
    let sae = Sae::<f32>::new(TopK::new(2), size, &mut RngStream::new(3, 0)).unwrap();
    for name in ["dict.pt", "dict", "dict.npz", "ae.pt", "sae_weights.safetensors", "params.safetensors"] {
        let path = folder.path().join(name);
        sae.save(&path).unwrap();
        let checkpoint = read::<f32>(&path).unwrap();
        assert_eq!(checkpoint.format, Format::Collimate, "{name}");
        assert_eq!(checkpoint.dictionary, *sae.dictionary());
        fs::remove_file(&path).unwrap();
    }
    // Weights of SAELens under another name, with the metadata that other writers put in.
    let made = Made::saelens(json!({}));
    let expected = made.read().dictionary;
    let moved = made.folder.path().join("layer5.safetensors");
    write_safetensors(&moved, &made.arrays, &[("format", "pt")]).unwrap();
    let checkpoint = read::<f64>(&moved).unwrap();
    assert_eq!((checkpoint.format, &checkpoint.dictionary), (Format::SaeLens, &expected));
    // A folder with a single file of another name.
    fs::remove_file(made.folder.path().join("sae_weights.safetensors")).unwrap();
    assert_eq!(read::<f64>(made.folder.path()).unwrap().dictionary, expected);
    fs::copy(&moved, made.folder.path().join("layer6.safetensors")).unwrap();
    let error = read::<f64>(made.folder.path()).unwrap_err().to_string();
    assert!(error.contains("layer5.safetensors, layer6.safetensors"), "{error}");
    // Files of torch.save and npz archives with misleading names.
    let source = folder.path().join("weights.safetensors");
    fs::copy(
        crate::cases::folder().join("formats/files/goodfire/Llama-3.1-8B-Instruct-SAE-l19.pth"),
        &source,
    )
    .unwrap();
    assert_eq!(read::<f32>(&source).unwrap().format, Format::Goodfire);
    let archive = folder.path().join("params.bin");
    gemma(&archive);
    assert_eq!(read::<f32>(&archive).unwrap().format, Format::GemmaScope);
    write_safetensors(&source, &[("weight", Array2::<f32>::zeros((2, 2)).into())], &[]).unwrap();
    let error = read::<f32>(&source).unwrap_err().to_string();
    assert!(error.contains("[\"weight\"]") && error.contains("expected W_enc"), "{error}");
}

#[test]
fn a_checkpoint_of_a_wrong_kind_is_refused_through_every_path() {
    let missing = PathBuf::from("no/such/place");
    assert!(read::<f32>(&missing).unwrap_err().to_string().contains("no such file or folder"));
    let array = tempfile::tempdir().unwrap();
    let path = array.path().join("a.npy");
    collimate_tensor::files::write_npy(&path, &FileArray::from(array![1.0_f32])).unwrap();
    assert!(read::<f32>(&path).unwrap_err().to_string().contains("a single array of NumPy"));
    let sound: Dictionary<f32> = Made::saelens(json!({})).read().dictionary.cast();
    assert_eq!(sound.size(), Size { d_model: 3, n_latents: 4 });
}
