//! Crosscoders with thresholds on scaled codes, compared with plain loops.

use crate::arranged::{close, normal, refused};
use collimate_sae::formats::{AnyCheckpoint, read_any};
use collimate_sae::{AnyDictionary, Arrangement};
use collimate_stream::RngStream;
use collimate_tensor::files::{FileArray, FileData, write_safetensors};
use ndarray::{Array1, Array2, Array3, ArrayD, Axis, s};

/// Writes a crosscoder as the safetensors file of a folder.
fn crosscoder_file(tensors: &[(&str, FileArray)]) -> tempfile::TempDir {
    let files = tempfile::tempdir().unwrap();
    write_safetensors(files.path().join("model.safetensors"), tensors, &[]).unwrap();
    files
}

fn whole(number: i64) -> FileArray {
    FileArray::new(vec![], FileData::I64(vec![number])).unwrap()
}

/// The parameters of a random crosscoder of three layers.
struct Plain {
    encoder: Array3<f64>,
    decoder: Array3<f64>,
    b_enc: Array1<f64>,
    b_dec: Array2<f64>,
    mean: Array2<f64>,
    scale: Array1<f64>,
}

const LAYERS: usize = 3;
const WIDTH: usize = 4;
const LATENTS: usize = 11;

impl Plain {
    fn random(stream: &mut RngStream) -> Self {
        Self {
            encoder: normal(stream, (LAYERS, WIDTH, LATENTS)),
            decoder: normal(stream, (LAYERS, LATENTS, WIDTH)),
            b_enc: normal(stream, LATENTS),
            b_dec: normal(stream, (LAYERS, WIDTH)),
            mean: normal(stream, (LAYERS, WIDTH)),
            scale: normal(stream, LAYERS).mapv(|v| v.abs() + 0.1),
        }
    }

    /// Computes the codes `[row, layer, latent]` and the reconstructions with plain loops. `omega` is the scale of a latent in a layer.
    fn forward(
        &self,
        x: &Array3<f64>,
        omega: impl Fn(usize, usize) -> f64,
        theta: &[f64],
        normalised: bool,
    ) -> (Array3<f64>, Array3<f64>) {
        let rows = x.shape()[0];
        let (mut codes, mut recon) =
            (Array3::zeros((rows, LAYERS, LATENTS)), Array3::zeros((rows, LAYERS, WIDTH)));
        for r in 0..rows {
            for i in 0..LATENTS {
                let mut z = self.b_enc[i];
                for l in 0..LAYERS {
                    for j in 0..WIDTH {
                        let u = if normalised {
                            (x[[r, l, j]] - self.mean[[l, j]]) * self.scale[l]
                        } else {
                            x[[r, l, j]]
                        };
                        z += u * self.encoder[[l, j, i]];
                    }
                }
                for l in 0..LAYERS {
                    let z = z.max(0.0);
                    codes[[r, l, i]] = if z * omega(l, i) > theta[l % theta.len()] { z } else { 0.0 };
                }
            }
            for l in 0..LAYERS {
                for j in 0..WIDTH {
                    let sum: f64 = (0..LATENTS).map(|i| codes[[r, l, i]] * self.decoder[[l, i, j]]).sum();
                    let v = sum + self.b_dec[[l, j]];
                    recon[[r, l, j]] =
                        if normalised { v / (self.scale[l] + 1e-8) + self.mean[[l, j]] } else { v };
                }
            }
        }
        (codes, recon)
    }

    fn norm(&self, layer: usize, latent: usize) -> f64 {
        self.decoder.slice(s![layer, latent, ..]).iter().map(|v| v * v).sum::<f64>().sqrt()
    }

    fn tensors(&self, id: Option<i64>, theta: &[f64], normalised: bool) -> Vec<(&'static str, FileArray)> {
        let array = |array: ArrayD<f64>| FileArray::from(array);
        let nan = |array: ArrayD<f64>| if normalised { array } else { array.mapv(|_| f64::NAN) };
        let mut tensors = vec![
            ("encoder.weight", array(self.encoder.clone().into_dyn())),
            ("encoder.bias", array(self.b_enc.clone().into_dyn())),
            ("decoder.weight", array(self.decoder.clone().into_dyn())),
            ("decoder.bias", array(self.b_dec.clone().into_dyn())),
            ("activation_mean", array(nan(self.mean.clone().into_dyn()))),
            ("activation_std", array(nan(self.mean.mapv(f64::abs).into_dyn()))),
            ("activation_global_scale", array(self.scale.clone().into_dyn())),
            ("target_rms", FileArray::new(vec![], FileData::F32(vec![1.0])).unwrap()),
            ("k", whole(3)),
        ];
        let shape = if theta.len() == 1 { vec![] } else { vec![theta.len()] };
        tensors.push(("threshold", FileArray::new(shape, FileData::F64(theta.to_vec())).unwrap()));
        tensors.extend(id.map(|id| ("code_normalization_id", whole(id))));
        tensors
    }
}

#[test]
fn every_code_normalisation_of_crosscoders_is_that_of_plain_loops() {
    for seed in 0..4 {
        let mut stream = RngStream::new(seed, 0);
        let plain = Plain::random(&mut stream);
        let x: Array3<f64> = normal(&mut stream, (9, LAYERS, WIDTH));
        let sum = |i: usize| (0..LAYERS).map(|l| plain.norm(l, i)).sum::<f64>();
        let length = |i: usize| (0..LAYERS).map(|l| plain.norm(l, i).powi(2)).sum::<f64>().sqrt();
        let normalised = seed % 2 == 0;
        for (id, theta) in [
            (Some(1), vec![5.0]),
            (None, vec![5.0]),
            (Some(2), vec![3.0]),
            (Some(3), vec![3.5]),
            (Some(4), vec![1.0]),
            (Some(5), vec![1.0, 2.0, -1.0]),
            (Some(2), vec![-1.0]),
        ] {
            let omega = |l: usize, i: usize| match id {
                None | Some(1) => sum(i),
                Some(2) => length(i),
                Some(3) => length(i) + 0.1 * sum(i),
                Some(4) => 1.0,
                _ => plain.norm(l, i),
            };
            let (codes, recon) = plain.forward(&x, omega, &theta, normalised);
            let files = crosscoder_file(&plain.tensors(id, &theta, normalised));
            let AnyCheckpoint { dictionary, notes, .. } = read_any::<f64>(files.path()).unwrap();
            assert_eq!(dictionary.arrangement(), Arrangement::RowsOfLayers { layers: LAYERS });
            assert_eq!(notes.iter().any(|note| note.contains("never set")), theta.iter().any(|&t| t < 0.0));
            assert_eq!(notes.iter().any(|note| note.contains("older files")), id.is_none());
            let out = dictionary.forward(&x.clone().into_dyn()).unwrap();
            // Sums of at most twelve products of about one.
            close("reconstruction", &out.reconstruction, &recon.into_dyn(), [1e-12, 1e-12]);
            let dense = out.codes.to_dense();
            if id == Some(5) {
                assert_eq!(out.code_axes, [9, LAYERS]);
                close(
                    "codes",
                    &dense,
                    &codes.into_shape_with_order((9 * LAYERS, LATENTS)).unwrap(),
                    [1e-12, 1e-12],
                );
            } else {
                assert_eq!(out.code_axes, [9]);
                close("codes", &dense, &codes.index_axis(Axis(1), 0).to_owned(), [1e-12, 1e-12]);
            }
            let AnyDictionary::Crosscoder(crosscoder) = &dictionary else { panic!("{}", dictionary.name()) };
            // The member of concatenated layers computes the same function where it exists.
            let exists = !normalised && (matches!(id, None | Some(1)) || theta == [-1.0]);
            match crosscoder.to_dictionary() {
                Ok(member) => {
                    assert!(exists, "{id:?}");
                    let flat = x.clone().into_shape_with_order((9, LAYERS * WIDTH)).unwrap();
                    close("the member", &member.encode(&flat).unwrap().to_dense(), &dense, [1e-12, 1e-12]);
                }
                Err(error) => assert!(!exists, "{id:?}: {error}"),
            }
        }
    }
}

#[test]
fn damaged_crosscoders_are_refused_by_name() {
    let plain = Plain::random(&mut RngStream::new(1, 0));
    let tensors = || plain.tensors(Some(1), &[1.0], true);
    let without = |name: &str| tensors().into_iter().filter(|(given, _)| *given != name).collect::<Vec<_>>();
    let refuse = |tensors: Vec<(&str, FileArray)>, words: &[&str]| {
        refused(crosscoder_file(&tensors).path(), words);
    };
    refuse(without("threshold"), &["'threshold'", "'k'"]);
    refuse(without("activation_global_scale"), &["activation_global_scale"]);
    refuse(without("decoder.bias"), &["'decoder.bias'"]);
    refuse([tensors(), vec![("gate", whole(1))]].concat(), &["'gate' is not known"]);
    let other =
        |id: i64| [without("code_normalization_id"), vec![("code_normalization_id", whole(id))]].concat();
    refuse(other(6), &["code_normalization_id", "6"]);
    refuse(other(0), &["code_normalization_id", "0"]);
    let wide = FileArray::new(vec![LAYERS, LATENTS, 1], FileData::F32(vec![1.0; LAYERS * LATENTS])).unwrap();
    refuse(
        [without("decoder.weight"), vec![("decoder.weight", wide)]].concat(),
        &["'decoder.weight'", "[3, 11, 4]"],
    );
    refuse(plain.tensors(Some(5), &[1.0, 1.0], false), &["thresholds", "[3]", "[2]"]);
}
