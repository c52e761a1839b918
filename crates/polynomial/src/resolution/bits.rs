//! Sets of small whole numbers.

/// A set of numbers below [`Bits::SIZE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Bits([u64; 8]);

impl Bits {
    /// The number of different members.
    pub(super) const SIZE: usize = 512;

    /// Returns the set with one more member.
    pub(super) fn with(mut self, member: usize) -> Self {
        self.0[member / 64] |= 1 << (member % 64);
        self
    }

    pub(super) fn contains(&self, member: usize) -> bool {
        self.0[member / 64] >> (member % 64) & 1 == 1
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|k| self.0[k] & other.0[k]))
    }

    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }

    /// Returns true if a member is below `end`.
    pub(super) fn any_below(&self, end: usize) -> bool {
        (0..end).any(|member| self.contains(member))
    }

    /// Returns true if a member is at least `start`.
    pub(super) fn any_from(&self, start: usize) -> bool {
        let below = (0..start).fold(Self::default(), Self::with);
        self.0.iter().zip(&below.0).any(|(a, b)| a & !b != 0)
    }
}
