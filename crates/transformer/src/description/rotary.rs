use collimate_attention::{RotaryLayout, RotaryScaling};

/// Rotary positions: pairs of the first channels of each head are turned by position · frequency.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Rotary {
    /// The channels that form a pair.
    pub layout: RotaryLayout,
    /// The number of channels that are turned, even.
    pub width: usize,
    /// The base of the frequencies base^(−2i/width).
    pub base: f64,
    /// The change of the frequencies for long texts.
    pub frequencies: Frequencies,
}

/// A change of the rotary frequencies.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Frequencies {
    /// A rule that does not depend on the input.
    Fixed(RotaryScaling),
    /// A base that grows with the input: base·(factor·n/m − (factor − 1))^(w/(w − 2)) for n positions, where n is at least m. One base
    /// counts for the whole batch.
    Dynamic {
        /// The factor.
        factor: f64,
        /// The length m up to which nothing changes.
        length: f64,
    },
    /// A divisor for each pair; another one as soon as the input is longer than `original` (LongRoPE, Ding et al., 2024).
    Divided {
        /// The divisors up to the original length.
        short: Vec<f64>,
        /// The divisors beyond it.
        long: Vec<f64>,
        /// The original length.
        original: f64,
        /// The factor on cosines and sines, at every length.
        amplitude: f64,
    },
}

impl Rotary {
    /// Returns rotary positions without a change of the frequencies.
    pub fn new(layout: RotaryLayout, width: usize, base: f64) -> Self {
        Self { layout, width, base, frequencies: Frequencies::Fixed(RotaryScaling::None) }
    }

    /// Returns the frequency of each pair and the factor on cosines and sines, for an input whose largest position is `longest` − 1.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Rotary, RotaryLayout};
    /// let (frequencies, amplitude) = Rotary::new(RotaryLayout::HalfSplit, 4, 100.0).frequencies(7);
    /// assert!((frequencies[1] - 0.1).abs() < 1e-15 && amplitude == 1.0);
    /// ```
    pub fn frequencies(&self, longest: usize) -> (Vec<f64>, f64) {
        let (n, w) = (longest as f64, self.width as f64);
        let plain = |base: f64| (0..self.width / 2).map(move |i| base.powf(-2.0 * i as f64 / w));
        match &self.frequencies {
            Frequencies::Fixed(scaling) => {
                let rotary = match self.layout {
                    RotaryLayout::Interleaved => {
                        collimate_attention::Rotary::interleaved(self.width, self.base)
                    }
                    RotaryLayout::HalfSplit => collimate_attention::Rotary::half_split(self.width, self.base),
                };
                (rotary.scaling(*scaling).frequencies(), scaling.amplitude())
            }
            &Frequencies::Dynamic { factor, length } => {
                let grown = factor * n.max(length) / length - (factor - 1.0);
                (plain(self.base * grown.powf(w / (w - 2.0))).collect(), 1.0)
            }
            Frequencies::Divided { short, long, original, amplitude } => {
                let divisors = if n > *original { long } else { short };
                (plain(self.base).zip(divisors).map(|(f, d)| f / d).collect(), *amplitude)
            }
        }
    }
}
