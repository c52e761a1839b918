//! How much a run may spend, and what a running claim can ask for.

use crate::{Tier, in_order};
use collimate_stream::RngStream;
use std::hash::{BuildHasher, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How much a run may spend, in counts.
///
/// There is no limit in seconds on purpose: a verdict that depends on the clock is not reproducible.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, Tier};
/// let budget = Budget::quick().seed(7);
/// assert_eq!((budget.tier, budget.seed), (Tier::Quick, 7));
/// assert!(Budget::nightly().inputs > Budget::standard().inputs);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The tier.
    pub tier: Tier,
    /// The seed of the run; each claim draws from its own streams of `(seed, id)`.
    pub seed: u64,
    /// Whether the seed was drawn afresh, so that another run would take another one.
    pub fresh: bool,
    /// Random inputs for an exact claim that does not set its own number.
    pub inputs: u64,
    /// Margin evaluations spent on guided search.
    pub guided: u64,
    /// Margin evaluations spent on making a counterexample smaller.
    pub shrink: u64,
    /// Threads that trials and inputs are spread over; never changes a bit of the result.
    pub threads: usize,
}

impl Budget {
    /// The budget of a tier, with seed 0.
    pub fn of(tier: Tier) -> Self {
        let (inputs, guided, shrink) = match tier {
            Tier::Quick => (300, 300, 10_000),
            Tier::Standard => (3_000, 3_000, 30_000),
            Tier::Nightly => (30_000, 30_000, 100_000),
        };
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        Self { tier, seed: 0, fresh: false, inputs, guided, shrink, threads }
    }

    /// Seconds.
    pub fn quick() -> Self {
        Self::of(Tier::Quick)
    }

    /// Minutes.
    pub fn standard() -> Self {
        Self::of(Tier::Standard)
    }

    /// Hours.
    pub fn nightly() -> Self {
        Self::of(Tier::Nightly)
    }

    /// With a fixed seed.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, fresh: false, ..self }
    }

    /// With a seed from the operating system's entropy; the report carries it, so the run can be repeated.
    pub fn fresh(self) -> Self {
        let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
        // 53 bits, so that the seed survives JSON readers that keep numbers in f64.
        Self { seed: seed >> 11, fresh: true, ..self }
    }

    /// With a number of threads (at least one).
    pub fn threads(self, threads: usize) -> Self {
        Self { threads: threads.max(1), ..self }
    }
}

/// What a running claim can ask for: its streams, its budget, whether to stop, and a place to report progress.
pub struct Context {
    id: &'static str,
    budget: Budget,
    stream: RngStream,
    interrupt: Option<Arc<AtomicBool>>,
    progress: Option<Arc<Tick>>,
}

/// A callback for the progress inside one claim: done, total, a word on what is happening.
pub type Tick = dyn Fn(u64, u64, &str) + Send + Sync;

impl Context {
    /// The context of the claim `id` under a budget.
    pub fn new(id: &'static str, budget: &Budget) -> Self {
        let stream = RngStream::named(budget.seed, id);
        Self { id, budget: budget.clone(), stream, interrupt: None, progress: None }
    }

    /// With a flag that asks the claim to stop.
    pub fn interruptible(mut self, flag: Arc<AtomicBool>) -> Self {
        self.interrupt = Some(flag);
        self
    }

    /// With a callback for progress.
    pub fn on_progress(mut self, tick: Arc<Tick>) -> Self {
        self.progress = Some(tick);
        self
    }

    /// The claim's own stream, which moves as it is drawn from.
    pub fn stream(&mut self) -> &mut RngStream {
        &mut self.stream
    }

    /// A stream of the claim by name, which does not depend on what was drawn before.
    pub fn named_stream(&self, name: &str) -> RngStream {
        RngStream::named(self.budget.seed, &format!("{}#{name}", self.id))
    }

    /// `work(i, stream)` for `i` in `0..count`, spread over the budget's threads, each with the child stream `i` of
    /// the claim's stream called `name`.
    ///
    /// # Determinism
    /// The results come in order and are the same on any number of threads. After an interruption the list is shorter.
    ///
    /// # Examples
    /// ```
    /// use collimate_claims::{Budget, Context};
    /// let drawn = |threads| Context::new("own/map", &Budget::quick().threads(threads))
    ///     .map("seeds", 100, |i, stream| (i, stream.bits()));
    /// assert_eq!(drawn(1), drawn(2));
    /// ```
    pub fn map<T: Send>(
        &self,
        name: &str,
        count: u64,
        work: impl Fn(u64, &mut RngStream) -> T + Sync,
    ) -> Vec<T> {
        let base = self.named_stream(name);
        let mut out = Vec::new();
        in_order::for_each(
            self.budget.threads,
            count,
            |i| work(i, &mut base.child(i)),
            |i, result| {
                out.push(result);
                self.progress(i + 1, count, name);
                if self.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        out
    }

    /// The budget.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The tier of the run.
    pub fn tier(&self) -> Tier {
        self.budget.tier
    }

    /// One of three values by tier: quick, standard, nightly.
    ///
    /// # Examples
    /// ```
    /// use collimate_claims::{Budget, Context};
    /// let context = Context::new("own/example", &Budget::standard());
    /// assert_eq!(context.by_tier([10, 100, 1000]), 100);
    /// ```
    pub fn by_tier<T: Copy>(&self, values: [T; 3]) -> T {
        values[self.budget.tier as usize]
    }

    /// Whether the claim should stop and hand back [`Why::Interrupted`](crate::Why::Interrupted).
    pub fn interrupted(&self) -> bool {
        self.interrupt.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// The flag behind [`Context::interrupted`], for work that watches one by itself.
    pub fn interrupt_flag(&self) -> Arc<AtomicBool> {
        self.interrupt.clone().unwrap_or_default()
    }

    /// Reports progress inside the claim.
    pub fn progress(&self, done: u64, total: u64, note: &str) {
        if let Some(tick) = &self.progress {
            tick(done, total, note);
        }
    }
}
