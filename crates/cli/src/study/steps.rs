//! The loop of a study: measure, take a step, and print a line for each.

use crate::session::{Interrupted, Session, Steps, on_interrupt};
use serde_json::Value;
use std::sync::atomic::Ordering;

/// A training that is shown step by step.
pub(super) trait Shown {
    /// Returns the number of steps done.
    fn done(&self) -> u64;

    /// Measures the model, and returns the line of JSON and the text that follows the number of the step.
    fn measure(&mut self) -> anyhow::Result<(Value, String)>;

    /// Takes a step, and returns the line of JSON and the loss before it.
    fn step(&mut self) -> anyhow::Result<(Value, f64)>;
}

/// Takes steps up to the number `until`. The model is measured where `due` says so, and after the last step.
///
/// With `json` each step and each measurement is a line of JSON; otherwise the measurements are lines of text.
pub(super) fn take_steps(
    training: &mut impl Shown,
    until: u64,
    json: bool,
    due: impl Fn(u64) -> bool,
    session: &Session,
) -> anyhow::Result<()> {
    let stop = on_interrupt("ending after this step; nothing is stored");
    let mut bar = Steps::new(session, "steps", until);
    loop {
        let step = training.done();
        if step == until || due(step) {
            let (line, text) = training.measure()?;
            match json {
                true => println!("{}", numbered(step, line)),
                false => println!("step {step}: {text}"),
            }
        }
        if step >= until {
            break;
        }
        if stop.load(Ordering::SeqCst) {
            return Err(Interrupted(format!("interrupted at step {step}")).into());
        }
        let (line, loss) = training.step()?;
        if json {
            println!("{}", numbered(step, line));
        }
        bar.at(step + 1, &format!("loss {loss:.4}"));
    }
    bar.finish();
    Ok(())
}

/// Adds the number of the step to a line of JSON.
fn numbered(step: u64, mut line: Value) -> Value {
    line["step"] = step.into();
    line
}
