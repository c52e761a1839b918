use collimate_tensor::Scalar;
use ndarray::{Array3, ArrayRef3, Zip};

/// The map of queries and keys before linear attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FeatureMap {
    /// No map. Weights may be negative, so they cannot be divided by their sum.
    Identity,
    /// elu(x) + 1, which is x + 1 above zero and eˣ below it, so always positive.
    EluPlusOne,
}

impl FeatureMap {
    /// Computes the features of each row.
    pub(super) fn apply<F: Scalar>(self, x: &ArrayRef3<F>) -> Array3<F> {
        match self {
            Self::Identity => x.to_owned(),
            Self::EluPlusOne => x.mapv(|x| if x > F::zero() { x + F::one() } else { x.exp() }),
        }
    }

    /// Multiplies gradients or directions by the slope at each number, in place.
    pub(super) fn slope<F: Scalar>(self, x: &ArrayRef3<F>, moved: &mut ArrayRef3<F>) {
        if self == Self::EluPlusOne {
            Zip::from(moved).and(x).for_each(|d, &x| {
                if x <= F::zero() {
                    *d *= x.exp();
                }
            });
        }
    }
}
