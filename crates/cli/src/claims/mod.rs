//! `collimate claims`.

mod finished;
mod list;
mod progress;
mod table;

use crate::terminal::Downloads;
use anyhow::{Context, Result};
use collimate_claims::{Budget, Claims, Lock, Page, Run, Runner, Tier};
use collimate_studies::data::{self, Cache};
use collimate_tensor::CpuLevel;
use finished::Finished;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The options of `collimate claims`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only claims whose id contains one of these texts, or matches it where it holds `*` or `?`.
    #[arg(value_name = "ID")]
    filters: Vec<String>,
    /// How much to spend: quick (a minute), standard (ten minutes) or nightly (hours).
    #[arg(long, default_value = "standard", value_parser = parse_tier)]
    tier: Tier,
    /// The seed of the run; by default the one under which the lock was recorded.
    #[arg(long, value_name = "N", conflicts_with = "fresh")]
    seed: Option<u64>,
    /// A new seed, which the report names.
    #[arg(long)]
    fresh: bool,
    /// Leave out the claims that need the real language model or downloaded text.
    #[arg(long)]
    no_real: bool,
    /// Also download the labelled corpus (2.9 MB; may be restricted to non-commercial use) for the claims that need it.
    #[arg(long, conflicts_with = "no_real")]
    full: bool,
    /// Say which claims are registered, and run nothing. With --json as JSON.
    #[arg(long)]
    list: bool,
    /// Also write the JSON report to this path; `-` or nothing is the standard output.
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// The folder of the reports.
    #[arg(long, value_name = "DIR", default_value = "target/claims")]
    out: PathBuf,
    /// The file of recorded verdicts.
    #[arg(long, value_name = "FILE", default_value = "claims.lock")]
    lock: PathBuf,
    /// Compare with nothing that was recorded.
    #[arg(long, conflicts_with = "bless")]
    no_lock: bool,
    /// Record the verdicts of this run.
    #[arg(long)]
    bless: bool,
    /// Why a recorded verdict of an empirical claim changes; kept in the lock.
    #[arg(long, value_name = "TEXT", requires = "bless")]
    explanation: Option<String>,
    /// Threads for the work inside a claim; never changes a bit of a result.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

fn parse_tier(text: &str) -> Result<Tier, String> {
    text.parse().map_err(|error: collimate_claims::ClaimsError| error.to_string())
}

/// Lists or runs the registered claims.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let claims = collimate_studies::registry();
    let lock = if options.no_lock { Lock::default() } else { Lock::read(&options.lock)? };
    let runner = runner(options, &lock);
    if options.list {
        let selected = runner.select(&claims)?;
        match &options.json {
            Some(path) => to_path_or_output(path, &list::json(&selected))?,
            None => print!("{}", list::text(&selected)),
        }
        return Ok(ExitCode::SUCCESS);
    }
    bring_data(options, &runner, &claims)?;

    let finished = Arc::new(Finished::default());
    let interrupt = Arc::new(AtomicBool::new(false));
    on_interrupt(options, &lock, &finished, &interrupt)?;
    let (bars, told) = (progress::Bars::new(), Arc::clone(&finished));
    let run = runner
        .interruptible(Arc::clone(&interrupt))
        .on_progress(move |progress| {
            told.note(progress);
            bars.show(progress);
        })
        .run(&claims)?;
    // From here on the files are this thread's to write, and an interruption comes too late to matter.
    let _writing = finished.begin_writing();
    let interrupted = interrupt.load(Ordering::SeqCst);
    write(options, &run, &lock)?;
    print!("{}", table::text(&run, &lock));
    println!("report: {}", options.out.join("report.html").display());
    for id in lock.stale(&claims) {
        println!("the lock has a line for {id}, which is not registered");
    }
    if interrupted {
        return Ok(ExitCode::from(130));
    }
    if options.bless {
        return bless(options, lock, &run, &claims);
    }
    Ok(ExitCode::from(run.exit_status(&lock)))
}

fn runner(options: &Options, lock: &Lock) -> Runner {
    let mut budget = Budget::of(options.tier).seed(options.seed.unwrap_or(lock.seed));
    if options.fresh {
        budget = budget.fresh();
    }
    if let Some(threads) = options.threads {
        budget = budget.threads(threads);
    }
    // What is in the cache was asked for before.
    let corpus = options.full || Cache::user().is_ok_and(|cache| data::locate_brown(&cache).is_ok());
    let runner = Runner::new(budget).real(!options.no_real).on_request(corpus);
    options.filters.iter().fold(runner, Runner::filter)
}

/// Brings what the selected claims need. A failure is told and is no end: the claims say what they miss.
fn bring_data(options: &Options, runner: &Runner, claims: &Claims) -> Result<()> {
    let needed =
        runner.select(claims)?.iter().any(|claim| claim.meta().real && claim.meta().tier <= options.tier);
    if options.no_real || !needed {
        return Ok(());
    }
    let cache = Cache::user()?;
    let mut downloads = Downloads::quiet_when_there();
    let mut bring = |item| {
        let brought =
            data::install(item, &cache, &data::Clients::default(), &mut |event| downloads.show(&event));
        if let Err(error) = brought {
            eprintln!("{error}\nthe claims that need it cannot run; --no-real leaves them out");
        }
    };
    bring(&data::SMOLLM2);
    if options.full {
        bring(&data::BROWN);
    }
    Ok(())
}

/// On the first Ctrl-C the running claim is asked to stop; when it does not within two seconds, or on the second, what
/// is finished is written from here.
fn on_interrupt(
    options: &Options,
    lock: &Lock,
    finished: &Arc<Finished>,
    interrupt: &Arc<AtomicBool>,
) -> Result<()> {
    let paths = Paths::of(options);
    let (lock, finished, interrupt) = (lock.clone(), Arc::clone(finished), Arc::clone(interrupt));
    let setting = (options.tier, runner_seed(options, &lock), options.fresh, !options.filters.is_empty());
    ctrlc::set_handler(move || {
        if interrupt.swap(true, Ordering::SeqCst) {
            finished.hurry();
            return;
        }
        eprintln!("\ninterrupted: finishing what is under way, for at most two seconds");
        let (paths, lock, finished) = (paths.clone(), lock.clone(), Arc::clone(&finished));
        // A thread of its own, so that the handler stays free for a second Ctrl-C.
        std::thread::spawn(move || {
            finished.wait_for_hurry(std::time::Duration::from_secs(2));
            let Some(_writing) = finished.try_begin_writing() else { return };
            let run = finished.as_run(setting);
            if let Err(error) = paths.write(&run, &lock) {
                eprintln!("error: {error:#}");
            }
            print!("{}", table::text(&run, &lock));
            std::process::exit(130);
        });
    })
    .context("cannot listen for Ctrl-C")
}

/// The seed of the run before `--fresh`, which the finished reports override.
fn runner_seed(options: &Options, lock: &Lock) -> u64 {
    options.seed.unwrap_or(lock.seed)
}

/// Where reports go.
#[derive(Clone)]
struct Paths {
    out: PathBuf,
    json: Option<PathBuf>,
}

impl Paths {
    fn of(options: &Options) -> Self {
        Self { out: options.out.clone(), json: options.json.clone() }
    }

    fn write(&self, run: &Run, lock: &Lock) -> Result<()> {
        let page =
            Page { run, lock, cpu_level: CpuLevel::current().name(), version: env!("CARGO_PKG_VERSION") };
        page.write(&self.out)?;
        match &self.json {
            Some(path) if path.as_os_str() == "-" => print!("{}", page.json()),
            Some(path) => page.write_json(path)?,
            None => {}
        }
        Ok(())
    }
}

fn write(options: &Options, run: &Run, lock: &Lock) -> Result<()> {
    Paths::of(options).write(run, lock)
}

/// Records the verdicts. Lines of claims that no longer exist are dropped when everything was selected.
fn bless(options: &Options, mut lock: Lock, run: &Run, claims: &Claims) -> Result<ExitCode> {
    let changes = lock.update(run, options.explanation.as_deref())?;
    if !run.filtered {
        lock.prune(claims);
    }
    lock.write(&options.lock)?;
    for change in changes {
        println!("recorded: {change}");
    }
    println!("recorded: {} verdicts in {}", run.reports.len(), options.lock.display());
    Ok(ExitCode::from(run.exit_status(&lock)))
}

fn to_path_or_output(path: &Path, text: &str) -> Result<()> {
    if path.as_os_str() == "-" {
        print!("{text}");
        return Ok(());
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
