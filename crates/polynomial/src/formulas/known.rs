use crate::error::PolynomialError;
use crate::learning_coefficient::LearningCoefficient;
use crate::rational::Rational;
use collimate_measure::ensure;

/// Returns λ of a network of `hidden` tanh units with one input and one output at the true function zero.
///
/// ```text
/// f(x) = Σ_h a_h tanh(b_h x),   λ = (H + i² + i)/(4i + 2),   i = ⌊√H⌋
/// ```
///
/// [`vandermonde`](crate::vandermonde) with the step 2 gives the same λ, and the multiplicity too.
///
/// # Errors
/// [`PolynomialError::OutOfRange`] for no units or more than 2³¹.
///
/// # Examples
/// ```
/// use collimate_polynomial::{Rational, tanh_network};
/// assert_eq!(tanh_network(4)?, Rational::new(1, 1)); // of 8 parameters
/// # Ok::<(), collimate_polynomial::PolynomialError>(())
/// ```
///
/// # References
/// Aoyagi (2019), Entropy 21:561.
pub fn tanh_network(hidden: usize) -> Result<Rational, PolynomialError> {
    ensure((1..=1 << 31).contains(&hidden), "the number of hidden units", "in 1..=2³¹", hidden as f64)?;
    let (h, i) = (hidden as i128, hidden.isqrt() as i128);
    Ok(Rational::new(h + i * i + i, 4 * i + 2))
}

/// Returns λ and m of the mixture `(1 − a) N(0, 1) + a N(b, 1)` with both parameters free, at the truth `N(0, 1)`:
/// (1/2, 2).
///
/// Its Kullback–Leibler divergence is `a² b²/2` times a function that is positive at the origin.
///
/// # References
/// Watanabe (2009), section 7.8, for mixtures of this kind.
pub fn gaussian_mixture() -> LearningCoefficient {
    LearningCoefficient::regular(1).product(&LearningCoefficient::regular(1))
}

/// Returns λ and m of the mixture `(1 − a) N(b, 1) + a N(c, 1)` with all three parameters free, at the truth `N(0, 1)`:
/// (3/4, 1).
///
/// The moments of the mixture generate the ideal of its Kullback–Leibler divergence, and the first two are enough. With
/// `u = (1 − a) b + a c` it is `(u, a c²)` near a = 0, `(u, c²)` at 0 < a < 1, and `(a, b)` where only one component has the
/// true mean. The smallest of the three coefficients is 3/4.
///
/// # Examples
/// ```
/// use collimate_polynomial::{free_gaussian_mixture, learning_coefficient, Polynomial};
/// let near_zero: Polynomial = "u^2 + (a*c^2)^2".parse()?;
/// assert_eq!(learning_coefficient(&near_zero)?.coefficient, free_gaussian_mixture());
/// # Ok::<(), collimate_polynomial::PolynomialError>(())
/// ```
///
/// # References
/// Yamazaki & Watanabe (2003), for mixtures of this kind.
pub fn free_gaussian_mixture() -> LearningCoefficient {
    LearningCoefficient::new(Rational::new(3, 4), 1)
}

/// Returns λ and m of a polygon of `corners` features in the toy model of superposition with two hidden dimensions.
///
/// The model has `features` features. The features that are no corners are spare. A number `dead` of the
/// spare features have a negative bias. The others have their best positive bias.
///
/// ```text
/// c features, 3c parameters, one of them the rotation; a dead feature is flat in its column and its bias
/// λ = (3c − 1 − 3·dead)/2,   m = 1
/// ```
///
/// # Errors
/// [`PolynomialError::OutOfRange`] unless `5 ≤ corners ≤ 8` and at most one spare feature is not dead. At four corners
/// the loss is not twice differentiable and λ depends on the direction. With more than eight corners no such polygon of
/// all features exists. With several live spare features the second-order term was not checked.
///
/// # Examples
/// ```
/// use collimate_polynomial::toy_model_polygon;
/// assert_eq!(toy_model_polygon(5, 6, 1)?.to_string(), "λ = 7, multiplicity 1");
/// assert_eq!(toy_model_polygon(6, 6, 0)?.to_string(), "λ = 17/2, multiplicity 1");
/// # Ok::<(), collimate_polynomial::PolynomialError>(())
/// ```
///
/// # References
/// Z. Chen et al. (2023), arXiv 2310.06301.
pub fn toy_model_polygon(
    corners: usize,
    features: usize,
    dead: usize,
) -> Result<LearningCoefficient, PolynomialError> {
    ensure((5..=8).contains(&corners), "corners", "in 5..=8", corners as f64)?;
    let fits = (corners..=1 << 20).contains(&features);
    ensure(fits, "features", "at least the number of corners, and at most 2²⁰", features as f64)?;
    let spare = features - corners;
    let fits = dead <= spare && dead + 1 >= spare;
    ensure(fits, "dead", "the number of spare features, or one less", dead as f64)?;
    Ok(LearningCoefficient::new(Rational::new(3 * features as i128 - 1 - 3 * dead as i128, 2), 1))
}
