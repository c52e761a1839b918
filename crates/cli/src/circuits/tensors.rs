//! The tensors of an output.

use collimate_tensor::files::{FileArray, FileData, write_safetensors};
use ndarray::{ArrayRef, Dimension};
use std::path::Path;

/// Tensors with their names, in the order in which they were added.
#[derive(Default)]
pub(super) struct Tensors(Vec<(String, FileArray)>);

impl Tensors {
    /// Adds an array in f64.
    pub(super) fn add<D: Dimension>(&mut self, name: &str, x: &ArrayRef<f64, D>) -> anyhow::Result<()> {
        let data = FileData::F64(x.iter().copied().collect());
        self.0.push((name.into(), FileArray::new(x.shape().to_vec(), data)?));
        Ok(())
    }

    /// Adds numbers along one axis.
    pub(super) fn add_list(&mut self, name: &str, x: &[f64]) -> anyhow::Result<()> {
        self.0.push((name.into(), FileArray::new(vec![x.len()], FileData::F64(x.to_vec()))?));
        Ok(())
    }

    /// Adds whole numbers, `columns` in a row; none for one axis.
    pub(super) fn add_whole(
        &mut self,
        name: &str,
        x: Vec<i64>,
        columns: Option<usize>,
    ) -> anyhow::Result<()> {
        let shape = columns.map_or(vec![x.len()], |columns| vec![x.len() / columns, columns]);
        self.0.push((name.into(), FileArray::new(shape, FileData::I64(x))?));
        Ok(())
    }

    /// Writes the file, if one is wanted, and says so.
    pub(super) fn write(self, output: Option<&Path>) -> anyhow::Result<()> {
        let Some(output) = output else { return Ok(()) };
        let tensors: Vec<(&str, FileArray)> =
            self.0.iter().map(|(name, x)| (name.as_str(), x.clone())).collect();
        write_safetensors(output, &tensors, &[])?;
        println!("{}: {} tensors", output.display(), tensors.len());
        Ok(())
    }
}
