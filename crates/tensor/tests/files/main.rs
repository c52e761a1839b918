//! Weight and array files: sound files are read back bit for bit; hostile files give an error and take no memory.
//!
//! These tests have their own binary because it counts every allocation.

mod gguf;
mod gguf_blocks;
mod gguf_split;
mod kinds;
mod mutate;
mod npy;
mod safetensors;
mod stored;
mod torch;
mod torch_entries;
mod torch_legacy;

use peak_alloc::PeakAlloc;
use std::sync::{Mutex, PoisonError};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// A lock, because tests that run at once would count each other's memory.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs `body` alone and returns its result with its peak of heap memory, in bytes.
fn measured<T>(body: impl FnOnce() -> T) -> (T, usize) {
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let result = body();
    (result, HEAP.peak_usage().saturating_sub(before))
}

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the error of a result that must be an error, as text.
fn refusal<T>(result: Result<T, collimate_tensor::files::FileError>) -> String {
    match result {
        Ok(_) => panic!("a hostile file was accepted"),
        Err(error) => error.to_string(),
    }
}
