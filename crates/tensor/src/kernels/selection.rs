//! The selection of the largest entries of a row.

use std::cmp::Ordering;

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
