//! How a run goes on: a bar on a terminal, a line for each finished claim elsewhere.

use collimate_claims::{Progress, Report};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// The display of one run.
pub(super) struct Bars {
    bar: ProgressBar,
    plain: bool,
}

impl Bars {
    /// A display on the standard error stream.
    pub(super) fn new() -> Self {
        let plain = !std::io::stderr().is_terminal();
        let target =
            if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(10) };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = ProgressStyle::with_template("{spinner} {pos}/{len} {bar:24} {elapsed} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, plain }
    }

    /// Shows one event.
    pub(super) fn show(&self, progress: &Progress) {
        match progress {
            Progress::Started { index, total, meta } => {
                self.bar.set_length(*total as u64);
                self.bar.set_position(*index as u64);
                self.bar.set_message(meta.id);
            }
            Progress::Step { meta, done, total, note } => {
                self.bar.set_message(format!("{}: {done}/{total} {note}", meta.id));
            }
            Progress::Finished { index, total, report } => {
                self.bar.set_position(*index as u64 + 1);
                let text = line(*index, *total, report);
                if self.plain {
                    eprintln!("{text}");
                } else {
                    self.bar.println(text);
                }
                if index + 1 == *total {
                    self.bar.finish_and_clear();
                }
            }
        }
    }
}

fn line(index: usize, total: usize, report: &Report) -> String {
    let (mark, verdict) = (super::table::mark(report), &report.outcome.verdict);
    format!("[{:>2}/{total}] {mark} {} {verdict} ({:.1} s)", index + 1, report.meta.id, report.seconds)
}
