//! How much memory a step takes; in a binary of its own because it counts every allocation.

mod kernels;

use collimate_sae::{AdamMoments, AdamParameters, Relu, Sae, Settings, Size, TopK, Variant, Workspace};
use collimate_stream::RngStream;
use ndarray::Array2;

#[global_allocator]
static COUNTING: kernels::Counting = kernels::Counting;

/// Computes the bytes that the buffers of two steps take besides weights and moments.
fn buffers(variant: Variant, size: Size, x: &Array2<f32>) -> usize {
    let mut sae = Sae::<f32>::new(variant, size, &mut RngStream::new(1, 0)).unwrap();
    let mut moments = AdamMoments::zeros(sae.weights());
    let (bytes, _) = kernels::peak_of(|| {
        let mut workspace = Workspace::default();
        for _ in 0..2 {
            let settings = Settings::default();
            sae.step(&mut moments, x, &settings, &AdamParameters::standard(), 1e-4, &mut workspace).unwrap();
        }
        workspace
    });
    bytes
}

#[test]
fn a_topk_step_keeps_no_product_of_the_whole_batch() {
    let (rows, size) = (1024, Size { d_model: 16, n_latents: 4096 });
    let mut stream = RngStream::new(2, 0);
    let x = Array2::from_shape_fn((rows, size.d_model), |_| stream.normal() as f32);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let whole = rows * size.n_latents * size_of::<f32>();
    // Without and with the auxiliary loss: the packed encoder, a tile of 64 rows a thread, entries, residuals.
    for variant in [TopK::new(8), TopK::new(8).with_aux(8)] {
        let bytes = pool.install(|| buffers(variant.into(), size, &x));
        assert!(bytes < whole / 4, "{bytes} bytes of buffers, the products of the batch are {whole}");
    }
    // The counter does see such a buffer where there is one.
    let bytes = pool.install(|| buffers(Relu::unit_norm().into(), size, &x));
    assert!(bytes > whole, "{bytes} bytes of buffers, the products of the batch are {whole}");
}
