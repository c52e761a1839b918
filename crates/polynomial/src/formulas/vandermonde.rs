use crate::error::PolynomialError;
use crate::learning_coefficient::LearningCoefficient;
use crate::rational::Rational;
use collimate_measure::ensure;

/// Returns λ and m of a Vandermonde-type singularity: `hidden` units with one input and `outputs` outputs, at the true
/// function zero.
///
/// ```text
/// K = Σ_{j<M} Σ_{k≥0} (Σ_{h≤H} a_{hj} b_h^{1 + Qk})²  near the origin,   Q = step, M = outputs
/// λ = ½ min over δ ≥ 0 of   H δ + M Σ_{k=1}^{H} max(0, 1 − (1 + Q(k − 1)) δ)
///   = min over i of (2H + M Q i(i + 1)) / (4 (1 + Q i))
/// ```
///
/// m is 2 if the minimum is attained at two corners of this function of δ, and 1 otherwise. Units with an odd activation
/// function, such as tanh, have Q = 2. The components of a mixture have Q = 1.
///
/// For given b, the volume of all a with `K < ε` is that of a parallelepiped in a cube. It depends on the largest minors of
/// the Vandermonde matrix, and δ is the common order of the b_h. Unequal orders do not make the sum smaller.
///
/// # Errors
/// [`PolynomialError::OutOfRange`] if a size is 0 or above 1000.
///
/// # Examples
/// ```
/// use collimate_polynomial::vandermonde;
/// assert_eq!(vandermonde(2, 2, 1)?.to_string(), "λ = 2/3, multiplicity 1"); // two tanh units
/// assert_eq!(vandermonde(4, 2, 1)?.to_string(), "λ = 1, multiplicity 2"); // four
/// # Ok::<(), collimate_polynomial::PolynomialError>(())
/// ```
///
/// # References
/// Aoyagi (2010), on Vandermonde matrix type singularities; Aoyagi (2019), Entropy 21:561.
pub fn vandermonde(
    hidden: usize,
    step: usize,
    outputs: usize,
) -> Result<LearningCoefficient, PolynomialError> {
    for (name, size) in
        [("the number of units", hidden), ("the step", step), ("the number of outputs", outputs)]
    {
        ensure((1..=1000).contains(&size), name, "in 1..=1000", size as f64)?;
    }
    let [h, q, m] = [hidden, step, outputs].map(|x| x as i128);
    // The function is convex and linear between its corners δ = 0 and δ = 1/(1 + Q(k − 1)). At the corner of k the terms
    // before k remain: M Σ_{j<k} (k − j) Q / (1 + Q(k − 1)).
    let corner = |k: i128| Rational::new(2 * h + m * q * k * (k - 1), 4 * (1 + q * (k - 1)));
    let values: Vec<Rational> = [Rational::new(m * h, 2)].into_iter().chain((1..=h).map(corner)).collect();
    let lambda = *values.iter().min().expect("at least one unit");
    let attained = values.iter().filter(|value| **value == lambda).count();
    Ok(LearningCoefficient::new(lambda, attained as u32))
}
