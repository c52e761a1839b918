//! Features with a random sign.

use super::source::Source;
use collimate_stream::RngStream;

/// A source whose values each get a random sign. Values that are uniform on `[0, 1]` become uniform on `[−1, 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Signed<S>(pub S);

impl<S: Source> Source for Signed<S> {
    fn features(&self) -> usize {
        self.0.features()
    }

    fn fill_row(&self, row: &mut [f64], stream: &mut RngStream) {
        self.0.fill_row(row, stream);
        for x in row.iter_mut().filter(|x| **x != 0.0) {
            if stream.bernoulli(0.5) {
                *x = -*x;
            }
        }
    }
}
