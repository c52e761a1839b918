//! The one shuffle: a buffer of fixed size from which rows are drawn in random order.

use collimate_stream::RngStream;

/// A buffer of rows of one width. Each row that is drawn is replaced by the next row of a source.
#[derive(Clone, Debug)]
pub(crate) struct Reservoir<T> {
    values: Vec<T>,
    width: usize,
    capacity: usize,
    stream: RngStream,
}

impl<T: Copy> Reservoir<T> {
    /// Returns an empty buffer for `capacity` rows, with a random stream of its own, so that the caller's can go on.
    pub(crate) fn new(capacity: usize, stream: &mut RngStream) -> Self {
        let stream = RngStream::new(stream.bits(), stream.bits());
        Self { values: Vec::new(), width: 0, capacity, stream }
    }

    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Returns the width of the rows; `None` before the first row.
    pub(crate) fn width(&self) -> Option<usize> {
        (self.rows() > 0).then_some(self.width)
    }

    /// Returns true if there is room for another row.
    pub(crate) fn has_room(&self) -> bool {
        self.rows() < self.capacity
    }

    /// Adds a row. All rows must have one width, which is at least 1.
    pub(crate) fn push(&mut self, row: &[T]) {
        self.width = row.len();
        self.values.extend_from_slice(row);
    }

    /// Draws a random order of `count` items.
    pub(crate) fn permutation(&mut self, count: usize) -> Vec<usize> {
        self.stream.permutation(count)
    }

    /// Draws the position of the next row.
    pub(crate) fn draw(&mut self) -> usize {
        self.stream.below(self.rows())
    }

    /// Returns the row at a position.
    pub(crate) fn row(&self, position: usize) -> &[T] {
        &self.values[position * self.width..(position + 1) * self.width]
    }

    /// Replaces the row at a position by the next row of the source, or by the last row if the source has ended.
    pub(crate) fn replace(&mut self, position: usize, next: Option<&[T]>) {
        let start = position * self.width;
        match next {
            Some(row) => self.values[start..start + self.width].copy_from_slice(row),
            None => {
                let last = self.values.len() - self.width;
                self.values.copy_within(last.., start);
                self.values.truncate(last);
            }
        }
    }
}
