use super::loops;
use collimate_stream::RngStream;
use collimate_tensor::{Scalar, hot_loops};

hot_loops! {
    /// The precisions that chains can run in: `f32` or `f64`.
    ///
    /// The hidden methods are the loops over the coordinates. They are compiled in this crate, at its optimisation level.
    pub trait SamplerScalar: Scalar {
        fn normals(stream: &mut RngStream, out: &mut [Self]) = loops::normals::_::fill;
        fn langevin(w: &mut [Self], g: &[Self], z: &[Self], centre: &[Self], scales: [Self; 3]) = loops::langevin;
        fn precondition(v: &mut [Self], g: &[Self], scale: &mut [Self], decay: Self, floor: Self) = loops::precondition;
        fn preconditioned(
            w: &mut [Self],
            g: &[Self],
            z: &[Self],
            centre: &[Self],
            scale: &[Self],
            scales: [Self; 3],
        ) = loops::preconditioned;
        fn kick(p: &mut [Self], g: &[Self], w: &[Self], centre: &[Self], scales: [Self; 2]) = loops::kick;
        fn glide(w: &mut [Self], p: &[Self], delta: Self) = loops::glide;
        fn reflect(w: &mut [Self], p: Option<&mut [Self]>, low: &[Self], high: &[Self]) = loops::reflect;
        fn inside(w: &[Self], low: &[Self], high: &[Self]) -> bool = loops::inside;
        fn times(x: &mut [Self], m: &[Self]) = loops::times;
        fn distance_squared(a: &[Self], b: &[Self]) -> f64 = loops::distance_squared;
    }
}
