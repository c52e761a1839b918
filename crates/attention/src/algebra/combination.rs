use super::arguments::{for_each_head, row, row_mut};
use super::normaliser::sigmoid;
use super::score::Reads;
use super::{Parameter, Parameters};
use crate::AttentionError;
use crate::parts::{HeadMap, PairKeys, Pairing, Pairs};
use collimate_tensor::{Scalar, dot, zeros};
use ndarray::{Array3, ArrayRef3};

/// The way in which the outputs of the heads become the outputs of the variant.
///
/// ```text
/// plain              O = O_h
/// differential V1    O_p = O₁ − λ O₂,        λ = exp(λq1·λk1) − exp(λq2·λk2) + λ_init      one number a layer
/// differential V2    O_pt = O₁ − σ(ℓ_pt) O₂                                                 one number a pair and query
/// ```
///
/// A norm of each output row and a factor 1 − λ_init follow V1: see [`OutputChange`](super::OutputChange) and
/// [`Variant::differential_v1`](super::Variant::differential_v1).
///
/// # References
/// Ye et al. (2024), "Differential Transformer", equations 1–3.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Combination {
    /// No combination: each head is a head of the output.
    Plain,
    /// The difference of two maps with one learned weight: [`Parameter::LambdaQuery1`] and its three companions. The head
    /// map joins pairs of query heads to pairs of key heads, and each pair of key heads has one value head.
    DifferentialV1 {
        /// The query heads that form a pair.
        pairing: Pairing,
        /// The key heads that they read.
        keys: PairKeys,
        /// The initial weight λ_init: see [`lambda_init`].
        lambda_init: f64,
    },
    /// The difference of two heads of one group, weighted for each token: [`Parameter::LambdaLogit`].
    DifferentialV2 {
        /// The query heads that form a pair.
        pairing: Pairing,
    },
}

/// Returns λ_init of the layer at `depth`, counted from 0: `0.8 − 0.6 exp(−0.3 depth)`.
///
/// # Examples
/// ```
/// use collimate_attention::algebra::lambda_init;
/// assert!((lambda_init(0) - 0.2).abs() < 1e-12);
/// assert!((lambda_init(1) - 0.3555).abs() < 1e-4); // the paper counts layers from 1
/// ```
pub fn lambda_init(depth: usize) -> f64 {
    0.8 - 0.6 * (-0.3 * depth as f64).exp()
}

const VECTORS: [(Parameter, Parameter); 2] =
    [(Parameter::LambdaQuery1, Parameter::LambdaKey1), (Parameter::LambdaQuery2, Parameter::LambdaKey2)];

impl Combination {
    pub(crate) fn parameters(&self) -> &'static [Parameter] {
        match self {
            Self::Plain => &[],
            Self::DifferentialV1 { .. } => &[
                Parameter::LambdaQuery1,
                Parameter::LambdaKey1,
                Parameter::LambdaQuery2,
                Parameter::LambdaKey2,
            ],
            Self::DifferentialV2 { .. } => &[Parameter::LambdaLogit],
        }
    }

    /// Returns the number of heads of the output for `heads` query heads.
    pub(crate) fn out_heads(&self, heads: usize) -> usize {
        if *self == Self::Plain { heads } else { heads / 2 }
    }

    /// Returns the query heads of pair `p`.
    fn pair(pairing: Pairing, p: usize, pairs: usize) -> [usize; 2] {
        match pairing {
            Pairing::Neighbours => [2 * p, 2 * p + 1],
            Pairing::Halves => [p, p + pairs],
        }
    }

    /// Returns the key head and the value head that each query head reads.
    pub(crate) fn reads(
        &self,
        map: &HeadMap,
        heads: usize,
        key_heads: usize,
    ) -> Result<Reads, AttentionError> {
        let odd = |what| AttentionError::Heads {
            map: what,
            query_heads: heads,
            key_heads,
            reason: "heads are subtracted in pairs, so their number must be even",
        };
        let pairs = heads / 2;
        match *self {
            Self::Plain => {
                map.check(heads, key_heads)?;
                let read: Vec<usize> = (0..heads).map(|h| map.read(h)).collect();
                Ok(Reads { key: read.clone(), value: read })
            }
            Self::DifferentialV1 { pairing, keys, .. } => {
                if !heads.is_multiple_of(2) || !key_heads.is_multiple_of(2) {
                    return Err(odd("differential V1"));
                }
                let key_pairs = key_heads / 2;
                map.check(pairs, key_pairs)?;
                let pairs = Pairs { pairing, keys, key_heads };
                let (key, value) = (0..heads).map(|head| pairs.read(map, heads, head)).unzip();
                Ok(Reads { key, value })
            }
            Self::DifferentialV2 { pairing } => {
                if !heads.is_multiple_of(2) {
                    return Err(odd("differential V2"));
                }
                map.check(heads, key_heads)?;
                let read: Vec<usize> = (0..heads).map(|h| map.read(h)).collect();
                let apart = |p| {
                    let [a, b] = Self::pair(pairing, p, pairs);
                    read[a] != read[b]
                };
                if (0..pairs).any(apart) {
                    return Err(AttentionError::Meaningless {
                        what: "differential V2 with this pairing and head map",
                        reason: "the two heads of a pair must read the same key head: the difference is one of two \
                                 views of the same values",
                    });
                }
                Ok(Reads { key: read.clone(), value: read })
            }
        }
    }

    /// Computes the weight of the second map for each pair and query.
    pub(crate) fn weight<F: Scalar>(
        &self,
        parameters: &Parameters<F>,
        pairs: usize,
        queries: usize,
    ) -> Vec<F> {
        match self {
            Self::Plain => Vec::new(),
            Self::DifferentialV1 { lambda_init, .. } => {
                let [first, second] =
                    VECTORS.map(|(q, k)| dot(parameters.values(q), parameters.values(k)).exp());
                vec![first - second + F::from_f64(*lambda_init); pairs * queries]
            }
            Self::DifferentialV2 { .. } => {
                parameters.values(Parameter::LambdaLogit).iter().map(|&logit| sigmoid(logit)).collect()
            }
        }
    }

    fn pairing(&self) -> Option<Pairing> {
        match *self {
            Self::Plain => None,
            Self::DifferentialV1 { pairing, .. } | Self::DifferentialV2 { pairing } => Some(pairing),
        }
    }

    /// Calls `run` with the pair, the query, its two heads and its weight.
    fn for_each<F: Scalar>(
        pairing: Pairing,
        x: &ArrayRef3<F>,
        weight: &[F],
        mut run: impl FnMut(usize, usize, [usize; 2], F),
    ) {
        let (heads, queries, _) = x.dim();
        for p in 0..heads / 2 {
            for i in 0..queries {
                run(p, i, Self::pair(pairing, p, heads / 2), weight[p * queries + i]);
            }
        }
    }

    /// Combines the outputs of the heads. Patterns combine in this way too.
    pub(crate) fn forward<F: Scalar>(&self, parameters: &Parameters<F>, x: &ArrayRef3<F>) -> Array3<F> {
        let (heads, queries, width) = x.dim();
        let Some(pairing) = self.pairing() else { return x.to_owned() };
        let weight = self.weight(parameters, heads / 2, queries);
        let mut out = zeros((heads / 2, queries, width));
        for_each_head(&mut out, &|p, out| {
            let [a, b] = Self::pair(pairing, p, heads / 2);
            for (i, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
                let (rows, weight) = (row(x, a, i).iter().zip(row(x, b, i)), weight[p * queries + i]);
                out.iter_mut().zip(rows).for_each(|(o, (&a, &b))| *o = a - weight * b);
            }
        });
        out
    }

    /// Computes the gradient by the outputs of the heads from the gradient by their combination.
    pub(crate) fn by_heads<F: Scalar>(&self, parameters: &Parameters<F>, d: Array3<F>) -> Array3<F> {
        let Some(pairing) = self.pairing() else { return d };
        let (pairs, queries, width) = d.dim();
        let weight = self.weight(parameters, pairs, queries);
        let mut d_x: Array3<F> = zeros((2 * pairs, queries, width));
        for_each_head(&mut d_x, &|head, rows| {
            let (p, second) = pairing.of(head, 2 * pairs);
            for (i, row_of_head) in rows.chunks_exact_mut(width.max(1)).enumerate() {
                let factor = if second == 0 { F::one() } else { -weight[p * queries + i] };
                row_of_head.iter_mut().zip(row(&d, p, i)).for_each(|(x, &d)| *x = factor * d);
            }
        });
        d_x
    }

    /// Adds the gradient by the parameters of the weights.
    pub(crate) fn collect<F: Scalar>(
        &self,
        parameters: &Parameters<F>,
        x: &ArrayRef3<F>,
        d: &ArrayRef3<F>,
        into: &mut Parameters<F>,
    ) {
        let (heads, queries, _) = x.dim();
        let Some(pairing) = self.pairing() else { return };
        let weight = self.weight(parameters, heads / 2, queries);
        let mut by_weight = vec![F::zero(); weight.len()];
        Self::for_each(pairing, x, &weight, |p, i, [_, b], _| {
            by_weight[p * queries + i] = -dot(row(d, p, i), row(x, b, i));
        });
        match self {
            Self::DifferentialV2 { .. } => {
                let logits = into.values_mut(Parameter::LambdaLogit);
                for ((logit, &w), d) in logits.iter_mut().zip(&weight).zip(by_weight) {
                    *logit += w * (F::one() - w) * d;
                }
            }
            _ => {
                let total = by_weight.into_iter().fold(F::zero(), |sum, d| sum + d);
                for ((q, k), sign) in VECTORS.into_iter().zip([F::one(), -F::one()]) {
                    let factor = sign * total * dot(parameters.values(q), parameters.values(k)).exp();
                    for (to, from) in [(q, k), (k, q)] {
                        let pairs = into.values_mut(to).iter_mut().zip(parameters.values(from));
                        pairs.for_each(|(to, &from)| *to += factor * from);
                    }
                }
            }
        }
    }

    /// Computes the direction of the outputs of the variant.
    pub(crate) fn jvp<F: Scalar>(
        &self,
        [parameters, direction]: [&Parameters<F>; 2],
        x: &ArrayRef3<F>,
        x_dot: Array3<F>,
    ) -> Array3<F> {
        let Some(pairing) = self.pairing() else { return x_dot };
        let (heads, queries, _) = x.dim();
        let weight = self.weight(parameters, heads / 2, queries);
        let moved: Vec<F> = match self {
            Self::DifferentialV2 { .. } => {
                let logits = direction.values(Parameter::LambdaLogit);
                weight.iter().zip(logits).map(|(&w, &d)| w * (F::one() - w) * d).collect()
            }
            _ => {
                let [first, second] = VECTORS.map(|(q, k)| {
                    let (at_q, at_k) = (parameters.values(q), parameters.values(k));
                    let inner = dot(direction.values(q), at_k) + dot(at_q, direction.values(k));
                    dot(at_q, at_k).exp() * inner
                });
                vec![first - second; weight.len()]
            }
        };
        let mut out = self.forward(parameters, &x_dot);
        Self::for_each(pairing, x, &moved, |p, i, [_, b], moved| {
            row_mut(&mut out, p, i).iter_mut().zip(row(x, b, i)).for_each(|(o, &b)| *o -= moved * b);
        });
        out
    }
}
