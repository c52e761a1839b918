use crate::description::Rotary;
use crate::site::HookPoint;

/// The index of an activation of a program.
pub(crate) type Slot = usize;

/// The index of a parameter of a model.
pub(crate) type Parameter = usize;

/// The index of a set of angles of a program.
pub(crate) type AngleTable = usize;

/// The index by which a table is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// The token id.
    Token,
    /// The position plus an offset.
    Position {
        /// The row of position 0.
        offset: usize,
    },
    /// The type of the token.
    Type,
}

/// An activation of a program.
#[derive(Clone, Debug)]
pub(crate) struct SlotInfo {
    /// The hook points that show this activation.
    pub(crate) points: Vec<HookPoint>,
    /// The number of heads, if the columns are heads.
    pub(crate) heads: Option<usize>,
}

/// The activations of a program, and what they need.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) slots: Vec<SlotInfo>,
    /// The last operation that reads each slot.
    pub(crate) last_use: Vec<usize>,
    /// The sets of rotary angles.
    pub(crate) rotaries: Vec<Rotary>,
}
