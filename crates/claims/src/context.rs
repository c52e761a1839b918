//! The services that a running claim can use.

use crate::budget::Budget;
use crate::in_order;
use crate::meta::Tier;
use collimate_stream::RngStream;
use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The beginning of the progress note on an evaluation without a result.
pub(crate) const NO_RESULT: &str = "no result after ";

/// A clock that rings after 10, 20, 40, … seconds without a result.
#[derive(Default)]
pub(crate) struct Alarm {
    rung: u32,
}

impl Alarm {
    /// Returns true if it is time for another message.
    pub(crate) fn rings(&mut self, since: Duration) -> bool {
        const FIRST: Duration = Duration::from_secs(10);
        if since < FIRST {
            self.rung = 0;
        }
        let rings = since >= FIRST * (1 << self.rung.min(20));
        self.rung += u32::from(rings);
        rings
    }
}

/// The services that a running claim can use: its streams, its budget, interruption, progress, and values shared by the claims of a run.
#[derive(Clone)]
pub struct Context {
    id: &'static str,
    budget: Budget,
    stream: RngStream,
    interrupt: Option<Arc<AtomicBool>>,
    progress: Option<Arc<Tick>>,
    shared: Arc<Shared>,
}

/// A callback for the progress inside one claim. Its arguments are the steps done, the steps in total, and the current activity.
pub type Tick = dyn Fn(u64, u64, &str) + Send + Sync;

impl Context {
    /// Returns the context of the claim `id` under a budget.
    pub fn new(id: &'static str, budget: &Budget) -> Self {
        let stream = RngStream::named(budget.seed, id);
        Self { id, budget: budget.clone(), stream, interrupt: None, progress: None, shared: Arc::default() }
    }

    /// Sets the flag that asks the claim to stop.
    pub fn interruptible(mut self, flag: Arc<AtomicBool>) -> Self {
        self.interrupt = Some(flag);
        self
    }

    /// Sets the callback for progress.
    pub fn on_progress(mut self, tick: Arc<Tick>) -> Self {
        self.progress = Some(tick);
        self
    }

    /// Returns the claim's own stream, which advances with each draw.
    pub fn stream(&mut self) -> &mut RngStream {
        &mut self.stream
    }

    /// Returns the claim's stream called `name`, which does not depend on earlier draws.
    pub fn named_stream(&self, name: &str) -> RngStream {
        RngStream::named(self.budget.seed, &format!("{}#{name}", self.id))
    }

    /// Returns `work(i, stream)` for each `i` in `0..count`, computed on the budget's threads. The argument `stream` is child stream `i`
    /// of the claim's stream called `name`.
    ///
    /// # Determinism
    /// The results are in order, and the same on any number of threads. After an interruption the list is shorter.
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

    /// Returns the budget.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Returns the tier of the run.
    pub fn tier(&self) -> Tier {
        self.budget.tier
    }

    /// Returns one of three values by tier: quick, standard, nightly.
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

    /// Returns true if the claim should stop and return [`Why::Interrupted`](crate::Why::Interrupted).
    pub fn interrupted(&self) -> bool {
        self.interrupt.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// Returns the flag behind [`Context::interrupted`], for work that checks a flag itself.
    pub fn interrupt_flag(&self) -> Arc<AtomicBool> {
        self.interrupt.clone().unwrap_or_default()
    }

    /// Reports progress inside the claim.
    pub fn progress(&self, done: u64, total: u64, note: &str) {
        if let Some(tick) = &self.progress {
            tick(done, total, note);
        }
    }

    /// Reports that an evaluation has no result after a time.
    pub(crate) fn no_result(&self, done: u64, total: u64, since: Duration, place: &str) {
        self.progress(done, total, &format!("{NO_RESULT}{} s {place}", since.as_secs()));
    }

    /// Returns true if somebody can interrupt the claim or read its progress, so that its work must not block this thread.
    pub(crate) fn watched(&self) -> bool {
        self.interrupt.is_some() || self.progress.is_some()
    }

    /// Shares computed values with the other claims of a run.
    pub(crate) fn sharing(mut self, shared: &Arc<Shared>) -> Self {
        self.shared = Arc::clone(shared);
        self
    }

    /// Returns the value called `key`, which the first claim of the run computes and all later ones share.
    ///
    /// Two values of different types may have the same key. The value must follow from the tier, the seed of the run and the key,
    /// and not from the claim that computes it first. While one thread computes it, others wait. A value that is computed when the
    /// run is interrupted is returned and not shared.
    ///
    /// # Errors
    /// The error of `make`; the next call then runs its own `make`.
    ///
    /// # Examples
    /// ```
    /// use collimate_claims::{Budget, Context};
    /// let context = Context::new("own/once", &Budget::quick());
    /// let first = context.once("square", || Ok::<u64, String>(7 * 7)).unwrap();
    /// let again = context.once("square", || Err::<u64, String>("not called".into())).unwrap();
    /// assert_eq!((*first, *again), (49, 49));
    /// ```
    pub fn once<T, E>(&self, key: &str, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E>
    where
        T: Any + Send + Sync,
    {
        let key = (TypeId::of::<T>(), key.to_owned());
        let slot = {
            let mut slots = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(key).or_default())
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = slot.as_ref().and_then(|value| Arc::clone(value).downcast().ok()) {
            return Ok(value);
        }
        let value = Arc::new(make()?);
        // Work that was interrupted may have made only a part of the value.
        if !self.interrupted() {
            *slot = Some(Arc::<T>::clone(&value));
        }
        Ok(value)
    }
}

/// The values that the claims of a run share.
#[derive(Default)]
pub(crate) struct Shared {
    slots: Mutex<BTreeMap<(TypeId, String), Arc<Slot>>>,
}

type Slot = Mutex<Option<Arc<dyn Any + Send + Sync>>>;
