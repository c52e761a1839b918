//! The parts of a run that do not depend on the command: its threads, its progress display, its output and its end by a signal.

mod memory;
mod options;
mod output;
mod progress;
mod stop;

pub(crate) use memory::affordable;
pub(crate) use options::Session;
pub(crate) use output::{check_file, end_quietly_with_the_reader, existing, note_slow_build, say};
pub(crate) use progress::{Display, Downloads, Steps, display};
pub(crate) use stop::{INTERRUPTED, Interrupted, end, is_interruption, listen, on_interrupt, react};
