use collimate_tensor::Scalar;
use ndarray::{Array2, Array3, ArrayRef3, Axis, Zip, s};

/// The denominators of a pass, by which its outputs were divided.
#[derive(Clone, Debug)]
pub(super) struct Normalised<F> {
    /// The denominators `[h, t]`; 0 where the output is zero.
    by: Array2<F>,
}

impl<F: Scalar> Normalised<F> {
    /// Takes numerators with the sums of weights as last column.
    pub(super) fn new(unnormalised: &ArrayRef3<F>, epsilon: F) -> Self {
        Self { by: unnormalised.slice(s![.., .., -1]).mapv(|sum| sum + epsilon) }
    }

    /// Returns the quotients.
    pub(super) fn out(&self, unnormalised: &ArrayRef3<F>) -> Array3<F> {
        let mut out = unnormalised.slice(s![.., .., ..-1]).to_owned();
        for (mut row, &by) in out.lanes_mut(Axis(2)).into_iter().zip(&self.by) {
            row.mapv_inplace(|x| if by == F::zero() { F::zero() } else { x / by });
        }
        out
    }

    /// Computes the gradient by numerators and sum from the gradient by the quotients `out`.
    pub(super) fn backward(&self, out: &Array3<F>, d_out: &ArrayRef3<F>) -> Array3<F> {
        let (h, t, e) = out.dim();
        let mut d = Array3::zeros((h, t, e + 1));
        let rows = Zip::from(d.lanes_mut(Axis(2))).and(out.lanes(Axis(2))).and(d_out.lanes(Axis(2)));
        rows.and(&self.by).for_each(|mut d, out, d_out, &by| {
            if by != F::zero() {
                d.slice_mut(s![..e]).assign(&d_out.mapv(|x| x / by));
                d[e] = -out.iter().zip(&d_out).map(|(&a, &b)| a * b).sum::<F>() / by;
            }
        });
        d
    }

    /// Computes the direction of the quotients `out` from the direction of numerators and sum.
    pub(super) fn jvp(&self, out: &Array3<F>, unnormalised: &Array3<F>) -> Array3<F> {
        let mut along = unnormalised.slice(s![.., .., ..-1]).to_owned();
        let sums = unnormalised.slice(s![.., .., -1]);
        let rows = Zip::from(along.lanes_mut(Axis(2))).and(out.lanes(Axis(2)));
        rows.and(&sums).and(&self.by).for_each(|mut along, out, &sum, &by| {
            if by == F::zero() {
                along.fill(F::zero());
            } else {
                along.zip_mut_with(&out, |d, &out| *d = (*d - out * sum) / by);
            }
        });
        along
    }
}
