//! Panics without a message on the standard error, for the search for smaller inputs that panic.

use std::cell::Cell;
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Ends the quiet part of a thread, after a panic too.
struct Loud(bool);

impl Drop for Loud {
    fn drop(&mut self) {
        QUIET.with(|quiet| quiet.set(self.0));
    }
}

/// Runs `work`, and prints no message of a panic on this thread.
///
/// The first call puts a hook before the hook of the program. The hook passes on every panic outside of `work`.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.with(Cell::get) {
                usual(panic);
            }
        }));
    });
    let _loud = Loud(QUIET.with(|quiet| quiet.replace(true)));
    work()
}
