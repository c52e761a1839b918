//! Blocks of numbers that one processor handles at once, and the macro that compiles a loop for each of them.
//!
//! A loop is written once, generic over [`Lanes`], as an `#[inline(always)]` function. [`by_level!`](crate::kernels::lanes::by_level)
//! compiles it with the blocks of AVX-512, of AVX2 and of plain arrays, and calls the version of the level in use. A block
//! has sixteen numbers at every level and in both precisions. All operations but [`Lanes::add_product`] on aarch64 round
//! alike, so the level does not change a bit.

mod block;
mod plain;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use block::{Compare, Lanes, N};
pub(crate) use plain::Plain;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Half, Whole};

/// Defines safe functions over generic loops: each call runs the version of the CPU level in use.
///
/// Each line names the type of the numbers, the function, and the loop behind it.
macro_rules! by_level {
    ($($f:ident: $vis:vis fn $name:ident $(<$(const $c:ident: $cty:ty),+>)? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident;)*) => { $(
        // Safety: as the loop behind it asks.
        #[inline]
        $vis unsafe fn $name $(<$(const $c: $cty),+>)? ($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                use $crate::kernels::lanes::{Half, Whole};
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                unsafe fn whole $(<$(const $c: $cty),+>)? ($($arg: $ty),*) $(-> $ret)? {
                    // SAFETY: the caller's promises.
                    unsafe { $body::<Whole<$f> $($(, $c)+)?>($($arg),*) }
                }
                #[target_feature(enable = "avx2,fma")]
                unsafe fn half $(<$(const $c: $cty),+>)? ($($arg: $ty),*) $(-> $ret)? {
                    // SAFETY: the caller's promises.
                    unsafe { $body::<Half<$f> $($(, $c)+)?>($($arg),*) }
                }
                match collimate_tensor::CpuLevel::current() {
                    // SAFETY: the level was detected, so the processor has these instructions; the caller's promises.
                    collimate_tensor::CpuLevel::Avx512 => return unsafe { whole $(::<$($c),+>)? ($($arg),*) },
                    // SAFETY: as above.
                    collimate_tensor::CpuLevel::Avx2 => return unsafe { half $(::<$($c),+>)? ($($arg),*) },
                    _ => {}
                }
            }
            // SAFETY: the caller's promises; plain arrays need no particular instructions.
            unsafe { $body::<$crate::kernels::lanes::Plain<$f> $($(, $c)+)?>($($arg),*) }
        }
    )* };
}
pub(crate) use by_level;
