//! Certified coefficients against the volume of K < ε, by independent integrals.

use collimate_slt::{Polynomial, learning_coefficient};

/// Returns log V(ε) of `K = (y² − q(x))² + g(x)` on [−1, 1]². The length in y is in closed form, and x runs over a
/// logarithmic grid.
fn log_volume(q: fn(f64) -> f64, g: fn(f64) -> f64, epsilon: f64) -> f64 {
    let (steps, end) = (40_000, 160.0);
    let mut sum = 0.0;
    for i in 0..steps {
        let size = (-end * (f64::from(i) + 0.5) / f64::from(steps)).exp();
        for x in [size, -size] {
            let left = epsilon - g(x);
            if left <= 0.0 {
                continue;
            }
            // q − s < y² < q + s
            let (s, q) = (left.sqrt(), q(x));
            let high = (q + s).max(0.0).sqrt().min(1.0);
            let low = (q - s).max(0.0).sqrt().min(1.0);
            // Computes the difference of two close roots without cancellation.
            let length = if low > 0.0 { 2.0 * s / (high + low) } else { high };
            sum += 2.0 * length * size * end / f64::from(steps);
        }
    }
    sum.ln()
}

/// Checks that the slope of `log V − (m − 1) log log 1/ε` is the certified λ.
#[track_caller]
fn scales(texts: &[&str], log_volume: impl Fn(f64) -> f64) {
    let (a, b) = (1e-60f64, 1e-100f64);
    for text in texts {
        let found = learning_coefficient(text.parse::<Polynomial>().unwrap()).unwrap();
        assert!(found.certified(), "{text}: {found}");
        let extra = f64::from(found.coefficient.multiplicity - 1);
        let corrected = |epsilon: f64| log_volume(epsilon) - extra * (-epsilon.ln()).ln();
        let slope = (corrected(a) - corrected(b)) / (a / b).ln();
        assert!((slope - found.coefficient.lambda_f64()).abs() < 4e-3, "{text}: {found}, slope {slope}");
    }
}

#[test]
fn degenerate_polynomials_have_the_volume_of_their_coefficient() {
    // The second polynomial of each pair is the first one in other coordinates: linear forms of three variables, or a shear.
    scales(&["(y^2 - x^3)^2", "((x + y)^2 - (y + z)^3)^2"], |e| log_volume(|x| x * x * x, |_| 0.0, e));
    scales(&["(y^2 - x^3)^2 + x^6", "((y + x*z)^2 - x^3)^2 + x^6"], |e| {
        log_volume(|x| x * x * x, |x| x.powi(6), e)
    });
    scales(&["(y^2 - 2*x^2)^2 + x^6", "((x + 2*y - z)^2 - 2*(y + z)^2)^2 + (y + z)^6"], |e| {
        log_volume(|x| 2.0 * x * x, |x| x.powi(6), e)
    });
    scales(&["(y^2 - x^4)^2 + x^10", "((y - x^2 - x^3)^2 - x^4)^2 + x^10"], |e| {
        log_volume(|x| x.powi(4), |x| x.powi(10), e)
    });
    scales(&["(y^2 - x^2)^2"], |e| log_volume(|x| x * x, |_| 0.0, e));
}

#[test]
fn completed_squares_have_the_volume_of_their_coefficient() {
    // The length in z is 2√(ε − u²) with u = xy. The density of u on [−1, 1]² is −log|u|. The integral runs over v = u/√ε.
    scales(&["(z - x*y)^2 + x^2*y^2", "(1 + x*y)*(z - x*y)^2 + x^2*y^2"], |epsilon: f64| {
        let steps = 100_000;
        let term = |i: u32| {
            let v = (f64::from(i) + 0.5) / f64::from(steps);
            (1.0 - v * v).sqrt() * -(v.ln() + 0.5 * epsilon.ln()) / f64::from(steps)
        };
        epsilon.ln() + (0..steps).map(term).sum::<f64>().ln()
    });
    // With two such squares and a fourth power of xy, (z, w) lies in a ball of radius √(ε − u⁴).
    scales(&["(z - x*y)^2 + (w - x*z)^2 + (x*y)^4"], |epsilon: f64| {
        let steps = 100_000;
        let term = |i: u32| {
            let v = (f64::from(i) + 0.5) / f64::from(steps);
            (1.0 - v.powi(4)) * -(v.ln() + 0.25 * epsilon.ln()) / f64::from(steps)
        };
        1.25 * epsilon.ln() + (0..steps).map(term).sum::<f64>().ln()
    });
}
