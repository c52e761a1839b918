//! Readers and writers of weight and array files. The readers are safe against damaged and hostile files.
//!
//! Counts, lengths and offsets are compared with the size of the file before anything of that size is allocated. So a
//! reader holds at most a small multiple of the file in memory. A compressed npz counts by its expanded size, which has a
//! limit. A sparse file may have any apparent length, so large memory is requested in a way that may fail, and headers have
//! limits of their own. A bad file gives a [`FileError`] with the file, the place in it and the reason. No file is memory-mapped; single
//! tensors are read on demand.
//!
//! | format | read | write |
//! |---|---|---|
//! | [`Safetensors`] | yes | [`write_safetensors`] |
//! | npy | [`read_npy`] | [`write_npy`] |
//! | [`Npz`] | yes | [`write_npz`] |
//! | [`Gguf`] versions 2 and 3, also split into parts | the storage types of [`GgufType`] | no |
//! | [`TorchFile`] (`torch.save`, old and new; the pickle is read without running it) | tensors, numbers, texts | no |
//!
//! [`StoredMatrix`] keeps a matrix in its storage type and expands some rows at a time.
//!
//! [`FileKind`] tells what a file is by its first bytes. A reader that gets a web page, a Git LFS pointer or a file of another
//! format says so, with the next step.
//!
//! Writers write a temporary file beside the target and rename it, so a reader never finds half a file.
//!
//! ```
//! use collimate_tensor::files::{FileArray, Npz, write_npz};
//! use ndarray::array;
//! let folder = std::env::temp_dir().join(format!("collimate-files-doc-{}", std::process::id()));
//! std::fs::create_dir_all(&folder)?;
//! let path = folder.join("two.npz");
//! write_npz(&path, &[("a", FileArray::from(array![[1.0_f32, 2.0], [3.0, 4.0]]))])?;
//! let a = Npz::open(&path)?.read("a")?.to_f32();
//! assert_eq!(a[[1, 0]], 3.0);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod array;
mod blocks;
mod error;
mod gguf;
mod kind;
mod npy;
mod npz;
mod safetensors;
mod source;
mod stored;
mod torch;
mod zip;

pub use array::{FileArray, FileData};
pub use blocks::GgufType;
pub use collimate_output::OutputError;
pub use error::FileError;
pub use gguf::{Gguf, GgufTensor, GgufValue};
pub use kind::FileKind;
pub use npy::{read_npy, write_npy};
pub use npz::{Npz, write_npz};
pub use safetensors::{Safetensors, write_safetensors};
pub use stored::StoredMatrix;
pub use torch::{TorchFile, TorchObject, TorchScalar};
