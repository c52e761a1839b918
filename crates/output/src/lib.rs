#![doc = include_str!("../README.md")]

mod error;
mod folder;
mod inputs;
mod lock;
mod place;
mod unfinished;
mod write;

pub use error::OutputError;
pub use folder::{NewFolder, check_folder, create_folder, is_free};
pub use inputs::{check_inputs, open_regular, open_stream};
pub use lock::{Lock, lock};
pub use unfinished::remove_unfinished;
pub use write::{Existing, NewFile, check, write};
