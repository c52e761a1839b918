//! Matrices that stay in their storage type.

use crate::gguf::{Builder, blocks};
use crate::{alone, measured, refusal};
use collimate_stream::RngStream;
use collimate_tensor::ShapeError;
use collimate_tensor::files::{FileArray, Gguf, GgufType, Safetensors, StoredMatrix, write_safetensors};
use half::{bf16, f16};
use ndarray::{Array1, Array2, Array3};

#[test]
fn a_stored_matrix_is_held_once_and_expanded_without_memory() {
    let _guard = alone();
    let (rows, columns) = (512, 1024);
    let data = blocks(rows * columns / 32, 18, 1, &mut RngStream::new(5, 0));
    let file = Builder::new().tensor("w", &[columns as u64, rows as u64], 2, &data).build();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.gguf");
    std::fs::write(&path, file).unwrap();
    let file = Gguf::open(&path).unwrap();
    let (stored, peak) = measured(|| file.read_stored("w").unwrap());
    assert_eq!(stored.byte_len(), data.len());
    assert!(peak < data.len() + 1024, "{peak} bytes for {}", data.len());
    let whole = file.read("w").unwrap().to_f32();
    let mut tile = vec![0.0; 7 * columns];
    let (_, peak) = measured(|| {
        for start in (0..rows).step_by(7) {
            let end = rows.min(start + 7);
            let tile = &mut tile[..(end - start) * columns];
            stored.expand_rows_into(start..end, tile).unwrap();
            assert_eq!(tile, &whole.as_slice().unwrap()[start * columns..end * columns]);
        }
    });
    assert_eq!(peak, 0);
    assert_eq!(stored.to_f32().into_dyn(), whole);
}

#[test]
fn the_safetensors_reader_keeps_f16_bf16_and_f32() {
    let _guard = alone();
    let mut stream = RngStream::new(6, 0);
    let mut normal = || stream.normal();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let arrays = [
        ("f16", FileArray::from(Array2::from_shape_simple_fn((5, 9), || f16::from_f64(normal())))),
        ("bf16", Array3::from_shape_simple_fn((2, 3, 4), || bf16::from_f64(normal())).into()),
        ("f32", Array1::from_shape_simple_fn(6, || normal() as f32).into()),
        ("empty", Array2::<f32>::zeros((0, 3)).into()),
        ("narrow", Array2::<f32>::zeros((3, 0)).into()),
        ("i64", Array1::from(vec![1_i64]).into()),
    ];
    write_safetensors(&path, &arrays, &[]).unwrap();
    let file = Safetensors::open(&path).unwrap();
    for (name, kind, shape, bytes) in [
        ("f16", GgufType::F16, [5, 9], 90),
        ("bf16", GgufType::BF16, [6, 4], 48),
        ("f32", GgufType::F32, [1, 6], 24),
        ("empty", GgufType::F32, [0, 3], 0),
        ("narrow", GgufType::F32, [3, 0], 0),
    ] {
        let stored = file.read_stored(name).unwrap();
        assert_eq!((stored.kind(), stored.shape(), stored.byte_len()), (kind, shape, bytes), "{name}");
        let whole = file.read(name).unwrap().to_f32();
        assert_eq!(stored.to_f32(), whole.into_shape_with_order(shape).unwrap(), "{name}");
    }
    let text = refusal(file.read_stored("i64"));
    assert!(text.contains("I64") && text.contains("F16, BF16, F32"), "{text}");
    assert!(refusal(file.read_stored("other")).contains("'other'"));
}

#[test]
fn a_stored_matrix_refuses_sizes_that_do_not_fit() {
    let _guard = alone();
    let new = |kind, shape, bytes| StoredMatrix::new(kind, shape, vec![0; bytes]);
    for (kind, shape, bytes, reason) in [
        (GgufType::Q4_0, [2, 32], 35, "takes 36 bytes, but 35 are given"),
        (GgufType::Q4_0, [2, 33], 36, "no whole number of blocks of 32"),
        (GgufType::Q8_1, [1, 32], 36, "Q8_1"),
        (GgufType::Unknown(99), [1, 32], 36, "Unknown(99)"),
        (GgufType::F64, [usize::MAX / 4, 8], 8, "overflows"),
        (GgufType::F64, [usize::MAX / 8, 2], 8, "overflows"),
    ] {
        let text = refusal(new(kind, shape, bytes));
        assert!(text.contains(reason), "{text}");
    }
    let stored = new(GgufType::Q4_0, [2, 32], 36).unwrap();
    let mut out = [1.0; 64];
    assert_eq!(
        stored.expand_rows_into(1..3, &mut out),
        Err(ShapeError::OutOfBounds { argument: "rows", index: 2, length: 2 })
    );
    assert_eq!(
        stored.expand_rows_into(0..1, &mut out),
        Err(ShapeError::Mismatch { argument: "out", expected: vec![32], given: vec![64] })
    );
    assert_eq!(stored.expand_rows_into(1..1, &mut []), Ok(()));
    assert_eq!(stored.expand_rows_into(0..2, &mut out), Ok(()));
    assert_eq!(out, [0.0; 64]);
}
