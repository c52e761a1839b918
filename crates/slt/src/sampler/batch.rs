use crate::SltError;
use collimate_grad::Batch;
use collimate_measure::OutOfRange;
use collimate_stream::RngStream;

/// The choice of the samples of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSampling {
    /// All samples. The gradient is exact and the step is Langevin dynamics.
    Full,
    /// This number of different samples, drawn again at every step.
    Distinct(usize),
    /// This number of independent draws. A sample may occur twice.
    Independent(usize),
}

/// The batches of one chain.
#[derive(Clone, Debug)]
pub(crate) struct Batches {
    sampling: BatchSampling,
    n: usize,
    /// Independent draws, or a permutation of all samples whose front is the batch.
    order: Vec<usize>,
}

impl Batches {
    pub(crate) fn new(sampling: BatchSampling, n: usize) -> Result<Self, SltError> {
        let order = match sampling {
            BatchSampling::Full => Vec::new(),
            BatchSampling::Distinct(size) if (1..=n).contains(&size) => (0..n).collect(),
            BatchSampling::Independent(size) if size > 0 && n > 0 => vec![0; size],
            BatchSampling::Distinct(size) | BatchSampling::Independent(size) => {
                let allowed = "at least 1 and, without repeats, at most the number of samples";
                return Err(OutOfRange { argument: "batch", allowed, given: size as f64 }.into());
            }
        };
        Ok(Self { sampling, n, order })
    }

    /// Draws the batch of the next step.
    pub(crate) fn draw(&mut self, stream: &mut RngStream) -> Batch<'_> {
        let mut indices = Indices { stream, left: None };
        match self.sampling {
            BatchSampling::Full => Batch::All,
            BatchSampling::Distinct(size) => {
                // The first `size` steps of a Fisher–Yates shuffle, which may start from any order.
                for i in 0..size {
                    let j = i + indices.below(self.n - i);
                    self.order.swap(i, j);
                }
                Batch::Indices(&self.order[..size])
            }
            BatchSampling::Independent(_) => {
                let n = self.n;
                self.order.iter_mut().for_each(|i| *i = indices.below(n));
                Batch::Indices(&self.order)
            }
        }
    }
}

/// A source of uniform indices from 32 random bits each, which halves the cost of a batch.
struct Indices<'a> {
    stream: &'a mut RngStream,
    left: Option<u32>,
}

impl Indices<'_> {
    /// Returns 32 random bits.
    fn word(&mut self) -> u64 {
        u64::from(self.left.take().unwrap_or_else(|| {
            let bits = self.stream.bits();
            self.left = Some((bits >> 32) as u32);
            bits as u32
        }))
    }

    /// Returns a uniform number below `n`, without bias.
    ///
    /// The number is the high half of the product of a word and `n`. A product is rejected if its low half lies in the part
    /// that would make some numbers more likely than others.
    fn below(&mut self, n: usize) -> usize {
        let Ok(bound) = u32::try_from(n) else { return self.stream.below(n) };
        let mut product = self.word() * u64::from(bound);
        if (product as u32) < bound {
            let surplus = bound.wrapping_neg() % bound;
            while (product as u32) < surplus {
                product = self.word() * u64::from(bound);
            }
        }
        (product >> 32) as usize
    }
}
