//! `collimate claims`.

mod finished;
mod list;
mod options;
mod places;
mod progress;
mod table;

pub(crate) use options::Options;

use crate::session::{Downloads, INTERRUPTED, Interrupted, Session, end, on_interrupt, react, say};
use anyhow::{Context, Result, bail, ensure};
use collimate_claims::{Budget, Claims, Lock, Meta, Run, Runner, Tier};
use collimate_output::{Existing, check};
use collimate_studies::data::{self, Cache, DataError};
use collimate_studies::language_model::LanguageModelSetup;
use finished::{Finished, Setting};
use places::{Places, write_or_print};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Lists or runs the registered claims.
pub(crate) fn run(options: &Options, session: &Session) -> Result<ExitCode> {
    let claims = collimate_studies::registry();
    let places = Places::of(options)?;
    let recorded_elsewhere = if options.no_lock { Lock::default() } else { Lock::read(&places.lock)? };
    let lock = match &options.model {
        Some(model) => {
            ensure!(model.exists(), "--model: there is no {}", model.display());
            LanguageModelSetup::choose(model);
            // A model that cannot be read ends the command before the first claim.
            LanguageModelSetup::shared().with_context(|| format!("--model {}", model.display()))?;
            Lock { seed: recorded_elsewhere.seed, ..Lock::default() }
        }
        None => recorded_elsewhere.clone(),
    };
    let runner = runner(options, session, &lock);
    if options.list {
        let selected = runner.select(&claims)?;
        match &options.json {
            Some(path) => write_or_print(path, &collimate_claims::list_json(&selected))?,
            None => print!("{}", list::text(&selected)),
        }
        return Ok(ExitCode::SUCCESS);
    }
    ensure_something_runs(options, &runner, &claims)?;
    places.check()?;
    if options.bless {
        check(&places.lock, Existing::Replace)?;
    }
    download(options, session, &runner, &claims)?;

    let finished = Arc::new(Finished::default());
    let interrupt = Arc::new(AtomicBool::new(false));
    let setting = Setting {
        tier: options.tier.into(),
        seed: options.seed.unwrap_or(lock.seed),
        fresh: options.fresh,
        filtered: !options.filters.is_empty(),
    };
    end_orderly(setting, &places, &lock, &finished, &interrupt);
    let (bars, notes) = (progress::Bars::new(session), Arc::clone(&finished));
    let run = runner
        .interruptible(Arc::clone(&interrupt))
        .on_progress(move |progress| {
            notes.note(progress);
            bars.show(progress);
        })
        .run(&claims)?;
    // From here on only this thread writes the files: an interruption no longer changes the result.
    let _writing = finished.begin_writing();
    let interrupted = interrupt.load(Ordering::SeqCst);
    places.write(&run, &lock)?;
    // Everything is written before the first line is printed, because a reader that has ended (`| head`) ends the program.
    let (recorded, lines) = match options.bless && !interrupted {
        true => bless(&places.lock, options.explanation.as_deref(), lock.clone(), &run, &claims)?,
        false => (lock.clone(), Vec::new()),
    };
    places.print(&run, &lock);
    print!("{}", table::text(&run, &lock));
    if options.model.is_some() {
        print!("{}", table::beside(&run, &recorded_elsewhere));
    }
    println!("report: {}", places.output.join("report.html").display());
    for id in lock.stale(&claims) {
        println!("{} records a verdict of {id}, which is not registered", places.lock.display());
    }
    lines.iter().for_each(|line| println!("{line}"));
    if interrupted {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::from(run.exit_status(&recorded)))
}

/// Returns an error if no claim of the selection runs, with the reason and the option that helps.
fn ensure_something_runs(options: &Options, runner: &Runner, claims: &Claims) -> Result<()> {
    let tier = Tier::from(options.tier);
    let (mut dearer, mut real, mut on_request) = (Vec::new(), Vec::new(), Vec::new());
    for claim in runner.select(claims)? {
        match claim.meta() {
            meta if meta.tier > tier => dearer.push((meta.id, meta.tier)),
            meta if meta.real && options.no_real => real.push(meta.id),
            meta if !meta.on_request.is_empty() && !has_corpus(options) => on_request.push(meta.id),
            _ => return Ok(()),
        }
    }
    let mut reasons = Vec::new();
    if let Some(needed) = dearer.iter().map(|(_, tier)| *tier).min() {
        let ids: Vec<&str> = dearer.iter().map(|(id, _)| *id).collect();
        reasons.push(format!("{} belong to a more expensive tier; ask for --tier {needed}", ids.join(", ")));
    }
    if !real.is_empty() {
        reasons.push(format!("{} need the real language model; leave out --no-real", real.join(", ")));
    }
    if !on_request.is_empty() {
        reasons.push(format!("{} need the labelled corpus; ask for it with --full", on_request.join(", ")));
    }
    bail!("no claim of this selection runs: {}", reasons.join("; "))
}

/// Returns true if claims on the labelled corpus run: it was asked for now, or by an earlier run, so that it is in the cache.
fn has_corpus(options: &Options) -> bool {
    options.full || Cache::user().is_ok_and(|cache| data::locate_brown(&cache).is_ok())
}

fn runner(options: &Options, session: &Session, lock: &Lock) -> Runner {
    let mut budget = Budget::of(options.tier.into()).seed(options.seed.unwrap_or(lock.seed));
    if options.fresh {
        budget = budget.fresh();
    }
    if let Some(threads) = session.threads {
        budget = budget.threads(threads);
    }
    let runner = Runner::new(budget).real(!options.no_real).on_request(has_corpus(options));
    let runner = options.filters.iter().fold(runner, Runner::filter);
    // Claims that name a head of SmolLM2 say nothing about another model.
    let of_a_model = |meta: &Meta| meta.real && meta.id != "attention/smollm2-l18h6-is-an-induction-head";
    if options.model.is_some() { runner.only(of_a_model) } else { runner }
}

/// Downloads the data that the selected claims need.
///
/// A failure is printed and does not end the run: each claim reports what it lacks.
fn download(options: &Options, session: &Session, runner: &Runner, claims: &Claims) -> Result<()> {
    let tier = Tier::from(options.tier);
    let needed = runner.select(claims)?.iter().any(|claim| claim.meta().real && claim.meta().tier <= tier);
    if options.no_real || !needed || options.model.is_some() && !options.full {
        return Ok(());
    }
    let cache = Cache::user()?;
    let mut downloads = Downloads::of_missing_items(session);
    let stop = on_interrupt("ending the download");
    let items = match (options.full, &options.model) {
        (true, Some(_)) => vec![&data::BROWN],
        (true, None) => vec![&data::SMOLLM2, &data::BROWN],
        (false, _) => vec![&data::SMOLLM2],
    };
    for item in items {
        match downloads.install(item, &cache, &stop) {
            Ok(_) => {}
            Err(error @ DataError::Interrupted { .. }) => return Err(error.into()),
            Err(error) => {
                say(&format!("{error}\nthe claims that need it cannot run; --no-real leaves them out"));
            }
        }
    }
    // A signal between two downloads ends the command too.
    match stop.load(Ordering::SeqCst) {
        true => bail!(Interrupted("interrupted before the first claim".to_owned())),
        false => Ok(()),
    }
}

/// Asks the running claim to stop at the first signal.
///
/// If it does not stop within two seconds, or at the second signal, the finished claims are written from here and the program
/// ends.
fn end_orderly(
    setting: Setting,
    places: &Places,
    lock: &Lock,
    finished: &Arc<Finished>,
    interrupt: &Arc<AtomicBool>,
) {
    let (places, lock) = (places.clone(), lock.clone());
    let (finished, interrupt) = (Arc::clone(finished), Arc::clone(interrupt));
    react(move |again| {
        if again {
            finished.end_waiting();
            return;
        }
        interrupt.store(true, Ordering::SeqCst);
        say("\ninterrupted: waiting at most two seconds for the running claim");
        let (places, lock, finished) = (places.clone(), lock.clone(), Arc::clone(&finished));
        // A thread of its own, so that the handler can take a second signal.
        std::thread::spawn(move || {
            finished.wait(Duration::from_secs(2));
            let Some(_writing) = finished.try_begin_writing() else { return };
            let run = finished.as_run(setting);
            if let Err(error) = places.write(&run, &lock) {
                say(&format!("error: {error:#}"));
            }
            places.print(&run, &lock);
            print!("{}", table::text(&run, &lock));
            end();
        });
    });
}

/// Records the verdicts, and returns the new lock and lines that say what was recorded. If all claims were selected, the verdicts
/// of claims that no longer exist are removed.
fn bless(
    path: &Path,
    explanation: Option<&str>,
    mut lock: Lock,
    run: &Run,
    claims: &Claims,
) -> Result<(Lock, Vec<String>)> {
    let changes = lock.update(run, explanation)?;
    if !run.filtered {
        lock.prune(claims);
    }
    lock.write(path)?;
    let mut lines: Vec<String> = changes.iter().map(|change| format!("recorded: {change}")).collect();
    lines.push(format!("recorded: {} verdicts in {}", run.reports.len(), path.display()));
    Ok((lock, lines))
}
