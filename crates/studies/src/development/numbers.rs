use collimate_stream::{RngStream, SplitMix};
use collimate_tensor::Scalar;
use ndarray::Array2;

/// The generator of the random numbers of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// The streams of [`RngStream`], ChaCha8.
    ChaCha,
    /// The counter [`SplitMix`], which other programs can repeat.
    SplitMix,
}

impl Numbers {
    /// Returns a matrix of normal numbers with mean 0, drawn in double precision from the generator of a seed.
    ///
    /// # Examples
    /// ```
    /// use collimate_studies::development::Numbers;
    /// let w = Numbers::SplitMix.normals::<f64>(1, (1, 3), 2.0);
    /// assert!((w[[0, 2]] + 5.0001349867).abs() < 1e-9);
    /// ```
    pub fn normals<F: Scalar>(self, seed: u64, (rows, columns): (usize, usize), deviation: f64) -> Array2<F> {
        let numbers = match self {
            Self::SplitMix => SplitMix::new(seed).normals(rows * columns),
            Self::ChaCha => {
                let mut stream = RngStream::new(seed, 0);
                (0..rows * columns).map(|_| stream.normal()).collect()
            }
        };
        let numbers = numbers.into_iter().map(|x| F::from_f64(deviation * x)).collect();
        Array2::from_shape_vec((rows, columns), numbers).expect("one number for each place")
    }

    /// Returns the integers in `0..n` at some indices of the generator of a seed.
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn below(self, seed: u64, indices: std::ops::Range<u64>, n: usize) -> Vec<usize> {
        match self {
            Self::SplitMix => indices.map(|index| SplitMix::new(seed).below(index, n)).collect(),
            Self::ChaCha => {
                let streams = RngStream::new(seed, 0);
                indices.map(|index| streams.child(index).below(n)).collect()
            }
        }
    }

    /// Returns a permutation of `0..n` from the generator of a seed.
    pub fn permutation(self, seed: u64, n: usize) -> Vec<usize> {
        match self {
            Self::SplitMix => SplitMix::new(seed).permutation(n),
            Self::ChaCha => RngStream::new(seed, 0).permutation(n),
        }
    }
}
