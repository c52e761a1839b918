use super::loops;
use collimate_stream::RngStream;
use collimate_tensor::Scalar;

/// A [`Scalar`] that chains can run in: `f32` or `f64`.
///
/// Its hidden methods are the loops over the coordinates; being instantiated here, they run at this crate's optimisation
/// level whatever the level of the calling crate.
pub trait SamplerScalar: Scalar {
    #[doc(hidden)]
    fn normals(stream: &mut RngStream, out: &mut [Self]);
    #[doc(hidden)]
    fn langevin(w: &mut [Self], g: &[Self], z: &[Self], centre: &[Self], scales: [Self; 3]);
    #[doc(hidden)]
    fn precondition(v: &mut [Self], g: &[Self], scale: &mut [Self], decay: Self, floor: Self);
    #[doc(hidden)]
    fn preconditioned(
        w: &mut [Self],
        g: &[Self],
        z: &[Self],
        centre: &[Self],
        scale: &[Self],
        scales: [Self; 3],
    );
    #[doc(hidden)]
    fn kick(p: &mut [Self], g: &[Self], w: &[Self], centre: &[Self], scales: [Self; 2]);
    #[doc(hidden)]
    fn glide(w: &mut [Self], p: &[Self], delta: Self);
    #[doc(hidden)]
    fn reflect(w: &mut [Self], p: Option<&mut [Self]>, low: &[Self], high: &[Self]);
    #[doc(hidden)]
    fn inside(w: &[Self], low: &[Self], high: &[Self]) -> bool;
    #[doc(hidden)]
    fn times(x: &mut [Self], m: &[Self]);
    #[doc(hidden)]
    fn distance_squared(a: &[Self], b: &[Self]) -> f64;
}

macro_rules! sampler_scalar {
    ($f:ident, $normals:expr) => {
        impl SamplerScalar for $f {
            fn normals(stream: &mut RngStream, out: &mut [Self]) {
                $normals(stream, out);
            }
            fn langevin(w: &mut [Self], g: &[Self], z: &[Self], centre: &[Self], scales: [Self; 3]) {
                loops::langevin(w, g, z, centre, scales);
            }
            fn precondition(v: &mut [Self], g: &[Self], scale: &mut [Self], decay: Self, floor: Self) {
                loops::precondition(v, g, scale, decay, floor);
            }
            fn preconditioned(
                w: &mut [Self],
                g: &[Self],
                z: &[Self],
                centre: &[Self],
                scale: &[Self],
                scales: [Self; 3],
            ) {
                loops::preconditioned(w, g, z, centre, scale, scales);
            }
            fn kick(p: &mut [Self], g: &[Self], w: &[Self], centre: &[Self], scales: [Self; 2]) {
                loops::kick(p, g, w, centre, scales);
            }
            fn glide(w: &mut [Self], p: &[Self], delta: Self) {
                loops::glide(w, p, delta);
            }
            fn reflect(w: &mut [Self], p: Option<&mut [Self]>, low: &[Self], high: &[Self]) {
                loops::reflect(w, p, low, high);
            }
            fn inside(w: &[Self], low: &[Self], high: &[Self]) -> bool {
                loops::inside(w, low, high)
            }
            fn times(x: &mut [Self], m: &[Self]) {
                loops::times(x, m);
            }
            fn distance_squared(a: &[Self], b: &[Self]) -> f64 {
                loops::distance_squared(a, b)
            }
        }
    };
}

sampler_scalar!(f32, crate::kernels::normals::fill);
sampler_scalar!(f64, RngStream::fill_normal);
