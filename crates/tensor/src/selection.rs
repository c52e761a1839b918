use crate::Scalar;

/// Finds the `k` largest entries of a row and puts them into `out` as (index, value), in ascending order of the index.
///
/// Entries are ranked by value in descending order, then by index in ascending order: among equal values the earlier
/// ones are taken. NaN ranks below every number. If `k` is the length or more, every entry is returned. `out` is cleared
/// first and keeps its memory.
///
/// # Examples
/// ```
/// let mut out = Vec::new();
/// collimate_tensor::top_k(&[1.0_f32, 3.0, 2.0, 3.0, 3.0], 2, &mut out);
/// assert_eq!(out, [(1, 3.0), (3, 3.0)]);
/// ```
pub fn top_k<F: Scalar>(row: &[F], k: usize, out: &mut Vec<(u32, F)>) {
    F::top_k_kernel(row, k, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn top_k_is_a_prefix_of_the_sorted_row(seed in 0u64..1000, n in 0usize..400, k in 0usize..50) {
            let mut stream = collimate_stream::RngStream::new(seed, 0);
            // Few distinct values: ties are the rule here; NaN and infinities among them.
            let special = [f64::NAN, f64::NEG_INFINITY, f64::INFINITY];
            let row: Vec<f64> =
                (0..n).map(|_| if stream.bernoulli(0.1) { special[stream.below(3)] } else { stream.below(9) as f64 }).collect();
            let mut expected: Vec<(u32, f64)> = row.iter().enumerate().map(|(i, &v)| (i as u32, v)).collect();
            let rank = |v: f64| if v.is_nan() { (0, 0.0) } else { (1, v) };
            expected.sort_by(|a, b| rank(b.1).partial_cmp(&rank(a.1)).unwrap()); // stable: ties by index
            expected.truncate(k);
            expected.sort_by_key(|e| e.0);
            let mut out = vec![(7, 7.0)];
            crate::top_k(&row, k, &mut out);
            let bits = |x: &[(u32, f64)]| x.iter().map(|e| (e.0, e.1.to_bits())).collect::<Vec<_>>();
            prop_assert_eq!(bits(&out), bits(&expected));
        }
    }
}
