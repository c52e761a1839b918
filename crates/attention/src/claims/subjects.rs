//! The subjects of the claims: attention of this crate or of a user.

use crate::Attention;
use collimate_claims::{larger, smaller};
use ndarray::{Array2, Axis};

/// A map from the rows of a sequence to rows: `[t, d]` to `[t, e]`.
pub trait SelfAttention: Send + Sync + 'static {
    /// Returns the output for the rows of a sequence.
    fn attend(&self, x: &Array2<f64>) -> Array2<f64>;

    /// Returns the width of the rows, if only one width is allowed.
    fn width(&self) -> Option<usize> {
        None
    }
}

/// Attention of query rows `[t, d]` to key rows `[s, d]` with value rows `[s, e]`, which gives rows `[t, e]`.
pub trait Attends: Send + Sync + 'static {
    /// Returns the output for each query.
    fn attend_to(&self, q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>) -> Array2<f64>;
}

/// Attention of one head with a further argument: a slope, a bias, gates, a sink, a window or a scale. Functions implement it.
pub trait AttendsWith<P>: Send + Sync + 'static {
    /// Returns the output `[t, e]` for queries `[t, d]`, keys `[s, d]` and values `[s, e]`.
    fn attend_with(&self, q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>, with: &P) -> Array2<f64>;
}

impl<P, A> AttendsWith<P> for A
where
    A: Fn(&Array2<f64>, &Array2<f64>, &Array2<f64>, &P) -> Array2<f64> + Send + Sync + 'static,
{
    fn attend_with(&self, q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>, with: &P) -> Array2<f64> {
        self(q, k, v, with)
    }
}

/// One head with q = k = v = x.
impl SelfAttention for Attention {
    fn attend(&self, x: &Array2<f64>) -> Array2<f64> {
        self.attend_to(x, x, x)
    }

    fn width(&self) -> Option<usize> {
        self.rotary.map(|rotary| rotary.width)
    }
}

/// One head.
impl Attends for Attention {
    fn attend_to(&self, q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>) -> Array2<f64> {
        let head = |x: &Array2<f64>| x.clone().insert_axis(Axis(0));
        let (out, _) = self.forward(&head(q), &head(k), &head(v)).expect("the claim draws shapes that fit");
        out.index_axis_move(Axis(0), 0)
    }
}

/// Returns the largest absolute number, or NaN if there is one.
pub(super) fn largest<'a>(numbers: impl IntoIterator<Item = &'a f64>) -> f64 {
    numbers.into_iter().map(|x| x.abs()).fold(0.0, larger)
}

/// Returns the least number, infinity for none, or NaN if there is one.
pub(super) fn least(numbers: impl IntoIterator<Item = f64>) -> f64 {
    numbers.into_iter().fold(f64::INFINITY, smaller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_keep_a_nan_at_any_place() {
        assert_eq!(largest(&[1.0, -3.0, 2.0]), 3.0);
        assert_eq!(least([1.0, -3.0, 2.0]), -3.0);
        for place in 0..3 {
            let mut numbers = [1.0, -3.0, 2.0];
            numbers[place] = f64::NAN;
            assert!(largest(&numbers).is_nan() && least(numbers).is_nan());
        }
    }
}
