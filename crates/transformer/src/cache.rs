use collimate_tensor::Scalar;
use ndarray::{Array2, ArrayView2, s};

/// The keys and values of the tokens that a model has read, layer by layer.
#[derive(Clone, Debug)]
pub(crate) struct Cache<F> {
    batch: usize,
    /// The keys and values of each sequence of each layer, row by row.
    layers: Vec<Vec<[Vec<F>; 2]>>,
    widths: Vec<[usize; 2]>,
    tokens: usize,
}

impl<F: Scalar> Cache<F> {
    /// Returns an empty cache.
    pub(crate) fn new(layers: usize, batch: usize) -> Self {
        let empty = || (0..batch).map(|_| [Vec::new(), Vec::new()]).collect();
        Self {
            batch,
            layers: (0..layers).map(|_| empty()).collect(),
            widths: vec![[0; 2]; layers],
            tokens: 0,
        }
    }

    /// Returns the number of tokens of each sequence.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Adds the keys and values of new tokens of a layer.
    pub(crate) fn extend(&mut self, layer: usize, k: &Array2<F>, v: &Array2<F>) {
        let length = k.nrows() / self.batch;
        for (b, [keys, values]) in self.layers[layer].iter_mut().enumerate() {
            let rows = s![b * length..(b + 1) * length, ..];
            keys.extend(k.slice(rows).iter());
            values.extend(v.slice(rows).iter());
        }
        self.widths[layer] = [k.ncols(), v.ncols()];
        if layer + 1 == self.layers.len() {
            self.tokens += length;
        }
    }

    /// Returns the keys and values of a sequence, `[s, g·e]`.
    pub(crate) fn of(&self, layer: usize, sequence: usize) -> (ArrayView2<'_, F>, ArrayView2<'_, F>) {
        let [keys, values] = &self.layers[layer][sequence];
        let [k, v] = self.widths[layer];
        (rows(keys, k), rows(values, v))
    }
}

fn rows<F>(x: &[F], width: usize) -> ArrayView2<'_, F> {
    ArrayView2::from_shape((x.len() / width, width), x).expect("whole rows")
}
