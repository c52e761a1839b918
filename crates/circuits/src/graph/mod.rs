//! Attribution graphs: the direct effects between the features of transcoders, in a model whose MLPs they replace.

mod attribution;
mod frozen;
mod influence;
mod intervene;
mod prune;
mod replacement;
mod rows;
mod targets;
mod transcoders;

pub use attribution::{AttributionGraph, GraphSettings, Node};
pub use influence::Scores;
pub use intervene::{Held, Intervened, Setting, intervene};
pub use prune::Pruned;
pub use replacement::{Feature, FirstPosition};
pub use targets::{Target, Targets};
pub use transcoders::{ReadSite, Transcoders, check_predicted};
