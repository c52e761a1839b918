//! Single-precision normal numbers, thirty-two at a time. With many parameters the noise costs as much as the gradient.

use collimate_stream::RngStream;
use collimate_tensor::leveled;

/// The number of pairs that are computed together.
const PAIRS: usize = 16;

/// Fills a slice with standard normal numbers, by Box and Muller's transform.
///
/// ```text
/// (√(−2 ln u) cos θ, √(−2 ln u) sin θ)      u and θ from 32 bits each
/// ```
///
/// The smallest u is 2⁻³², so no number is beyond 6.7. Larger numbers would have the probability 10⁻¹¹.
pub(crate) fn fill(stream: &mut RngStream, out: &mut [f32]) {
    for chunk in out.chunks_mut(2 * PAIRS) {
        let mut bits = [[0u32; PAIRS]; 2];
        for i in 0..PAIRS {
            let word = stream.bits();
            bits[0][i] = word as u32;
            bits[1][i] = (word >> 32) as u32;
        }
        let normals = transform(&bits);
        chunk.copy_from_slice(&normals.as_flattened()[..chunk.len()]);
    }
}

leveled! {
    /// Turns random bits into normal numbers.
    fn transform(bits: &[[u32; PAIRS]; 2]) -> [[f32; PAIRS]; 2] {
        let mut out = [[0.0; PAIRS]; 2];
        for i in 0..PAIRS {
            // Signed conversions, because unsigned ones need AVX-512. Rounding may give u = 1, whose logarithm is 0.
            let u = ((bits[0][i] >> 1) as i32 as f32 + 0.5) * (1.0 / 2_147_483_648.0);
            let radius = (-2.0 * log(u)).max(0.0).sqrt();
            // Two bits choose the quarter turn, the other thirty the angle within ±π/4 of it.
            let quarter = bits[1][i] >> 30;
            let angle = (bits[1][i] << 2) as i32 as f32 * (std::f32::consts::FRAC_PI_2 / 4_294_967_296.0);
            let z = angle * angle;
            let sine = angle + angle * z * (-1.666_665_5e-1 + z * (8.332_161e-3 - 1.951_529_6e-4 * z));
            let cosine = 1.0 - 0.5 * z + z * z * (4.166_664_6e-2 + z * (-1.388_731_6e-3 + 2.443_315_7e-5 * z));
            let (a, b) = if quarter & 1 == 0 { (cosine, sine) } else { (-sine, cosine) };
            let sign = if quarter & 2 == 0 { radius } else { -radius };
            out[0][i] = sign * a;
            out[1][i] = sign * b;
        }
        out
    }
}

/// Returns ln x for x in (0, 1], by the polynomial of the Cephes library (Moshier, 1992).
#[inline(always)]
fn log(x: f32) -> f32 {
    let bits = x.to_bits();
    let mut exponent = (bits >> 23) as i32 - 127;
    let mut m = f32::from_bits(bits & 0x007f_ffff | 0x3f80_0000);
    if m > std::f32::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let f = m - 1.0;
    let z = f * f;
    const P: [f32; 9] = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_9e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_5e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    let mut y = P[0];
    for p in &P[1..] {
        y = y * f + p;
    }
    exponent as f32 * std::f32::consts::LN_2 + (f * z * y - 0.5 * z + f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_agrees_with_the_plain_functions() {
        let mut stream = RngStream::new(1, 0);
        for round in 0..2000 {
            let mut bits = [[0; PAIRS]; 2];
            bits.as_flattened_mut().iter_mut().for_each(|b| *b = stream.bits() as u32);
            if round == 0 {
                bits[0][..3].copy_from_slice(&[0, u32::MAX, 1]);
                bits[1][..3].copy_from_slice(&[0, u32::MAX, 1 << 31]);
            }
            let found = transform(&bits);
            for i in 0..PAIRS {
                let u = (f64::from(bits[0][i] >> 1) + 0.5) / 2_147_483_648.0;
                let quarter = f64::from(bits[1][i] >> 30);
                let part = f64::from((bits[1][i] << 2) as i32) / 4_294_967_296.0;
                let (radius, angle) =
                    ((-2.0 * u.ln()).sqrt(), (quarter + part) * std::f64::consts::FRAC_PI_2);
                // Near u = 1 the rounding of u changes the radius by up to √(2·2⁻²⁵).
                let slack = if radius < 0.01 { 4e-4 } else { 1e-5 };
                for (found, exact) in
                    [(found[0][i], radius * angle.cos()), (found[1][i], radius * angle.sin())]
                {
                    assert!(
                        (f64::from(found) - exact).abs() < slack,
                        "{:?}: {found} {exact}",
                        (bits[0][i], bits[1][i])
                    );
                }
            }
        }
    }

    #[test]
    fn moments_and_tails_are_normal() {
        let mut out = vec![0.0f32; 1_000_003];
        fill(&mut RngStream::new(2, 0), &mut out);
        let n = out.len() as f64;
        let moment = |k: i32| out.iter().map(|x| f64::from(*x).powi(k)).sum::<f64>() / n;
        for (k, exact, variance) in [(1, 0.0, 1.0f64), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            assert!((moment(k) - exact).abs() < 5.0 * (variance / n).sqrt(), "moment {k}: {}", moment(k));
        }
        let beyond = out.iter().filter(|x| x.abs() > 3.0).count() as f64;
        assert!((beyond - 0.002_699_8 * n).abs() < 5.0 * (0.0027 * n).sqrt());
    }
}
