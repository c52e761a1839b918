use super::tile::Space;
use crate::kernels::Loops;
use ndarray::ArrayViewMut2;
use std::ops::Range;

/// Rows padded to whole vectors, in which a gradient is summed.
pub(super) enum Padded<'a, 'b, F> {
    /// The rows are whole vectors without padding.
    Direct(&'a mut [F], usize),
    Copied {
        sums: &'a mut [F],
        wide: usize,
        to: &'a mut ArrayViewMut2<'b, F>,
    },
}

impl<'a, 'b, F: Loops> Padded<'a, 'b, F> {
    pub(super) fn new(
        to: &'a mut ArrayViewMut2<'b, F>,
        wide: usize,
        space: &mut Space<'a, F>,
        room: usize,
    ) -> Self {
        if to.ncols() == wide {
            return Self::Direct(to.as_slice_mut().expect("rows of a new array are contiguous"), wide);
        }
        let sums = space.take(room);
        sums.fill(F::zero());
        Self::Copied { sums, wide, to }
    }

    pub(super) fn rows(&mut self, rows: Range<usize>) -> &mut [F] {
        match self {
            Self::Direct(sums, wide) | Self::Copied { sums, wide, .. } => {
                &mut sums[rows.start * *wide..rows.end * *wide]
            }
        }
    }

    pub(super) fn finish(self) {
        if let Self::Copied { sums, wide, to } = self {
            for (mut to, sums) in to.rows_mut().into_iter().zip(sums.chunks_exact(wide)) {
                to.iter_mut().zip(sums).for_each(|(to, &sum)| *to = sum);
            }
        }
    }
}
