//! Named tensors from any container, with shapes that are checked and errors that name them.

use crate::SaeError;
use collimate_tensor::Scalar;
use collimate_tensor::files::{FileArray, FileError, Npz, Safetensors, TorchFile, TorchScalar};
use ndarray::{Array1, Array2, ArrayD, Ix1, Ix2};
use std::path::{Path, PathBuf};

/// A large dictionary is a gigabyte a matrix; a compressed archive may not expand beyond this.
const NPZ_LIMIT: u64 = 1 << 34;

pub(super) enum Container {
    Safetensors(Safetensors),
    Npz(Npz),
    Torch(TorchFile),
}

pub(super) struct Tensors {
    pub(super) path: PathBuf,
    container: Container,
}

impl Tensors {
    pub(super) fn safetensors(path: PathBuf) -> Result<Self, SaeError> {
        Ok(Self { container: Container::Safetensors(Safetensors::open(&path)?), path })
    }

    pub(super) fn npz(path: PathBuf) -> Result<Self, SaeError> {
        Ok(Self { container: Container::Npz(Npz::open(&path)?.with_limit(NPZ_LIMIT)), path })
    }

    pub(super) fn torch(path: PathBuf) -> Result<Self, SaeError> {
        Ok(Self { container: Container::Torch(TorchFile::open(&path)?), path })
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> SaeError {
        wrong(&self.path, reason)
    }

    pub(super) fn names(&self) -> Vec<&str> {
        match &self.container {
            Container::Safetensors(file) => file.names().collect(),
            Container::Npz(file) => file.names().collect(),
            Container::Torch(file) => file.names().collect(),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names().contains(&name)
    }

    /// Returns a whole number or a text beside the tensors of a `.pt` file.
    pub(super) fn scalar(&self, name: &str) -> Option<&TorchScalar> {
        match &self.container {
            Container::Torch(file) => file.scalar(name),
            _ => None,
        }
    }

    fn read(&self, name: &str) -> Result<FileArray, FileError> {
        match &self.container {
            Container::Safetensors(file) => file.read(name),
            Container::Npz(file) => file.read(name),
            Container::Torch(file) => file.read(name),
        }
    }

    fn array<F: Scalar>(&self, name: &str) -> Result<ArrayD<F>, SaeError> {
        let array = self.read(name)?;
        if matches!(array.type_name(), "i32" | "i64" | "u8" | "bool") {
            return Err(self.wrong(format!("'{name}' holds {}, not real numbers", array.type_name())));
        }
        Ok(if F::NAME == "f32" {
            array.to_f32().mapv(|v| F::from_f64(v.into()))
        } else {
            array.to_f64().mapv(F::from_f64)
        })
    }

    /// Reads a matrix in its stored orientation.
    pub(super) fn matrix<F: Scalar>(&self, name: &str) -> Result<Array2<F>, SaeError> {
        let array = self.array::<F>(name)?;
        let shape = array.shape().to_vec();
        array
            .into_dimensionality::<Ix2>()
            .map_err(|_| self.wrong(format!("'{name}' must be a matrix, but has the shape {shape:?}")))
    }

    /// Reads a vector; axes of length one around it are dropped.
    pub(super) fn vector<F: Scalar>(&self, name: &str) -> Result<Array1<F>, SaeError> {
        let array = self.array::<F>(name)?;
        let shape = array.shape().to_vec();
        if shape.iter().filter(|&&n| n != 1).count() > 1 {
            return Err(self.wrong(format!("'{name}' must be a vector, but has the shape {shape:?}")));
        }
        let len = array.len();
        array
            .into_shape_with_order(len)
            .map_err(|e| self.wrong(format!("'{name}': {e}")))?
            .into_dimensionality::<Ix1>()
            .map_err(|e| self.wrong(format!("'{name}': {e}")))
    }

    /// Reads a single number, whether stored as a tensor or beside the tensors.
    pub(super) fn number(&self, name: &str) -> Result<f64, SaeError> {
        match self.scalar(name) {
            Some(TorchScalar::Int(n)) => return Ok(*n as f64),
            Some(TorchScalar::Float(x)) => return Ok(*x),
            Some(other) => return Err(self.wrong(format!("'{name}' must be a number, but is {other:?}"))),
            None => {}
        }
        let array = self.read(name)?.to_f64();
        match array.as_slice() {
            Some([value]) => Ok(*value),
            _ => {
                Err(self.wrong(format!("'{name}' must be one number, but has the shape {:?}", array.shape())))
            }
        }
    }
}

pub(super) fn wrong(path: &Path, reason: impl Into<String>) -> SaeError {
    SaeError::File { path: path.to_owned(), reason: reason.into() }
}
