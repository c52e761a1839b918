//! Progress on the standard error stream: a bar on a terminal, plain lines elsewhere, nothing with `--quiet`.

use super::options::Session;
use super::output::say;
use collimate_studies::data::{Cache, Clients, DataError, Event, Item, install};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The number of parts of a download that are reported where there is no terminal.
const PLAIN_PARTS: u64 = 4;

/// The form in which progress is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Display {
    /// A bar that changes in place.
    Bar,
    /// A line for each larger step.
    Lines,
    /// Nothing.
    Nothing,
}

/// Returns the form in which a session shows its progress.
pub(crate) fn display(session: &Session) -> Display {
    match session.quiet {
        true => Display::Nothing,
        false if std::io::stderr().is_terminal() => Display::Bar,
        false => Display::Lines,
    }
}

impl Display {
    /// Returns the place where a bar is drawn, with at most `hz` redraws a second.
    pub(crate) fn target(self, hz: u8) -> ProgressDrawTarget {
        match self {
            Self::Bar => ProgressDrawTarget::stderr_with_hz(hz),
            Self::Lines | Self::Nothing => ProgressDrawTarget::hidden(),
        }
    }

    /// Prints a line above a bar, or by itself.
    pub(crate) fn line(self, bar: &ProgressBar, text: &str) {
        match self {
            Self::Bar => bar.println(text),
            Self::Lines => say(text),
            Self::Nothing => {}
        }
    }
}

/// The number of redraws a second.
const HZ: u8 = 20;

/// The progress of a download.
pub(crate) struct Downloads {
    bar: ProgressBar,
    display: Display,
    shown_parts: u64,
    announce_present: bool,
}

impl Downloads {
    /// Creates a display that also names items which are already in the cache.
    pub(crate) fn new(session: &Session) -> Self {
        let display = display(session);
        let bar = ProgressBar::with_draw_target(None, display.target(HZ));
        Self { bar, display, shown_parts: 0, announce_present: true }
    }

    /// Creates a display that says nothing about items which are already in the cache.
    pub(crate) fn of_missing_items(session: &Session) -> Self {
        Self { announce_present: false, ..Self::new(session) }
    }

    /// Installs an item into the cache, and shows the progress. The flag `stop` ends the download, of which nothing stays.
    pub(crate) fn install(
        &mut self,
        item: &'static Item,
        cache: &Cache,
        stop: &Arc<AtomicBool>,
    ) -> Result<PathBuf, DataError> {
        let clients = Clients { stop: Arc::clone(stop), ..Clients::default() };
        let installed = install(item, cache, &clients, &mut |event| self.show(&event));
        self.bar.finish_and_clear();
        installed
    }

    /// Shows one event.
    fn show(&mut self, event: &Event) {
        match event {
            Event::Ready { downloaded: false, .. } if !self.announce_present => {}
            Event::Fetched { item, bytes } if self.display == Display::Bar => {
                self.bar.set_style(style_of_bytes());
                self.bar.set_length(item.archive_bytes);
                self.bar.set_position((*bytes).min(item.archive_bytes));
            }
            Event::Fetched { item, bytes } => {
                let part = bytes * PLAIN_PARTS / item.archive_bytes.max(1);
                if part > self.shown_parts && part < PLAIN_PARTS {
                    self.shown_parts = part;
                    self.display.line(&self.bar, &event.to_string());
                }
            }
            // The licence is shown before every download, also with --quiet.
            Event::Announce { .. } if self.display == Display::Nothing => say(&event.to_string()),
            _ => self.display.line(&self.bar, &event.to_string()),
        }
        if matches!(event, Event::Ready { .. }) {
            self.bar.finish_and_clear();
        }
    }
}

fn style_of_bytes() -> ProgressStyle {
    ProgressStyle::with_template(
        "{bar:32} {decimal_bytes} of {decimal_total_bytes} ({decimal_bytes_per_sec})",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The progress of a number of equal steps: a bar on a terminal, a line for every tenth elsewhere.
pub(crate) struct Steps {
    bar: ProgressBar,
    display: Display,
    unit: &'static str,
    total: u64,
    shown_tenths: u64,
}

impl Steps {
    /// Creates a display of `total` steps; `unit` names them, in the plural.
    pub(crate) fn new(session: &Session, unit: &'static str, total: u64) -> Self {
        let display = display(session);
        let bar = ProgressBar::with_draw_target(Some(total), display.target(HZ));
        let style = ProgressStyle::with_template("{bar:32} {pos} of {len} {prefix} ({eta} left) {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(unit);
        Self { bar, display, unit, total, shown_tenths: 0 }
    }

    /// Shows that `done` steps are finished, with a note on their result.
    pub(crate) fn at(&mut self, done: u64, note: &str) {
        self.bar.set_position(done);
        self.bar.set_message(note.to_owned());
        let tenths = done * 10 / self.total.max(1);
        if self.display == Display::Lines && tenths > self.shown_tenths {
            self.shown_tenths = tenths;
            let colon = if note.is_empty() { "" } else { ": " };
            say(&format!("{done} of {} {}{colon}{note}", self.total, self.unit));
        }
    }

    /// Prints a line above the bar, or by itself.
    pub(crate) fn line(&self, text: &str) {
        self.display.line(&self.bar, text);
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
