use collimate_stream::RngStream;

/// The indices of documents, divided into a training part and a held-out part.
///
/// # Determinism
/// The division depends only on the seed and the number of documents.
///
/// # Examples
/// ```
/// use collimate_studies::text::Split;
/// let split = Split::by_document(100, 0.2, 7);
/// assert_eq!((split.train.len(), split.held_out.len()), (80, 20));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The documents to train on, in random order.
    pub train: Vec<usize>,
    /// The held-out documents, in random order.
    pub held_out: Vec<usize>,
}

impl Split {
    /// Draws `⌈n·share⌉` of `n` documents (share in [0, 1]) for the held-out part.
    pub fn by_document(n: usize, share: f64, seed: u64) -> Self {
        let mut held_out = RngStream::named(seed, "split by document").permutation(n);
        let train = held_out.split_off((n as f64 * share.clamp(0.0, 1.0)).ceil() as usize);
        Self { train, held_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_is_on_exactly_one_side() {
        let split = Split::by_document(57, 0.3, 1);
        let mut all: Vec<usize> = split.train.iter().chain(&split.held_out).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..57).collect::<Vec<_>>());
        assert_ne!(split, Split::by_document(57, 0.3, 2));
        assert!(Split::by_document(3, 0.0, 1).held_out.is_empty());
    }
}
