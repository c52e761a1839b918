//! The uses of a gradient: to store it, to sum its squares, or to update the parameters at once.

use crate::step::adam::Update;
use crate::step::settings::LATENT_BLOCK;
use crate::weights::{Weights, normalise};
use collimate_tensor::{Scalar, axpy, dot, sum_of_squares};

/// The gradient of one latent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gradient<F> {
    pub(crate) encoder: Vec<F>,
    pub(crate) decoder: Vec<F>,
    pub(crate) per_latent: [F; 3],
    /// The sum of the encoder coefficients.
    pub(crate) pre: F,
    /// ∂L/∂‖d‖ through the penalty.
    pub(crate) norm_pull: F,
    pub(crate) active: bool,
}

impl<F: Scalar> Gradient<F> {
    pub(crate) fn clear(&mut self, encoder: usize, decoder: usize) {
        for (row, width) in [(&mut self.encoder, encoder), (&mut self.decoder, decoder)] {
            row.clear();
            row.resize(width, F::zero());
        }
        self.per_latent = [F::zero(); 3];
        self.pre = F::zero();
        self.norm_pull = F::zero();
        self.active = false;
    }
}

/// The parameters of one block of latents.
pub(crate) struct Split<T> {
    pub(crate) encoder: T,
    pub(crate) decoder: T,
    pub(crate) per_latent: Vec<T>,
}

impl<T> Split<T> {
    /// Joins the parts of each tensor, one for each block.
    fn blocks<P: Iterator<Item = T>>(encoder: P, decoder: P, mut per_latent: Vec<P>) -> Vec<Self> {
        let rows = encoder.zip(decoder);
        rows.map(|(encoder, decoder)| {
            let per_latent = per_latent.iter_mut().map(|v| v.next().expect("one part a block")).collect();
            Split { encoder, decoder, per_latent }
        })
        .collect()
    }
}

impl<'a, F: Scalar> Split<&'a [F]> {
    /// Cuts weights into blocks.
    pub(crate) fn of(weights: &'a Weights<F>) -> Vec<Self> {
        let (wide, d) = (weights.w_enc.ncols(), weights.w_dec.ncols());
        let cut = |tensor: Option<&'a [F]>, width: usize| {
            tensor.expect("standard layout").chunks(LATENT_BLOCK * width)
        };
        let per_latent = weights.per_latent.iter().map(|v| cut(v.as_slice(), 1)).collect();
        Self::blocks(cut(weights.w_enc.as_slice(), wide), cut(weights.w_dec.as_slice(), d), per_latent)
    }
}

impl<'a, F: Scalar> Split<&'a mut [F]> {
    /// Cuts weights into blocks that can be changed.
    pub(crate) fn of_mut(weights: &'a mut Weights<F>) -> Vec<Self> {
        let (wide, d) = (weights.w_enc.ncols(), weights.w_dec.ncols());
        let cut = |tensor: Option<&'a mut [F]>, width: usize| {
            tensor.expect("standard layout").chunks_mut(LATENT_BLOCK * width)
        };
        let per_latent = weights.per_latent.iter_mut().map(|v| cut(v.as_slice_mut(), 1)).collect();
        Self::blocks(
            cut(weights.w_enc.as_slice_mut(), wide),
            cut(weights.w_dec.as_slice_mut(), d),
            per_latent,
        )
    }
}

/// The use of the gradients of one block of latents.
pub(crate) trait Sink<F: Scalar>: Send {
    /// Returns the encoder rows of the block.
    fn encoder(&self) -> &[F];
    /// Returns the decoder rows of the block.
    fn decoder(&self) -> &[F];
    /// Takes the gradient of latent `index` of the block.
    fn take(&mut self, index: usize, gradient: &mut Gradient<F>);
}

/// A sink that stores the gradient.
pub(crate) struct CollectBlock<'a, F> {
    pub(crate) weights: Split<&'a [F]>,
    pub(crate) out: Split<&'a mut [F]>,
}

impl<F: Scalar> Sink<F> for CollectBlock<'_, F> {
    fn encoder(&self) -> &[F] {
        self.weights.encoder
    }

    fn decoder(&self) -> &[F] {
        self.weights.decoder
    }

    fn take(&mut self, index: usize, gradient: &mut Gradient<F>) {
        let (wide, d) = (gradient.encoder.len(), gradient.decoder.len());
        self.out.encoder[index * wide..(index + 1) * wide].copy_from_slice(&gradient.encoder);
        self.out.decoder[index * d..(index + 1) * d].copy_from_slice(&gradient.decoder);
        for (vector, &value) in self.out.per_latent.iter_mut().zip(&gradient.per_latent) {
            vector[index] = value;
        }
    }
}

/// A sink that sums the squares of the gradient.
pub(crate) struct NormBlock<'a, F> {
    weights: Split<&'a [F]>,
    project: bool,
    pub(crate) sum_of_squares: f64,
}

impl<'a, F> NormBlock<'a, F> {
    pub(crate) fn new(weights: Split<&'a [F]>, project: bool) -> Self {
        Self { weights, project, sum_of_squares: 0.0 }
    }
}

impl<F: Scalar> Sink<F> for NormBlock<'_, F> {
    fn encoder(&self) -> &[F] {
        self.weights.encoder
    }

    fn decoder(&self) -> &[F] {
        self.weights.decoder
    }

    fn take(&mut self, index: usize, gradient: &mut Gradient<F>) {
        let d = gradient.decoder.len();
        if self.project {
            project_out(&self.weights.decoder[index * d..(index + 1) * d], &mut gradient.decoder);
        }
        self.sum_of_squares += sum_of_squares(&gradient.encoder).to_f64();
        self.sum_of_squares += sum_of_squares(&gradient.decoder).to_f64();
        let n_vectors = self.weights.per_latent.len();
        self.sum_of_squares +=
            gradient.per_latent[..n_vectors].iter().map(|&g| g.to_f64().powi(2)).sum::<f64>();
    }
}

/// A sink that projects the gradient, makes an update of Adam and normalises.
pub(crate) struct StepBlock<'a, F> {
    pub(crate) weights: Split<&'a mut [F]>,
    pub(crate) m: Split<&'a mut [F]>,
    pub(crate) v: Split<&'a mut [F]>,
    pub(crate) step: Update<F>,
    /// The factor by which clipping scales the gradient.
    pub(crate) scale: F,
    pub(crate) project: bool,
    /// The index of the vector that must not fall below zero.
    pub(crate) not_negative: Option<usize>,
    /// The number of the tensor whose gradient or its square is not finite: 0 the encoder, 1 the decoder, 2 + j the vector j.
    pub(crate) bad: Option<usize>,
}

impl<F: Scalar> Sink<F> for StepBlock<'_, F> {
    fn encoder(&self) -> &[F] {
        self.weights.encoder
    }

    fn decoder(&self) -> &[F] {
        self.weights.decoder
    }

    fn take(&mut self, index: usize, gradient: &mut Gradient<F>) {
        let (wide, d) = (gradient.encoder.len(), gradient.decoder.len());
        let range = index * d..(index + 1) * d;
        let encoder_range = index * wide..(index + 1) * wide;
        if self.project {
            project_out(&self.weights.decoder[range.clone()], &mut gradient.decoder);
        }
        if self.scale != F::one() {
            let rows = gradient.encoder.iter_mut().chain(&mut gradient.decoder);
            rows.chain(&mut gradient.per_latent).for_each(|g| *g *= self.scale);
        }
        // Adam squares each number. An infinite second moment would stop its parameter for ever.
        let norms = [sum_of_squares(&gradient.encoder), sum_of_squares(&gradient.decoder)];
        let vectors = gradient.per_latent[..self.weights.per_latent.len()].iter().map(|&g| g * g);
        if let Some(bad) = norms.into_iter().chain(vectors).position(|square| !square.is_finite()) {
            self.bad.get_or_insert(bad);
            return;
        }
        let Split { encoder, decoder, per_latent } = &mut self.weights;
        let (m, v) = (&mut self.m, &mut self.v);
        let step = &self.step;
        step.apply(
            &mut encoder[encoder_range.clone()],
            &mut m.encoder[encoder_range.clone()],
            &mut v.encoder[encoder_range],
            &gradient.encoder,
        );
        let row = &mut decoder[range.clone()];
        step.apply(row, &mut m.decoder[range.clone()], &mut v.decoder[range], &gradient.decoder);
        if self.project {
            normalise(row);
        }
        let one = index..index + 1;
        for (j, vector) in per_latent.iter_mut().enumerate() {
            step.apply(
                &mut vector[one.clone()],
                &mut m.per_latent[j][one.clone()],
                &mut v.per_latent[j][one.clone()],
                &gradient.per_latent[j..=j],
            );
            if self.not_negative == Some(j) {
                vector[index] = vector[index].max(F::zero());
            }
        }
    }
}

/// Removes the component of the gradient along the decoder row: g ← g − (g·d) d/‖d‖².
fn project_out<F: Scalar>(row: &[F], gradient: &mut [F]) {
    let norm2 = sum_of_squares(row);
    if norm2 > F::zero() {
        axpy(-dot(row, gradient) / norm2, row, gradient);
    }
}

/// Hands a gradient that was written out to the sinks of the blocks.
pub(crate) fn apply<F: Scalar>(gradient: &Weights<F>, sinks: &mut [&mut dyn Sink<F>]) {
    let mut of_latent = Gradient::default();
    for (b, sink) in sinks.iter_mut().enumerate() {
        for latent in b * LATENT_BLOCK..gradient.w_dec.nrows().min((b + 1) * LATENT_BLOCK) {
            of_latent.clear(gradient.w_enc.ncols(), gradient.w_dec.ncols());
            of_latent.encoder.iter_mut().zip(gradient.w_enc.row(latent)).for_each(|(to, &g)| *to = g);
            of_latent.decoder.iter_mut().zip(gradient.w_dec.row(latent)).for_each(|(to, &g)| *to = g);
            for (to, vector) in of_latent.per_latent.iter_mut().zip(&gradient.per_latent) {
                *to = vector[latent];
            }
            sink.take(latent - b * LATENT_BLOCK, &mut of_latent);
        }
    }
}
