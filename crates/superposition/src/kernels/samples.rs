//! Loss and gradient of a toy model on fixed samples in double precision, eight samples at once. Samplers call this loop
//! millions of times.

use collimate_tensor::kernel_parts::lanes::{add_product, add_scaled};

const LANES: usize = 8;
type Lane = [f64; LANES];

/// The working memory, which is kept between calls.
#[derive(Default)]
pub(crate) struct Work {
    x: Vec<Lane>,
    gradient: Vec<Lane>,
}

/// Rows of samples and the indices of the rows to use; without indices all rows.
#[derive(Clone, Copy)]
pub(crate) struct Samples<'a> {
    pub(crate) rows: &'a [f64],
    pub(crate) indices: Option<&'a [usize]>,
}

collimate_tensor::leveled! {
    [FUSED: bool = true, true, false]

    /// Computes the sum over samples of `Σ_i I_i (x_i − x'_i)²`, and writes its gradient by `W` `[M, n]` and `b` to `out`.
    pub(crate) fn loss_and_gradient<const M: usize>(
        w: &[f64], importance: &[f64], relu: bool, samples: Samples<'_>, work: &mut Work, out: &mut [f64],
    ) -> f64 {
        // No number is at most NaN, so a linear output is never replaced by 0.
        let floor = if relu { 0.0 } else { f64::NAN };
        let n = importance.len();
        let (weights, bias) = w.split_at(M * n);
        let count = samples.indices.map_or(samples.rows.len() / n, <[usize]>::len);
        work.x.resize(n, [0.0; LANES]);
        work.gradient.clear();
        work.gradient.resize((M + 1) * n, [0.0; LANES]);
        let (x, gradient) = (&mut work.x[..n], &mut work.gradient[..]);
        let mut loss = [0.0; LANES];
        for first in (0..count).step_by(LANES) {
            let mut mask = [0.0; LANES];
            for l in 0..LANES {
                // An empty lane repeats a sample and has mask 0.
                let position = (first + l).min(count - 1);
                mask[l] = if first + l < count { 1.0 } else { 0.0 };
                let row = samples.indices.map_or(position, |indices| indices[position]);
                for (x, &value) in x.iter_mut().zip(&samples.rows[row * n..(row + 1) * n]) {
                    x[l] = value;
                }
            }
            let mut hidden = [[0.0; LANES]; M];
            for k in 0..M {
                for (&w, x) in weights[k * n..(k + 1) * n].iter().zip(x.iter()) {
                    add_scaled::<FUSED, f64, LANES>(w, x, &mut hidden[k]);
                }
            }
            let mut back = [[0.0; LANES]; M];
            for i in 0..n {
                let mut z = [bias[i]; LANES];
                for k in 0..M {
                    add_scaled::<FUSED, f64, LANES>(weights[k * n + i], &hidden[k], &mut z);
                }
                let mut delta = [0.0; LANES];
                for l in 0..LANES {
                    let out = if z[l] <= floor { 0.0 } else { z[l] };
                    let error = (out - x[i][l]) * mask[l];
                    loss[l] += importance[i] * error * error;
                    delta[l] = if z[l] <= floor { 0.0 } else { 2.0 * importance[i] * error };
                }
                for k in 0..M {
                    add_scaled::<FUSED, f64, LANES>(weights[k * n + i], &delta, &mut back[k]);
                    add_product::<FUSED, f64, LANES>(&hidden[k], &delta, &mut gradient[k * n + i]);
                }
                for l in 0..LANES {
                    gradient[M * n + i][l] += delta[l];
                }
            }
            for k in 0..M {
                for (x, sum) in x.iter().zip(&mut gradient[k * n..(k + 1) * n]) {
                    add_product::<FUSED, f64, LANES>(&back[k], x, sum);
                }
            }
        }
        out.iter_mut().zip(gradient.iter()).for_each(|(out, lane)| *out = lane.iter().sum());
        loss.iter().sum()
    }
}
