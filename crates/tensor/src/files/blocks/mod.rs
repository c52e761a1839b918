mod block;
mod grids;
mod linear;
mod plain;
mod sixteen_levels;
mod superblocks;
mod ternary;
mod words;

pub(super) use block::Block;

/// Names the types whose tensors can be read, for messages.
pub(super) const READABLE: &str =
    "all types up to NVFP4 but Q8_1 and Q8_K, which no file of weights contains";

/// Declares the types with one row for each: name, number in files, elements and bytes of a block, and the expansion, if there is one.
macro_rules! types {
    ($(#[$meta:meta])* $($name:ident = $number:literal: $elements:literal in $bytes:literal, $expand:expr;)*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(non_camel_case_types)]
        #[non_exhaustive]
        pub enum GgufType {
            $(
                #[doc = concat!("The type ", $number, ": a block has elements: ", $elements, ", bytes: ", $bytes, ".")]
                $name,
            )*
            /// A type that is newer than this reader, by its number.
            Unknown(u32),
        }

        impl GgufType {
            pub(super) fn from_number(number: u32) -> Self {
                match number {
                    $($number => Self::$name,)*
                    _ => Self::Unknown(number),
                }
            }

            /// Returns the numbers of elements and of bytes in one block. Returns `None` if the type is unknown.
            ///
            /// # Examples
            /// ```
            /// use collimate_tensor::files::GgufType;
            /// assert_eq!(GgufType::Q6_K.block_size(), Some((256, 210)));
            /// ```
            pub fn block_size(self) -> Option<(usize, usize)> {
                match self {
                    $(Self::$name => Some(($elements, $bytes)),)*
                    Self::Unknown(_) => None,
                }
            }

            /// Returns the block of a type that can be expanded.
            pub(super) fn readable(self) -> Option<Block> {
                let (elements, bytes) = self.block_size()?;
                let expand: Option<fn(&[u8], &mut [f32])> = match self {
                    $(Self::$name => $expand,)*
                    Self::Unknown(_) => None,
                };
                Some(Block { elements, bytes, expand: expand? })
            }
        }
    };
}

types! {
    /// The storage types of the elements of a GGUF tensor, with the names and numbers of the format.
    ///
    /// ```text
    /// F64 F32 F16 BF16, I8 I16 I32 I64      x = the nearest f32
    /// Q4_0 Q5_0 Q8_0                        x = d q                     blocks of 32, q centred at 0
    /// Q4_1 Q5_1                             x = d q + m                 blocks of 32
    /// Q3_K Q6_K                             x = d s q                   blocks of 256, groups of 16
    /// Q2_K; Q4_K Q5_K                       x = d s q − e m             blocks of 256, groups of 16; of 32
    /// TQ1_0 TQ2_0                           x = d q, q in −1, 0, 1      blocks of 256
    /// IQ4_NL; IQ4_XS                        x = d level(q); d s level(q)    16 fixed levels; blocks of 32; of 256
    /// MXFP4; NVFP4                          x = 2^e level(q); s level(q)    the levels of a 4-bit float; blocks of 32; of 64
    /// IQ2_XXS IQ2_XS IQ2_S, IQ3_XXS IQ3_S   x = ± d s word(q)           words of 8 or 4 from a fixed list; blocks of 256
    /// IQ1_S IQ1_M                           x = d s (word(q) ± 1/8)     words of 8 from a fixed list; blocks of 256
    /// ```
    ///
    /// `d`, `e` and, in `Q4_1` and `Q5_1`, `m` are half-precision numbers of the block, `s` and `m` are small integers of a group, and `q`
    /// are the elements. Every product is exact in f32, and a difference or sum rounds once. `Q8_1` and `Q8_K` are types of intermediate results
    /// that no file of weights contains; their tensors and those of unknown types are refused by name when they are read.
    F32 = 0: 1 in 4, Some(plain::float32);
    F16 = 1: 1 in 2, Some(plain::float16);
    Q4_0 = 2: 32 in 18, Some(linear::q4_0);
    Q4_1 = 3: 32 in 20, Some(linear::q4_1);
    Q5_0 = 6: 32 in 22, Some(linear::q5_0);
    Q5_1 = 7: 32 in 24, Some(linear::q5_1);
    Q8_0 = 8: 32 in 34, Some(linear::q8_0);
    Q8_1 = 9: 32 in 36, None;
    Q2_K = 10: 256 in 84, Some(superblocks::q2_k);
    Q3_K = 11: 256 in 110, Some(superblocks::q3_k);
    Q4_K = 12: 256 in 144, Some(superblocks::q4_k);
    Q5_K = 13: 256 in 176, Some(superblocks::q5_k);
    Q6_K = 14: 256 in 210, Some(superblocks::q6_k);
    Q8_K = 15: 256 in 292, None;
    IQ2_XXS = 16: 256 in 66, Some(grids::iq2_xxs);
    IQ2_XS = 17: 256 in 74, Some(grids::iq2_xs);
    IQ3_XXS = 18: 256 in 98, Some(grids::iq3_xxs);
    IQ1_S = 19: 256 in 50, Some(grids::iq1_s);
    IQ4_NL = 20: 32 in 18, Some(sixteen_levels::iq4_nl);
    IQ3_S = 21: 256 in 110, Some(grids::iq3_s);
    IQ2_S = 22: 256 in 82, Some(grids::iq2_s);
    IQ4_XS = 23: 256 in 136, Some(sixteen_levels::iq4_xs);
    I8 = 24: 1 in 1, Some(plain::integer8);
    I16 = 25: 1 in 2, Some(plain::integer16);
    I32 = 26: 1 in 4, Some(plain::integer32);
    I64 = 27: 1 in 8, Some(plain::integer64);
    F64 = 28: 1 in 8, Some(plain::float64);
    IQ1_M = 29: 256 in 56, Some(grids::iq1_m);
    BF16 = 30: 1 in 2, Some(plain::bfloat16);
    TQ1_0 = 34: 256 in 54, Some(ternary::tq1_0);
    TQ2_0 = 35: 256 in 66, Some(ternary::tq2_0);
    MXFP4 = 39: 32 in 17, Some(sixteen_levels::mxfp4);
    NVFP4 = 40: 64 in 36, Some(sixteen_levels::nvfp4);
}
