/// Defines functions whose body is compiled once for every [`CpuLevel`](crate::CpuLevel); a call runs the body of the
/// level in use.
///
/// The body is a plain loop. It is compiled three times: for AVX-512, for AVX2 with FMA, and for what every processor of
/// the architecture has. Nothing of x86 is compiled on other architectures.
///
/// A list in brackets before the functions adds constants whose value depends on the level. Each constant has its type
/// and its three values: AVX-512, AVX2, portable. The body reads them like any constant.
///
/// The expansion contains `unsafe` calls, so it must stand in a module that allows `unsafe_code`.
///
/// # Examples
/// ```
/// collimate_tensor::leveled! {
///     [LANES: usize = 16, 8, 4; FUSED: bool = true, true, false]
///
///     /// The sum of the products of two slices of one length.
///     fn dot(a: &[f32], b: &[f32]) -> f32 {
///         let mut sums = [0.0f32; LANES];
///         let (a, rest_a) = a.as_chunks::<LANES>();
///         let (b, rest_b) = b.as_chunks::<LANES>();
///         for (a, b) in a.iter().zip(b) {
///             for i in 0..LANES {
///                 sums[i] = if FUSED { a[i].mul_add(b[i], sums[i]) } else { sums[i] + a[i] * b[i] };
///             }
///         }
///         sums.iter().sum::<f32>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f32>()
///     }
/// }
/// assert_eq!(dot(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]), 32.0);
/// ```
#[macro_export]
macro_rules! leveled {
    // The forms with constants: each function is handed on alone, with the list in one piece.
    ([$($constants:tt)*] $($rest:tt)*) => {
        $crate::leveled!(@each [$($constants)*] $($rest)*);
    };
    (@each $constants:tt) => {};
    (@each $constants:tt
        $(#[$doc:meta])* $vis:vis fn $name:ident $(<$(const $c:ident: $cty:ty),+ $(,)?>)? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
        $($rest:tt)*
    ) => {
        $crate::leveled!(@define $constants [$(#[$doc])*] [$vis] $name [] [$($($c: $cty),+)?] ($($arg: $ty),*) [$($ret)?] $body);
        $crate::leveled!(@each $constants $($rest)*);
    };
    (@each $constants:tt
        $(#[$doc:meta])* $vis:vis fn $name:ident <$($g:ident: $bound:path),+ $(,)?> ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
        $($rest:tt)*
    ) => {
        $crate::leveled!(@define $constants [$(#[$doc])*] [$vis] $name [$($g: $bound),+] [] ($($arg: $ty),*) [$($ret)?] $body);
        $crate::leveled!(@each $constants $($rest)*);
    };
    (@define [$($k:ident: $kty:ty = $wide:expr, $narrow:expr, $portable:expr);* $(;)?] [$(#[$doc:meta])*] [$vis:vis] $name:ident
        [$($g:ident: $bound:path),*] [$($c:ident: $cty:ty),*] ($($arg:ident: $ty:ty),*) [$($ret:ty)?] $body:block
    ) => {
        $(#[$doc])*
        #[inline]
        $vis fn $name<$($g: $bound,)* $(const $c: $cty),*>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn plain<$($g: $bound,)* $(const $c: $cty,)* $(const $k: $kty),*>($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512<$($g: $bound,)* $(const $c: $cty),*>($($arg: $ty),*) $(-> $ret)? {
                    plain::<$($g,)* $($c,)* $({ $wide }),*>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2<$($g: $bound,)* $(const $c: $cty),*>($($arg: $ty),*) $(-> $ret)? {
                    plain::<$($g,)* $($c,)* $({ $narrow }),*>($($arg),*)
                }
                match $crate::CpuLevel::current() {
                    // SAFETY: the level was detected, so the processor has these instructions.
                    $crate::CpuLevel::Avx512 => return unsafe { avx512::<$($g,)* $($c),*>($($arg),*) },
                    // SAFETY: as above.
                    $crate::CpuLevel::Avx2 => return unsafe { avx2::<$($g,)* $($c),*>($($arg),*) },
                    _ => {}
                }
            }
            plain::<$($g,)* $($c,)* $({ $portable }),*>($($arg),*)
        }
    };
    ($($functions:tt)*) => {
        $crate::leveled!(@each [] $($functions)*);
    };
}
