use crate::{normal, with_threads};
use collimate_stream::RngStream;
use collimate_tensor::{PackedMatrix, Scalar, ShapeError, batched_matmul, matmul, matmul_into};
use ndarray::{Array2, Array3, ArrayRef2, Axis, s};
use proptest::prelude::*;

/// Computes the definition in f64, with Σ|aᵢₚbₚⱼ| for the error bound.
fn naive<F: Scalar>(a: &ArrayRef2<F>, b: &ArrayRef2<F>) -> (Array2<f64>, Array2<f64>) {
    let wide = |x: &ArrayRef2<F>| x.mapv(Scalar::to_f64);
    let (a, b) = (wide(a), wide(b));
    (a.dot(&b), a.mapv(f64::abs).dot(&b.mapv(f64::abs)))
}

/// Returns true if c agrees with the definition within the rounding bound k·u·Σ|ab|.
fn close<F: Scalar>(c: &ArrayRef2<F>, a: &ArrayRef2<F>, b: &ArrayRef2<F>) -> bool {
    let (exact, size) = naive(a, b);
    let unit = F::epsilon().to_f64() * (a.ncols() as f64 + 2.0);
    ndarray::Zip::from(c).and(&exact).and(&size).all(|&c, e, s| (c.to_f64() - e).abs() <= unit * s + 1e-300)
}

fn check<F: Scalar>(m: usize, k: usize, n: usize, seed: u64) -> bool {
    let stream = &mut RngStream::new(seed, 0);
    let (a, b) = (normal::<F>(m, k, stream), normal::<F>(k, n, stream));
    let (a_t, b_t) = (normal::<F>(k, m, stream), normal::<F>(n, k, stream));
    let packed = PackedMatrix::new(&b);
    let old = normal::<F>(m, n, stream);
    let mut sum = old.clone();
    packed.add_matmul_into(&a, &mut sum).unwrap();
    let added = ndarray::Zip::from(&sum)
        .and(&packed.matmul(&a).unwrap())
        .and(&old)
        .all(|s, p, o| (*s - (*p + *o)).abs() <= F::epsilon() * F::from_f64(4.0) * (p.abs() + o.abs()));
    let serial = |packed: &PackedMatrix<F>, a: &ArrayRef2<F>| {
        let mut c = Array2::from_elem((m, n + 3), F::nan());
        packed.serial_matmul_into(a, &mut c.slice_mut(s![.., ..n])).unwrap();
        c.slice(s![.., ..n]).to_owned()
    };
    let mut repacked = packed.clone();
    repacked.repack(&b_t.t()).unwrap();
    close(&matmul(&a, &b).unwrap(), &a, &b)
        && close(&serial(&packed, &a), &a, &b)
        && close(&serial(&repacked, &a_t.t()), &a_t.t(), &b_t.t())
        && close(&matmul(&a_t.t(), &b_t.t()).unwrap(), &a_t.t(), &b_t.t())
        && close(&packed.matmul(&a).unwrap(), &a, &b)
        && close(&PackedMatrix::new(&b_t.t()).matmul(&a_t.t()).unwrap(), &a_t.t(), &b_t.t())
        && packed.clone().matmul(&a).unwrap() == packed.matmul(&a).unwrap()
        && added
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn products_agree_with_the_definition(m in 0usize..40, k in 0usize..70, n in 0usize..80, seed in 0u64..1000) {
        prop_assert!(check::<f64>(m, k, n, seed), "f64");
        prop_assert!(check::<f32>(m, k, n, seed), "f32");
    }
}

#[test]
fn rows_a_power_of_two_apart_and_views_into_larger_arrays() {
    let stream = &mut RngStream::new(3, 0);
    let big = normal::<f32>(40, 1024, stream);
    let b = normal::<f32>(512, 50, stream);
    let a = big.slice(s![3..30;2, 100..612]);
    let packed = PackedMatrix::new(&b);
    let mut out = Array2::zeros((14, 120));
    packed.matmul_into(&a, &mut out.slice_mut(s![.., 10..60])).unwrap();
    assert!(close(&out.slice(s![.., 10..60]), &a, &b));
    assert!(out.slice(s![.., ..10]).iter().chain(&out.slice(s![.., 60..])).all(|x| *x == 0.0));
    let mut transposed = Array2::zeros((50, 14));
    packed.matmul_into(&a, &mut transposed.view_mut().reversed_axes()).unwrap();
    assert_eq!(transposed.t(), packed.matmul(&a).unwrap());
}

#[test]
fn the_same_bits_on_one_and_two_threads() {
    fn bits<F: Scalar>() {
        for (m, k, n) in [(200, 384, 600), (512, 576, 960), (64, 1536, 384), (12, 1000, 700), (33, 300, 65)] {
            let stream = &mut RngStream::new(5, 0);
            let (a, b) = (normal::<F>(m, k, stream), normal::<F>(k, n, stream));
            let packed = PackedMatrix::new(&b);
            let run =
                |threads| with_threads(threads, || (matmul(&a, &b).unwrap(), packed.matmul(&a).unwrap()));
            let (one, two) = (run(1), run(2));
            assert!(one == two, "{} {m}×{k}×{n}", F::NAME);
        }
    }
    bits::<f32>();
    bits::<f64>();
}

#[test]
fn a_packed_product_does_not_depend_on_the_number_of_rows() {
    let stream = &mut RngStream::new(6, 0);
    let (a, b) = (normal::<f32>(100, 130, stream), normal::<f32>(130, 70, stream));
    let packed = PackedMatrix::new(&b);
    let whole = packed.matmul(&a).unwrap();
    for i in 0..100 {
        assert_eq!(packed.matmul(&a.slice(s![i..=i, ..])).unwrap().row(0), whole.row(i));
    }
}

#[test]
fn a_product_on_one_thread_does_not_depend_on_the_number_of_rows() {
    let stream = &mut RngStream::new(6, 1);
    for k in [130, 600, 1100] {
        let (a, b) = (normal::<f32>(21, k, stream), normal::<f32>(k, 70, stream));
        let mut packed = PackedMatrix::new(&normal(k, 70, stream));
        packed.repack(&b).unwrap();
        let mut whole = Array2::zeros((21, 70));
        packed.serial_matmul_into(&a, &mut whole).unwrap();
        assert!(close(&whole, &a, &b));
        let mut row = Array2::zeros((1, 70));
        for i in 0..21 {
            packed.serial_matmul_into(&a.slice(s![i..=i, ..]), &mut row).unwrap();
            assert_eq!(row.row(0), whole.row(i));
        }
        let mut columns = Array2::zeros((70, 21));
        packed.serial_matmul_into(&a, &mut columns.view_mut().reversed_axes()).unwrap();
        assert_eq!(columns.t(), whole);
    }
    assert!(PackedMatrix::new(&normal::<f32>(3, 4, stream)).repack(&Array2::zeros((4, 3))).is_err());
}

#[test]
fn beta_zero_does_not_read_the_old_content() {
    let mut c = Array2::from_elem((2, 2), f64::NAN);
    let eye = Array2::eye(2);
    matmul_into(1.0, &eye, &eye, 0.0, &mut c).unwrap();
    assert_eq!(c, eye);
    PackedMatrix::new(&eye).matmul_into(&eye, &mut c).unwrap();
    assert_eq!(c, eye);
    let nothing = Array2::<f64>::zeros((2, 0));
    matmul_into(1.0, &nothing, &nothing.t(), 3.0, &mut c).unwrap();
    assert_eq!(c, &eye * 3.0);
}

#[test]
fn batches_are_the_single_products() {
    let stream = &mut RngStream::new(7, 0);
    let shape = |b, m, n| {
        Array3::from_shape_simple_fn((b, m, n), || stream_normal(&mut RngStream::new((b * m * n) as u64, 1)))
    };
    fn stream_normal(s: &mut RngStream) -> f64 {
        s.normal()
    }
    let mut a: Array3<f64> = shape(5, 60, 50);
    a.mapv_inplace(|_| stream.normal());
    let b = Array3::from_shape_simple_fn((5, 50, 40), || stream.normal());
    let c = batched_matmul(&a, &b).unwrap();
    for i in 0..5 {
        let one = matmul(&a.index_axis(Axis(0), i), &b.index_axis(Axis(0), i)).unwrap();
        assert_eq!(c.index_axis(Axis(0), i), one);
    }
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let (a, b) = (Array2::<f32>::zeros((2, 3)), Array2::<f32>::zeros((4, 5)));
    let error = matmul(&a, &b).unwrap_err();
    assert_eq!(error.to_string(), "`b` must have shape [3, 5], but has [4, 5]");
    let error = PackedMatrix::new(&b).matmul(&a).unwrap_err();
    assert!(matches!(error, ShapeError::Mismatch { argument: "a", .. }));
}

#[test]
fn long_sums_of_a_packed_product_keep_their_precision() {
    let mut stream = RngStream::new(11, 0);
    let (m, k, n) = (24, 4096, 48);
    let mut normal = |shape| Array2::<f32>::from_shape_simple_fn(shape, || stream.normal() as f32);
    let (a, b) = (normal((m, k)), normal((k, n)));
    let exact = matmul(&a.mapv(f64::from), &b.mapv(f64::from)).unwrap();
    let difference = PackedMatrix::new(&b).matmul(&a).unwrap().mapv(f64::from) - &exact;
    let size = |x: &Array2<f64>| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    // One chain of 4096 additions is off by 8e-7 of the result.
    let relative = size(&difference) / size(&exact);
    assert!(relative < 3e-7, "{relative:e}");
}
