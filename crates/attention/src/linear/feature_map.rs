use collimate_tensor::Scalar;
use ndarray::{Array3, ArrayRef3, Zip};

/// What is done to queries and keys before linear attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FeatureMap {
    /// Nothing: weights may be negative, so they cannot be divided by their sum.
    Identity,
    /// elu(x) + 1, that is x + 1 above zero and eˣ below: positive.
    EluPlusOne,
}

impl FeatureMap {
    /// The features of each row.
    pub(super) fn apply<F: Scalar>(self, x: &ArrayRef3<F>) -> Array3<F> {
        match self {
            Self::Identity => x.to_owned(),
            Self::EluPlusOne => x.mapv(|x| if x > F::zero() { x + F::one() } else { x.exp() }),
        }
    }

    /// Times the slope at each number, in place: gradients back and directions on alike.
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
