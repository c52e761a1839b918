use crate::error::StudyError;
use crate::leave_out::RowRule;
use crate::rows::{flat, put_back, width_at};
use collimate_sae::{LayeredTranscoder, SaeError};
use collimate_transformer::{HookPoint, Hooks, Model, Site};
use ndarray::{Array2, Array3, ArrayViewMutD, Axis};

/// The rows that replace an activation in every layer.
#[derive(Clone, Copy)]
pub(super) enum LayerOutputs<'a> {
    /// One row `[layer, d]` for all positions.
    Constant(&'a Array2<f32>),
    /// The predictions of a transcoder from the rows of a run.
    Transcoder(&'a LayeredTranscoder<f32>),
}

/// A replacement of one activation in every layer of a model, as the hooks of a run. Position 0 stays as it is.
pub(super) struct LayerSplice<'a> {
    reads: Site,
    writes: Site,
    layers: usize,
    outputs: LayerOutputs<'a>,
    rule: &'a RowRule,
    tokens: &'a [u32],
    /// The positions that are replaced, known as soon as the first layer has read its rows.
    positions: Vec<usize>,
    /// The predictions `[layer, b, d]` of the layers so far.
    predicted: Array3<f32>,
    failed: Option<SaeError>,
}

impl<'a> LayerSplice<'a> {
    /// Returns the hooks of a run of these tokens, or an error if the rows do not fit the model.
    pub(super) fn new(
        model: &Model<f32>,
        [reads, writes]: [Site; 2],
        outputs: LayerOutputs<'a>,
        rule: &'a RowRule,
        tokens: &'a [u32],
    ) -> Result<Self, StudyError> {
        let layers = model.description().layers.len();
        let width = |site: Site| width_at(model, site.of_layer(0));
        let (argument, expected, given) = match outputs {
            LayerOutputs::Constant(rows) => ("means", vec![layers, width(writes)?], rows.shape().to_vec()),
            LayerOutputs::Transcoder(transcoder) => {
                let given = vec![transcoder.layers().len(), transcoder.d_in(), transcoder.d_out()];
                ("layers × d_in × d_out", vec![layers, width(reads)?, width(writes)?], given)
            }
        };
        if expected != given {
            return Err(SaeError::Mismatch { argument, expected, given }.into());
        }
        let (positions, predicted) = (Vec::new(), Array3::zeros((0, 0, 0)));
        Ok(Self { reads, writes, layers, outputs, rule, tokens, positions, predicted, failed: None })
    }

    /// Returns the error of the run, if there was one. A hook cannot fail: it leaves the activation as it is.
    pub(super) fn check(self) -> Result<(), StudyError> {
        self.failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Takes the rows that a layer reads.
    fn read(&mut self, layer: usize, rows: &Array2<f32>) {
        if layer == 0 {
            self.positions = self.rule.kept(self.tokens, rows);
        }
        let LayerOutputs::Transcoder(transcoder) = self.outputs else { return };
        if layer == 0 {
            self.predicted = transcoder.biases(self.positions.len());
        }
        if self.positions.is_empty() || self.failed.is_some() {
            return;
        }
        let rows = rows.select(Axis(0), &self.positions);
        self.failed = transcoder.add_layer(layer, &rows, &mut self.predicted).err();
    }

    /// Puts the rows of a layer into an activation.
    fn write(&self, layer: usize, rows: &mut Array2<f32>) {
        for (place, &position) in self.positions.iter().enumerate() {
            let mut row = rows.row_mut(position);
            match self.outputs {
                LayerOutputs::Constant(all) => row.assign(&all.row(layer)),
                LayerOutputs::Transcoder(_) => {
                    row.assign(&self.predicted.slice(ndarray::s![layer, place, ..]));
                }
            }
        }
    }
}

impl Hooks for LayerSplice<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        point.site == self.reads || point.site == self.writes
    }

    fn points(&self) -> Vec<HookPoint> {
        let layer = |layer| [self.reads.of_layer(layer), self.writes.of_layer(layer)];
        (0..self.layers).flat_map(layer).collect()
    }

    fn at(&mut self, point: HookPoint, mut activation: ArrayViewMutD<'_, f32>) {
        let mut rows = flat(&activation.view());
        if point.site == self.reads {
            self.read(point.layer, &rows);
        } else if self.failed.is_none() {
            self.write(point.layer, &mut rows);
            put_back(&rows, &mut activation);
        }
    }
}
