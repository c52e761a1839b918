//! `collimate sae` on rows and on published checkpoints, which need no model.

mod files;
mod names;
mod refusals;
mod training;

use std::path::{Path, PathBuf};

fn checkpoints() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sae/tests/conformance/checkpoints")
}

fn case(name: &str) -> String {
    checkpoints().join(name).display().to_string()
}

/// Writes rows as shards of a hundred rows, in documents of eighty tokens. The first token of each document is dropped.
fn write_shards(folder: &Path, rows: &ndarray::Array2<f32>) {
    use collimate_sae::shards::ShardWriter;
    let source = collimate_measure::Fingerprint::of(b"test");
    let mut writer = ShardWriter::create(folder, rows.ncols(), 100, source).unwrap();
    for (document, block) in rows.axis_chunks_iter(ndarray::Axis(0), 80).enumerate() {
        writer.push_document(document as u32, 0, &block).unwrap();
    }
    writer.finish().unwrap();
}

/// Returns the options of a short run on a place of rows.
fn train<'a>(place: &'a str, variant: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut all =
        vec!["sae", "train", "--activations", place, "--output", "sae.safetensors", "--variant", variant];
    all.extend(["--latents", "16", "--steps", "40", "--batch", "32"]);
    all.extend(more);
    all
}

/// Writes two sets of rows on the same tokens, of widths 6 and 4, as shards and as files. The second is a function of the first.
fn two_places(folder: &Path) {
    use collimate_tensor::files::{FileArray, write_npy};
    let mut stream = collimate_stream::RngStream::new(3, 0);
    let x = ndarray::Array2::from_shape_fn((400, 6), |_| stream.normal() as f32);
    let y = x.slice(ndarray::s![.., ..4]).mapv(f32::abs);
    for (name, rows) in [("x", &x), ("y", &y)] {
        write_npy(folder.join(format!("{name}.npy")), &FileArray::from(rows.clone())).unwrap();
        write_shards(&folder.join(name), rows);
    }
}
