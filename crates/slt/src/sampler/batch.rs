use crate::SltError;
use collimate_grad::Batch;
use collimate_stream::RngStream;

/// How a step chooses its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSampling {
    /// All of them: the gradient is exact and the step is Langevin dynamics.
    Full,
    /// This many different ones, anew at every step.
    Distinct(usize),
    /// This many independent draws, so that one may occur twice.
    Independent(usize),
}

/// Draws the batches of one chain.
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
                let expected = "at least 1 and, without repeats, at most the number of samples";
                return Err(SltError::OutOfRange { name: "batch", value: size as f64, expected });
            }
        };
        Ok(Self { sampling, n, order })
    }

    pub(crate) fn draw(&mut self, stream: &mut RngStream) -> Batch<'_> {
        let mut indices = Indices { stream, left: None };
        match self.sampling {
            BatchSampling::Full => Batch::All,
            BatchSampling::Distinct(size) => {
                // The first `size` steps of a Fisher–Yates shuffle: any starting order will do.
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

/// Uniform indices from 32 random bits each, which halves the cost of a batch.
struct Indices<'a> {
    stream: &'a mut RngStream,
    left: Option<u32>,
}

impl Indices<'_> {
    fn word(&mut self) -> u64 {
        u64::from(self.left.take().unwrap_or_else(|| {
            let bits = self.stream.bits();
            self.left = Some((bits >> 32) as u32);
            bits as u32
        }))
    }

    /// A uniform number below `n`, without bias: the product of a word and `n` is thrown away where its low half falls
    /// into the part that some values have once too often.
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
