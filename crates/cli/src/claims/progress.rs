//! The progress of a run: a bar on a terminal, a line for each finished claim elsewhere.

use super::table::mark;
use crate::session::{Display, Session, display};
use collimate_claims::{Progress, Report};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// The display of one run.
pub(super) struct Bars {
    bar: ProgressBar,
    display: Display,
}

impl Bars {
    /// Creates the display of a session.
    pub(super) fn new(session: &Session) -> Self {
        let display = display(session);
        let bar = ProgressBar::with_draw_target(Some(0), display.target(10));
        let style = ProgressStyle::with_template("{spinner} {pos}/{len} {bar:24} {elapsed} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, display }
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
            Progress::Waiting { meta, note } => {
                self.display.line(&self.bar, &format!("{}: {note}", meta.id));
            }
            Progress::Finished { index, total, report } => {
                self.bar.set_position(*index as u64 + 1);
                self.display.line(&self.bar, &line(*index, *total, report));
                if index + 1 == *total {
                    self.bar.finish_and_clear();
                }
            }
        }
    }
}

fn line(index: usize, total: usize, report: &Report) -> String {
    let (mark, verdict) = (mark(report), &report.outcome.verdict);
    format!("[{:>2}/{total}] {mark} {} {verdict} ({:.1} s)", index + 1, report.meta.id, report.seconds)
}
