//! The input of `collimate sae encode`, brought to the axes that the architecture of the dictionary takes.

use super::rows::{array, flatten, is_shards, of_sets, open_shards};
use crate::session::say;
use anyhow::{Context, ensure};
use collimate_sae::shards::Beside;
use collimate_sae::{AnyDictionary, ArrangedForward, Arrangement, Precision};
use collimate_studies::Provenance;
use collimate_tensor::files::{FileArray, FileData};
use ndarray::{Array2, Array3, ArrayD, Axis, concatenate, stack};
use std::ops::Range;
use std::path::PathBuf;

/// The arrays of one or several places, and for shards the rows of each document.
pub(super) struct Input {
    arrays: Vec<FileArray>,
    documents: Option<Vec<Range<usize>>>,
    /// True if a run of rows begins after the first position of its document.
    late: bool,
    /// The origin of the rows, as their shards tell it.
    provenance: Provenance,
}

/// The axes of the input that stand for the axis of rows.
pub(super) struct Axes {
    /// The place of the axis of rows.
    at: usize,
    /// The axes of the input that make up the rows.
    rows: Vec<usize>,
    /// The last axes of the input, if the reconstruction has them too.
    last: Option<Vec<usize>>,
    /// True if the rows are divided into the documents of shards, so that the results stand one after the other.
    divided: bool,
}

impl Input {
    /// Reads the arrays of files or of folders of shards.
    pub(super) fn open(places: &[PathBuf], key: Option<&str>) -> anyhow::Result<Self> {
        if !places.iter().any(|place| is_shards(place)) {
            let arrays = places.iter().map(|place| array(place, key)).collect::<Result<_, _>>()?;
            return Ok(Self { arrays, documents: None, late: false, provenance: Provenance::default() });
        }
        let sets = places.iter().map(|place| open_shards(place, key)).collect::<Result<Vec<_>, _>>()?;
        let beside = Beside::new(sets)?;
        let mut arrays = Vec::with_capacity(places.len());
        let (mut documents, mut late): (Vec<Range<usize>>, _) = (Vec::new(), false);
        for (number, set) in beside.sets().iter().enumerate() {
            let mut values: Vec<f32> = Vec::new();
            let mut last = None;
            for block in set.blocks(4096) {
                let block = block?;
                values.extend(&block.rows);
                for (&document, &position) in
                    block.documents.iter().zip(&block.positions).filter(|_| number == 0)
                {
                    let start = documents.last().map_or(0, |range| range.end);
                    match documents.last_mut() {
                        Some(range) if last == position.checked_sub(1).map(|before| (document, before)) => {
                            range.end += 1;
                        }
                        _ => {
                            documents.push(start..start + 1);
                            late |= position > 0;
                        }
                    }
                    last = Some((document, position));
                }
            }
            let shape = vec![values.len() / set.width().max(1), set.width()];
            arrays.push(FileArray::new(shape, FileData::F32(values))?);
        }
        let provenance = of_sets(beside.sets());
        Ok(Self { arrays, documents: Some(documents), late, provenance })
    }

    /// Returns what shards say about their rows.
    pub(super) fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Returns true if every array holds 64-bit floating-point numbers.
    pub(super) fn is_double(&self) -> bool {
        self.arrays.iter().all(|array| array.type_name() == "f64")
    }

    /// Returns the input with the axes that a dictionary takes: one array, or one for each document of shards if the dictionary takes
    /// sequences.
    pub(super) fn arranged<F: Precision>(
        self,
        dictionary: &AnyDictionary<F>,
    ) -> anyhow::Result<(Axes, Vec<ArrayD<F>>)> {
        let (arrangement, d) = (dictionary.arrangement(), dictionary.d_in());
        let documents = self.documents;
        let array = joined(self.arrays, arrangement, d)?;
        let shape = array.shape().to_vec();
        let end = shape.len();
        let expected = || format!("this {} takes an input {arrangement}, d = {d}", dictionary.name());
        let wrong = || format!("{}, but the shape of the input is {shape:?}", expected());
        let (at, rows, inner, last) = match arrangement {
            Arrangement::Rows => {
                let (rows, leading, last) = flatten(&array, d)?;
                let x = rows.mapv(F::from_f64).into_dyn();
                let last = (dictionary.d_out() == d).then_some(last);
                return Ok((Axes { at: 0, rows: leading, last, divided: false }, vec![x]));
            }
            Arrangement::LayersOfRows { layers } => {
                ensure!(end >= 3 && shape[0] == layers && shape[end - 1] == d, wrong());
                (1, shape[1..end - 1].to_vec(), vec![layers, d], None)
            }
            Arrangement::RowsOfLayers { layers } => {
                let concatenated = end >= 2 && shape[end - 1] == layers * d;
                let separate = end >= 3 && shape[end - 2..] == [layers, d];
                ensure!(concatenated || separate, wrong());
                let leading = if separate { end - 2 } else { end - 1 };
                (0, shape[..leading].to_vec(), vec![layers, d], Some(shape[leading..].to_vec()))
            }
            Arrangement::Sequences => {
                ensure!(end >= 2 && shape[end - 1] == d, wrong());
                if let Some(documents) = documents {
                    if self.late {
                        say(
                            "note: the shards leave out the first positions of some documents, but this dictionary takes sequences from \
                             their first position; its codes differ from those of the whole documents",
                        );
                    }
                    let (rows, _, last) = flatten(&array, d)?;
                    let sequence = |range: Range<usize>| {
                        let rows = rows.slice(ndarray::s![range, ..]).mapv(F::from_f64);
                        rows.insert_axis(Axis(0)).into_dyn()
                    };
                    let axes = Axes { at: 0, rows: vec![rows.nrows()], last: Some(last), divided: true };
                    return Ok((axes, documents.into_iter().map(sequence).collect()));
                }
                (0, shape[..end - 2].to_vec(), shape[end - 2..].to_vec(), None)
            }
        };
        let count: usize = rows.iter().product();
        let mut axes = inner;
        axes.insert(at, count);
        let x = array.to_f64().into_shape_with_order(axes).context("the rows")?;
        Ok((Axes { at, rows, last, divided: false }, vec![x.mapv(F::from_f64)]))
    }
}

/// Joins the arrays of several layers; a single one is returned as it is.
fn joined(mut arrays: Vec<FileArray>, arrangement: Arrangement, d: usize) -> anyhow::Result<FileArray> {
    if arrays.len() == 1 {
        return Ok(arrays.swap_remove(0));
    }
    let count = arrays.len();
    ensure!(
        arrangement != Arrangement::Sequences,
        "--input is given {count} times, but a dictionary of sequences takes one place"
    );
    let parts = arrays.iter().map(|array| {
        let width = if arrangement == Arrangement::Rows { *array.shape().last().unwrap_or(&0) } else { d };
        Ok(flatten(array, width)?.0)
    });
    let parts: Vec<Array2<f64>> = parts.collect::<anyhow::Result<_>>()?;
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    let joined = match arrangement {
        Arrangement::LayersOfRows { .. } => stack(Axis(0), &views).map(Array3::into_dyn),
        Arrangement::RowsOfLayers { .. } => stack(Axis(1), &views).map(Array3::into_dyn),
        // The layers of a crosscoder that was trained here stand side by side.
        _ => concatenate(Axis(1), &views).map(Array2::into_dyn),
    };
    let joined = joined.context(
        "the places do not have the same number of rows; each row must belong to the same token in all",
    )?;
    Ok(FileArray::new(
        joined.shape().to_vec(),
        FileData::F64(joined.as_standard_layout().iter().copied().collect()),
    )?)
}

impl Axes {
    /// Returns the axes of the codes without the axis of the latents.
    pub(super) fn of_codes<F: Precision>(&self, results: &[ArrangedForward<F>]) -> Vec<usize> {
        match results {
            [one] if !self.divided => self.with_rows(&one.code_axes),
            _ => self.rows.clone(),
        }
    }

    /// Returns the axes of the reconstruction.
    pub(super) fn of_reconstruction<F: Precision>(
        &self,
        results: &[ArrangedForward<F>],
        dictionary: &AnyDictionary<F>,
    ) -> Vec<usize> {
        let last = self.last.as_deref();
        match (results, last) {
            (_, Some(last)) => [&self.rows[..], last].concat(),
            ([one], None) => self.with_rows(one.reconstruction.shape()),
            (_, None) => [&self.rows[..], &[dictionary.d_out()]].concat(),
        }
    }

    /// Replaces the axis of rows by the axes of the input.
    fn with_rows(&self, axes: &[usize]) -> Vec<usize> {
        [&axes[..self.at], &self.rows[..], &axes[self.at + 1..]].concat()
    }
}
