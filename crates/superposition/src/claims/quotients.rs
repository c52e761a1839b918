//! Comparison of gradients with difference quotients.

/// The two step sizes of the quotients, coarse and fine.
///
/// The error of a central difference is `h² |f‴| / 6`. The third derivative of a loss with a ReLU grows without bound towards
/// the corner where slope and bias of an output are both zero, and there the coarse step is useless. The error of the fine step
/// is smaller by four orders of magnitude, while a wrong gradient is equally wrong with both steps. Where the loss is smooth the
/// coarse step is better, because the rounding error of the fine step is about `1e-9` times the loss.
const STEPS: [f64; 2] = [1e-5, 1e-7];

/// Returns the largest difference between a gradient and the central differences of its loss. Each coordinate uses the step with
/// the smaller difference.
///
/// The result is NaN if a loss or an entry of the gradient is NaN.
pub(super) fn gradient_error(loss: impl Fn(&[f64]) -> f64, point: &[f64], gradient: &[f64]) -> f64 {
    let mut moved = point.to_vec();
    let error = |i: usize| {
        let mut by_step = STEPS.map(|step| {
            moved[i] = point[i] + step;
            let above = loss(&moved);
            moved[i] = point[i] - step;
            let below = loss(&moved);
            moved[i] = point[i];
            ((above - below) / (2.0 * step) - gradient[i]).abs()
        });
        // NaN sorts last.
        by_step.sort_by(f64::total_cmp);
        if by_step[1].is_nan() { f64::NAN } else { by_step[0] }
    };
    super::extremes::largest((0..point.len()).map(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sharp_bend_is_accepted_and_a_wrong_slope_is_not() {
        // Bent within 3e-5 of the point: the third derivative is 1e9.
        let bend = |x: &[f64]| 3e-5 * (x[0] / 3e-5).exp().ln_1p();
        let slope = |x: f64| 1.0 / (1.0 + (-x / 3e-5).exp());
        let at = 2e-5;
        let coarse = ((bend(&[at + 1e-5]) - bend(&[at - 1e-5])) / 2e-5 - slope(at)).abs();
        assert!(coarse > 1e-4, "{coarse:e}");
        assert!(gradient_error(bend, &[at], &[slope(at)]) < 1e-6);
        let wrong = gradient_error(bend, &[at], &[slope(at) + 1e-3]);
        assert!((wrong - 1e-3).abs() < 1e-6, "{wrong:e}");
    }

    #[test]
    fn nan_is_returned() {
        assert!(gradient_error(|x| x[0] + x[1], &[1.0, 2.0], &[f64::NAN, 1.0]).is_nan());
        // A loss that is NaN on one side of the point.
        assert!(gradient_error(|x| x[0].sqrt(), &[1e-6], &[500.0]).is_nan());
        assert!(gradient_error(|x| x[0] + x[1], &[1.0, 2.0], &[1.0, 1.0]) < 1e-9);
    }
}
