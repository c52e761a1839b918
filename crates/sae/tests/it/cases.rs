//! Reading the conformance cases.

use collimate_sae::{Sae, Variant, Weights};
use ndarray::{Array1, Array2};
use safetensors::SafeTensors;
use std::path::PathBuf;

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// The tensors of one file, widened to f64.
pub(crate) struct Case {
    bytes: Vec<u8>,
}

impl Case {
    pub(crate) fn open(name: &str) -> Self {
        Self {
            bytes: std::fs::read(folder().join(format!("{name}.safetensors")))
                .expect("the case is in the repository"),
        }
    }

    fn tensor(&self, key: &str) -> Option<(Vec<usize>, Vec<f64>)> {
        let file = SafeTensors::deserialize(&self.bytes).expect("a valid file");
        let tensor = file.tensor(key).ok()?;
        let values = match tensor.dtype() {
            safetensors::Dtype::F64 => tensor
                .data()
                .chunks(8)
                .map(|c| f64::from_le_bytes(c.try_into().expect("eight bytes")))
                .collect(),
            safetensors::Dtype::U8 => tensor.data().iter().map(|&b| f64::from(b)).collect(),
            other => panic!("{key}: unexpected type {other:?}"),
        };
        Some((tensor.shape().to_vec(), values))
    }

    pub(crate) fn scalar(&self, key: &str) -> f64 {
        self.tensor(key).unwrap_or_else(|| panic!("{key} is missing")).1[0]
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.tensor(key).is_some()
    }

    pub(crate) fn vector(&self, key: &str) -> Array1<f64> {
        self.tensor(key).unwrap_or_else(|| panic!("{key} is missing")).1.into()
    }

    pub(crate) fn matrix(&self, key: &str) -> Array2<f64> {
        let (shape, values) = self.tensor(key).unwrap_or_else(|| panic!("{key} is missing"));
        let columns = shape[1..].iter().product();
        Array2::from_shape_vec((shape[0], columns), values).expect("a matrix")
    }

    /// Returns the encoder as this crate keeps it, one latent a row.
    fn encoder(&self, key: &str) -> Array2<f64> {
        let (shape, values) = self.tensor(key).unwrap_or_else(|| panic!("{key} is missing"));
        let n = *shape.last().expect("a shape");
        let wide = Array2::from_shape_vec((values.len() / n, n), values).expect("a matrix");
        wide.reversed_axes().as_standard_layout().into_owned()
    }

    /// Returns the batches of an optimiser case, one after another.
    pub(crate) fn batches(&self) -> Vec<Array2<f64>> {
        let (shape, values) = self.tensor("in.x").expect("inputs");
        let size = shape[1] * shape[2];
        values
            .chunks(size)
            .map(|c| Array2::from_shape_vec((shape[1], shape[2]), c.to_vec()).expect("a batch"))
            .collect()
    }

    /// Returns the parameters under a prefix such as `w.`, `grad.`, `after1.`.
    pub(crate) fn weights(&self, prefix: &str, variant: &Variant) -> Weights<f64> {
        let vectors = variant.per_latent_names();
        Weights {
            w_enc: self.encoder(&format!("{prefix}W_enc")),
            w_dec: self.matrix(&format!("{prefix}W_dec")),
            b_dec: self.vector(&format!("{prefix}b_dec")),
            per_latent: vectors.iter().map(|name| self.vector(&format!("{prefix}{name}"))).collect(),
        }
    }

    pub(crate) fn sae(&self, variant: impl Into<Variant>) -> Sae<f64> {
        let variant = variant.into();
        Sae::from_weights(variant, self.weights("w.", &variant)).expect("weights of a case fit")
    }

    pub(crate) fn dead(&self) -> Vec<u32> {
        let mask = if self.has("in.dead_mask") { self.vector("in.dead_mask") } else { Array1::zeros(0) };
        mask.iter().enumerate().filter(|(_, m)| **m != 0.0).map(|(i, _)| i as u32).collect()
    }
}

/// `|a − b| ≤ atol + rtol |b|`, the rule of the conformance data.
pub(crate) struct Tolerance {
    pub(crate) rtol: f64,
    pub(crate) atol: f64,
}

pub(crate) const TIGHT: Tolerance = Tolerance { rtol: 1e-10, atol: 1e-12 };

impl Tolerance {
    pub(crate) fn check(&self, what: &str, ours: f64, theirs: f64) {
        let allowed = self.atol + self.rtol * theirs.abs();
        assert!(
            (ours - theirs).abs() <= allowed,
            "{what}: ours {ours:e}, expected {theirs:e}, allowed {allowed:e}"
        );
    }

    pub(crate) fn check_weights(
        &self,
        what: &str,
        variant: &Variant,
        ours: &Weights<f64>,
        theirs: &Weights<f64>,
    ) {
        let pairs = ours.w_enc.iter().zip(&theirs.w_enc);
        pairs.enumerate().for_each(|(i, (a, b))| self.check(&format!("{what} W_enc[{i}]"), *a, *b));
        let pairs = ours.w_dec.iter().zip(&theirs.w_dec);
        pairs.enumerate().for_each(|(i, (a, b))| self.check(&format!("{what} W_dec[{i}]"), *a, *b));
        let pairs = ours.b_dec.iter().zip(&theirs.b_dec);
        pairs.enumerate().for_each(|(i, (a, b))| self.check(&format!("{what} b_dec[{i}]"), *a, *b));
        for ((name, a), b) in variant.per_latent_names().iter().zip(&ours.per_latent).zip(&theirs.per_latent)
        {
            a.iter()
                .zip(b)
                .enumerate()
                .for_each(|(i, (a, b))| self.check(&format!("{what} {name}[{i}]"), *a, *b));
        }
    }
}
