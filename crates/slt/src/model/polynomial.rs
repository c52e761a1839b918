use crate::Polynomial;
use collimate_grad::{Batch, Objective, Scratch};

/// A polynomial as a population loss, so that chains can sample what [`crate::learning_coefficient`] computes exactly.
///
/// Its one "sample" is the whole population, so all batches are equal. It needs walls or a localisation, like every loss
/// with flat directions.
///
/// # Examples
/// ```
/// use collimate_grad::{Batch, Objective, Scratch};
/// use collimate_slt::{Polynomial, PolynomialLoss};
/// let k: Polynomial = "x^2*y^2 + y^4".parse()?;
/// let mut gradient = [0.0; 2];
/// let loss = PolynomialLoss::new(&k).loss_and_gradient_into(
///     &[3.0, 1.0], Batch::All, &mut Scratch::new(), &mut gradient);
/// assert_eq!((loss, gradient), (10.0, [6.0, 22.0]));
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PolynomialLoss {
    dimensions: usize,
    terms: Vec<(Vec<i32>, f64)>,
}

impl PolynomialLoss {
    /// Creates the loss of a polynomial. Coefficients are rounded to the nearest `f64`.
    pub fn new(polynomial: &Polynomial) -> Self {
        let terms = polynomial.rounded_terms().map(|(exponents, coefficient)| {
            let exponents = exponents.iter().map(|&e| e as i32).collect();
            (exponents, coefficient)
        });
        Self { dimensions: polynomial.variables().len(), terms: terms.collect() }
    }
}

impl Objective<f64> for PolynomialLoss {
    fn n_parameters(&self) -> usize {
        self.dimensions
    }

    fn n_samples(&self) -> usize {
        1
    }

    fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        out.fill(0.0);
        let mut loss = 0.0;
        for (exponents, coefficient) in &self.terms {
            let power = |i: usize| w[i].powi(exponents[i]);
            loss += coefficient * (0..w.len()).map(power).product::<f64>();
            for (i, out) in out.iter_mut().enumerate().filter(|(i, _)| exponents[*i] > 0) {
                // The product of the other powers. The term divided by w would be 0/0 on the axes.
                let others: f64 = (0..w.len()).filter(|j| *j != i).map(power).product();
                *out += coefficient * others * f64::from(exponents[i]) * w[i].powi(exponents[i] - 1);
            }
        }
        loss
    }
}
