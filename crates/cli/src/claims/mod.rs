//! `collimate claims`.

mod finished;
mod list;
mod options;
mod places;
mod progress;
mod table;

pub(crate) use options::Options;

use crate::session::{Downloads, Session};
use anyhow::{Context, Result};
use collimate_claims::{Budget, Claims, Lock, Run, Runner, Tier};
use collimate_studies::data::{self, Cache};
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
    let lock = if options.no_lock { Lock::default() } else { Lock::read(&places.lock)? };
    let runner = runner(options, session, &lock);
    if options.list {
        let selected = runner.select(&claims)?;
        match &options.json {
            Some(path) => write_or_print(path, &collimate_claims::list_json(&selected))?,
            None => print!("{}", list::text(&selected)),
        }
        return Ok(ExitCode::SUCCESS);
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
    on_interrupt(setting, &places, &lock, &finished, &interrupt)?;
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
    print!("{}", table::text(&run, &lock));
    println!("report: {}", places.output.join("report.html").display());
    for id in lock.stale(&claims) {
        println!("{} records a verdict of {id}, which is not registered", places.lock.display());
    }
    if interrupted {
        return Ok(ExitCode::from(130));
    }
    if options.bless {
        return bless(&places.lock, options.explanation.as_deref(), lock, &run, &claims);
    }
    Ok(ExitCode::from(run.exit_status(&lock)))
}

fn runner(options: &Options, session: &Session, lock: &Lock) -> Runner {
    let mut budget = Budget::of(options.tier.into()).seed(options.seed.unwrap_or(lock.seed));
    if options.fresh {
        budget = budget.fresh();
    }
    if let Some(threads) = session.threads {
        budget = budget.threads(threads);
    }
    // A corpus in the cache was asked for by an earlier run.
    let corpus = options.full || Cache::user().is_ok_and(|cache| data::locate_brown(&cache).is_ok());
    let runner = Runner::new(budget).real(!options.no_real).on_request(corpus);
    options.filters.iter().fold(runner, Runner::filter)
}

/// Downloads the data that the selected claims need.
///
/// A failure is printed and does not end the run: each claim reports what it lacks.
fn download(options: &Options, session: &Session, runner: &Runner, claims: &Claims) -> Result<()> {
    let tier = Tier::from(options.tier);
    let needed = runner.select(claims)?.iter().any(|claim| claim.meta().real && claim.meta().tier <= tier);
    if options.no_real || !needed {
        return Ok(());
    }
    let cache = Cache::user()?;
    let mut downloads = Downloads::of_missing_items(session);
    let mut install = |item| {
        let installed =
            data::install(item, &cache, &data::Clients::default(), &mut |event| downloads.show(&event));
        if let Err(error) = installed {
            eprintln!("{error}\nthe claims that need it cannot run; --no-real leaves them out");
        }
    };
    install(&data::SMOLLM2);
    if options.full {
        install(&data::BROWN);
    }
    Ok(())
}

/// Asks the running claim to stop at the first Ctrl-C.
///
/// If it does not stop within two seconds, or at the second Ctrl-C, the finished claims are written from here and the program
/// ends.
fn on_interrupt(
    setting: Setting,
    places: &Places,
    lock: &Lock,
    finished: &Arc<Finished>,
    interrupt: &Arc<AtomicBool>,
) -> Result<()> {
    let (places, lock) = (places.clone(), lock.clone());
    let (finished, interrupt) = (Arc::clone(finished), Arc::clone(interrupt));
    ctrlc::set_handler(move || {
        if interrupt.swap(true, Ordering::SeqCst) {
            finished.end_waiting();
            return;
        }
        eprintln!("\ninterrupted: waiting at most two seconds for the running claim");
        let (places, lock, finished) = (places.clone(), lock.clone(), Arc::clone(&finished));
        // A thread of its own, so that the handler can take a second Ctrl-C.
        std::thread::spawn(move || {
            finished.wait(Duration::from_secs(2));
            let Some(_writing) = finished.try_begin_writing() else { return };
            let run = finished.as_run(setting);
            if let Err(error) = places.write(&run, &lock) {
                eprintln!("error: {error:#}");
            }
            print!("{}", table::text(&run, &lock));
            std::process::exit(130);
        });
    })
    .context("cannot listen for Ctrl-C")
}

/// Records the verdicts. If all claims were selected, the verdicts of claims that no longer exist are removed.
fn bless(
    path: &Path,
    explanation: Option<&str>,
    mut lock: Lock,
    run: &Run,
    claims: &Claims,
) -> Result<ExitCode> {
    let changes = lock.update(run, explanation)?;
    if !run.filtered {
        lock.prune(claims);
    }
    lock.write(path)?;
    for change in changes {
        println!("recorded: {change}");
    }
    println!("recorded: {} verdicts in {}", run.reports.len(), path.display());
    Ok(ExitCode::from(run.exit_status(&lock)))
}
