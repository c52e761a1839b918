//! Activations on disk, for training on more than memory holds.
//!
//! A set of shards is a folder: `00000.rows`, `00001.rows`, … and `index`, which is written last and names every shard
//! with its number of rows and its checksum; without it a set counts as unfinished. A shard is a header of 64 bytes (little
//! endian), then the rows, then the document, the position and the checksum of each row:
//!
//! ```text
//! 0  "COLLROWS"   8  version u32 = 2   12  width u32   16  rows u64   24  checksum u64   32  bytes of a value u32   36  zeros
//! 64                      rows × width   f16 or f32
//! 64 + v·rows·width       rows           u32   document                                 v: the bytes of a value
//! … + 4·rows              rows           u32   position within the document
//! … + 4·rows              rows           u32   checksum of the row with its document and position
//! ```
//! The checksum of a shard is FNV-1a of the rows, the documents and the positions. The checksum of a row is compared whenever
//! the row is read.
//!
//! Values are stored in half precision, rounded to 11 bits. A shard with a value that half precision cannot hold (above 65504)
//! is stored in single precision. NaN and infinity are errors at writing.
//!
//! Sets of version 1, which have half precision and no checksums of rows, are read too. A shard of such a set is compared with
//! its checksum when it is read for the first time.

mod beside;
mod format;
mod reader;
mod shuffled;
mod writer;

pub use beside::Beside;
pub use format::INDEX;
pub use reader::{Block, Shards};
pub use shuffled::Shuffled;
pub use writer::ShardWriter;
