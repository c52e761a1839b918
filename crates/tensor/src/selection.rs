use crate::Scalar;
use std::cmp::Ordering;

/// The `k` largest entries of a row, as (index, value) in ascending order of the index.
///
/// Ties are broken by (value descending, index ascending): of equal values the earlier ones are taken. NaN ranks below
/// everything. With `k` at or above the length, every entry is returned. `out` is cleared first and keeps its memory.
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

macro_rules! selection {
    ($f:ident) => {
        pub(crate) fn $f(row: &[$f], k: usize, out: &mut Vec<(u32, $f)>) {
            out.clear();
            if k == 0 {
                return;
            }
            // NaN last, then value descending, then index ascending.
            let order = |a: &(u32, $f), b: &(u32, $f)| {
                let values = b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal);
                a.1.is_nan().cmp(&b.1.is_nan()).then(values).then(a.0.cmp(&b.0))
            };
            if k >= row.len() {
                out.extend(row.iter().enumerate().map(|(i, &v)| (i as u32, v)));
                return;
            }
            // Candidates above a running threshold; when the buffer is full, it shrinks to the best k.
            let capacity = (4 * k).max(64);
            let mut threshold = $f::NEG_INFINITY;
            let mut full = false;
            for (i, &v) in row.iter().enumerate() {
                if full && (v <= threshold || v.is_nan()) {
                    continue;
                }
                out.push((i as u32, v));
                if out.len() == capacity {
                    out.select_nth_unstable_by(k - 1, order);
                    out.truncate(k);
                    threshold = out[k - 1].1;
                    full = !threshold.is_nan();
                }
            }
            if out.len() > k {
                out.select_nth_unstable_by(k - 1, order);
                out.truncate(k);
            }
            out.sort_unstable_by_key(|entry| entry.0);
        }
    };
}

selection!(f32);
selection!(f64);

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
