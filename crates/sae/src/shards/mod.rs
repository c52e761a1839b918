//! Activations on disk in half precision, for training on more than memory holds.
//!
//! A set of shards is a folder: `00000.rows`, `00001.rows`, … and `index`, which is written last and names every shard
//! with its number of rows and its checksum; without it a set counts as unfinished. A shard is a header of 64 bytes (little
//! endian), then the rows, then the document of each row, then its position:
//!
//! ```text
//! 0  "COLLROWS"   8  version u32 = 1   12  width u32   16  rows u64   24  checksum u64 (FNV-1a of what follows)   32  zeros
//! 64                      rows × width   f16
//! 64 + 2·rows·width       rows           u32   document
//! … + 4·rows              rows           u32   position within the document
//! ```
//! Values are stored as they are, rounded to 11 bits. What half precision cannot hold (above 65504, NaN, infinity) is an
//! error at writing, never a silent infinity.

mod beside;
mod format;
mod reader;
mod shuffled;
mod writer;

pub use beside::Beside;
pub use reader::{Block, Shards};
pub use shuffled::Shuffled;
pub use writer::ShardWriter;
