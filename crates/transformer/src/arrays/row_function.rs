//! Functions of rows, written once for numbers and for dual numbers.

use super::matrix::{Matrix, View};
use super::number::{Dual, Number};
use collimate_tensor::Scalar;
use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

/// The number of rows of one task of a row function.
const ROWS: usize = 16;

/// A function of rows that is written once for numbers and for dual numbers.
pub(crate) trait RowFunction<const N: usize, const M: usize>: Sync {
    /// Computes M rows from N rows. `index` counts the rows from zero.
    fn run<T: Number>(&self, index: usize, inputs: [&[T]; N], outputs: [&mut [T]; M]);
}

/// Applies a row function to the corresponding rows of N matrices, which gives M matrices of the given numbers of columns.
pub(crate) fn map_rows<F: Scalar + Number, const N: usize, const M: usize>(
    function: &impl RowFunction<N, M>,
    inputs: [View<'_, F>; N],
    columns: [usize; M],
) -> [Matrix<F>; M] {
    let rows = inputs[0].value.nrows();
    let along = inputs.iter().any(|input| input.tangent.is_some());
    let inputs = inputs.map(|input| {
        let own = |x: ArrayView2<'_, F>| x.as_standard_layout().into_owned();
        // Views of whole matrices are nearly always in standard layout; then nothing is copied.
        (Rows::new(input.value), input.tangent.map(own))
    });
    let mut outputs = columns.map(|columns| Matrix::zeros((rows, columns), along));
    let mut tasks: Vec<(usize, [Block<'_, F>; M])> = Vec::new();
    {
        let mut blocks = outputs.each_mut().map(|out| {
            let columns = out.value.ncols();
            let size = (ROWS * columns).max(1);
            let values = out.value.as_slice_mut().expect("standard layout").chunks_mut(size);
            let tangents =
                out.tangent.as_mut().map(|x| x.as_slice_mut().expect("standard layout").chunks_mut(size));
            (values, tangents)
        });
        for index in 0..rows.div_ceil(ROWS) {
            let block = blocks.each_mut().map(|(values, tangents)| Block {
                value: values.next().unwrap_or_default(),
                tangent: tangents.as_mut().map(|x| x.next().unwrap_or_default()),
            });
            tasks.push((index * ROWS, block));
        }
    }
    tasks.into_par_iter().for_each(|(first, mut block)| {
        for row in 0..ROWS.min(rows - first) {
            let index = first + row;
            if along {
                let given = inputs.each_ref().map(|(value, tangent)| {
                    let values = value.row(index).iter();
                    match tangent {
                        Some(tangent) => values
                            .zip(tangent.row(index))
                            .map(|(&value, &tangent)| Dual { value, tangent })
                            .collect::<Vec<_>>(),
                        None => values.map(|&value| Dual { value, tangent: F::zero() }).collect(),
                    }
                });
                let mut made = columns.map(|n| vec![Dual { value: F::zero(), tangent: F::zero() }; n]);
                function.run(index, given.each_ref().map(|x| &x[..]), made.each_mut().map(|x| &mut x[..]));
                for ((block, made), columns) in block.iter_mut().zip(&made).zip(columns) {
                    let tangent = block.tangent.as_mut().expect("a pass along a direction");
                    for (at, number) in made.iter().enumerate() {
                        block.value[row * columns + at] = number.value;
                        tangent[row * columns + at] = number.tangent;
                    }
                }
            } else {
                let given = inputs.each_ref().map(|(value, _)| value.row(index));
                let mut at = 0;
                let made = block.each_mut().map(|block| {
                    let columns = columns[at];
                    at += 1;
                    &mut block.value[row * columns..][..columns]
                });
                function.run(index, given, made);
            }
        }
    });
    outputs
}

/// The rows of one task of an output.
struct Block<'a, F> {
    value: &'a mut [F],
    tangent: Option<&'a mut [F]>,
}

/// Rows as slices, copied only if their numbers are not neighbours.
struct Rows<'a, F>(ndarray::CowArray<'a, F, ndarray::Ix2>);

impl<'a, F: Scalar> Rows<'a, F> {
    fn new(view: ArrayView2<'a, F>) -> Self {
        let neighbours = view.ncols() < 2 || view.strides()[1] == 1;
        Self(if neighbours { view.into() } else { view.as_standard_layout().into_owned().into() })
    }

    fn row(&self, index: usize) -> &[F] {
        self.0.index_axis(Axis(0), index).to_slice().expect("the numbers of a row are neighbours")
    }
}

/// Returns the sum of a function of the numbers of a row, in sixteen lanes: faster and more exact than one after the other.
pub(crate) fn sum<T: Number, W: Number>(x: &[T], of: impl Fn(T) -> W) -> W {
    let mut lanes = [W::constant(0.0); 16];
    let (chunks, rest) = x.as_chunks::<16>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = *lane + of(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = *lane + of(x);
    }
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] = lanes[lane] + lanes[lane + half];
        }
    }
    lanes[0]
}
