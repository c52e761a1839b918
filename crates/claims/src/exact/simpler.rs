//! The order in which numbers count as simple.

/// Returns numbers that are simpler than `x`, simplest first.
pub(super) fn simpler(x: f64) -> Vec<f64> {
    let mut out = vec![0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0];
    if x.is_finite() {
        let halves = (2.0 * x).round() / 2.0;
        out.extend([x.abs(), x.round(), halves, x.trunc(), x.trunc() + x.signum()]);
        // Large integers are halved.
        if x.abs() > 2.0 {
            out.extend([(x / 2.0).round(), x.trunc() - x.signum()]);
        }
        for digits in 1..=6 {
            let scale = 10f64.powi(digits);
            out.extend([
                (x * scale).round() / scale,
                (x * scale).floor() / scale,
                (x * scale).ceil() / scale,
            ]);
        }
    }
    let own = cost(x);
    out.retain(|&y| cost(y) < own);
    out.sort_by_key(|&y| cost(y));
    out.dedup();
    out
}

/// Returns the number half-way between `low` and `high` on the scale that ends a bisection fast: the middle, or the geometric mean of
/// integers that differ much.
pub(super) fn between(low: f64, high: f64) -> f64 {
    if low >= 1.0 && high / low > 4.0 {
        (low * high).sqrt().floor()
    } else {
        (low + (high - low) / 2.0).floor()
    }
}

/// Returns the cost of a number. The order is: 0 first, then ±1, ±½, ±2, integers by size, halves by size, then by written length. A
/// negative number costs more than the positive one.
fn cost(x: f64) -> u128 {
    let (class, size) = match x.abs() {
        _ if !x.is_finite() => (8, 0),
        0.0 => (0, 0),
        1.0 => (1, 0),
        0.5 => (2, 0),
        2.0 => (3, 0),
        a if a.fract() == 0.0 => (4, (2.0 * a).min(1e18) as u128),
        a if (2.0 * a).fract() == 0.0 => (5, (2.0 * a).min(1e18) as u128),
        a => (6, a.to_string().len() as u128),
    };
    2 * (class * 10_u128.pow(19) + size) + u128::from(x < 0.0)
}

/// Returns the weight of numbers that change together: how many are not zero, then the sum of their costs, and then the sum of their
/// sizes times their positions, so that of equal costs the earlier numbers are the larger ones.
pub(super) fn weight(numbers: &[f64]) -> (usize, u128, u128) {
    let size = |(i, x): (usize, &f64)| i as u128 * x.abs().min(1e18) as u128;
    (
        numbers.iter().filter(|&&x| x != 0.0).count(),
        numbers.iter().map(|&x| cost(x)).sum(),
        numbers.iter().enumerate().map(size).sum(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simpler_numbers_are_sorted_and_every_chain_ends() {
        assert!(simpler(0.0).is_empty());
        assert_eq!(simpler(1.0), [0.0]);
        assert_eq!(simpler(-1.0), [0.0, 1.0]);
        let of = simpler(2.6583);
        assert_eq!(of[0], 0.0);
        assert!(of.contains(&3.0) && of.contains(&2.5) && of.contains(&2.7));
        assert!(simpler(-7.25).contains(&7.25));
        // Every chain of simplifications ends, because the key strictly decreases.
        let mut x = 123.456;
        let mut length = 0;
        while let Some(&next) = simpler(x).last() {
            x = next;
            length += 1;
        }
        assert!(length < 300, "{length}");
    }

    #[test]
    fn a_bisection_of_any_two_numbers_ends() {
        for (mut low, mut high) in [(0.0, 3.0), (0.0, 1e300), (1_234_567.0, 1_940_793.0), (0.0, f64::MAX)] {
            let mut steps = 0;
            while high - low > 1.0 && between(low, high) > low && between(low, high) < high {
                let middle = between(low, high);
                if steps % 2 == 0 {
                    low = middle
                } else {
                    high = middle
                }
                steps += 1;
            }
            assert!(steps < 200, "{steps}");
        }
    }

    #[test]
    fn numbers_that_vanish_make_a_list_lighter() {
        assert!(weight(&[101.0, 0.0]) < weight(&[1.0, 1.0]));
        assert!(weight(&[7.0, 0.0]) < weight(&[107.0, 0.0]));
        assert!(weight(&[7.0, 0.0]) < weight(&[-7.0, 0.0]));
        assert!(weight(&[20.0, 5.0]) < weight(&[12.0, 13.0]));
    }
}
