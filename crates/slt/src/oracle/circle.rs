use super::quadrature::integrate;
use std::f64::consts::PI;

/// A truth with many best approximations: the model `N(μ, I)` in the plane, with μ uniform on the unit circle, for data from
/// `N(0, I)`.
///
/// All μ are equally far from the truth, so K is zero everywhere and λ = 0. But the average log loss of n samples prefers
/// one μ by an amount of order √n.
///
/// ```text
/// E[F_n − n L_n(w₀)] = −E log I₀(√n |g|),   g ~ N(0, I)
/// ```
///
/// # Examples
/// ```
/// use collimate_slt::CircleMean;
/// // E|g| = √(π/2) = 1.2533.
/// assert!((CircleMean.free_energy(1e6) / -1e3 - 1.2533).abs() < 0.01);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircleMean;

impl CircleMean {
    /// Returns the free energy of `n` samples above `n L_n(w₀)`, averaged over data.
    pub fn free_energy(&self, n: f64) -> f64 {
        let [mean] = integrate(0.0, 9.0, 0.5, |r| {
            let pull = (n.sqrt() * r).max(1e-12);
            [r * (-0.5 * r * r).exp() * log_bessel(pull)]
        });
        -mean
    }
}

/// Returns `log I₀(x)`, as a mean over half the circle.
fn log_bessel(x: f64) -> f64 {
    let narrow = (20.0 / x.sqrt()).min(PI);
    let density = |a: f64| [(x * (a.cos() - 1.0)).exp()];
    let [near] = integrate(0.0, narrow, narrow / 8.0, density);
    let [far] = integrate(narrow, PI, 0.25, density);
    x + ((near + far) / PI).ln()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_bessel_function_has_its_known_values() {
        use approx::assert_abs_diff_eq;
        assert_abs_diff_eq!(super::log_bessel(1.0), 1.266_065_877_752_008_4f64.ln(), epsilon = 1e-13);
        assert_abs_diff_eq!(super::log_bessel(10.0), 2_815.716_628_466_254f64.ln(), epsilon = 1e-12);
        // e^x / √(2πx) · (1 + 1/8x)
        let asymptotic = 1e4 - 0.5 * (2.0 * std::f64::consts::PI * 1e4f64).ln() + (1.0f64 / 8e4).ln_1p();
        assert_abs_diff_eq!(super::log_bessel(1e4), asymptotic, epsilon = 1e-8);
    }
}
