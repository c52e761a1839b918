use super::reader::Shards;
use crate::SaeError;
use collimate_stream::RngStream;
use half::f16;
use ndarray::Array2;

/// Rows that are read from disk at once.
const CHUNK: u64 = 1024;

/// The rows of a set in random order, time round after time round, in fixed memory.
///
/// The order of the shards is drawn anew each time round. A buffer of `buffer_rows` rows is kept; each row that is handed
/// out is drawn from it and replaced by the next one from disk. Memory is `2·d·buffer_rows` bytes and one chunk, whatever
/// the size of the set. Each time round every row comes exactly once: the buffer is emptied before the next begins.
///
/// # Determinism
/// The order depends on the set, the buffer size and the stream only.
#[derive(Clone, Debug)]
pub struct Shuffled {
    shards: Shards,
    capacity: usize,
    block: usize,
    stream: RngStream,
    buffer: Vec<f16>,
    chunk: Vec<f16>,
    /// Values of the chunk that were taken.
    taken: usize,
    /// What is left of this time round: (shard, first row, rows).
    left: Vec<(usize, u64, u64)>,
}

impl Shuffled {
    pub(super) fn new(
        shards: Shards,
        capacity: usize,
        block: usize,
        stream: &mut RngStream,
    ) -> Result<Self, SaeError> {
        if shards.rows() == 0 {
            return Err(SaeError::Exhausted { expected: 1, given: 0 });
        }
        if capacity == 0 {
            return Err(SaeError::OutOfRange { name: "buffer_rows", expected: "at least 1", given: 0.0 });
        }
        if block == 0 {
            return Err(SaeError::OutOfRange { name: "block", expected: "at least 1", given: 0.0 });
        }
        // A stream of its own, so that the caller's can go on.
        let stream = RngStream::new(stream.bits(), stream.bits());
        let (buffer, chunk, left) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { shards, capacity, block, stream, buffer, chunk, taken: 0, left })
    }

    /// The next row from disk, in the order of the shards; `None` at the end of a time round.
    fn pull(&mut self) -> Result<Option<std::ops::Range<usize>>, SaeError> {
        let width = self.shards.width();
        if self.taken == self.chunk.len() {
            let Some((shard, start, rows)) = self.left.pop() else { return Ok(None) };
            let count = rows.min(CHUNK);
            self.chunk = self.shards.read_half(shard, start, count)?;
            self.taken = 0;
            if rows > count {
                self.left.push((shard, start + count, rows - count));
            }
        }
        let range = self.taken..self.taken + width;
        self.taken += width;
        Ok(Some(range))
    }

    /// Fills the buffer at the beginning of a time round.
    fn refill(&mut self) -> Result<(), SaeError> {
        let rows: Vec<u64> = self.shards.shard_rows().collect();
        self.left = self.stream.permutation(rows.len()).into_iter().map(|s| (s, 0, rows[s])).collect();
        self.left.retain(|&(_, _, rows)| rows > 0);
        self.buffer.clear();
        while self.buffer.len() < self.capacity * self.shards.width() {
            let Some(range) = self.pull()? else { break };
            self.buffer.extend_from_slice(&self.chunk[range]);
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<Array2<f32>, SaeError> {
        let width = self.shards.width();
        let mut out = Array2::zeros((self.block, width));
        for mut row in out.rows_mut() {
            if self.buffer.is_empty() {
                self.refill()?;
            }
            let rows = self.buffer.len() / width;
            let chosen = self.stream.below(rows) * width;
            row.iter_mut().zip(&self.buffer[chosen..]).for_each(|(to, half)| *to = half.to_f32());
            match self.pull()? {
                Some(range) => self.buffer[chosen..chosen + width].copy_from_slice(&self.chunk[range]),
                None => {
                    let last = self.buffer.len() - width;
                    self.buffer.copy_within(last.., chosen);
                    self.buffer.truncate(last);
                }
            }
        }
        Ok(out)
    }
}

impl Iterator for Shuffled {
    type Item = Result<Array2<f32>, SaeError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.fill())
    }
}
