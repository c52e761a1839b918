//! The code that needs `unsafe`: the bare product of the kernel crate, as the probe, and an allocator that counts.

use ndarray::ArrayRef2;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of bytes that are allocated now.
pub(crate) static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The largest value of [`LIVE`] since this was last set.
pub(crate) static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The allocator of the system, which also counts bytes for [`peak_bytes`](crate::peak_bytes).
#[derive(Clone, Copy, Debug)]
pub struct Counting;

fn count(before: usize, after: usize) {
    if after > before {
        let live = LIVE.fetch_add(after - before, Ordering::Relaxed) + (after - before);
        PEAK.fetch_max(live, Ordering::Relaxed);
    } else {
        LIVE.fetch_sub(before - after, Ordering::Relaxed);
    }
}

// SAFETY: every call goes unchanged to the allocator of the system, and nothing here allocates.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller's promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), 0);
        // SAFETY: the caller's promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    // Zeros come from the system as fresh pages. The default method would write to them.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller's promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), size);
        // SAFETY: the caller's promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Computes c ← a·b by the kernel crate itself, on all threads, without any code of ours.
///
/// # Panics
/// If the shapes do not fit: a benchmark is our own code.
pub fn bare_product(a: &ArrayRef2<f32>, b: &ArrayRef2<f32>, c: &mut ArrayRef2<f32>) {
    let (m, k) = a.dim();
    let n = b.ncols();
    assert_eq!((b.nrows(), c.dim()), (k, (m, n)), "shapes of the probe");
    let (a_stride, b_stride) = ((a.strides()[0], a.strides()[1]), (b.strides()[0], b.strides()[1]));
    let c_stride = (c.strides()[0], c.strides()[1]);
    // SAFETY: pointers, shapes and strides come from live arrays whose shapes agree, and `c` is borrowed mutably.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            c_stride.1,
            c_stride.0,
            false,
            a.as_ptr(),
            a_stride.1,
            a_stride.0,
            b.as_ptr(),
            b_stride.1,
            b_stride.0,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
}
