use collimate_tensor::Scalar;

/// Returns the largest number of a row, or −∞ for an empty row.
pub(super) fn largest<F: Scalar>(z: &[F]) -> F {
    z.iter().fold(F::neg_infinity(), |m, &x| if x > m { x } else { m })
}

/// Returns the numbers in falling order, minus the largest number.
pub(super) fn sorted_below_top<F: Scalar>(z: &[F]) -> Vec<F> {
    let top = largest(z);
    let mut sorted: Vec<F> = z.iter().map(|&x| x - top).collect();
    sorted.sort_by(|a, b| b.partial_cmp(a).expect("the row has no NaN"));
    sorted
}
