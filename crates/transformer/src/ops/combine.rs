//! The parts of differential attention (Ye et al., 2024) around its two softmaxes.

use crate::arrays::Matrix;
use crate::arrays::View;
use crate::error::RunError;
use crate::pass::{Backward, Forward, Real};
use crate::pass::{Operation, Parameter, Slot};
use ndarray::{Array2, s};

/// Puts the values of heads j and j + h/2 side by side, after each key head was repeated for the query heads that read it.
pub(crate) struct PairValues {
    /// The number of query heads h.
    pub(crate) heads: usize,
    pub(crate) key_heads: usize,
    pub(crate) input: Slot,
    pub(crate) output: Slot,
}

impl PairValues {
    /// Calls `copy` with the columns of the output and of the input of each of the h blocks.
    fn for_each(&self, width: usize, mut copy: impl FnMut(usize, usize)) {
        for j in 0..self.heads / 2 {
            for half in 0..2 {
                let head = (j + half * self.heads / 2) * self.key_heads / self.heads;
                copy((2 * j + half) * width, head * width);
            }
        }
    }
}

impl<F: Real> Operation<F> for PairValues {
    fn inputs(&self) -> Vec<Slot> {
        vec![self.input]
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        let x = pass.get(self.input);
        let width = x.value.ncols() / self.key_heads;
        let one = |x: ndarray::ArrayView2<'_, F>| {
            let mut out = Array2::zeros((x.nrows(), self.heads * width));
            self.for_each(width, |to, from| {
                out.slice_mut(s![.., to..to + width]).assign(&x.slice(s![.., from..from + width]));
            });
            out
        };
        let out = Matrix { value: one(x.value), tangent: x.tangent.map(one) };
        pass.set(self.output, out)
    }

    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError> {
        let Some(d_out) = pass.take_gradient(self.output) else { return Ok(()) };
        let width = d_out.dim().1 / self.heads;
        let one = |d: &Array2<F>| {
            let mut out = Array2::zeros((d.nrows(), self.key_heads * width));
            self.for_each(width, |from, to| {
                let mut to = out.slice_mut(s![.., to..to + width]);
                to += &d.slice(s![.., from..from + width]);
            });
            out
        };
        let d_x = Matrix { value: one(&d_out.value), tangent: d_out.tangent.as_ref().map(one) };
        pass.add_gradient(self.input, d_x);
        Ok(())
    }
}

/// Computes out_j = z_j − λ·z_{j + h/2} with λ = exp(⟨q₁, k₁⟩) − exp(⟨q₂, k₂⟩) + λ₀.
pub(crate) struct Combine {
    pub(crate) lambda_init: f64,
    /// The vectors q₁, k₁, q₂, k₂.
    pub(crate) lambda: [Parameter; 4],
    pub(crate) input: Slot,
    pub(crate) output: Slot,
}

/// A number with its derivative along the direction.
#[derive(Clone, Copy)]
struct Pair<F> {
    value: F,
    tangent: F,
}

/// Returns e^⟨a, b⟩.
fn exponential<F: Real>(a: View<'_, F>, b: View<'_, F>) -> Pair<F> {
    let dot = |a: &ndarray::ArrayView2<'_, F>, b: &ndarray::ArrayView2<'_, F>| {
        a.iter().zip(b).map(|(&a, &b)| a * b).sum::<F>()
    };
    let value = dot(&a.value, &b.value).exp();
    let mut along = F::zero();
    if let Some(da) = &a.tangent {
        along += dot(da, &b.value);
    }
    if let Some(db) = &b.tangent {
        along += dot(&a.value, db);
    }
    Pair { value, tangent: value * along }
}

/// Returns the two halves of the columns.
fn halves<F>(x: View<'_, F>) -> [View<'_, F>; 2] {
    let middle = x.value.ncols() / 2;
    let (a, b) = x.value.split_at(ndarray::Axis(1), middle);
    match x.tangent.map(|x| x.split_at(ndarray::Axis(1), middle)) {
        Some((da, db)) => [View { value: a, tangent: Some(da) }, View { value: b, tangent: Some(db) }],
        None => [View { value: a, tangent: None }, View { value: b, tangent: None }],
    }
}

/// Returns factor·x, by the product rule.
fn scaled<F: Real>(x: View<'_, F>, factor: Pair<F>, along: bool) -> Matrix<F> {
    let value = &x.value * factor.value;
    let tangent = along.then(|| {
        let moved = &x.value * factor.tangent;
        match &x.tangent {
            Some(dx) => moved + dx * factor.value,
            None => moved,
        }
    });
    Matrix { value, tangent }
}

impl Combine {
    fn lambda<F: Real>(&self, [first, second]: [Pair<F>; 2]) -> Pair<F> {
        Pair {
            value: first.value - second.value + F::from_f64(self.lambda_init),
            tangent: first.tangent - second.tangent,
        }
    }
}

impl<F: Real> Operation<F> for Combine {
    fn inputs(&self) -> Vec<Slot> {
        vec![self.input]
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        let [q1, k1, q2, k2] = self.lambda.map(|parameter| pass.parameter(parameter));
        let lambda = self.lambda([exponential(q1, k1), exponential(q2, k2)]);
        let along = pass.is_along();
        let [a, b] = halves(pass.get(self.input));
        let mut out = Matrix { value: a.value.to_owned(), tangent: a.tangent.map(|x| x.to_owned()) };
        out.add_scaled(scaled(b, lambda, along).view(), -F::one());
        pass.set(self.output, out)
    }

    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError> {
        let Some(d_out) = pass.take_gradient(self.output) else { return Ok(()) };
        let vectors = self.lambda.map(|parameter| pass.parameter(parameter));
        let [q1, k1, q2, k2] = vectors;
        let parts = [exponential(q1, k1), exponential(q2, k2)];
        let lambda = self.lambda(parts);
        let along = pass.is_along();
        let [_, b] = halves(pass.get(self.input));
        // The gradient by λ is −⟨ȳ, z_{j + h/2}⟩.
        let dot = |x: &ndarray::ArrayView2<'_, F>, y: &ndarray::ArrayView2<'_, F>| {
            x.iter().zip(y).map(|(&x, &y)| x * y).sum::<F>()
        };
        let d = d_out.view();
        let mut by_lambda = Pair { value: -dot(&d.value, &b.value), tangent: F::zero() };
        if let Some(dd) = &d.tangent {
            by_lambda.tangent -= dot(dd, &b.value);
        }
        if let Some(db) = &b.tangent {
            by_lambda.tangent -= dot(&d.value, db);
        }
        let mut by_vector = Vec::new();
        for (index, sign) in [(0, F::one()), (1, -F::one())] {
            let (e, q, k) = (parts[index], vectors[2 * index], vectors[2 * index + 1]);
            let factor = Pair {
                value: sign * by_lambda.value * e.value,
                tangent: sign * (by_lambda.tangent * e.value + by_lambda.value * e.tangent),
            };
            by_vector.push((self.lambda[2 * index], scaled(k, factor, along)));
            by_vector.push((self.lambda[2 * index + 1], scaled(q, factor, along)));
        }
        let mut second = scaled(d, lambda, along);
        second.scale(-F::one());
        let side_by_side = |a: &Array2<F>, b: &Array2<F>| {
            ndarray::concatenate(ndarray::Axis(1), &[a.view(), b.view()]).expect("equal rows")
        };
        let value = side_by_side(&d_out.value, &second.value);
        let tangent = second.tangent.as_ref().map(|b| match &d_out.tangent {
            Some(a) => side_by_side(a, b),
            None => side_by_side(&Array2::zeros(b.dim()), b),
        });
        for (parameter, gradient) in by_vector {
            if pass.wants(parameter) {
                pass.add_parameter_gradient(parameter, gradient);
            }
        }
        pass.add_gradient(self.input, Matrix { value, tangent });
        Ok(())
    }
}
