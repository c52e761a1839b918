//! The parts of a run that do not depend on the command: its threads, its progress display and its end by Ctrl-C.

mod options;
mod output;
mod progress;
mod stop;

pub(crate) use options::Session;
pub(crate) use output::{check_file, end_quietly_with_the_reader, not_an_input};
pub(crate) use progress::{Display, Downloads, Steps, display};
pub(crate) use stop::on_interrupt;
