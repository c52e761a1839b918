//! The trait every claim implements, the registry, and the way to run one.

use crate::{Budget, ClaimsError, Context, Meta, Outcome, Report, Why};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// A sentence about an object together with the program that judges it.
///
/// # Determinism
/// `run` draws only from the streams of its context, so one seed gives one outcome.
pub trait Claim: Send + Sync {
    /// What the claim says about itself.
    fn meta(&self) -> &Meta;
    /// Judges it.
    fn run(&self, context: &mut Context) -> Outcome;
}

impl<C: Claim + ?Sized> Claim for Box<C> {
    fn meta(&self) -> &Meta {
        (**self).meta()
    }
    fn run(&self, context: &mut Context) -> Outcome {
        (**self).run(context)
    }
}

/// A list of claims in the order in which they were registered.
#[derive(Default)]
pub struct Claims {
    claims: Vec<Box<dyn Claim>>,
}

impl Claims {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more claim.
    pub fn with(mut self, claim: impl Claim + 'static) -> Self {
        self.claims.push(Box::new(claim));
        self
    }

    /// With all claims of another list.
    pub fn extend(mut self, other: Claims) -> Self {
        self.claims.extend(other.claims);
        self
    }

    /// The claims in order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Claim> {
        self.claims.iter().map(|claim| &**claim)
    }

    /// The claim with this id.
    pub fn get(&self, id: &str) -> Option<&dyn Claim> {
        self.iter().find(|claim| claim.meta().id == id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// Checks that every id can be recorded and none occurs twice.
    ///
    /// # Errors
    /// [`ClaimsError::BadId`]; [`ClaimsError::DuplicateId`] with the first repeated id.
    pub fn check(&self) -> Result<(), ClaimsError> {
        let mut ids: Vec<&str> = self.iter().map(|claim| claim.meta().id).collect();
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._/".contains(c);
        if let Some(id) = ids.iter().find(|id| id.is_empty() || !id.chars().all(fits)) {
            return Err(ClaimsError::BadId { id: (*id).to_owned() });
        }
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(ClaimsError::DuplicateId { id: pair[0].to_owned() }),
            None => Ok(()),
        }
    }
}

/// A claim written as one function: for real models, figures and whatever the other forms do not fit.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, Meta, Outcome, Study, Subject, examine};
/// let meta = Meta::theorem("own/four", Subject::Own, "two and two is four");
/// let study = Study::new(meta).run(|_| Outcome::of_margin(if 2 + 2 == 4 { 0.0 } else { -1.0 }));
/// assert!(examine(&study, &Budget::quick()).upheld());
/// ```
pub struct Study {
    meta: Meta,
    body: Option<Box<dyn Fn(&mut Context) -> Outcome + Send + Sync>>,
}

impl Study {
    /// A study that still needs its body.
    pub fn new(meta: Meta) -> Self {
        Self { meta, body: None }
    }

    /// The function that judges it.
    pub fn run(mut self, body: impl Fn(&mut Context) -> Outcome + Send + Sync + 'static) -> Self {
        self.body = Some(Box::new(body));
        self
    }
}

impl Claim for Study {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn run(&self, context: &mut Context) -> Outcome {
        match &self.body {
            Some(body) => body(context),
            None => Outcome::inconclusive(Why::Invalid("the study has no body".to_owned())),
        }
    }
}

/// Runs a claim and never panics: a panic inside becomes Inconclusive with its message.
///
/// # Determinism
/// The same claim, budget and binary give the same outcome, whatever else runs and on any number of threads.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, Meta, Study, Subject, Verdict, Why, examine};
/// let meta = Meta::theorem("own/broken", Subject::Own, "this study works");
/// let report = examine(&Study::new(meta).run(|_| panic!("a bug")), &Budget::quick());
/// assert_eq!(report.outcome.verdict, Verdict::Inconclusive(Why::Panicked("a bug".to_owned())));
/// ```
pub fn examine(claim: &dyn Claim, budget: &Budget) -> Report {
    examine_in(claim, Context::new(claim.meta().id, budget))
}

/// As [`examine`], in a context that was prepared (interruption flag, progress).
pub fn examine_in(claim: &dyn Claim, mut context: Context) -> Report {
    let budget = context.budget().clone();
    let start = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| claim.run(&mut context)))
        .unwrap_or_else(|payload| Outcome::inconclusive(Why::Panicked(message(&*payload))));
    Report {
        meta: *claim.meta(),
        outcome,
        tier: budget.tier,
        seed: budget.seed,
        seconds: start.elapsed().as_secs_f64(),
    }
}

/// The text of a panic, when it carries one.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "(no message)".to_owned())
}
