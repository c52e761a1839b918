use crate::config::Config;
use crate::error::{ModelFileError, check_finite};
use collimate_stream::RngStream;
use collimate_tensor::files::Gguf;
use collimate_tensor::{PackedMatrix, memory_fits};
use ndarray::{Array2, s};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// The weights of one layer. Matrices that read the same input are one, and packed for the product kernel.
pub(super) struct Layer {
    pub(super) attention_gain: Vec<f32>,
    /// Queries, keys and values, `[d, (h + 2g)·e]`.
    pub(super) query_key_value: PackedMatrix<f32>,
    /// The output projection W_O, `[h·e, d]`.
    pub(super) attention_out: PackedMatrix<f32>,
    pub(super) mlp_gain: Vec<f32>,
    /// Gate and up, `[d, 2f]`.
    pub(super) gate_up: PackedMatrix<f32>,
    /// The output of the MLP, `[f, d]`.
    pub(super) down: PackedMatrix<f32>,
}

/// The weights of a decoder.
pub(super) struct Weights {
    /// The embedding, `[v, d]`.
    pub(super) embedding: Array2<f32>,
    pub(super) layers: Vec<Layer>,
    pub(super) final_gain: Vec<f32>,
    /// The unembedding `[v, d]`, or nothing when the embedding is used for it.
    pub(super) unembedding: Option<Array2<f32>>,
    /// The digest of every number, in the order of the names in the file format.
    pub(super) digest: u64,
}

/// The number of rows of the embedding that one task expands.
const EMBEDDING_ROWS: usize = 2048;

impl Weights {
    pub(super) fn from_gguf(file: &Gguf, config: &Config) -> Result<Self, ModelFileError> {
        let d = config.d_model;
        let mut expected = BTreeSet::new();
        let mut expect = |name: String, shape: &[usize]| {
            let Some(tensor) = file.tensors().get(&name) else {
                // The error of reading lists the tensors of the file.
                return file.read(&name).map(drop).map_err(ModelFileError::from);
            };
            if tensor.shape != shape {
                let given = tensor.shape.clone();
                return Err(ModelFileError::TensorShape { name, expected: shape.to_vec(), given });
            }
            expected.insert(name);
            Ok(())
        };
        let tied = !file.tensors().contains_key("output.weight");
        expect("token_embd.weight".into(), &[config.n_vocab, d])?;
        expect("output_norm.weight".into(), &[d])?;
        if !tied {
            expect("output.weight".into(), &[config.n_vocab, d])?;
        }
        let (queries, keys) = (config.n_heads * config.d_head, config.n_key_heads * config.d_head);
        for layer in 0..config.n_layers {
            let mut part = |name: &str, shape: &[usize]| expect(format!("blk.{layer}.{name}.weight"), shape);
            part("attn_norm", &[d])?;
            part("attn_q", &[queries, d])?;
            part("attn_k", &[keys, d])?;
            part("attn_v", &[keys, d])?;
            part("attn_output", &[d, queries])?;
            part("ffn_norm", &[d])?;
            part("ffn_gate", &[config.d_ff, d])?;
            part("ffn_up", &[config.d_ff, d])?;
            part("ffn_down", &[d, config.d_ff])?;
        }
        if let Some(name) = file.tensors().keys().find(|name| !expected.contains(*name)) {
            return Err(ModelFileError::UnexpectedTensor { name: name.clone() });
        }
        // Every size has now been compared with the tensor table, and so with the file, whose apparent length may be any.
        let vocabularies = if tied { 0 } else { config.n_vocab * d };
        check_memory(config.n_parameters() + vocabularies)?;
        let read = |name: &str, rows: usize, out: &mut [f32]| {
            file.read_rows_into(name, 0..rows, out)?;
            Ok(check_finite(|| format!("tensor '{name}'"), out.iter())?)
        };
        let layers = (0..config.n_layers)
            .into_par_iter()
            .map(|index| {
                Layer::build(config, |part, rows, out| read(&format!("blk.{index}.{part}.weight"), rows, out))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let (layers, digests): (Vec<_>, Vec<_>) = layers.into_iter().unzip();
        let mut final_gain = vec![0.0; d];
        read("output_norm.weight", 1, &mut final_gain)?;
        let (embedding, embedding_digest) = read_vocabulary(file, "token_embd.weight", config)?;
        let (unembedding, unembedding_digest) = if tied {
            (None, 0)
        } else {
            let (matrix, digest) = read_vocabulary(file, "output.weight", config)?;
            (Some(matrix), digest)
        };
        let mut digest = Digest::default();
        digest.words(digests.into_iter().chain([embedding_digest, unembedding_digest]));
        digest.numbers(&final_gain);
        Ok(Self { embedding, layers, final_gain, unembedding, digest: digest.value() })
    }

    /// Draws normal weights of variance 1/(fan in), and gains near 1.
    pub(super) fn random(config: &Config, stream: &mut RngStream) -> Result<Self, ModelFileError> {
        check_memory(config.n_parameters())?;
        let d = config.d_model;
        let key = stream.bits();
        // Each layer has a stream of its own, so that they can be drawn in any order.
        let parent = RngStream::new(key, 0);
        let layers: Vec<_> = (0..config.n_layers)
            .into_par_iter()
            .map(|index| {
                let mut stream = parent.child(index as u64);
                Layer::build(config, |part, rows, out| {
                    let columns = out.len() / rows;
                    let (mean, deviation) =
                        if part.ends_with("norm") { (1.0, 0.1) } else { (0.0, (columns as f32).powf(-0.5)) };
                    stream.fill_normal(out);
                    out.iter_mut().for_each(|x| *x = mean + deviation * *x);
                    Ok(())
                })
            })
            .collect::<Result<_, _>>()?;
        let (layers, digests): (Vec<_>, Vec<_>) = layers.into_iter().unzip();
        let mut final_gain = vec![0.0_f32; d];
        parent.child(u64::MAX).fill_normal(&mut final_gain);
        final_gain.iter_mut().for_each(|x| *x = 1.0 + 0.1 * *x);
        let mut embedding = Array2::zeros((config.n_vocab, d));
        parent.child(u64::MAX - 1).fill_normal(embedding.as_slice_mut().expect("new arrays are contiguous"));
        let mut digest = Digest::default();
        digest.words(digests);
        digest.numbers(&final_gain);
        digest.numbers(embedding.as_slice().expect("new arrays are contiguous"));
        Ok(Self { embedding, layers, final_gain, unembedding: None, digest: digest.value() })
    }

    /// Returns the matrix `[v, d]` that the final residual is multiplied with.
    pub(super) fn head(&self) -> &Array2<f32> {
        self.unembedding.as_ref().unwrap_or(&self.embedding)
    }
}

/// Returns an error if the machine cannot hold this many numbers.
fn check_memory(numbers: usize) -> Result<(), ModelFileError> {
    let needed = (numbers as u64).saturating_mul(size_of::<f32>() as u64);
    if memory_fits(needed) { Ok(()) } else { Err(ModelFileError::Memory { needed }) }
}

impl Layer {
    /// Builds a layer from its parts, which `fill` writes; it is called with a name, the number of rows, and rows × columns numbers.
    fn build(
        config: &Config,
        mut fill: impl FnMut(&str, usize, &mut [f32]) -> Result<(), ModelFileError>,
    ) -> Result<(Self, u64), ModelFileError> {
        let (d, f) = (config.d_model, config.d_ff);
        let (queries, keys) = (config.n_heads * config.d_head, config.n_key_heads * config.d_head);
        let mut digest = Digest::default();
        let mut gain = |name: &str| {
            let mut gain = vec![0.0; d];
            fill(name, 1, &mut gain)?;
            digest.numbers(&gain);
            Ok::<_, ModelFileError>(gain)
        };
        let (attention_gain, mlp_gain) = (gain("attn_norm")?, gain("ffn_norm")?);
        // Each part is [outputs, inputs]. Parts with the same inputs are stacked, and the product needs the transpose.
        let mut stacked = |parts: &[(&str, usize)], columns: usize| {
            let rows = parts.iter().map(|(_, rows)| rows).sum();
            let mut matrix = Array2::zeros((rows, columns));
            let mut start = 0;
            for &(name, rows) in parts {
                let mut part = matrix.slice_mut(s![start..start + rows, ..]);
                fill(name, rows, part.as_slice_mut().expect("rows of a new array are contiguous"))?;
                start += rows;
            }
            digest.numbers(matrix.as_slice().expect("new arrays are contiguous"));
            Ok::<_, ModelFileError>(PackedMatrix::new(&matrix.t()))
        };
        let layer = Self {
            query_key_value: stacked(&[("attn_q", queries), ("attn_k", keys), ("attn_v", keys)], d)?,
            attention_out: stacked(&[("attn_output", d)], queries)?,
            gate_up: stacked(&[("ffn_gate", f), ("ffn_up", f)], d)?,
            down: stacked(&[("ffn_down", d)], f)?,
            attention_gain,
            mlp_gain,
        };
        Ok((layer, digest.value()))
    }
}

/// Reads a matrix `[v, d]` on several threads.
fn read_vocabulary(file: &Gguf, name: &str, config: &Config) -> Result<(Array2<f32>, u64), ModelFileError> {
    let d = config.d_model;
    let mut matrix = Array2::zeros((config.n_vocab, d));
    let digests = matrix
        .as_slice_mut()
        .expect("new arrays are contiguous")
        .par_chunks_mut(EMBEDDING_ROWS * d)
        .enumerate()
        .map(|(index, part)| {
            let start = index * EMBEDDING_ROWS;
            file.read_rows_into(name, start..start + part.len() / d, part)?;
            check_finite(|| format!("tensor '{name}' from row {start}"), part.iter())?;
            let mut digest = Digest::default();
            digest.numbers(part);
            Ok(digest.value())
        })
        .collect::<Result<Vec<_>, ModelFileError>>()?;
    let mut digest = Digest::default();
    digest.words(digests);
    Ok((matrix, digest.value()))
}

/// A hash of many numbers by their bits, fast enough for all the weights of a model: four interleaved FNV-1a lanes
/// over 32-bit words.
struct Digest([u64; 4]);

impl Default for Digest {
    fn default() -> Self {
        Self([0xcbf2_9ce4_8422_2325, 0x9ae1_6a3b_2f90_404f, 0xc949_d7c7_509e_6557, 0xff51_afd7_ed55_8ccd])
    }
}

const PRIME: u64 = 0x100_0000_01b3;

impl Digest {
    fn numbers(&mut self, numbers: &[f32]) {
        self.words([numbers.len() as u64]);
        let (chunks, tail) = numbers.as_chunks::<4>();
        for chunk in chunks {
            for (lane, x) in self.0.iter_mut().zip(chunk) {
                *lane = (*lane ^ u64::from(x.to_bits())).wrapping_mul(PRIME).rotate_left(29);
            }
        }
        self.words(tail.iter().map(|x| u64::from(x.to_bits())));
    }

    fn words(&mut self, words: impl IntoIterator<Item = u64>) {
        for word in words {
            self.0[0] = (self.0[0] ^ word).wrapping_mul(PRIME).rotate_left(29);
        }
    }

    fn value(&self) -> u64 {
        self.0.iter().fold(0, |h, &lane| (h ^ lane).wrapping_mul(PRIME).rotate_left(29))
    }
}
