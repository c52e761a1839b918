use super::head_map::HeadMap;

/// The two query heads that a differential head subtracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pairing {
    /// Heads 2p and 2p + 1: the released code of the Differential Transformer, V1 and V2.
    Neighbours,
    /// Heads p and p + H/2: DiffLlama in Hugging Face.
    Halves,
}

impl Pairing {
    /// Returns the pair of a query head, and the place of the head in its pair: 0 for the first, 1 for the second.
    pub(crate) fn of(self, head: usize, heads: usize) -> (usize, usize) {
        match self {
            Self::Neighbours => (head / 2, head % 2),
            Self::Halves => (head % (heads / 2), head / (heads / 2)),
        }
    }
}

/// The key heads that the two maps of a pair read in Differential V1, when query heads share key heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PairKeys {
    /// The first map reads the first of a pair of key heads, the second map reads the second: the flash version of the
    /// released code, Hugging Face.
    Paired,
    /// Key heads are repeated for neighbouring query heads, so both maps of a pair may read one key head: the plain version
    /// of the released code.
    Repeated,
}

/// Query heads in pairs. Both heads of a pair read the same value head: the head map joins pairs to pairs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairs {
    pub(crate) pairing: Pairing,
    pub(crate) keys: PairKeys,
    pub(crate) key_heads: usize,
}

impl Pairs {
    /// Returns the key head and the value head that a query head of `heads` reads.
    pub(crate) fn read(&self, map: &HeadMap, heads: usize, head: usize) -> (usize, usize) {
        let (pair, second) = self.pairing.of(head, heads);
        let value = map.read(pair);
        let key = match (self.keys, self.pairing) {
            (PairKeys::Paired, Pairing::Neighbours) => 2 * value + second,
            (PairKeys::Paired, Pairing::Halves) => value + second * (self.key_heads / 2),
            (PairKeys::Repeated, _) => head * self.key_heads / heads,
        };
        (key, value)
    }
}
