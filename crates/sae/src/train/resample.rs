use crate::{AdamMoments, Sae, SaeError, normalise};
use collimate_measure::ensure;
use collimate_stream::RngStream;
use collimate_tensor::{Scalar, sum_of_squares};
use ndarray::ArrayRef2;

impl<F: Scalar> Sae<F> {
    /// Restarts dead latents on rows that are reconstructed badly.
    ///
    /// ```text
    /// row t is drawn with probability ∝ loss_t²
    /// d_i ← (x_t − b_dec)/‖x_t − b_dec‖      encoder row ← encoder_scale · (mean norm of the living) · d_i
    /// the vectors of latent i (biases, r) ← 0, thresholds ← their mean over the living
    /// both moments of all of these ← 0
    /// ```
    /// Living latents do not change. If no latent is alive, the mean norm counts as one.
    ///
    /// # Shapes
    /// `x` `[b, d]` in the units of the dictionary, `losses` one per row.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] when `losses` does not fit `x`, [`SaeError::OutOfRange`] for a latent that does not exist.
    ///
    /// # References
    /// Bricken et al. (2023), "Towards Monosemanticity", appendix on neuron resampling.
    pub fn resample(
        &mut self,
        moments: &mut AdamMoments<F>,
        dead: &[u32],
        x: &ArrayRef2<F>,
        losses: &[f64],
        encoder_scale: f64,
        stream: &mut RngStream,
    ) -> Result<(), SaeError> {
        let (n, d) = self.weights().w_dec.dim();
        if self.input_width() != d {
            let (operation, architecture) = ("resampling", "transcoder");
            return Err(SaeError::Unsupported { operation, architecture });
        }
        if x.ncols() != d || x.nrows() != losses.len() || x.nrows() == 0 {
            return Err(SaeError::shape("x", &[losses.len().max(1), d], x.shape()));
        }
        for &latent in dead {
            ensure((latent as usize) < n, "dead", "latents below n", f64::from(latent))?;
        }
        let mut is_dead = vec![false; n];
        dead.iter().for_each(|&latent| is_dead[latent as usize] = true);
        let (mut norms, mut living) = (0.0, 0usize);
        for (row, _) in self.weights().w_enc.rows().into_iter().zip(&is_dead).filter(|(_, dead)| !**dead) {
            norms += sum_of_squares(row.to_slice().expect("contiguous")).sqrt().to_f64();
            living += 1;
        }
        // A row of an untied dictionary holds two paths.
        let paths = self.weights().w_enc.ncols() / d;
        let names = self.variant().per_latent_names();
        let starts: Vec<F> = names
            .iter()
            .zip(&self.weights().per_latent)
            .map(|(name, vector)| {
                let sum: f64 =
                    vector.iter().zip(&is_dead).filter(|(_, dead)| !**dead).map(|(&v, _)| v.to_f64()).sum();
                let threshold = name.contains("threshold") && living > 0;
                F::from_f64(if threshold { sum / living as f64 } else { 0.0 })
            })
            .collect();
        norms /= (paths as f64).sqrt();
        let norm = encoder_scale * if living > 0 { norms / living as f64 } else { 1.0 };
        let weights = self.weights_mut();
        for &latent in dead {
            let i = latent as usize;
            let source = draw(losses, stream);
            let mut direction: Vec<F> =
                x.row(source).iter().zip(&weights.b_dec).map(|(&x, &b)| x - b).collect();
            if sum_of_squares(&direction) == F::zero() {
                direction.iter_mut().for_each(|v| *v = F::from_f64(stream.normal()));
            }
            normalise(&mut direction);
            let scale = F::from_f64(norm);
            for (j, &v) in direction.iter().enumerate() {
                weights.w_dec[[i, j]] = v;
                (0..paths).for_each(|path| weights.w_enc[[i, path * d + j]] = scale * v);
            }
            weights.per_latent.iter_mut().zip(&starts).for_each(|(vector, &start)| vector[i] = start);
            for moment in [&mut moments.first, &mut moments.second] {
                moment.w_dec.row_mut(i).fill(F::zero());
                moment.w_enc.row_mut(i).fill(F::zero());
                moment.per_latent.iter_mut().for_each(|vector| vector[i] = F::zero());
            }
        }
        Ok(())
    }
}

/// Draws a row with probability ∝ loss²; uniformly if every loss is zero.
fn draw(losses: &[f64], stream: &mut RngStream) -> usize {
    let total: f64 = losses.iter().map(|l| l * l).sum();
    if !(total > 0.0 && total.is_finite()) {
        return stream.below(losses.len());
    }
    let mut left = stream.uniform() * total;
    for (row, loss) in losses.iter().enumerate() {
        left -= loss * loss;
        if left < 0.0 {
            return row;
        }
    }
    losses.len() - 1
}
