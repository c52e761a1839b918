//! What a person sees while something runs: bars on a terminal, plain lines elsewhere.

use collimate_studies::data::Event;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

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
