//! The inner loops of the fleet trainer, and the only place of this crate with `unsafe` code.
//!
//! Each is written once as loops over arrays of [`LANES`] numbers and compiled at every [`CpuLevel`]; the vector levels
//! ask for fused multiply-add. One level gives one set of bits.
#![allow(unsafe_code)]

pub(crate) mod narrow;
pub(crate) mod samples;
pub(crate) mod uniforms;
pub(crate) mod wide;

use collimate_tensor::CpuLevel;

/// Numbers that are computed side by side.
pub(crate) const LANES: usize = 16;

/// A vector register, or as many as it takes.
pub(crate) type Lanes = [f32; LANES];

/// Defines a function that runs its body compiled for the level of this processor. The body may use `$fused`, whether
/// multiply-add is one instruction, and `$rows` and `$columns`, the size of a tile that fits the registers.
macro_rules! leveled {
    ($(#[$doc:meta])* fn $name:ident<$fused:ident, $rows:ident, $columns:ident $(, const $c:ident: $cty:ty)*>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        pub(crate) fn $name<$(const $c: $cty),*>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn plain<const $fused: bool, const $rows: usize, const $columns: usize $(, const $c: $cty)*>($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512<$(const $c: $cty),*>($($arg: $ty),*) $(-> $ret)? { plain::<true, 4, 5 $(, $c)*>($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2<$(const $c: $cty),*>($($arg: $ty),*) $(-> $ret)? { plain::<true, 3, 2 $(, $c)*>($($arg),*) }
                match CpuLevel::current() {
                    // SAFETY: the level was detected, so the processor has these instructions.
                    CpuLevel::Avx512 => return unsafe { avx512::<$($c),*>($($arg),*) },
                    // SAFETY: as above.
                    CpuLevel::Avx2 => return unsafe { avx2::<$($c),*>($($arg),*) },
                    _ => {}
                }
            }
            plain::<false, 2, 2 $(, $c)*>($($arg),*)
        }
    };
}
pub(crate) use leveled;

/// `a·b + c`, in one rounding where the level has the instruction.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// `c ← c + a·b` lane by lane.
#[inline(always)]
pub(crate) fn accumulate<const FUSED: bool>(a: &Lanes, b: &Lanes, c: &mut Lanes) {
    for l in 0..LANES {
        c[l] = multiply_add::<FUSED>(a[l], b[l], c[l]);
    }
}

/// `c ← c + a·b` with one number for all lanes.
#[inline(always)]
pub(crate) fn accumulate_scaled<const FUSED: bool>(a: f32, b: &Lanes, c: &mut Lanes) {
    for l in 0..LANES {
        c[l] = multiply_add::<FUSED>(a, b[l], c[l]);
    }
}

/// The sum of all lanes, in a fixed order.
#[inline(always)]
pub(crate) fn total(mut v: Lanes) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            v[l] += v[l + width];
        }
        width /= 2;
    }
    v[0]
}
