use collimate_tensor::{Scalar, top_k};
use ndarray::Array1;

/// Which latents are active, and how active, given the products of a row with the encoder.
///
/// `p` is the product, the vectors have one entry a latent.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Activation<F> {
    /// f = ReLU(p + b_enc).
    Relu {
        /// The encoder bias.
        b_enc: Array1<F>,
    },
    /// f = z·1(z > θ) with z = p + b_enc; the comparison is strict, θ is never negative.
    JumpRelu {
        /// The encoder bias.
        b_enc: Array1<F>,
        /// The thresholds θ.
        threshold: Array1<F>,
    },
    /// f = 1[p + b_gate > 0]·ReLU(e^r p + b_mag).
    Gated {
        /// The bias of the gate.
        b_gate: Array1<F>,
        /// The bias of the magnitudes.
        b_mag: Array1<F>,
        /// The logarithm r of the ratio of the two slopes.
        r_mag: Array1<F>,
    },
    /// The k largest of p + b_enc in each row, if positive.
    TopK {
        /// The encoder bias.
        b_enc: Array1<F>,
        /// How many latents a row may use.
        k: usize,
    },
    /// The largest of p + b_enc, if positive, in each of k runs of n/k consecutive latents.
    GroupMax {
        /// The encoder bias.
        b_enc: Array1<F>,
        /// How many groups.
        k: usize,
    },
    /// The ⌊k·rows⌋ largest of p + b_enc among all rows that are encoded together, if positive: the form of training.
    BatchTopK {
        /// The encoder bias.
        b_enc: Array1<F>,
        /// How many latents a row uses on average.
        k: f64,
        /// The threshold that takes the place of the selection when single rows are encoded.
        threshold: Option<f64>,
    },
    /// The k of p + b_enc in each row that are largest in magnitude, with their signs.
    AbsTopK {
        /// The encoder bias.
        b_enc: Array1<F>,
        /// How many latents a row may use.
        k: usize,
    },
    /// Up to k latents one after another, each the best for what the decoder rows of those before it leave of the row: see
    /// [`MatchingPursuit`](crate::MatchingPursuit). The decoder rows are the encoder.
    MatchingPursuit {
        /// The largest number of latents that are taken.
        k: usize,
    },
}

impl<F: Scalar> Activation<F> {
    /// The name of the architecture.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Relu { .. } => "standard",
            Self::JumpRelu { .. } => "jumprelu",
            Self::Gated { .. } => "gated",
            Self::TopK { .. } => "topk",
            Self::GroupMax { .. } => "groupmax",
            Self::BatchTopK { .. } => "batchtopk",
            Self::AbsTopK { .. } => "abs_topk",
            Self::MatchingPursuit { .. } => "matching_pursuit",
        }
    }

    /// The vectors with one entry a latent and their names.
    pub fn vectors(&self) -> Vec<(&'static str, &Array1<F>)> {
        match self {
            Self::Relu { b_enc }
            | Self::TopK { b_enc, .. }
            | Self::GroupMax { b_enc, .. }
            | Self::AbsTopK { b_enc, .. }
            | Self::BatchTopK { b_enc, .. } => vec![("b_enc", b_enc)],
            Self::MatchingPursuit { .. } => Vec::new(),
            Self::JumpRelu { b_enc, threshold } => vec![("b_enc", b_enc), ("threshold", threshold)],
            Self::Gated { b_gate, b_mag, r_mag } => {
                vec![("b_gate", b_gate), ("b_mag", b_mag), ("r_mag", r_mag)]
            }
        }
    }

    /// Whether a latent's activity depends on the others, so that a change of one latent's scale changes the codes.
    pub fn selects(&self) -> bool {
        !matches!(self, Self::Relu { .. } | Self::JumpRelu { .. } | Self::Gated { .. })
    }

    /// Every bias plus what `change` gives for the latent and the slope of its path; e^r for the magnitudes of a gate.
    pub(super) fn shift(&mut self, change: impl Fn(usize) -> F) {
        let add = |bias: &mut Array1<F>, slope: &dyn Fn(usize) -> F| {
            bias.iter_mut().enumerate().for_each(|(i, b)| *b += slope(i) * change(i));
        };
        match self {
            Self::Relu { b_enc }
            | Self::JumpRelu { b_enc, .. }
            | Self::TopK { b_enc, .. }
            | Self::GroupMax { b_enc, .. }
            | Self::AbsTopK { b_enc, .. }
            | Self::BatchTopK { b_enc, .. } => add(b_enc, &|_| F::one()),
            Self::MatchingPursuit { .. } => {}
            Self::Gated { b_gate, b_mag, r_mag } => {
                add(b_gate, &|_| F::one());
                add(b_mag, &|i| r_mag[i].exp());
            }
        }
    }

    /// Every vector that has the unit of a code, times a factor for each latent.
    pub(super) fn scale(&mut self, factors: &Array1<F>) {
        match self {
            Self::Relu { b_enc }
            | Self::TopK { b_enc, .. }
            | Self::GroupMax { b_enc, .. }
            | Self::AbsTopK { b_enc, .. }
            | Self::BatchTopK { b_enc, .. } => *b_enc *= factors,
            Self::MatchingPursuit { .. } => {}
            Self::JumpRelu { b_enc, threshold } => {
                *b_enc *= factors;
                *threshold *= factors;
            }
            // r is the logarithm of a ratio of two slopes: it has no unit.
            Self::Gated { b_gate, b_mag, .. } => {
                *b_gate *= factors;
                *b_mag *= factors;
            }
        }
    }

    /// The active latents of one row; for [`Activation::BatchTopK`] all that could be, for [`Activation::MatchingPursuit`], which
    /// takes more than one product, none.
    pub(super) fn select(&self, products: &mut [F], kept: &mut Vec<(u32, F)>) {
        kept.clear();
        let zero = F::zero();
        let mut keep = |latent: usize, value: F| {
            if value > zero {
                kept.push((latent as u32, value));
            }
        };
        match self {
            Self::Relu { b_enc } | Self::BatchTopK { b_enc, .. } => {
                products.iter().zip(b_enc).enumerate().for_each(|(i, (&p, &b))| keep(i, p + b));
            }
            Self::JumpRelu { b_enc, threshold } => {
                for (i, (&p, (&b, &t))) in products.iter().zip(b_enc.iter().zip(threshold)).enumerate() {
                    if p + b > t {
                        keep(i, p + b);
                    }
                }
            }
            Self::Gated { b_gate, b_mag, r_mag } => {
                for (i, &p) in products.iter().enumerate() {
                    if p + b_gate[i] > zero {
                        keep(i, r_mag[i].exp() * p + b_mag[i]);
                    }
                }
            }
            Self::TopK { b_enc, k } => {
                products.iter_mut().zip(b_enc).for_each(|(p, &b)| *p += b);
                top_k(products, *k, kept);
                kept.retain(|&(_, value)| value > zero);
            }
            Self::AbsTopK { b_enc, k } => {
                products.iter_mut().zip(b_enc).for_each(|(p, &b)| *p += b);
                let magnitudes: Vec<F> = products.iter().map(|p| p.abs()).collect();
                top_k(&magnitudes, *k, kept);
                kept.retain(|&(_, magnitude)| magnitude > zero);
                kept.iter_mut().for_each(|(latent, value)| *value = products[*latent as usize]);
            }
            Self::MatchingPursuit { .. } => {}
            Self::GroupMax { b_enc, k } => {
                products.iter_mut().zip(b_enc).for_each(|(p, &b)| *p += b);
                let width = products.len() / k;
                for (group, values) in products.chunks(width).enumerate() {
                    let mut best = 0;
                    for i in 1..values.len() {
                        if values[i] > values[best] {
                            best = i;
                        }
                    }
                    keep(group * width + best, values[best]);
                }
            }
        }
    }
}
