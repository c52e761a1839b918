//! The rule of a member applied to all latents of a row, active or not.
//!
//! Inactive latents are computed like active ones, and their results are set to zero. So the loops have no branches and
//! run in vectors.
#![allow(unsafe_code)]

use crate::float::Float;
use crate::members::rule::{Columns, DenseRows, Elementwise, RowFactors, Stretch};
use collimate_tensor::kernel_parts::lanes::fold;
use collimate_tensor::{Scalar, leveled};

leveled! {
    /// Computes the codes of a row, the codes of the second decode, the penalties and the further terms of the loss, latent by
    /// latent. Returns the number of codes that are not zero.
    fn activate<F: Float, R: Elementwise<F>>(
        rule: &R,
        products: &[F],
        of: &Stretch<'_, F>,
        codes: &mut [F],
        gates: &mut [F],
        amounts: &mut [F],
        extras: &mut [F]
    ) -> u32 {
        let n = products.len();
        let [first, second, third] = of.constants.map(|c| &c[..n]);
        let norms = &of.norms[..n];
        let (codes, gates) = (&mut codes[..n], &mut gates[..n]);
        let (amounts, extras) = (&mut amounts[..n], &mut extras[..n]);
        let mut active = 0;
        for i in 0..n {
            let constants = [first[i], second[i], third[i]];
            let (entry, on) = rule.activate(constants, i, products[i]);
            codes[i] = entry.code;
            gates[i] = entry.gate;
            amounts[i] = rule.amount(&entry, norms[i]).0;
            extras[i] = if on { rule.extra(constants, &entry) } else { F::zero() };
            active += u32::from(entry.code != F::zero());
        }
        active
    }

    /// Computes what one row adds to the gradients: see [`Columns`].
    ///
    /// The columns are separate arguments: so the compiler knows that they do not overlap.
    fn contribute<F: Float, R: Elementwise<F>>(
        rule: &R,
        products: &[F],
        of: &Stretch<'_, F>,
        row: RowFactors<F>,
        dots: &mut [F],
        gates: &mut [F],
        codes: &mut [F],
        first_sum: &mut [F],
        second_sum: &mut [F],
        third_sum: &mut [F],
        encoder_sum: &mut [F],
        pull_sum: &mut [F],
        active: &mut [F]
    ) {
        let n = products.len();
        let [first, second, third] = of.constants.map(|c| &c[..n]);
        let (norms, penalty) = (&of.norms[..n], &of.penalty[..n]);
        let (dots, gates, codes) = (&mut dots[..n], &mut gates[..n], &mut codes[..n]);
        let (first_sum, second_sum, third_sum) = (&mut first_sum[..n], &mut second_sum[..n], &mut third_sum[..n]);
        let (encoder_sum, pull_sum, active) = (&mut encoder_sum[..n], &mut pull_sum[..n], &mut active[..n]);
        let zero = F::zero();
        for i in 0..n {
            let constants = [first[i], second[i], third[i]];
            let (mut entry, on) = rule.activate(constants, i, products[i]);
            let only = if on { row.per_row } else { zero };
            entry.slope = rule.amount(&entry, norms[i]).1 * row.slope;
            // Read in any case: a load that depends on a condition would be a branch.
            let second = gates[i];
            rule.local(constants, &mut entry, dots[i], if row.two { second } else { zero }, penalty[i]);
            let c = rule.contribution(constants, &entry).times(only);
            dots[i] = c.encoder;
            gates[i] = c.decoder_aux;
            codes[i] = c.decoder;
            first_sum[i] += c.per_latent[0];
            second_sum[i] += c.per_latent[1];
            third_sum[i] += c.per_latent[2];
            encoder_sum[i] += c.encoder;
            pull_sum[i] += rule.norm_pull(constants, &entry, norms[i], row.lambda) * only;
            active[i] += if entry.code != zero { F::one() } else { zero };
        }
    }

    /// Returns the sum of a run, over sixteen lanes.
    pub(crate) fn sum<F: Scalar>(x: &[F]) -> F {
        let mut lanes = [F::zero(); 16];
        let chunks = x.chunks_exact(16);
        let rest = chunks.remainder();
        for chunk in chunks {
            for j in 0..16 {
                lanes[j] += chunk[j];
            }
        }
        lanes.iter_mut().zip(rest).for_each(|(lane, &v)| *lane += v);
        fold(lanes)
    }
}

impl<F: Float, R: Elementwise<F>> DenseRows<F> for R {
    fn activate_row(
        &self,
        products: &[F],
        of: &Stretch<'_, F>,
        codes: &mut [F],
        gates: &mut [F],
        amounts: &mut [F],
        extras: &mut [F],
    ) -> u32 {
        activate(self, products, of, codes, gates, amounts, extras)
    }

    fn contribute_row(
        &self,
        products: &[F],
        of: &Stretch<'_, F>,
        row: RowFactors<F>,
        columns: Columns<'_, F>,
    ) {
        let Columns { dots, gates, codes, vectors: [first, second, third], encoder, pull, active } = columns;
        contribute(self, products, of, row, dots, gates, codes, first, second, third, encoder, pull, active);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gated, InputBias, JumpRelu, PNorm, Relu, RescaleAndShift};
    use collimate_stream::RngStream;
    use proptest::prelude::*;

    /// Compares both kernels with entries that are made one by one.
    fn agree<F: Float, R: Elementwise<F>>(rule: &R, n: usize, seed: u64) -> Result<(), TestCaseError> {
        let mut stream = RngStream::new(seed, 4);
        let mut draw =
            |shift: f64| -> Vec<F> { (0..n).map(|_| F::from_f64(stream.normal() + shift)).collect() };
        let products = draw(0.0);
        let vectors =
            [draw(0.0), draw(0.3), draw(0.1)].map(|v| v.iter().map(|x| x.abs()).collect::<Vec<F>>());
        let (norms, penalty) = (draw(4.0), draw(0.0));
        let (on_first, on_second) = (draw(0.0), draw(0.0));
        let of =
            Stretch { constants: [&vectors[0], &vectors[1], &vectors[2]], norms: &norms, penalty: &penalty };
        let number = F::from_f64;
        let row = RowFactors {
            slope: number(0.7),
            per_row: number(0.25),
            lambda: number(0.3),
            pulls: true,
            two: seed.is_multiple_of(2),
        };
        let blank = || vec![number(9.0); n];
        let (mut codes, mut gates, mut amounts, mut extras) = (blank(), blank(), blank(), blank());
        let active = activate(rule, &products, &of, &mut codes, &mut gates, &mut amounts, &mut extras);
        let (mut dots, mut auxiliary, mut decoder) = (on_first.clone(), on_second.clone(), blank());
        let mut sums: [Vec<F>; 6] = std::array::from_fn(|_| blank());
        let [a, b, c, d, e, f] = &mut sums;
        contribute(rule, &products, &of, row, &mut dots, &mut auxiliary, &mut decoder, a, b, c, d, e, f);
        let mut count = 0;
        for i in 0..n {
            let constants = [0, 1, 2].map(|j| vectors[j][i]);
            let mut expected = [number(9.0); 6];
            let mut coefficients = [F::zero(); 3];
            let (mut code, mut gate, mut amount, mut extra) = (F::zero(), F::zero(), F::zero(), F::zero());
            let (mut entry, on) = rule.activate(constants, i, products[i]);
            if on {
                let slope;
                (code, gate, extra) = (entry.code, entry.gate, rule.extra(constants, &entry));
                (amount, slope) = rule.amount(&entry, norms[i]);
                entry.slope = slope * row.slope;
                let second = if row.two { on_second[i] } else { F::zero() };
                rule.local(constants, &mut entry, on_first[i], second, penalty[i]);
                let c = rule.contribution(constants, &entry).times(row.per_row);
                coefficients = [c.encoder, c.decoder_aux, c.decoder];
                for (to, term) in expected.iter_mut().zip(c.per_latent) {
                    *to += term;
                }
                expected[3] += c.encoder;
                expected[4] += rule.norm_pull(constants, &entry, norms[i], row.lambda) * row.per_row;
                if entry.code != F::zero() {
                    expected[5] += F::one();
                    count += 1;
                }
            }
            prop_assert_eq!([codes[i], gates[i], amounts[i], extras[i]], [code, gate, amount, extra]);
            prop_assert_eq!([dots[i], auxiliary[i], decoder[i]], coefficients);
            prop_assert_eq!([0, 1, 2, 3, 4, 5].map(|j| sums[j][i]), expected);
        }
        prop_assert_eq!(active, count);
        let plain: f64 = products.iter().map(|&x| x.to_f64()).sum();
        prop_assert!((sum(&products).to_f64() - plain).abs() < 1e-4);
        Ok(())
    }

    proptest! {
        #[test]
        fn all_latents_at_once_are_those_one_by_one(n in 0usize..70, seed in 0u64..300) {
            fn members<F: Float>(n: usize, seed: u64) -> Result<(), TestCaseError> {
                agree::<F, _>(&Relu::unit_norm(), n, seed)?;
                agree::<F, _>(&Relu::norm_weighted(), n, seed)?;
                agree::<F, _>(&PNorm::power_sum(0.5), n, seed)?;
                agree::<F, _>(&Gated::paper(), n, seed)?;
                agree::<F, _>(&Gated::with_decoder(crate::GatedDecoder::NormWeightedTrained), n, seed)?;
                agree::<F, _>(&RescaleAndShift { input_bias: InputBias::Subtracted }, n, seed)?;
                agree::<F, _>(&JumpRelu::paper(), n, seed)?;
                agree::<F, _>(&JumpRelu { bandwidth: 0.4, ..JumpRelu::tanh() }, n, seed)
            }
            members::<f32>(n, seed)?;
            members::<f64>(n, seed)?;
        }
    }
}
