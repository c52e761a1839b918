use super::network::{place, product};
use collimate_tensor::{Scalar, axpy, dot, matmul, softmax_in_place};
use ndarray::{Array2, ArrayRef2, Axis, s};
use rayon::prelude::*;

/// The number of heads.
pub(super) const HEADS: usize = 4;

/// The attention of the last token to all rows that it can meet.
///
/// Rows 0 to p − 1 are the numbers at the first place, p to 2p − 1 those at the second place, and row 2p is the last token itself.
pub(super) struct AttentionTable<F> {
    modulus: usize,
    /// The stream that enters the layer, `[2p + 1, d]`.
    stream: Array2<F>,
    query: Array2<F>,
    keys: Array2<F>,
    values: Array2<F>,
    /// The scaled products of query and keys, `[heads, 2p + 1]`.
    scores: Array2<F>,
    /// For each head, its values times the output matrix, `[2p + 1, d]`.
    outputs: Vec<Array2<F>>,
}

/// Returns the columns of a head.
fn head(index: usize, width: usize) -> std::ops::Range<usize> {
    index * width / HEADS..(index + 1) * width / HEADS
}

/// Returns the product of two matrices of the network.
fn times<F: Scalar>(a: &ArrayRef2<F>, b: &ArrayRef2<F>) -> Array2<F> {
    matmul(a, b).expect("the shapes of one network")
}

/// Returns a row of a matrix in standard layout.
fn row<F>(matrix: &Array2<F>, index: usize) -> &[F] {
    let width = matrix.ncols();
    &matrix.as_slice().expect("standard layout")[index * width..(index + 1) * width]
}

impl<F: Scalar> AttentionTable<F> {
    /// Computes the table from the tensors of the network.
    pub(super) fn new(tensors: &[Array2<F>]) -> Self {
        let (embedding, positions) = (&tensors[place::EMBEDDING], &tensors[place::POSITIONS]);
        let (p, d) = (embedding.nrows() - 1, embedding.ncols());
        let stream = Array2::from_shape_fn((2 * p + 1, d), |(row, i)| {
            let (token, position) = if row == 2 * p { (p, 2) } else { (row % p, row / p) };
            embedding[[token, i]] + positions[[position, i]]
        });
        let query = times(&stream.slice(s![2 * p.., ..]), &tensors[place::QUERY].t());
        let keys = times(&stream, &tensors[place::KEY].t());
        let values = times(&stream, &tensors[place::VALUE].t());
        let scale = scale::<F>(d);
        let scores = Array2::from_shape_fn((HEADS, 2 * p + 1), |(h, at)| {
            scale * dot(&row(&query, 0)[head(h, d)], &row(&keys, at)[head(h, d)])
        });
        let outputs = (0..HEADS).map(|h| {
            let columns = head(h, d);
            let output = tensors[place::OUTPUT].slice(s![.., columns.clone()]);
            times(&values.slice(s![.., columns]), &output.t())
        });
        let outputs = outputs.collect();
        Self { modulus: p, stream, query, keys, values, scores, outputs }
    }

    /// Returns the rows that the last token of a pair attends to.
    fn rows(&self, [a, b]: [usize; 2]) -> [usize; 3] {
        [a, self.modulus + b, 2 * self.modulus]
    }

    /// Computes the weights of attention `[n, 3 heads]`, and the stream after attention `[n, d]`, for each pair.
    pub(super) fn stream_into(&self, pairs: &[[usize; 2]], shares: &mut Array2<F>, out: &mut Array2<F>) {
        let width = out.ncols();
        let shares = shares.as_slice_mut().expect("standard layout").par_chunks_mut(3 * HEADS);
        let out = out.as_slice_mut().expect("standard layout").par_chunks_mut(width);
        out.zip(shares).zip(pairs).for_each(|((out, shares), &pair)| {
            let rows = self.rows(pair);
            out.copy_from_slice(row(&self.stream, 2 * self.modulus));
            for (h, shares) in shares.chunks_exact_mut(3).enumerate() {
                shares.iter_mut().zip(rows).for_each(|(share, at)| *share = self.scores[[h, at]]);
                softmax_in_place(shares);
                for (&share, at) in shares.iter().zip(rows) {
                    axpy(share, row(&self.outputs[h], at), out);
                }
            }
        });
    }
}

/// Returns the factor of the scores, `1/√(d/heads)`.
fn scale<F: Scalar>(width: usize) -> F {
    F::from_f64(1.0 / (width as f64 / HEADS as f64).sqrt())
}

/// The gradient by the rows of a table.
pub(super) struct AttentionGradient<F> {
    /// The gradient by the stream of the last token beside attention, `[1, d]`.
    direct: Array2<F>,
    /// The gradient by the scores, one list for each head.
    scores: Vec<Vec<F>>,
    /// The gradient by the outputs, for each head.
    outputs: Vec<Array2<F>>,
}

impl<F: Scalar> AttentionGradient<F> {
    /// Computes the gradient from that by the stream after attention, `[n, d]`.
    pub(super) fn of(
        table: &AttentionTable<F>,
        pairs: &[[usize; 2]],
        shares: &Array2<F>,
        d_stream: &Array2<F>,
    ) -> Self {
        let direct = d_stream.sum_axis(Axis(0)).insert_axis(Axis(0));
        let one = |h: usize| {
            let outputs = &table.outputs[h];
            let mut d_outputs = Array2::<F>::zeros(outputs.dim());
            let mut d_scores = vec![F::zero(); outputs.nrows()];
            let width = outputs.ncols();
            let d_rows = d_outputs.as_slice_mut().expect("standard layout");
            for (n, &pair) in pairs.iter().enumerate() {
                let (shares, d_row) = (&row(shares, n)[3 * h..3 * h + 3], row(d_stream, n));
                let rows = table.rows(pair);
                let slopes = rows.map(|at| dot(d_row, row(outputs, at)));
                let mean: F = shares.iter().zip(slopes).map(|(&share, slope)| share * slope).sum();
                for ((&share, slope), at) in shares.iter().zip(slopes).zip(rows) {
                    d_scores[at] += share * (slope - mean);
                    axpy(share, d_row, &mut d_rows[at * width..(at + 1) * width]);
                }
            }
            (d_scores, d_outputs)
        };
        let (scores, outputs) = (0..HEADS).into_par_iter().map(one).unzip();
        Self { direct, scores, outputs }
    }

    /// Writes the gradients of the tensors that the table depends on.
    pub(super) fn write(self, table: &AttentionTable<F>, tensors: &[Array2<F>], gradient: &mut [Array2<F>]) {
        let (rows, d) = table.stream.dim();
        let p = table.modulus;
        let scale = scale::<F>(d);
        let mut d_query = Array2::<F>::zeros((1, d));
        let (mut d_keys, mut d_values) = (Array2::<F>::zeros((rows, d)), Array2::<F>::zeros((rows, d)));
        for (h, (scores, outputs)) in self.scores.iter().zip(&self.outputs).enumerate() {
            for (at, &score) in scores.iter().enumerate() {
                for i in head(h, d) {
                    d_keys[[at, i]] = scale * score * table.query[[0, i]];
                    d_query[[0, i]] += scale * score * table.keys[[at, i]];
                }
            }
            let columns = head(h, d);
            let output = tensors[place::OUTPUT].slice(s![.., columns.clone()]);
            product(outputs, &output, &mut d_values.slice_mut(s![.., columns.clone()]));
            let values = table.values.slice(s![.., columns.clone()]);
            product(&outputs.t(), &values, &mut gradient[place::OUTPUT].slice_mut(s![.., columns]));
        }
        let last = table.stream.slice(s![2 * p.., ..]);
        product(&d_query.t(), &last, &mut gradient[place::QUERY]);
        product(&d_keys.t(), &table.stream, &mut gradient[place::KEY]);
        product(&d_values.t(), &table.stream, &mut gradient[place::VALUE]);
        let mut d_stream = times(&d_keys, &tensors[place::KEY]) + times(&d_values, &tensors[place::VALUE]);
        let mut d_last = d_stream.slice_mut(s![2 * p.., ..]);
        d_last += &self.direct;
        d_last += &times(&d_query, &tensors[place::QUERY]);
        let (first, second) = (d_stream.slice(s![..p, ..]), d_stream.slice(s![p..2 * p, ..]));
        let last = d_stream.slice(s![2 * p.., ..]);
        let d_embedding = &mut gradient[place::EMBEDDING];
        d_embedding.slice_mut(s![..p, ..]).assign(&(&first + &second));
        d_embedding.slice_mut(s![p.., ..]).assign(&last);
        let d_positions = &mut gradient[place::POSITIONS];
        for (position, part) in [first, second, last].iter().enumerate() {
            d_positions.row_mut(position).assign(&part.sum_axis(Axis(0)));
        }
    }
}
