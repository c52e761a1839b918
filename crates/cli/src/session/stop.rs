//! The end of a command by a signal: Ctrl-C, SIGTERM and SIGHUP alike.
//!
//! A command without work to save ends at once. A command with work to save registers a reaction: the first signal asks for an
//! orderly end, the second one ends the program. The exit status is [`INTERRUPTED`] in every case, and no temporary file stays.

use super::output::say;
use anyhow::Context;
use collimate_output::remove_unfinished;
use collimate_sae::SaeError;
use collimate_studies::StudyError;
use collimate_studies::data::DataError;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The exit status of every command after an interruption.
pub(crate) const INTERRUPTED: u8 = 130;

/// A reaction to a signal. Its argument is true from the second signal on.
type Reaction = Box<dyn Fn(bool) + Send>;

static REACTION: Mutex<Option<Reaction>> = Mutex::new(None);

/// An error that says what an interrupted command has left.
#[derive(Debug)]
pub(crate) struct Interrupted(pub(crate) String);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}

/// Returns true if a command ended because it was interrupted.
pub(crate) fn is_interruption(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Interrupted>()
            || matches!(cause.downcast_ref(), Some(StudyError::Interrupted))
            || matches!(cause.downcast_ref(), Some(DataError::Interrupted { .. }))
            || matches!(cause.downcast_ref(), Some(SaeError::Interrupted { .. }))
    })
}

/// Begins to listen for signals. Call it once, before any work.
pub(crate) fn listen() -> anyhow::Result<()> {
    let asked = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        let again = asked.swap(true, Ordering::SeqCst);
        match &*REACTION.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(react) => react(again),
            None => end(),
        }
    })
    .context("cannot listen for Ctrl-C")
}

/// Sets the reaction to signals.
pub(crate) fn react(reaction: impl Fn(bool) + Send + 'static) {
    *REACTION.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(reaction));
}

/// Returns a flag that the first signal sets. `consequence` tells the user what the program does then.
pub(crate) fn on_interrupt(consequence: &'static str) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    react(move |again| {
        if again {
            end();
        }
        set.store(true, Ordering::SeqCst);
        say(&format!("\ninterrupted: {consequence}"));
    });
    flag
}

/// Ends the program at once, without its temporary files.
pub(crate) fn end() -> ! {
    remove_unfinished();
    std::process::exit(INTERRUPTED.into())
}
