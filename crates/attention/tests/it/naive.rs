//! The definition, written with loops over single numbers. All other code is tested against it.

use collimate_attention::{Attention, HeadMap, Mask, Offset, Rotary, RotaryLayout, Scale};
use collimate_stream::RngStream;
use ndarray::Array3;

/// Sizes of one random case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) key_heads: usize,
    pub(crate) group: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) width: usize,
    pub(crate) value_width: usize,
    pub(crate) choice: u64,
    pub(crate) magnitude: f64,
    pub(crate) seed: u64,
}

impl Case {
    /// Returns q, k and v of the case.
    pub(crate) fn arrays(&self) -> (Array3<f64>, Array3<f64>, Array3<f64>) {
        let mut stream = RngStream::new(self.seed, 1);
        let heads = self.group * self.key_heads;
        let mut normal = |shape, size: f64| Array3::from_shape_simple_fn(shape, || size * stream.normal());
        (
            normal((heads, self.queries, self.width), self.magnitude),
            normal((self.key_heads, self.keys, self.width), self.magnitude),
            normal((self.key_heads, self.keys, self.value_width), 1.0),
        )
    }

    /// Returns the attention variant of the number `choice`.
    pub(crate) fn attention(&self) -> Attention {
        let heads = self.group * self.key_heads;
        let mask = match self.choice % 5 {
            0 if self.queries == self.keys => Mask::none(),
            0 | 1 => Mask::causal(Offset::zero()),
            2 => Mask::causal(Offset::keys_minus_queries()),
            3 => Mask::causal(Offset::fixed(1)),
            _ => Mask::causal(Offset::fixed(-2)),
        };
        let map = match self.choice / 5 % 2 {
            0 => HeadMap::grouped_by_floor(heads, self.key_heads),
            _ => HeadMap::grouped_by_modulo(heads, self.key_heads),
        };
        let scale =
            if (self.choice / 10).is_multiple_of(2) { Scale::InverseSqrtDim } else { Scale::Fixed(0.37) };
        let attention = Attention::scaled_dot_product().heads(map).mask(mask).scale(scale);
        let turned = self.width / 2 * 2;
        match self.choice / 20 % 4 {
            0 => attention,
            1 => attention.rotary(Rotary::interleaved(turned, 100.0)),
            2 => attention.rotary(Rotary::half_split(turned, 100.0)),
            _ => attention.rotary(Rotary::half_split(turned / 2 / 2 * 2, 100.0)),
        }
    }
}

/// Computes output and pattern by the definition.
pub(crate) fn attend(
    attention: &Attention,
    q: &Array3<f64>,
    k: &Array3<f64>,
    v: &Array3<f64>,
) -> (Array3<f64>, Array3<f64>) {
    let ((heads, queries, width), (_, keys, value_width)) = (q.dim(), v.dim());
    let offset = match attention.mask {
        Mask::Causal(Offset::KeysMinusQueries) => keys as isize - queries as isize,
        Mask::Causal(Offset::Fixed(offset)) => offset,
        _ => 0,
    };
    let scale = match attention.scale {
        Scale::Fixed(scale) => scale,
        _ => (width as f64).powf(-0.5),
    };
    let mut out = Array3::zeros((heads, queries, value_width));
    let mut pattern = Array3::zeros((heads, queries, keys));
    for h in 0..heads {
        let g = match attention.heads {
            HeadMap::GroupedByFloor { query_heads, key_heads } => h * key_heads / query_heads,
            HeadMap::GroupedByModulo { key_heads, .. } => h % key_heads,
            HeadMap::MultiQuery => 0,
            _ => h,
        };
        for t in 0..queries {
            let seen: Vec<usize> = (0..keys)
                .filter(|&s| matches!(attention.mask, Mask::None) || s as isize <= t as isize + offset)
                .collect();
            let turned_q =
                turn(attention.rotary, t as isize + offset, &q.slice(ndarray::s![h, t, ..]).to_vec());
            let scores: Vec<f64> = seen
                .iter()
                .map(|&s| {
                    let turned_k =
                        turn(attention.rotary, s as isize, &k.slice(ndarray::s![g, s, ..]).to_vec());
                    scale * turned_q.iter().zip(&turned_k).map(|(a, b)| a * b).sum::<f64>()
                })
                .collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|z| (z - top).exp()).sum();
            for (&s, z) in seen.iter().zip(&scores) {
                pattern[[h, t, s]] = (z - top).exp() / total;
                for e in 0..value_width {
                    out[[h, t, e]] += pattern[[h, t, s]] * v[[g, s, e]];
                }
            }
        }
    }
    (out, pattern)
}

/// Rotates one row by its position: multiplies the pair `i`, as a complex number, by e^{i·angle}.
fn turn(rotary: Option<Rotary>, position: isize, row: &[f64]) -> Vec<f64> {
    let mut turned = row.to_vec();
    let Some(rotary) = rotary else { return turned };
    for i in 0..rotary.width / 2 {
        let (a, b) = match rotary.layout {
            RotaryLayout::Interleaved => (2 * i, 2 * i + 1),
            RotaryLayout::HalfSplit => (i, i + rotary.width / 2),
        };
        let angle = position as f64 / rotary.base.powf(2.0 * i as f64 / rotary.width as f64);
        turned[a] = row[a] * angle.cos() - row[b] * angle.sin();
        turned[b] = row[a] * angle.sin() + row[b] * angle.cos();
    }
    turned
}

/// Returns the largest absolute difference, or NaN if there is one.
pub(crate) fn distance<D: ndarray::Dimension>(
    a: &ndarray::ArrayRef<f64, D>,
    b: &ndarray::ArrayRef<f64, D>,
) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.iter().zip(b).fold(0.0, |m, (x, y)| if (x - y).abs() <= m { m } else { (x - y).abs() })
}
