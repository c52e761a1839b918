use super::reader::Shards;
use crate::error::SaeError;
use crate::train::shuffle::Reservoir;
use collimate_measure::ensure;
use collimate_stream::RngStream;
use half::f16;
use ndarray::Array2;

/// The number of rows that are read from disk at once.
const CHUNK: u64 = 1024;

/// The rows of a shard set in random order, epoch after epoch, in fixed memory.
///
/// The order of the shards is drawn for every epoch. A buffer of `buffer_rows` rows is kept; each row that is returned is drawn
/// from it and replaced by the next row from disk. The memory is `2·d·buffer_rows` bytes and one chunk, whatever the size of the
/// set, and twice that if a shard is in single precision. In every epoch each row is returned exactly once: the buffer is emptied
/// before the next epoch begins.
///
/// # Determinism
/// The order depends on the set, the buffer size and the stream only.
#[derive(Clone, Debug)]
pub struct Shuffled(Drawn);

#[derive(Clone, Debug)]
enum Drawn {
    Half(Draw<f16>),
    Single(Draw<f32>),
}

/// Rows in random order, from a buffer of values of one precision.
#[derive(Clone, Debug)]
struct Draw<T> {
    shards: Shards,
    block: usize,
    buffer: Reservoir<T>,
    chunk: Vec<T>,
    /// The number of values of the chunk that were taken.
    taken: usize,
    /// The rest of this epoch: (shard, first row, rows).
    left: Vec<(usize, u64, u64)>,
}

/// A precision of the buffer. Values that were stored in it come back as they are.
trait Held: Copy {
    fn hold(value: f32) -> Self;
    fn value(self) -> f32;
}

impl Held for f16 {
    fn hold(value: f32) -> Self {
        Self::from_f32(value)
    }

    fn value(self) -> f32 {
        self.to_f32()
    }
}

impl Held for f32 {
    fn hold(value: f32) -> Self {
        value
    }

    fn value(self) -> f32 {
        self
    }
}

impl Shards {
    /// Returns rows in random order without end, in fixed memory: see [`Shuffled`]. The checksum of each row is compared.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for a buffer or a block of no rows, [`SaeError::Exhausted`] for a set without rows.
    pub fn shuffled(
        &self,
        buffer_rows: usize,
        block: usize,
        stream: &mut RngStream,
    ) -> Result<Shuffled, SaeError> {
        if self.rows() == 0 {
            return Err(SaeError::Exhausted { expected: 1, given: 0 });
        }
        ensure(buffer_rows > 0, "buffer_rows", "at least 1", 0.0)?;
        ensure(block > 0, "block", "at least 1", 0.0)?;
        Ok(Shuffled(match self.is_half() {
            true => Drawn::Half(Draw::new(self, buffer_rows, block, stream)),
            false => Drawn::Single(Draw::new(self, buffer_rows, block, stream)),
        }))
    }
}

impl<T: Held> Draw<T> {
    fn new(shards: &Shards, buffer_rows: usize, block: usize, stream: &mut RngStream) -> Self {
        let buffer = Reservoir::new(buffer_rows, stream);
        Self { shards: shards.clone(), block, buffer, chunk: Vec::new(), taken: 0, left: Vec::new() }
    }

    /// Returns the place of the next row in the chunk, in the order of the shards; `None` at the end of an epoch.
    fn pull(&mut self) -> Result<Option<std::ops::Range<usize>>, SaeError> {
        let width = self.shards.width();
        if self.taken == self.chunk.len() {
            let Some((shard, start, rows)) = self.left.pop() else { return Ok(None) };
            let count = rows.min(CHUNK);
            self.chunk = self.shards.read(shard, start, count)?.rows.into_iter().map(T::hold).collect();
            self.taken = 0;
            if rows > count {
                self.left.push((shard, start + count, rows - count));
            }
        }
        let range = self.taken..self.taken + width;
        self.taken += width;
        Ok(Some(range))
    }

    /// Fills the buffer at the beginning of an epoch.
    fn refill(&mut self) -> Result<(), SaeError> {
        let rows: Vec<u64> = self.shards.shard_rows().collect();
        self.left = self.buffer.permutation(rows.len()).into_iter().map(|s| (s, 0, rows[s])).collect();
        self.left.retain(|&(_, _, rows)| rows > 0);
        while self.buffer.has_room()
            && let Some(range) = self.pull()?
        {
            self.buffer.push(&self.chunk[range]);
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<Array2<f32>, SaeError> {
        let mut out = Array2::zeros((self.block, self.shards.width()));
        for mut row in out.rows_mut() {
            if self.buffer.rows() == 0 {
                self.refill()?;
            }
            let chosen = self.buffer.draw();
            row.iter_mut().zip(self.buffer.row(chosen)).for_each(|(to, held)| *to = held.value());
            let next = self.pull()?;
            self.buffer.replace(chosen, next.map(|range| &self.chunk[range]));
        }
        Ok(out)
    }
}

impl Iterator for Shuffled {
    type Item = Result<Array2<f32>, SaeError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(match &mut self.0 {
            Drawn::Half(draw) => draw.fill(),
            Drawn::Single(draw) => draw.fill(),
        })
    }
}
