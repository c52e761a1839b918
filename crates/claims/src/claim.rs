//! The trait of every claim, and lists of claims.

use crate::context::Context;
use crate::error::ClaimsError;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::verdict::Why;

/// A sentence about an object together with the program that judges it.
///
/// # Determinism
/// `run` draws only from the streams of its context, so one seed gives one outcome.
pub trait Claim: Send + Sync {
    /// Returns the description of the claim.
    fn meta(&self) -> &Meta;
    /// Judges the claim.
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
    /// Returns an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a claim.
    pub fn with(mut self, claim: impl Claim + 'static) -> Self {
        self.claims.push(Box::new(claim));
        self
    }

    /// Adds all claims of another list.
    pub fn extend(mut self, other: Claims) -> Self {
        self.claims.extend(other.claims);
        self
    }

    /// Returns the claims in order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Claim> {
        self.claims.iter().map(|claim| &**claim)
    }

    /// Returns the claim with this id.
    pub fn get(&self, id: &str) -> Option<&dyn Claim> {
        self.iter().find(|claim| claim.meta().id == id)
    }

    /// Returns the number of claims.
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// Returns true if the list has no claim.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// Checks that every id can be recorded and that no id occurs twice.
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

/// A claim written as one function, for real models, figures, and protocols that no other form fits.
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
    /// Returns a study that still needs its function.
    pub fn new(meta: Meta) -> Self {
        Self { meta, body: None }
    }

    /// Sets the function that judges the claim.
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
