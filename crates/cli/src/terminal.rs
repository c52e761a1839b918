//! What a person sees while something runs: bars on a terminal, plain lines elsewhere.

use collimate_studies::data::Event;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// Lets the program end without a word when whoever reads its output has gone, as in `collimate … | head`.
pub(crate) fn end_quietly_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(0);
        }
        usual(panic);
    }));
}

/// How many steps of a download are told where there is no terminal.
const PLAIN_STEPS: u64 = 4;

/// Shows the events of a download.
pub(crate) struct Downloads {
    bar: ProgressBar,
    plain: bool,
    told: u64,
    quiet: bool,
}

impl Downloads {
    /// A display on the standard error stream.
    pub(crate) fn new() -> Self {
        let plain = !std::io::stderr().is_terminal();
        let target = if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self { bar: ProgressBar::with_draw_target(None, target), plain, told: 0, quiet: false }
    }

    /// A display that says nothing about what is there already.
    pub(crate) fn quiet_when_there() -> Self {
        Self { quiet: true, ..Self::new() }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &Event) {
        match event {
            Event::Ready { downloaded: false, .. } if self.quiet => {}
            Event::Fetched { item, bytes } if self.plain => {
                let step = bytes * PLAIN_STEPS / item.archive_bytes.max(1);
                if step > self.told && step < PLAIN_STEPS {
                    self.told = step;
                    eprintln!("{event}");
                }
            }
            Event::Fetched { item, bytes } => {
                self.bar.set_style(bar_of_bytes());
                self.bar.set_length(item.archive_bytes);
                self.bar.set_position((*bytes).min(item.archive_bytes));
            }
            _ => self.line(&event.to_string()),
        }
        if matches!(event, Event::Ready { .. }) {
            self.bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        if self.plain {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }
}

fn bar_of_bytes() -> ProgressStyle {
    ProgressStyle::with_template(
        "{bar:32} {decimal_bytes} of {decimal_total_bytes} ({decimal_bytes_per_sec})",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A count that goes up: a bar on a terminal, a line every tenth elsewhere.
pub(crate) struct Steps {
    bar: ProgressBar,
    plain: bool,
    what: &'static str,
    total: u64,
    told: u64,
}

impl Steps {
    /// A display on the standard error stream.
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let plain = !std::io::stderr().is_terminal();
        let target = if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let style = ProgressStyle::with_template("{bar:32} {pos} of {len} {prefix} ({eta} left) {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what);
        Self { bar, plain, what, total, told: 0 }
    }

    /// So many are done; `note` says how it goes.
    pub(crate) fn at(&mut self, done: u64, note: &str) {
        self.bar.set_position(done);
        self.bar.set_message(note.to_owned());
        let tenth = done * 10 / self.total.max(1);
        if self.plain && tenth > self.told {
            self.told = tenth;
            let space = if note.is_empty() { "" } else { ": " };
            eprintln!("{done} of {} {}{space}{note}", self.total, self.what);
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
