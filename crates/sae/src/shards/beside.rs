use super::reader::{Block, Shards};
use crate::SaeError;
use collimate_measure::{Fingerprint, OutOfRange};
use collimate_stream::RngStream;
use ndarray::{Array2, Axis, concatenate};

/// Rows at a time in which the documents and positions of sets are compared.
const COMPARED: usize = 4096;

/// Sets of the same rows, side by side: rows `[x | y]` for a transcoder, or the layers of a crosscoder.
///
/// The sets hold the same tokens in the same shards, as captures of several places over one text do.
///
/// # Examples
/// ```
/// use collimate_measure::Fingerprint;
/// use collimate_sae::shards::{Beside, ShardWriter, Shards};
/// let folder = std::env::temp_dir().join(format!("collimate-doc-beside-{}", std::process::id()));
/// let write = |name: &str, row: &[f32]| {
///     let mut writer = ShardWriter::create(folder.join(name), row.len(), 100, Fingerprint(7))?;
///     writer.push_row(3, 1, row)?; // document 3, position 1
///     writer.finish()?;
///     Shards::open(folder.join(name))
/// };
/// let both = Beside::new(vec![write("x", &[1.0, 2.0])?, write("y", &[5.0])?])?;
/// let block = both.blocks(8).next().unwrap()?;
/// assert_eq!((block.rows, block.documents), (ndarray::array![[1.0, 2.0, 5.0]], vec![3]));
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Beside {
    sets: Vec<Shards>,
}

impl Beside {
    /// Puts sets side by side, in this order, and compares the document and position of every row.
    ///
    /// # Errors
    /// [`SaeError::OutOfRange`] for no set; [`SaeError::File`] naming the set and the row that belongs to another token than that
    /// of the first set, or whose shards have other lengths; [`SaeError::Io`].
    pub fn new(sets: Vec<Shards>) -> Result<Self, SaeError> {
        let Some((first, others)) = sets.split_first() else {
            return Err(OutOfRange { argument: "sets", allowed: "at least 1", given: 0.0 }.into());
        };
        for other in others {
            let wrong = |reason: String| SaeError::File { path: other.folder().to_owned(), reason };
            if !first.shard_rows().eq(other.shard_rows()) {
                let (rows, wanted) = (other.rows(), first.rows());
                return Err(wrong(format!(
                    "its {rows} rows do not lie in the same shards as the {wanted} of {}: capture both over the same text",
                    first.folder().display()
                )));
            }
            let mut done = 0;
            for (ours, theirs) in first.tokens(COMPARED).zip(other.tokens(COMPARED)) {
                let (ours, theirs) = (ours?, theirs?);
                if let Some(row) = ours.iter().zip(&theirs).position(|(a, b)| a != b) {
                    let ((document, position), (wanted, there)) = (theirs[row], ours[row]);
                    return Err(wrong(format!(
                        "row {} is position {position} of document {document}, but in {} it is position {there} of \
                         document {wanted}",
                        done + row,
                        first.folder().display()
                    )));
                }
                done += ours.len();
            }
        }
        Ok(Self { sets })
    }

    /// Returns the sets, in their order.
    pub fn sets(&self) -> &[Shards] {
        &self.sets
    }

    /// Returns the width of the rows: the sum over the sets.
    pub fn width(&self) -> usize {
        self.sets.iter().map(Shards::width).sum()
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.sets[0].rows()
    }

    /// Returns the fingerprint of the content: of the set if there is one, else of all sets in their order.
    pub fn fingerprint(&self) -> Fingerprint {
        let (first, others) = self.sets.split_first().expect("at least one set");
        others.iter().fold(first.fingerprint(), |whole, set| whole.and(&set.fingerprint().0.to_le_bytes()))
    }

    /// Reads all rows in the order in which they were written, like [`Shards::blocks`].
    pub fn blocks(&self, block: usize) -> impl Iterator<Item = Result<Block, SaeError>> + '_ {
        let mut parts: Vec<_> = self.sets.iter().map(|set| set.blocks(block)).collect();
        std::iter::from_fn(move || {
            // All sets end together.
            let blocks: Result<Vec<Block>, SaeError> = parts.iter_mut().map_while(Iterator::next).collect();
            match blocks {
                Ok(blocks) if blocks.is_empty() => None,
                Ok(mut blocks) => {
                    let rows =
                        joined(blocks.iter_mut().map(|block| std::mem::take(&mut block.rows)).collect());
                    Some(Ok(Block { rows, ..blocks.swap_remove(0) }))
                }
                Err(error) => Some(Err(error)),
            }
        })
    }

    /// Returns rows in random order without end, in the order in which [`Shards::shuffled`] with the same arguments gives those of each set.
    ///
    /// # Errors
    /// As [`Shards::shuffled`].
    ///
    /// # Determinism
    /// The order depends on the lengths of the shards, the buffer size and the stream only: with one set it is that of
    /// [`Shards::shuffled`].
    pub fn shuffled(
        &self,
        buffer_rows: usize,
        block: usize,
        stream: &mut RngStream,
    ) -> Result<impl Iterator<Item = Result<Array2<f32>, SaeError>> + use<>, SaeError> {
        let start = stream.clone();
        let mut parts = Vec::with_capacity(self.sets.len());
        for set in &self.sets {
            // The same stream for each, so that the same rows come together.
            *stream = start.clone();
            parts.push(set.shuffled(buffer_rows, block, stream)?);
        }
        Ok(std::iter::from_fn(move || {
            let blocks: Result<Vec<_>, SaeError> = parts.iter_mut().map_while(Iterator::next).collect();
            Some(blocks.map(joined))
        }))
    }
}

/// Joins blocks of equally many rows, side by side; a single one is not copied.
fn joined(mut blocks: Vec<Array2<f32>>) -> Array2<f32> {
    if blocks.len() == 1 {
        return blocks.swap_remove(0);
    }
    let views: Vec<_> = blocks.iter().map(|rows| rows.view()).collect();
    concatenate(Axis(1), &views).expect("the sets have the same shards")
}
