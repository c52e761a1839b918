//! Parameters, gradients and directions under the names and in the shapes of the file.

use crate::error::ModelFileError;
use crate::network::Model;
use crate::parameters::{collect, distribute};
use crate::precision::Precision;
use ndarray::{Array2, ArrayD, IxDyn};
use std::collections::BTreeMap;

impl<F: Precision> Model<F> {
    /// Returns numbers for each parameter (the gradients, for example) as tensors of the file. The parts of a fused tensor are put
    /// together.
    pub fn as_tensors(&self, by_parameter: &[Array2<F>]) -> BTreeMap<String, ArrayD<F>> {
        let mut tensors: BTreeMap<String, ArrayD<F>> = BTreeMap::new();
        for (source, numbers) in self.sources.iter().zip(by_parameter) {
            distribute(source, numbers, |name, add| {
                let shape = || self.shapes.get(name).cloned().unwrap_or_else(|| numbers.shape().to_vec());
                let tensor = tensors.entry(name.to_owned()).or_insert_with(|| ArrayD::zeros(IxDyn(&shape())));
                add(tensor.view_mut());
            });
        }
        tensors
    }

    /// Returns numbers given as tensors of the file as one array for each parameter.
    ///
    /// # Errors
    /// [`ModelFileError::MissingTensor`] if one is missing, [`ModelFileError::TensorShape`] if one has another shape than in the file,
    /// [`ModelFileError::UnexpectedTensor`] if the model has none of this name.
    pub fn parameters_from_tensors(
        &self,
        tensors: &BTreeMap<String, ArrayD<F>>,
    ) -> Result<Vec<Array2<F>>, ModelFileError> {
        for (name, tensor) in tensors {
            match self.shapes.get(name) {
                Some(shape) if shape == tensor.shape() => {}
                Some(shape) => {
                    let (expected, given) = (shape.clone(), tensor.shape().to_vec());
                    return Err(ModelFileError::TensorShape { name: name.clone(), expected, given });
                }
                None => return Err(ModelFileError::UnexpectedTensor { name: name.clone() }),
            }
        }
        let parts = self.program.parameters.iter().zip(&self.sources).map(|((_, shape), source)| {
            collect(source, *shape, |name| tensors.get(name)).ok_or_else(|| {
                let absent = source.iter().find(|piece| !tensors.contains_key(&piece.tensor));
                ModelFileError::MissingTensor {
                    name: absent.map_or_else(String::new, |piece| piece.tensor.clone()),
                }
            })
        });
        parts.collect()
    }
}
