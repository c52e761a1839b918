//! A mixture of experts: the MLPs that a router chooses for each token.

use super::bounded::Bounded;
use super::gate::{gated, gated_backward};
use super::norm::{add_bias, column_sums};
use super::routing::{Routing, RowProducts, RowSums};
use crate::arrays::{Matrix, View, WeightRows, apply, map_rows};
use crate::error::RunError;
use crate::pass::{Backward, Forward, Real};
use crate::pass::{Operation, Parameter, Slot};
use collimate_grad::primitive::activation::Activation;
use ndarray::{Array2, Axis, s};

/// Computes Σ w_j M_j(y) over the experts j that the logits of the router choose.
pub(crate) struct Experts {
    /// The number of experts.
    pub(crate) count: usize,
    pub(crate) routing: Routing,
    pub(crate) nonlinearity: Nonlinearity,
    /// The matrix whose products enter the nonlinearity.
    pub(crate) gate: ExpertMatrix,
    /// The matrix whose products multiply the result.
    pub(crate) up: Option<ExpertMatrix>,
    pub(crate) down: ExpertMatrix,
    pub(crate) input: Slot,
    /// The logits of the router, `[b·t, n]`.
    pub(crate) router: Slot,
    pub(crate) output: Slot,
}

/// The hidden activations of an expert.
pub(crate) enum Nonlinearity {
    /// act(gate) ∘ up.
    Plain(Activation),
    /// The gate with bounds.
    Bounded(Bounded),
}

/// The matrices of all experts, one below the other, with a bias for each.
#[derive(Clone, Copy)]
pub(crate) struct ExpertMatrix {
    pub(crate) weight: Parameter,
    /// The biases, one row for each expert.
    pub(crate) bias: Option<Parameter>,
}

impl Nonlinearity {
    fn forward<'a, F: Real>(&self, gate: View<'a, F>, up: Option<View<'a, F>>) -> Matrix<F> {
        match (self, up) {
            (Self::Bounded(bounded), Some(up)) => bounded.forward(gate, up),
            (Self::Plain(activation), up) => gated(*activation, gate, up),
            (Self::Bounded(_), None) => unreachable!("a gate with bounds has an up projection"),
        }
    }

    fn backward<'a, F: Real>(
        &self,
        gate: View<'a, F>,
        up: Option<View<'a, F>>,
        d: &'a Matrix<F>,
    ) -> (Matrix<F>, Option<Matrix<F>>) {
        match (self, up) {
            (Self::Bounded(bounded), Some(up)) => bounded.backward(gate, up, d.view()),
            (Self::Plain(activation), up) => gated_backward(*activation, gate, up, d),
            (Self::Bounded(_), None) => unreachable!("a gate with bounds has an up projection"),
        }
    }
}

/// The activations of one expert on the tokens that it was chosen for.
struct Active<F> {
    /// The rows of these tokens.
    rows: Vec<usize>,
    x: Matrix<F>,
    gate: Matrix<F>,
    up: Option<Matrix<F>>,
    hidden: Matrix<F>,
    out: Matrix<F>,
}

/// The parameters of a pass in either direction.
trait Read<'a, F> {
    fn matrix(&self, matrix: ExpertMatrix, expert: usize, count: usize) -> WeightRows<'a, F>;
    fn bias(&self, matrix: ExpertMatrix, expert: usize) -> Option<View<'a, F>>;
}

/// Returns one row of the biases.
fn row_of<F>(x: View<'_, F>, expert: usize) -> View<'_, F> {
    let row = s![expert..expert + 1, ..];
    View { value: x.value.slice_move(row), tangent: x.tangent.map(|x| x.slice_move(row)) }
}

macro_rules! read {
    ($pass:ident) => {
        impl<'a, F: Real> Read<'a, F> for $pass<'a, F> {
            fn matrix(&self, matrix: ExpertMatrix, expert: usize, count: usize) -> WeightRows<'a, F> {
                let weight = self.weight(matrix.weight);
                let rows = weight.dim().0 / count;
                weight.rows(expert * rows..(expert + 1) * rows)
            }

            fn bias(&self, matrix: ExpertMatrix, expert: usize) -> Option<View<'a, F>> {
                matrix.bias.map(|bias| row_of(self.parameter(bias), expert))
            }
        }
    };
}
read!(Forward);
read!(Backward);

impl Experts {
    /// Computes one product of an expert.
    fn product<'a, F: Real>(
        &self,
        pass: &impl Read<'a, F>,
        m: ExpertMatrix,
        expert: usize,
        x: View<'_, F>,
    ) -> Matrix<F> {
        let mut out = apply(x, pass.matrix(m, expert, self.count).view());
        if let Some(bias) = pass.bias(m, expert) {
            add_bias(&mut out, bias);
        }
        out
    }

    /// Computes one expert on the tokens that it was chosen for, or nothing if there are none.
    fn active<'a, F: Real>(
        &self,
        pass: &impl Read<'a, F>,
        x: View<'_, F>,
        chosen: &[Vec<usize>],
        expert: usize,
    ) -> Option<Active<F>> {
        let rows: Vec<usize> = (0..chosen.len()).filter(|&row| chosen[row].contains(&expert)).collect();
        if rows.is_empty() {
            return None;
        }
        let x = select(x, &rows);
        let gate = self.product(pass, self.gate, expert, x.view());
        let up = self.up.map(|up| self.product(pass, up, expert, x.view()));
        let hidden = self.nonlinearity.forward(gate.view(), up.as_ref().map(Matrix::view));
        let out = self.product(pass, self.down, expert, hidden.view());
        Some(Active { rows, x, gate, up, hidden, out })
    }

    /// Adds the gradients by the matrix and the bias of an expert, and returns the gradient by its input.
    fn product_backward<F: Real>(
        &self,
        pass: &mut Backward<'_, F>,
        m: ExpertMatrix,
        expert: usize,
        x: View<'_, F>,
        d: &Matrix<F>,
    ) -> Matrix<F> {
        let weight = pass.matrix(m, expert, self.count);
        let d_x = d.view().times(weight.view(), F::one());
        drop(weight);
        if pass.wants(m.weight) {
            let rows = d.dim().1;
            add_rows(pass, m.weight, expert * rows, d.view().t().times(x, F::one()));
        }
        if let Some(bias) = m.bias.filter(|&bias| pass.wants(bias)) {
            add_rows(pass, bias, expert, column_sums(d.view(), None));
        }
        d_x
    }

    /// Adds the gradients of one expert, and returns those by its tokens and by their weights.
    fn active_backward<F: Real>(
        &self,
        pass: &mut Backward<'_, F>,
        expert: usize,
        active: &Active<F>,
        weights: View<'_, F>,
        d: View<'_, F>,
    ) -> (Matrix<F>, Matrix<F>) {
        let d = select(d, &active.rows);
        let weight = column(weights, &active.rows, expert);
        let [d_weight] = map_rows(&RowSums, [d.view(), active.out.view()], [1]);
        let [d_out] = map_rows(&RowProducts, [weight.view(), d.view()], [d.dim().1]);
        let d_hidden = self.product_backward(pass, self.down, expert, active.hidden.view(), &d_out);
        let up = active.up.as_ref().map(Matrix::view);
        let (d_gate, d_up) = self.nonlinearity.backward(active.gate.view(), up, &d_hidden);
        let mut d_x = self.product_backward(pass, self.gate, expert, active.x.view(), &d_gate);
        if let (Some(up), Some(d_up)) = (self.up, d_up) {
            let more = self.product_backward(pass, up, expert, active.x.view(), &d_up);
            d_x.add_scaled(more.view(), F::one());
        }
        (d_x, d_weight)
    }
}

/// Adds rows to the gradient by a parameter.
fn add_rows<F: Real>(pass: &mut Backward<'_, F>, parameter: Parameter, first: usize, rows: Matrix<F>) {
    let mut all = pass.take_parameter_gradient(parameter);
    let place = s![first..first + rows.dim().0, ..];
    let mut to = all.value.slice_mut(place);
    to += &rows.value;
    if let Some(rows) = rows.tangent {
        let shape = all.value.dim();
        let mut to = all.tangent.get_or_insert_with(|| Array2::zeros(shape)).slice_mut(place);
        to += &rows;
    }
    pass.put_parameter_gradient(parameter, all);
}

/// Returns some rows.
fn select<F: Real>(x: View<'_, F>, rows: &[usize]) -> Matrix<F> {
    Matrix { value: x.value.select(Axis(0), rows), tangent: x.tangent.map(|x| x.select(Axis(0), rows)) }
}

/// Returns some rows of one column, `[rows, 1]`.
fn column<F: Real>(x: View<'_, F>, rows: &[usize], index: usize) -> Matrix<F> {
    let of = s![.., index..index + 1];
    select(View { value: x.value.slice_move(of), tangent: x.tangent.map(|x| x.slice_move(of)) }, rows)
}

/// Adds rows to the rows with the given numbers, from a column on.
fn scatter<F: Real>(from: &Matrix<F>, rows: &[usize], first: usize, to: &mut Matrix<F>) {
    let add = |from: &Array2<F>, to: &mut Array2<F>| {
        for (from, &row) in from.rows().into_iter().zip(rows) {
            let mut to = to.slice_mut(s![row, first..first + from.len()]);
            to += &from;
        }
    };
    add(&from.value, &mut to.value);
    if let (Some(from), Some(to)) = (&from.tangent, &mut to.tangent) {
        add(from, to);
    }
}

impl<F: Real> Operation<F> for Experts {
    fn inputs(&self) -> Vec<Slot> {
        vec![self.input, self.router]
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        let (x, logits) = (pass.get(self.input), pass.get(self.router));
        let chosen = self.routing.chosen_rows(logits.value);
        let [weights] = map_rows::<F, 1, 1>(&self.routing, [logits], [self.count]);
        let mut out = Matrix::zeros(x.value.dim(), pass.is_along());
        for expert in 0..self.count {
            let Some(active) = self.active(&*pass, x, &chosen, expert) else { continue };
            let weight = column(weights.view(), &active.rows, expert);
            let [weighted] = map_rows(&RowProducts, [weight.view(), active.out.view()], [active.out.dim().1]);
            scatter(&weighted, &active.rows, 0, &mut out);
        }
        pass.set(self.output, out)
    }

    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError> {
        let Some(d_out) = pass.take_gradient(self.output) else { return Ok(()) };
        let own =
            |x: View<'_, F>| Matrix { value: x.value.to_owned(), tangent: x.tangent.map(|x| x.to_owned()) };
        let (x, logits) = (own(pass.get(self.input)), own(pass.get(self.router)));
        let chosen = self.routing.chosen_rows(logits.value.view());
        let [weights] = map_rows::<F, 1, 1>(&self.routing, [logits.view()], [self.count]);
        let mut d_x = Matrix::zeros(x.dim(), pass.is_along());
        let mut d_weights = Matrix::zeros(logits.dim(), pass.is_along());
        for expert in 0..self.count {
            let Some(active) = self.active(&*pass, x.view(), &chosen, expert) else { continue };
            let (by_x, by_weight) = self.active_backward(pass, expert, &active, weights.view(), d_out.view());
            scatter(&by_x, &active.rows, 0, &mut d_x);
            scatter(&by_weight, &active.rows, expert, &mut d_weights);
        }
        let [d_logits] = map_rows::<F, 2, 1>(&self.routing, [logits.view(), d_weights.view()], [self.count]);
        pass.add_gradient(self.router, d_logits);
        pass.add_gradient(self.input, d_x);
        Ok(())
    }
}
