//! The rotation of pairs of numbers by angles.

use collimate_tensor::Scalar;
use ndarray::{ArrayRef2, ArrayRef3, Axis};

/// The parameters of a rotation.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The pairs.
    pub(crate) pairs: Pairs,
    /// The row of the angles for the first row of each head.
    pub(crate) first: usize,
    /// The direction.
    pub(crate) direction: Direction,
}

/// The two numbers that are turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// Neighbours: (0, 1), (2, 3), …
    Neighbours,
    /// One number of each half: (0, w/2), (1, w/2 + 1), …
    Halves,
}

/// The direction of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The rotation by the angle.
    Forward,
    /// The rotation by the negative angle.
    Back,
}

/// Turns the rows of `x` `[h, t, d]` by the angles whose cosines and sines are `cos` and `sin` `[positions, pairs]`.
pub(crate) fn rotate<F: Scalar>(x: &mut ArrayRef3<F>, cos: &ArrayRef2<F>, sin: &ArrayRef2<F>, turn: Turn) {
    let inverse = turn.direction == Direction::Back;
    let pairs = cos.ncols();
    let (step, apart) = match turn.pairs {
        Pairs::Neighbours => (2, 1),
        Pairs::Halves => (1, pairs),
    };
    let contiguous = |row: &mut [F], cos: &[F], sin: &[F]| match turn.pairs {
        Pairs::Neighbours => {
            for ((pair, &c), &s) in row.chunks_exact_mut(2).zip(cos).zip(sin) {
                let s = if inverse { -s } else { s };
                (pair[0], pair[1]) = (pair[0] * c - pair[1] * s, pair[0] * s + pair[1] * c);
            }
        }
        Pairs::Halves => {
            let (low, high) = row.split_at_mut(pairs);
            for (((a, b), &c), &s) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                let s = if inverse { -s } else { s };
                (*a, *b) = (*a * c - *b * s, *a * s + *b * c);
            }
        }
    };
    let angles = |of: &ArrayRef2<F>, t: usize| -> Vec<F> { of.row(turn.first + t).to_vec() };
    for t in 0..x.dim().1 {
        let (cos, sin) = (angles(cos, t), angles(sin, t));
        for mut row in x.index_axis_mut(Axis(1), t).rows_mut() {
            match row.as_slice_mut() {
                Some(row) => contiguous(row, &cos, &sin),
                None => {
                    for i in 0..pairs {
                        let (a, b) = (step * i, step * i + apart);
                        let s = if inverse { -sin[i] } else { sin[i] };
                        (row[a], row[b]) = (row[a] * cos[i] - row[b] * s, row[a] * s + row[b] * cos[i]);
                    }
                }
            }
        }
    }
}
