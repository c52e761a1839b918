//! Dictionaries on worlds whose features are known: what they recover, absorb, shrink and hedge, each beside what chance gives.

mod claims;
mod member;
mod scene;

pub use claims::claims;
pub use member::{Measured, Member, Recipe};
pub use scene::Scene;
