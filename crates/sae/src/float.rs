use crate::kernels::selection::Ranks;
use crate::kernels::{combine, dots, selection};
use collimate_tensor::{Scalar, hot_loops};

hot_loops! {
    /// The loops over the entries of a row, in both precisions.
    pub trait Float: Scalar {
        fn combine(indices: &[u32], amounts: &[Self], rows: &[Self], out: &mut [Self]) = combine::_::combine;
        fn combine_twice(indices: &[u32], amounts: [&[Self]; 2], rows: &[Self], out: [&mut [Self]; 2]) = combine::_::combine_twice;
        fn dots<const T: usize>(indices: &[u32], rows: &[Self], vectors: [&[Self]; T], out: [&mut Vec<Self>; T]) = dots::_::dots;
        fn above(a: &[Self], b: &[Self], bound: Self, out: &mut Vec<u32>) = selection::_::above;
        fn above_each(a: &[Self], b: &[Self], t: &[Self], half: Self, out: &mut Vec<u32>) = selection::_::above_each;
        fn largest(a: &[Self], b: &[Self], k: usize, ranks: &mut Ranks<Self>, kept: &mut Vec<(u32, Self)>) = selection::_::largest;
    }
}
