//! Models from files and to files.

mod load;
mod save;
mod tensors;
mod weight_files;
