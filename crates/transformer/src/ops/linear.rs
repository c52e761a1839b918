//! Products with a weight.

use super::norm::{add_bias, add_bias_gradient};
use crate::error::RunError;
use crate::pass::{Backward, Forward, Real};
use crate::pass::{Operation, Parameter, Slot};
use crate::site::HookPoint;
use collimate_tensor::matmul_into;
use ndarray::{Array2, Array3, Axis, s};

/// Computes y = x Wᵀ + β with a weight W `[o, i]`.
pub(crate) struct Linear {
    pub(crate) weight: Parameter,
    pub(crate) bias: Option<Parameter>,
    /// The hook point of the product of each head, and the number of heads in the columns of the input.
    pub(crate) results: Option<(HookPoint, usize)>,
    pub(crate) input: Slot,
    pub(crate) output: Slot,
}

impl Linear {
    /// Shows the product of each head by itself to the hooks. A row of `out` of which they change a product becomes the sum of the
    /// products.
    fn show_results<F: Real>(
        &self,
        point: HookPoint,
        heads: usize,
        pass: &mut Forward<'_, F>,
        out: &mut Array2<F>,
    ) -> Result<(), RunError> {
        let (x, weight) = (pass.get(self.input).value, pass.weight(self.weight).to_array());
        let (rows, width, d) = (x.nrows(), x.ncols() / heads, weight.nrows());
        let mut all = Array3::zeros((rows, heads, d));
        for head in 0..heads {
            let columns = s![.., head * width..(head + 1) * width];
            let mut out = all.index_axis_mut(Axis(1), head);
            matmul_into(F::one(), &x.slice(columns), &weight.slice(columns).t(), F::zero(), &mut out)?;
        }
        let before = all.clone();
        pass.show_results(point, &mut all)?;
        for ((before, after), mut row) in before.outer_iter().zip(all.outer_iter()).zip(out.rows_mut()) {
            if before != after {
                row.assign(&after.sum_axis(Axis(0)));
            }
        }
        Ok(())
    }
}

impl<F: Real> Operation<F> for Linear {
    fn inputs(&self) -> Vec<Slot> {
        vec![self.input]
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn points(&self) -> Vec<HookPoint> {
        self.results.iter().map(|(point, _)| *point).collect()
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        let mut out = pass.weight(self.weight).apply(pass.get(self.input));
        if let Some((point, heads)) = self.results.filter(|(point, _)| pass.shows(*point)) {
            self.show_results(point, heads, pass, &mut out.value)?;
        }
        if let Some(bias) = self.bias {
            add_bias(&mut out, pass.parameter(bias));
        }
        pass.set(self.output, out)
    }

    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError> {
        let Some(d_out) = pass.take_gradient(self.output) else { return Ok(()) };
        if let Some(bias) = self.bias {
            add_bias_gradient(pass, bias, &d_out);
        }
        if pass.wants(self.weight) {
            let mut by_weight = pass.take_parameter_gradient(self.weight);
            d_out.view().t().add_times(pass.get(self.input), F::one(), &mut by_weight);
            pass.put_parameter_gradient(self.weight, by_weight);
        }
        let d_x = pass.weight(self.weight).apply_transposed(d_out.view());
        pass.add_gradient(self.input, d_x);
        Ok(())
    }
}
