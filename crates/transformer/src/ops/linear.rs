//! Products with a weight.

use super::array::apply;
use super::norm::{add_bias, add_bias_gradient};
use super::{Operation, Parameter, Slot};
use crate::error::RunError;
use crate::pass::{Backward, Forward, Real};

/// Computes y = x Wᵀ + β with a weight W `[o, i]`.
pub(crate) struct Linear {
    pub(crate) weight: Parameter,
    pub(crate) bias: Option<Parameter>,
    pub(crate) input: Slot,
    pub(crate) output: Slot,
}

impl<F: Real> Operation<F> for Linear {
    fn inputs(&self) -> Vec<Slot> {
        vec![self.input]
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        let mut out = apply(pass.get(self.input), pass.parameter(self.weight));
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
        let d_x = d_out.view().times(pass.parameter(self.weight), F::one());
        pass.add_gradient(self.input, d_x);
        Ok(())
    }
}
