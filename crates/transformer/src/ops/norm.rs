//! Normalisation of rows, and the gain and bias that follow it.

use crate::arrays::{Matrix, Number, RowFunction, View, map_rows, sum};
use crate::description::NormKind;
use crate::error::RunError;
use crate::pass::{Backward, Forward, Real};
use crate::pass::{Operation, Parameter, Slot};
use crate::site::HookPoint;
use collimate_tensor::zeros;
use ndarray::{Array2, Axis, Zip};
use rayon::prelude::*;

/// Computes x̂ = (x − μ)·r of each group of columns, with r = 1/√(mean (x − μ)² + ε) and μ = 0 for the root mean square.
pub(crate) struct Normalise {
    pub(crate) kind: NormKind,
    pub(crate) epsilon: f64,
    /// The number of groups of columns of a row that are normalised by themselves: the heads, or 1.
    pub(crate) groups: usize,
    /// The hook point of the divisor 1/r.
    pub(crate) scale: Option<HookPoint>,
    pub(crate) input: Slot,
    pub(crate) output: Slot,
}

struct Row {
    kind: NormKind,
    epsilon: f64,
}

/// A row whose squares are in range, with its mean and its factor.
///
/// A norm does not depend on a common scale: norm(x, ε) = norm(x/s, ε/s²), so a row whose squares overflow or vanish is divided first.
struct Measured<T> {
    /// The divisor s of the row, 1 for nearly every row, and a power of two so that its inverse is exact.
    divisor: T,
    /// The number 1/s.
    inverse: T,
    /// The mean μ of the divided row.
    mean: T,
    /// The factor r of the divided row.
    r: T,
}

impl Row {
    fn measure<T: Number>(&self, x: &[T]) -> Measured<T> {
        let one = T::constant(1.0);
        let inverse_root = |square: T::Wide, epsilon: f64| {
            T::narrow(T::Wide::constant(1.0) / (square + T::Wide::constant(epsilon)).root())
        };
        let (mean, square) = self.moments(x, one);
        let divided =
            |exponent: i32| (T::constant(2.0_f64.powi(exponent)), T::constant(2.0_f64.powi(-exponent)));
        let sum = square.plain() + self.epsilon;
        let top = x.iter().fold(self.epsilon.sqrt(), |top, x| top.max(x.plain().abs()));
        let fine = sum > 1e-30 && sum < 1e30;
        if fine || !(top > 0.0 && top < f64::INFINITY) {
            let r = inverse_root(square, self.epsilon);
            return Measured { divisor: one, inverse: one, mean: T::narrow(mean), r };
        }
        // Between these exponents, both the power and its inverse are numbers of every precision.
        let (divisor, inverse) = divided((top.log2() as i32).clamp(-120, 120));
        let (mean, square) = self.moments(x, inverse);
        let root = self.epsilon.sqrt() / divisor.plain();
        Measured { divisor, inverse, mean: T::narrow(mean), r: inverse_root(square, root * root) }
    }

    /// Returns the mean and the mean square distance from it of a row times a factor.
    fn moments<T: Number>(&self, x: &[T], factor: T) -> (T::Wide, T::Wide) {
        let n = T::Wide::constant(x.len() as f64);
        let mean = match self.kind {
            NormKind::RootMeanSquare => T::Wide::constant(0.0),
            NormKind::Layer => sum(x, |x| (x * factor).widen()) / n,
        };
        let square = sum(x, |x| {
            let distance = (x * factor).widen() - mean;
            distance * distance
        });
        (mean, square / n)
    }
}

impl RowFunction<1, 1> for Row {
    fn run<T: Number>(&self, _: usize, [x]: [&[T]; 1], [out]: [&mut [T]; 1]) {
        let Measured { inverse, mean, r, .. } = self.measure(x);
        for (out, &x) in out.iter_mut().zip(x) {
            *out = (x * inverse - mean) * r;
        }
    }
}

/// The adjoint: x̄ = r (u − mean u − x̂ mean(u x̂)) / s, where the mean of u is left out for the root mean square.
impl RowFunction<2, 1> for Row {
    fn run<T: Number>(&self, _: usize, [x, u]: [&[T]; 2], [out]: [&mut [T]; 1]) {
        let Measured { inverse, mean, r, .. } = self.measure(x);
        let n = T::constant(x.len() as f64);
        for ((out, &x), &u) in out.iter_mut().zip(x).zip(u) {
            *out = u * (x * inverse - mean) * r;
        }
        let along = T::narrow(sum(out, |product| product.widen())) / n;
        let center = if self.kind == NormKind::Layer {
            T::narrow(sum(u, |u| u.widen())) / n
        } else {
            T::constant(0.0)
        };
        let factor = r * inverse;
        for ((out, &x), &u) in out.iter_mut().zip(x).zip(u) {
            *out = factor * (u - center - (x * inverse - mean) * r * along);
        }
    }
}

impl Normalise {
    fn row(&self) -> Row {
        Row { kind: self.kind, epsilon: self.epsilon }
    }

    /// Shows the divisors to the hooks, and divides by what they leave.
    fn divide_shown<F: Real>(
        &self,
        point: HookPoint,
        pass: &mut Forward<'_, F>,
    ) -> Result<Matrix<F>, RunError> {
        let x = pass.get(self.input).value.to_owned();
        let row = self.row();
        let measured: Vec<Measured<F>> = x.rows().into_iter().map(|x| row.measure(&x.to_vec())).collect();
        let mut scale = Array2::from_shape_fn((x.nrows(), 1), |(i, _)| measured[i].divisor / measured[i].r);
        pass.show_rows(point, &mut scale)?;
        let value = Array2::from_shape_fn(x.dim(), |(i, j)| {
            (x[[i, j]] - measured[i].mean * measured[i].divisor) / scale[[i, 0]]
        });
        Ok(Matrix { value, tangent: None })
    }
}

/// Returns a matrix with the groups of columns as rows.
fn split<F: Real>(x: View<'_, F>, groups: usize) -> Matrix<F> {
    let (rows, columns) = x.value.dim();
    let shape = (rows * groups, columns / groups);
    let own = |x: ndarray::ArrayView2<'_, F>| {
        let x = x.as_standard_layout().into_owned();
        x.into_shape_with_order(shape).expect("groups divide the columns")
    };
    Matrix { value: own(x.value), tangent: x.tangent.map(own) }
}

/// Returns a matrix with `groups` rows put side by side.
fn join<F: Real>(x: Matrix<F>, groups: usize) -> Matrix<F> {
    let (rows, columns) = x.dim();
    let shape = (rows / groups, columns * groups);
    let own = |x: Array2<F>| x.into_shape_with_order(shape).expect("groups divide the rows");
    Matrix { value: own(x.value), tangent: x.tangent.map(own) }
}

impl<F: Real> Operation<F> for Normalise {
    fn inputs(&self) -> Vec<Slot> {
        vec![self.input]
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn points(&self) -> Vec<HookPoint> {
        self.scale.into_iter().collect()
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        if let Some(point) = self.scale.filter(|&point| pass.shows(point)) {
            let out = self.divide_shown(point, pass)?;
            return pass.set(self.output, out);
        }
        let x = pass.get(self.input);
        let width = x.value.ncols() / self.groups;
        let out = if self.groups == 1 {
            let [out] = map_rows(&self.row(), [x], [width]);
            out
        } else {
            let x = split(x, self.groups);
            let [out] = map_rows(&self.row(), [x.view()], [width]);
            join(out, self.groups)
        };
        pass.set(self.output, out)
    }

    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError> {
        let Some(u) = pass.take_gradient(self.output) else { return Ok(()) };
        let x = split(pass.get(self.input), self.groups);
        let u = split(u.view(), self.groups);
        let width = x.dim().1;
        let [out] = map_rows::<F, 2, 1>(&self.row(), [x.view(), u.view()], [width]);
        pass.add_gradient(self.input, join(out, self.groups));
        Ok(())
    }
}

/// Computes y = x ∘ (g + offset) + β, with a gain and a bias for each column.
pub(crate) struct Gain {
    /// The gain, `[1, d]` with d a divisor of the number of columns, or `[groups, width]`.
    pub(crate) gain: Option<Parameter>,
    /// The number that is added to the gain: 1 where the file stores the gain minus one.
    pub(crate) offset: f64,
    pub(crate) bias: Option<Parameter>,
    pub(crate) input: Slot,
    pub(crate) output: Slot,
}

/// Repeats a parameter until it has one number for each column.
fn spread<F: Real>(parameter: View<'_, F>, columns: usize, offset: F) -> Matrix<F> {
    let long = |x: ndarray::ArrayView2<'_, F>, offset: F| {
        let all: Vec<F> = x.iter().map(|&x| x + offset).collect();
        Array2::from_shape_fn((1, columns), |(_, c)| all[c % all.len()])
    };
    Matrix { value: long(parameter.value, offset), tangent: parameter.tangent.map(|x| long(x, F::zero())) }
}

/// Sums the gradient by each column into the shape of a parameter that was spread over the columns.
fn gather<F: Real>(by_column: &Matrix<F>, shape: (usize, usize)) -> Matrix<F> {
    let short = |x: &Array2<F>| {
        let mut out = vec![F::zero(); shape.0 * shape.1];
        let length = out.len();
        for (c, &x) in x.iter().enumerate() {
            out[c % length] += x;
        }
        Array2::from_shape_vec(shape, out).expect("as many numbers as the shape has")
    };
    Matrix { value: short(&by_column.value), tangent: by_column.tangent.as_ref().map(short) }
}

/// Returns the elementwise product of a matrix and a row that is repeated, by the product rule.
fn times_row<F: Real>(x: View<'_, F>, row: &Matrix<F>) -> Matrix<F> {
    let tangent = match (x.tangent, &row.tangent) {
        (None, None) => None,
        (Some(dx), None) => Some(&dx * &row.value),
        (None, Some(dr)) => Some(&x.value * dr),
        (Some(dx), Some(dr)) => Some(&dx * &row.value + &x.value * dr),
    };
    let mut value = zeros(x.value.dim());
    let factors = row.value.row(0);
    let blocks: Vec<_> =
        value.axis_chunks_iter_mut(Axis(0), 16).zip(x.value.axis_chunks_iter(Axis(0), 16)).collect();
    blocks.into_par_iter().for_each(|(mut out, x)| {
        for (mut out, x) in out.rows_mut().into_iter().zip(x.rows()) {
            Zip::from(&mut out).and(&x).and(&factors).for_each(|out, &x, &factor| *out = x * factor);
        }
    });
    Matrix { value, tangent }
}

/// Returns the column sums of a ∘ b, or of a alone, as a row.
pub(super) fn column_sums<F: Real>(a: View<'_, F>, b: Option<View<'_, F>>) -> Matrix<F> {
    let sum = |a: &ndarray::ArrayView2<'_, F>, b: Option<&ndarray::ArrayView2<'_, F>>| {
        let mut total = vec![F::zero(); a.ncols()];
        for (index, row) in a.rows().into_iter().enumerate() {
            match b {
                Some(b) => total.iter_mut().zip(row).zip(b.row(index)).for_each(|((t, &a), &b)| *t += a * b),
                None => total.iter_mut().zip(row).for_each(|(t, &a)| *t += a),
            }
        }
        Array2::from_shape_vec((1, total.len()), total).expect("one row")
    };
    let value = sum(&a.value, b.as_ref().map(|b| &b.value));
    let one = a.tangent.as_ref().map(|da| sum(da, b.as_ref().map(|b| &b.value)));
    let two = b.as_ref().and_then(|b| b.tangent.as_ref()).map(|db| sum(&a.value, Some(db)));
    let tangent = match (one, two) {
        (Some(one), Some(two)) => Some(one + two),
        (one, two) => one.or(two),
    };
    Matrix { value, tangent }
}

/// Adds the gradient by a bias: the column sums of the gradient by the sums.
pub(super) fn add_bias_gradient<F: Real>(pass: &mut Backward<'_, F>, bias: Parameter, d_out: &Matrix<F>) {
    if pass.wants(bias) {
        let shape = pass.parameter(bias).value.dim();
        let by_column = column_sums(d_out.view(), None);
        pass.add_parameter_gradient(bias, gather(&by_column, shape));
    }
}

/// Adds a bias to each row.
pub(super) fn add_bias<F: Real>(out: &mut Matrix<F>, bias: View<'_, F>) {
    let row = spread(bias, out.dim().1, F::zero());
    out.value += &row.value;
    if let Some(from) = &row.tangent {
        let shape = out.value.dim();
        *out.tangent.get_or_insert_with(|| Array2::zeros(shape)) += from;
    }
}

impl<F: Real> Operation<F> for Gain {
    fn inputs(&self) -> Vec<Slot> {
        vec![self.input]
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        let x = pass.get(self.input);
        let columns = x.value.ncols();
        let mut out = match self.gain {
            Some(gain) => times_row(x, &spread(pass.parameter(gain), columns, F::from_f64(self.offset))),
            None => Matrix { value: x.value.to_owned(), tangent: x.tangent.map(|x| x.to_owned()) },
        };
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
        let Some(gain) = self.gain else {
            pass.add_gradient(self.input, d_out);
            return Ok(());
        };
        let x = pass.get(self.input);
        let columns = x.value.ncols();
        let shape = pass.parameter(gain).value.dim();
        let by_gain = pass.wants(gain).then(|| gather(&column_sums(d_out.view(), Some(x)), shape));
        let row = spread(pass.parameter(gain), columns, F::from_f64(self.offset));
        let d_x = times_row(d_out.view(), &row);
        if let Some(by_gain) = by_gain {
            pass.add_parameter_gradient(gain, by_gain);
        }
        pass.add_gradient(self.input, d_x);
        Ok(())
    }
}
