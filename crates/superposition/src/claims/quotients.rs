//! Gradients of exact losses as the limits of their difference quotients.

/// The steps of the quotients, from the coarse to the fine one.
///
/// A central difference is off by `h² |f‴| / 6`, and the third derivative of a loss with a ReLU grows without bound towards
/// the corner where slope and bias of an output vanish together. There the coarse step says nothing. The fine one is closer by
/// four orders, while a wrong gradient is as wrong with it. Where the loss is smooth the coarse step is the better one: the
/// fine one loses about `1e-9` times the loss to rounding.
const STEPS: [f64; 2] = [1e-5, 1e-7];

/// The largest distance of a gradient from the central differences of its loss, at each coordinate that of the nearer step.
///
/// NaN when a loss or an entry of the gradient is.
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
        // NaN stands last, as the largest of all.
        by_step.sort_by(f64::total_cmp);
        if by_step[1].is_nan() { f64::NAN } else { by_step[0] }
    };
    super::largest((0..point.len()).map(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sharp_bend_is_seen_through_and_a_wrong_slope_is_not() {
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
    fn what_is_not_a_number_is_not_lost() {
        assert!(gradient_error(|x| x[0] + x[1], &[1.0, 2.0], &[f64::NAN, 1.0]).is_nan());
        // A loss that is a number on one side of the point alone.
        assert!(gradient_error(|x| x[0].sqrt(), &[1e-6], &[500.0]).is_nan());
        assert!(gradient_error(|x| x[0] + x[1], &[1.0, 2.0], &[1.0, 1.0]) < 1e-9);
    }
}
