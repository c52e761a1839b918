use crate::kernels::{Ranks, combine, dots, selection};
use crate::step::workspace::Workspace;
use crate::step::{self, Losses, Settings};
use crate::train::adam::{Adam, Moments};
use crate::{Sae, SaeError, Weights};
use collimate_tensor::{Scalar, SparseRows};
use ndarray::ArrayRef2;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The precisions in which a dictionary runs: `f32` to train, `f64` to check.
///
/// Sealed. It owns the hot loops, so that they are compiled in this crate at this crate's optimisation level.
pub trait Float: Scalar + sealed::Sealed {
    #[doc(hidden)]
    fn encode(sae: &Sae<Self>, x: &ArrayRef2<Self>) -> Result<SparseRows<Self>, SaeError>;

    #[doc(hidden)]
    fn gradient(
        sae: &Sae<Self>,
        x: &ArrayRef2<Self>,
        y: &ArrayRef2<Self>,
        settings: &Settings<'_>,
        workspace: &mut Workspace<Self>,
    ) -> Result<(Losses, Weights<Self>), SaeError>;

    #[doc(hidden)]
    fn combine(indices: &[u32], amounts: &[Self], rows: &[Self], out: &mut [Self]);

    #[doc(hidden)]
    fn combine_twice(indices: &[u32], amounts: [&[Self]; 2], rows: &[Self], out: [&mut [Self]; 2]);

    #[doc(hidden)]
    fn dots<const T: usize>(indices: &[u32], rows: &[Self], vectors: [&[Self]; T], out: [&mut Vec<Self>; T]);

    #[doc(hidden)]
    fn above(a: &[Self], b: &[Self], bound: Self, out: &mut Vec<u32>);

    #[doc(hidden)]
    fn above_each(a: &[Self], b: &[Self], t: &[Self], half: Self, out: &mut Vec<u32>);

    #[doc(hidden)]
    fn largest(a: &[Self], b: &[Self], k: usize, ranks: &mut Ranks<Self>, kept: &mut Vec<(u32, Self)>);

    #[doc(hidden)]
    fn step(
        sae: &mut Sae<Self>,
        moments: &mut Moments<Self>,
        x: &ArrayRef2<Self>,
        y: &ArrayRef2<Self>,
        settings: &Settings<'_>,
        adam: &Adam,
        learning_rate: f64,
        workspace: &mut Workspace<Self>,
    ) -> Result<Losses, SaeError>;
}

macro_rules! float {
    ($($scalar:ident),*) => {$(
        impl Float for $scalar {
            fn encode(sae: &Sae<Self>, x: &ArrayRef2<Self>) -> Result<SparseRows<Self>, SaeError> {
                step::encode(sae, x)
            }

            fn gradient(
                sae: &Sae<Self>,
                x: &ArrayRef2<Self>,
                y: &ArrayRef2<Self>,
                settings: &Settings<'_>,
                workspace: &mut Workspace<Self>,
            ) -> Result<(Losses, Weights<Self>), SaeError> {
                step::gradient(sae, x, y, settings, workspace)
            }

            fn combine(indices: &[u32], amounts: &[Self], rows: &[Self], out: &mut [Self]) {
                combine::$scalar::combine(indices, amounts, rows, out);
            }

            fn combine_twice(indices: &[u32], amounts: [&[Self]; 2], rows: &[Self], out: [&mut [Self]; 2]) {
                combine::$scalar::combine_twice(indices, amounts, rows, out);
            }

            fn dots<const T: usize>(
                indices: &[u32],
                rows: &[Self],
                vectors: [&[Self]; T],
                out: [&mut Vec<Self>; T],
            ) {
                dots::$scalar::dots(indices, rows, vectors, out);
            }

            fn above(a: &[Self], b: &[Self], bound: Self, out: &mut Vec<u32>) {
                selection::$scalar::above(a, b, bound, out);
            }

            fn above_each(a: &[Self], b: &[Self], t: &[Self], half: Self, out: &mut Vec<u32>) {
                selection::$scalar::above_each(a, b, t, half, out);
            }

            fn largest(
                a: &[Self],
                b: &[Self],
                k: usize,
                ranks: &mut Ranks<Self>,
                kept: &mut Vec<(u32, Self)>,
            ) {
                selection::$scalar::largest(a, b, k, ranks, kept);
            }

            fn step(
                sae: &mut Sae<Self>,
                moments: &mut Moments<Self>,
                x: &ArrayRef2<Self>,
                y: &ArrayRef2<Self>,
                settings: &Settings<'_>,
                adam: &Adam,
                learning_rate: f64,
                workspace: &mut Workspace<Self>,
            ) -> Result<Losses, SaeError> {
                step::update(sae, moments, x, y, settings, adam, learning_rate, workspace)
            }
        }
    )*};
}
float!(f32, f64);
