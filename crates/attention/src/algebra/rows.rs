//! The changes of the query and key rows before their comparison.

use super::arguments::{row, row_mut};
use super::score::length;
use super::{Parameter, Parameters};
use crate::AttentionError;
use crate::kernels::Loops;
use crate::parts::Rotary;
use collimate_tensor::{Scalar, dot, sum_of_squares};
use ndarray::{Array3, ArrayRef3};

/// One change of the query and key rows. Their order is part of the variant: models norm before they rotate (Qwen 3,
/// Gemma 3, OLMo 2), some rotate first.
///
/// ```text
/// rms       x ← x / √(mean x² + ε)  (∘ gain)        over a row, or over all heads of a token
/// unit      x ← x / max(|x|, ε)                     with the dot product: the cosine
/// rotary    x ← R(position) x
/// ```
///
/// # References
/// Henry et al. (2020), "Query-Key Normalization"; Su et al. (2021), "RoFormer".
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RowChange {
    /// Divides by the root mean square.
    Rms {
        /// The numbers over which the mean runs.
        over: NormOver,
        /// The number ε added under the root.
        epsilon: f64,
        /// The gain after the norm.
        gain: Gain,
    },
    /// Divides by the length. The epsilon bounds the length from below.
    Unit {
        /// The least length.
        epsilon: f64,
    },
    /// Rotates rows by their position: query `i` has position `i + offset`, key `j` has position `j`.
    Rotary(Rotary),
}

/// The numbers over which a norm of queries and keys runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NormOver {
    /// The row of one head: Qwen 3, Gemma 3.
    Head,
    /// The rows of all heads of a token together: OLMo 2.
    Projection,
}

/// The learned factor after a norm, if any. Gemma stores the factor minus 1: add 1 when loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gain {
    /// No factor.
    None,
    /// A factor for each coordinate: [`Parameter::QueryGain`] and [`Parameter::KeyGain`], or [`Parameter::HeadGain`].
    Learned,
}

/// The kind of rows that a change is applied to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Query,
    Key,
}

impl RowChange {
    pub(crate) fn parameters(&self) -> &'static [Parameter] {
        match self {
            Self::Rms { gain: Gain::Learned, .. } => &[Parameter::QueryGain, Parameter::KeyGain],
            _ => &[],
        }
    }

    /// Computes the rows after the change.
    pub(crate) fn forward<F: Loops>(
        &self,
        offset: isize,
        parameters: &Parameters<F>,
        [q, k]: [&ArrayRef3<F>; 2],
    ) -> Result<[Array3<F>; 2], AttentionError> {
        Ok([self.one(Side::Query, offset, parameters, q)?, self.one(Side::Key, 0, parameters, k)?])
    }

    fn one<F: Loops>(
        &self,
        side: Side,
        first: isize,
        parameters: &Parameters<F>,
        x: &ArrayRef3<F>,
    ) -> Result<Array3<F>, AttentionError> {
        let mut out = x.to_owned();
        match *self {
            Self::Rotary(rotary) => rotary.table(positions(first, x))?.apply(&mut out)?,
            Self::Unit { epsilon } => over_rows(x, NormOver::Head, |_, cells| {
                Unit::new(x, &cells, epsilon).forward(&mut out, &cells)
            }),
            Self::Rms { over, epsilon, gain } => over_rows(x, over, |_, cells| {
                let gain = gain_of(parameters, side, gain);
                Rms::new(x, &cells, epsilon).forward(&mut out, &cells, gain);
            }),
        }
        Ok(out)
    }

    /// Turns the gradients by the rows after the change into the gradients by the rows before it.
    pub(crate) fn vjp<F: Loops>(
        &self,
        offset: isize,
        parameters: &Parameters<F>,
        [q, k]: [&ArrayRef3<F>; 2],
        [d_q, d_k]: [Array3<F>; 2],
        into: &mut Parameters<F>,
    ) -> Result<[Array3<F>; 2], AttentionError> {
        let mut both = [(Side::Query, offset, q, d_q), (Side::Key, 0, k, d_k)];
        for (side, first, x, d) in &mut both {
            match *self {
                Self::Rotary(rotary) => rotary.table(positions(*first, x))?.apply_inverse(d)?,
                Self::Unit { epsilon } => over_rows(x, NormOver::Head, |_, cells| {
                    Unit::new(x, &cells, epsilon).slope(x, &cells, d);
                }),
                Self::Rms { over, epsilon, gain } => {
                    let factors = gain_of(parameters, *side, gain);
                    let mut by_gain = factors.map(|g| vec![F::zero(); g.len()]);
                    over_rows(x, over, |_, cells| {
                        Rms::new(x, &cells, epsilon).vjp(x, &cells, factors, by_gain.as_deref_mut(), d);
                    });
                    if let Some(sums) = by_gain {
                        let gain = into.values_mut(gain_name(*side));
                        gain.iter_mut().zip(sums).for_each(|(gain, sum)| *gain += sum);
                    }
                }
            }
        }
        let [(.., d_q), (.., d_k)] = both;
        Ok([d_q, d_k])
    }

    /// Computes the direction of the rows after the change.
    pub(crate) fn jvp<F: Loops>(
        &self,
        offset: isize,
        [parameters, direction]: [&Parameters<F>; 2],
        [q, k]: [&ArrayRef3<F>; 2],
        [q_dot, k_dot]: [Array3<F>; 2],
    ) -> Result<[Array3<F>; 2], AttentionError> {
        let mut both = [(Side::Query, offset, q, q_dot), (Side::Key, 0, k, k_dot)];
        for (side, first, x, dot) in &mut both {
            match *self {
                Self::Rotary(rotary) => rotary.table(positions(*first, x))?.apply(dot)?,
                // The Jacobian of the length-1 map is symmetric.
                Self::Unit { epsilon } => over_rows(x, NormOver::Head, |_, cells| {
                    Unit::new(x, &cells, epsilon).slope(x, &cells, dot);
                }),
                Self::Rms { over, epsilon, gain } => {
                    let gains = [parameters, direction].map(|p| gain_of(p, *side, gain));
                    over_rows(x, over, |_, cells| {
                        Rms::new(x, &cells, epsilon).jvp(x, &cells, gains, dot);
                    });
                }
            }
        }
        let [(.., q_dot), (.., k_dot)] = both;
        Ok([q_dot, k_dot])
    }
}

fn positions<F>(first: isize, x: &ArrayRef3<F>) -> std::ops::Range<i64> {
    first as i64..first as i64 + x.dim().1 as i64
}

fn gain_name(side: Side) -> Parameter {
    if side == Side::Query { Parameter::QueryGain } else { Parameter::KeyGain }
}

fn gain_of<F: Scalar>(parameters: &Parameters<F>, side: Side, gain: Gain) -> Option<&[F]> {
    (gain == Gain::Learned).then(|| parameters.values(gain_name(side)))
}

/// Calls `run` with the rows of each norm, as pairs (head, position).
fn over_rows<F>(x: &ArrayRef3<F>, over: NormOver, mut run: impl FnMut(usize, Vec<(usize, usize)>)) {
    let (heads, rows, _) = x.dim();
    for i in 0..rows {
        match over {
            NormOver::Projection => run(i, (0..heads).map(|h| (h, i)).collect()),
            NormOver::Head => (0..heads).for_each(|h| run(i, vec![(h, i)])),
        }
    }
}

/// 1 over the length of a row.
struct Unit<F> {
    inverse: F,
    bounded: bool,
}

impl<F: Scalar> Unit<F> {
    fn new(x: &ArrayRef3<F>, cells: &[(usize, usize)], epsilon: f64) -> Self {
        let own = length(row(x, cells[0].0, cells[0].1));
        let least = F::from_f64(epsilon);
        Self { inverse: F::one() / if own < least { least } else { own }, bounded: own < least }
    }

    fn forward(&self, out: &mut Array3<F>, cells: &[(usize, usize)]) {
        row_mut(out, cells[0].0, cells[0].1).iter_mut().for_each(|x| *x *= self.inverse);
    }

    /// Computes `d ← (d − u ⟨u, d⟩) / |x|` with u = x/|x|, or `d ← d / ε` below the least length.
    fn slope(&self, x: &ArrayRef3<F>, cells: &[(usize, usize)], d: &mut Array3<F>) {
        let (h, i) = cells[0];
        let (x, d) = (row(x, h, i), row_mut(d, h, i));
        let along = match self.bounded {
            true => F::zero(),
            false => x.iter().zip(&*d).fold(F::zero(), |sum, (&x, &d)| sum + x * self.inverse * d),
        };
        d.iter_mut().zip(x).for_each(|(d, &x)| *d = (*d - x * self.inverse * along) * self.inverse);
    }
}

/// The inverse root mean square of one or several rows, for queries, keys and the output.
pub(crate) struct Rms<F> {
    inverse: F,
    count: F,
}

impl<F: Scalar> Rms<F> {
    pub(crate) fn new(x: &ArrayRef3<F>, cells: &[(usize, usize)], epsilon: f64) -> Self {
        let mut numbers = Vec::with_capacity(cells.len() * x.dim().2 + 1);
        cells.iter().for_each(|&(h, i)| numbers.extend_from_slice(row(x, h, i)));
        Self::over(numbers, epsilon)
    }

    fn over(mut numbers: Vec<F>, epsilon: f64) -> Self {
        let count = F::from_f64(numbers.len().max(1) as f64);
        // The length of (x, √(n ε)) is √(Σ x² + n ε), without intermediate overflow.
        numbers.push((count * F::from_f64(epsilon)).sqrt());
        let root = length(&numbers) / count.sqrt();
        Self { inverse: if root == F::zero() { F::zero() } else { F::one() / root }, count }
    }

    /// Computes the inverse root mean square of a single row.
    pub(crate) fn of(row: &[F], epsilon: f64) -> Self {
        let count = F::from_f64(row.len().max(1) as f64);
        let squares = sum_of_squares(row) + count * F::from_f64(epsilon);
        // If the squares are out of range, they are computed again without overflow.
        if squares.is_finite() && squares > F::min_positive_value().sqrt() {
            return Self { inverse: (count / squares).sqrt(), count };
        }
        Self::over(row.to_vec(), epsilon)
    }

    /// Divides a single row and multiplies it by the gain.
    pub(crate) fn scale(&self, row: &mut [F], gain: Option<&[F]>) {
        for (c, x) in row.iter_mut().enumerate() {
            *x *= self.inverse * factor(gain, 0, c, 1);
        }
    }

    fn forward(&self, out: &mut Array3<F>, cells: &[(usize, usize)], gain: Option<&[F]>) {
        for (n, &(h, i)) in cells.iter().enumerate() {
            for (c, x) in row_mut(out, h, i).iter_mut().enumerate() {
                *x *= self.inverse * factor(gain, n, c, cells.len());
            }
        }
    }

    /// Computes the gradient by a single row, in place of `d`. Unlike [`Rms::vjp`] it leaves out the gradient by the gain.
    pub(crate) fn vjp_of_row(&self, x: &[F], gain: Option<&[F]>, d: &mut [F]) {
        if let Some(gain) = gain {
            d.iter_mut().zip(gain).for_each(|(d, &gain)| *d *= gain);
        }
        let mut mean = self.inverse * dot(x, d) / self.count;
        if !mean.is_finite() {
            // The product is out of range, although the divided row is not.
            mean = x.iter().zip(&*d).fold(F::zero(), |sum, (&x, &d)| sum + x * self.inverse * d / self.count);
        }
        d.iter_mut().zip(x).for_each(|(d, &x)| *d = (*d - x * self.inverse * mean) * self.inverse);
    }

    /// Adds `y d`, the gradient by the gain of a single row, to `sums`.
    pub(crate) fn collect(&self, x: &[F], d: &[F], sums: &mut [F]) {
        sums.iter_mut().zip(x.iter().zip(d)).for_each(|(sum, (&x, &d))| *sum += x * self.inverse * d);
    }

    /// Computes `dx = (g d − y mean(y g d)) / rms` with y = x/rms, and adds y d to the gradient by the gain.
    pub(crate) fn vjp(
        &self,
        x: &ArrayRef3<F>,
        cells: &[(usize, usize)],
        gain: Option<&[F]>,
        mut by_gain: Option<&mut [F]>,
        d: &mut Array3<F>,
    ) {
        let mut mean = F::zero();
        for (n, &(h, i)) in cells.iter().enumerate() {
            let width = x.dim().2;
            for (c, (d, &x)) in row_mut(d, h, i).iter_mut().zip(row(x, h, i)).enumerate() {
                let y = x * self.inverse;
                if let Some(sums) = by_gain.as_deref_mut() {
                    sums[n * width + c] += y * *d;
                }
                *d *= factor(gain, n, c, cells.len());
                mean += y * *d / self.count;
            }
        }
        self.take_mean(x, cells, mean, d);
    }

    /// Computes the direction of x/rms ∘ gain: `g (ẋ − y mean(y ẋ)) / rms + ġ y`.
    pub(crate) fn jvp(
        &self,
        x: &ArrayRef3<F>,
        cells: &[(usize, usize)],
        [gain, moved]: [Option<&[F]>; 2],
        dot: &mut Array3<F>,
    ) {
        let mut mean = F::zero();
        for &(h, i) in cells {
            for (&d, &x) in row(dot, h, i).iter().zip(row(x, h, i)) {
                mean += x * self.inverse * d / self.count;
            }
        }
        self.take_mean(x, cells, mean, dot);
        for (n, &(h, i)) in cells.iter().enumerate() {
            for (c, (d, &x)) in row_mut(dot, h, i).iter_mut().zip(row(x, h, i)).enumerate() {
                *d *= factor(gain, n, c, cells.len());
                if moved.is_some() {
                    *d += x * self.inverse * factor(moved, n, c, cells.len());
                }
            }
        }
    }

    fn take_mean(&self, x: &ArrayRef3<F>, cells: &[(usize, usize)], mean: F, d: &mut Array3<F>) {
        for &(h, i) in cells {
            for (d, &x) in row_mut(d, h, i).iter_mut().zip(row(x, h, i)) {
                *d = (*d - x * self.inverse * mean) * self.inverse;
            }
        }
    }
}

/// Returns the gain of coordinate `c` of the `n`-th of `rows` rows, or 1 without a gain.
fn factor<F: Scalar>(gain: Option<&[F]>, n: usize, c: usize, rows: usize) -> F {
    gain.map_or(F::one(), |gain| gain[n * (gain.len() / rows) + c])
}
