//! The sources of rows: any iterator of arrays.

use crate::SaeError;
use crate::train::shuffle::Reservoir;
use collimate_measure::ensure;
use collimate_stream::RngStream;
use ndarray::{Array2, ArrayRef2, ArrayView2, Axis};
use std::collections::VecDeque;

/// A block of rows, or the error of its source. Blocks need not have the size of a training batch.
pub trait IntoRows {
    /// Returns the rows `[b, d]`.
    ///
    /// # Errors
    /// The error of the source.
    fn into_rows(self) -> Result<Array2<f32>, SaeError>;
}

impl IntoRows for Array2<f32> {
    fn into_rows(self) -> Result<Array2<f32>, SaeError> {
        Ok(self)
    }
}

impl IntoRows for ArrayView2<'_, f32> {
    fn into_rows(self) -> Result<Array2<f32>, SaeError> {
        Ok(self.to_owned())
    }
}

impl<E: Into<SaeError>> IntoRows for Result<Array2<f32>, E> {
    fn into_rows(self) -> Result<Array2<f32>, SaeError> {
        self.map_err(Into::into)
    }
}

/// Returns the rows of an array without end, shuffled in every epoch.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// let rows = ndarray::array![[1.0f32], [2.0], [3.0]];
/// let mut blocks = collimate_sae::epochs(&rows, 2, &mut RngStream::new(1, 0));
/// let seen: f32 = (0..2).map(|_| blocks.next().unwrap().sum()).sum();
/// assert_eq!(seen, 6.0); // one epoch, in blocks of two and one
/// ```
pub fn epochs<'a>(
    rows: &'a ArrayRef2<f32>,
    block: usize,
    stream: &mut RngStream,
) -> impl Iterator<Item = Array2<f32>> + use<'a> {
    // A stream of its own, so that the caller's can go on.
    let mut stream = RngStream::new(stream.bits(), stream.bits());
    let mut order: Vec<usize> = Vec::new();
    std::iter::from_fn(move || {
        if order.is_empty() {
            order = stream.permutation(rows.nrows());
        }
        let take = block.max(1).min(order.len());
        let chosen = order.split_off(order.len() - take);
        (take > 0).then(|| rows.select(Axis(0), &chosen))
    })
}

/// The rows of any source in random order, from a buffer of fixed size.
///
/// The buffer is filled first. Each row that is returned is drawn from the buffer and replaced by the next row of the source.
/// At the end of the source, the remaining rows are returned in random order. Every row is returned exactly once. Rows that
/// are near each other in the source move apart by about the size of the buffer, so a source in the order of its documents
/// needs a large one.
///
/// # Examples
/// ```
/// use collimate_sae::ShuffleBuffer;
/// use collimate_stream::RngStream;
/// let source = (0..10).map(|i| ndarray::array![[i as f32]]);
/// let mut shuffled = ShuffleBuffer::new(source, 4, 3, &mut RngStream::new(1, 0))?;
/// let all: Vec<f32> = shuffled.flat_map(|block| block.unwrap()).collect();
/// assert_eq!((all.len(), all.iter().sum::<f32>()), (10, 45.0));
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ShuffleBuffer<I> {
    source: I,
    block: usize,
    buffer: Reservoir<f32>,
    waiting: VecDeque<Vec<f32>>,
    ended: bool,
}

impl<I: Iterator<Item: IntoRows>> ShuffleBuffer<I> {
    /// Returns a buffer of `buffer_rows` rows that gives blocks of `block` rows (the last may be shorter).
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for a buffer or a block of no rows.
    pub fn new(
        source: impl IntoIterator<IntoIter = I>,
        buffer_rows: usize,
        block: usize,
        stream: &mut RngStream,
    ) -> Result<Self, SaeError> {
        ensure(buffer_rows > 0, "buffer_rows", "at least 1", 0.0)?;
        ensure(block > 0, "block", "at least 1", 0.0)?;
        let (buffer, waiting) = (Reservoir::new(buffer_rows, stream), VecDeque::new());
        Ok(Self { source: source.into_iter(), block, buffer, waiting, ended: false })
    }

    /// Returns the next row of the source; `None` at its end.
    fn pull(&mut self) -> Result<Option<Vec<f32>>, SaeError> {
        while self.waiting.is_empty() && !self.ended {
            match self.source.next() {
                None => self.ended = true,
                Some(block) => {
                    let block = block.into_rows()?;
                    let width = self.buffer.width().unwrap_or(block.ncols());
                    if block.ncols() != width {
                        return Err(SaeError::shape("rows", &[block.nrows(), width], block.shape()));
                    }
                    self.waiting.extend(block.rows().into_iter().map(|row| row.to_vec()));
                }
            }
        }
        Ok(self.waiting.pop_front())
    }

    fn fill(&mut self) -> Result<Option<Array2<f32>>, SaeError> {
        while self.buffer.has_room()
            && let Some(row) = self.pull()?
        {
            self.buffer.push(&row);
        }
        let Some(width) = self.buffer.width() else { return Ok(None) };
        let mut out = Array2::zeros((0, width));
        while out.nrows() < self.block && self.buffer.rows() > 0 {
            let chosen = self.buffer.draw();
            let next = self.pull()?;
            out.push_row(ndarray::aview1(self.buffer.row(chosen))).expect("rows of one width");
            self.buffer.replace(chosen, next.as_deref());
        }
        Ok(Some(out))
    }
}

impl<I: Iterator<Item: IntoRows>> Iterator for ShuffleBuffer<I> {
    type Item = Result<Array2<f32>, SaeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.fill().transpose()
    }
}

/// Blocks of any size, cut into batches of one size.
pub(crate) struct Batches<I> {
    source: I,
    waiting: VecDeque<Array2<f32>>,
    /// The number of rows of the first waiting block that were already used.
    used: usize,
    width: usize,
    handed_out: u64,
}

impl<I: Iterator<Item: IntoRows>> Batches<I> {
    pub(crate) fn new(source: I, width: usize) -> Self {
        Self { source, waiting: VecDeque::new(), used: 0, width, handed_out: 0 }
    }

    fn pull(&mut self) -> Result<bool, SaeError> {
        let Some(block) = self.source.next() else { return Ok(false) };
        let block = block.into_rows()?;
        if block.ncols() != self.width {
            return Err(SaeError::shape("rows", &[block.nrows(), self.width], block.shape()));
        }
        if block.nrows() > 0 {
            self.waiting.push_back(block);
        }
        Ok(true)
    }

    /// Returns the first rows (fewer if the source has fewer), without taking them.
    pub(crate) fn peek(&mut self, count: usize) -> Result<Array2<f32>, SaeError> {
        while self.waiting.iter().map(|b| b.nrows()).sum::<usize>() - self.used < count && self.pull()? {}
        let mut sample = Array2::zeros((0, self.width));
        let rows = self.waiting.iter().flat_map(|block| block.rows()).skip(self.used).take(count);
        for row in rows {
            sample.push_row(row).expect("the width was checked");
        }
        if sample.nrows() == 0 {
            return Err(SaeError::Exhausted { expected: 1, given: self.handed_out });
        }
        Ok(sample)
    }

    /// Takes `count` rows one by one; returns an error if the source ends before.
    pub(crate) fn take(&mut self, count: usize, mut each: impl FnMut(usize, &[f32])) -> Result<(), SaeError> {
        let mut done = 0;
        while done < count {
            let Some(block) = self.waiting.front() else {
                if self.pull()? {
                    continue;
                }
                let expected = self.handed_out + (count - done) as u64;
                return Err(SaeError::Exhausted { expected, given: self.handed_out });
            };
            let end = block.nrows().min(self.used + count - done);
            for row in self.used..end {
                let row = block.row(row);
                match row.as_slice() {
                    Some(slice) => each(done, slice),
                    None => each(done, &row.to_vec()),
                }
                done += 1;
                self.handed_out += 1;
            }
            self.used = end;
            if end == block.nrows() {
                self.waiting.pop_front();
                self.used = 0;
            }
        }
        Ok(())
    }
}
