use crate::{alone, measured, refusal};
use collimate_tensor::files::{FileArray, FileData, Npz, read_npy, write_npy, write_npz};
use half::f16;
use ndarray::{Array3, ShapeBuilder, array};
use std::io::{Cursor, Write};

/// Returns an npy file of version 1 with this dictionary.
pub(crate) fn npy(dictionary: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(dictionary.len()).unwrap().to_le_bytes());
    bytes.extend(dictionary.as_bytes());
    bytes.extend(data);
    bytes
}

pub(crate) fn read(bytes: &[u8]) -> Result<FileArray, collimate_tensor::files::FileError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    read_npy(file.path())
}

/// Returns a zip archive with one compressed member.
pub(crate) fn zipped(name: &str, member: &[u8], method: zip::CompressionMethod) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file(name, zip::write::SimpleFileOptions::default().compression_method(method)).unwrap();
    archive.write_all(member).unwrap();
    archive.finish().unwrap().into_inner()
}

#[test]
fn every_element_type_is_read_back() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let arrays = [
        ("f16", FileArray::from(array![[f16::from_f32(0.5)], [f16::MAX]])),
        ("f32", FileArray::from(Array3::from_shape_fn((2, 3, 4), |(i, j, k)| (100 * i + 10 * j + k) as f32))),
        ("f64", FileArray::from(array![1e300])),
        ("i32", FileArray::from(array![i32::MIN])),
        ("i64", FileArray::from(array![i64::MAX])),
        ("u64", FileArray::from(array![u64::MAX])),
        ("u8", FileArray::from(array![7_u8])),
        ("bool", FileArray::from(array![true, false])),
        ("empty", FileArray::new(vec![3, 0], FileData::F64(vec![])).unwrap()),
        ("scalar", FileArray::new(vec![], FileData::I32(vec![5])).unwrap()),
    ];
    for (name, array) in &arrays {
        let path = folder.path().join(name);
        write_npy(&path, array).unwrap();
        assert_eq!(std::fs::read(&path).unwrap().len() % 64, array_bytes(array) % 64);
        assert_eq!(&read_npy(&path).unwrap(), array, "{name}");
    }
    let path = folder.path().join("all.npz");
    write_npz(&path, &arrays).unwrap();
    let npz = Npz::open(&path).unwrap();
    assert_eq!(npz.names().count(), arrays.len());
    for (name, array) in &arrays {
        assert_eq!(&npz.read(name).unwrap(), array, "{name}");
    }
    assert!(refusal(npz.read("f128")).contains("'f128'"));
    assert!(refusal(write_npy(&path, &FileArray::from(array![half::bf16::ONE]))).contains("bf16"));
}

fn array_bytes(array: &FileArray) -> usize {
    let size = match array.type_name() {
        "f16" => 2,
        "f32" | "i32" => 4,
        "f64" | "i64" | "u64" => 8,
        _ => 1,
    };
    size * array.shape().iter().product::<usize>()
}

#[test]
fn fortran_order_and_the_spellings_of_the_header() {
    let _guard = alone();
    let data = Array3::from_shape_fn((2, 3, 4).f(), |(i, j, k)| (100 * i + 10 * j + k) as f32);
    let bytes: Vec<u8> = data.as_slice_memory_order().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect();
    let dictionary = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3, 4), }   \n";
    assert_eq!(read(&npy(dictionary, &bytes)).unwrap().to_f32(), data.into_dyn());
    for (dictionary, shape) in [
        ("{\"shape\":(2,),\"fortran_order\":False,\"descr\":\"|u1\"}", vec![2]),
        ("{'descr': '|u1', 'fortran_order': True, 'shape': (2,), }", vec![2]),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2)}\n", vec![1, 2]),
    ] {
        assert_eq!(read(&npy(dictionary, &[1, 2])).unwrap().shape(), shape);
    }
    // Version 2 has a longer length field.
    let mut long = b"\x93NUMPY\x02\x00".to_vec();
    let dictionary = "{'descr': '|u1', 'fortran_order': False, 'shape': ()}";
    long.extend((dictionary.len() as u32).to_le_bytes());
    long.extend(dictionary.as_bytes());
    long.push(9);
    assert_eq!(read(&long).unwrap().to_i64().unwrap().sum(), 9);
}

#[test]
fn a_hostile_header_is_refused_with_its_reason() {
    let _guard = alone();
    let with = |descr: &str, shape: &str| {
        format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}")
    };
    for (dictionary, reason) in [
        (with("'<f4'", "(1000000000000,)"), "4000000000000 bytes"),
        (with("'<f8'", "(18446744073709551615,)"), "overflow"),
        (with("'<f8'", "(4294967296, 4294967296)"), "overflow"),
        (with("'<f4'", "(0, 9223372036854775807, 4)"), "overflow"),
        (with("'<f4'", "(99999999999999999999999,)"), "no tuple of sizes"),
        (with("'<f4'", "(-1,)"), "no tuple of sizes"),
        (with("'<f4'", "(2"), "not closed"),
        (with("'>f4'", "(2,)"), "needs 8 bytes, but 7 follow"),
        (with("'|f4'", "(2,)"), "'|f4'"),
        (with("'f4'", "(2,)"), "'f4'"),
        (with("''", "(2,)"), "''"),
        (with("'\u{e9}4'", "(2,)"), "'\u{e9}4'"),
        (with("'<f16'", "(2,)"), "'<f16'"),
        (with("'<U8'", "(2,)"), "'<u8'"),
        (with("'<M8[ns]'", "(2,)"), "'<m8[ns]'"),
        (with("'<f4'", "(2LL,)"), "no tuple of sizes"),
        (with("'<f4'", "(L,)"), "no tuple of sizes"),
        (with("'<c8'", "(2,)"), "'<c8'"),
        (with("'|O'", "(2,)"), "'|o'"),
        (with("[('a', '<f4')]", "(2,)"), "structured"),
        (with("'<f4'", "(2,), 'shape': (2,)"), "twice"),
        (with("'<f4'", "(2,), 'extra': 1"), "unknown key"),
        ("{'descr': '<f4', 'fortran_order': 1, 'shape': (2,)}".into(), "neither"),
        ("{'descr': '<f4', 'shape': (2,)}".into(), "'fortran_order' is missing"),
        ("{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}".into(), "','"),
        ("{'descr".into(), "braces"),
        ("{\u{e9}}".into(), "key"),
    ] {
        let (result, peak) = measured(|| read(&npy(&dictionary, &[0; 7])));
        let text = refusal(result).to_lowercase();
        assert!(text.contains(reason), "{dictionary}: {text}");
        assert!(peak < 8192, "{dictionary}: {peak} bytes");
    }
    assert!(refusal(read(b"PK\x03\x04 no npy file")).contains("not an npy file"));
    assert!(refusal(read(b"\x93NUMPY\x09\x00\x10\x00")).contains("version 9"));
    assert!(refusal(read(b"\x93NUMPY\x02\x00\xff\xff\xff\xff")).contains("4294967295"));
}

#[test]
fn an_archive_that_expands_without_end_is_stopped() {
    let _guard = alone();
    let n = 8 << 20;
    let member = npy(&format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({n},), }}"), &vec![0; n]);
    let archive = zipped("big.npy", &member, zip::CompressionMethod::Deflated);
    assert!(archive.len() < n / 500);
    let npz = Npz::from_bytes(archive.clone()).unwrap();
    assert_eq!(npz.read("big").unwrap().shape(), [n]);
    let npz = Npz::from_bytes(archive.clone()).unwrap().with_limit(1 << 20);
    let (result, peak) = measured(|| npz.read("big"));
    assert!(refusal(result).contains("limit of 1048576"));
    assert!(peak < 200_000, "{peak} bytes");
    // The directory gives a smaller size than the member has: reading stops at that size.
    let small = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }", &[1; 64]);
    let npz = Npz::from_bytes(zipped("a.npy", &small, zip::CompressionMethod::Deflated)).unwrap();
    assert!(refusal(npz.read("a")).contains("needs 4 bytes, but 64 follow"));
    // An archive of another zip writer with 64-bit sizes and a comment at its end is read as well.
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("w.npy", zip::write::SimpleFileOptions::default().large_file(true)).unwrap();
    archive.write_all(&npy("{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }", &[5; 4])).unwrap();
    archive.set_comment("remark");
    let npz = Npz::from_bytes(archive.finish().unwrap().into_inner()).unwrap();
    assert_eq!(npz.read("w").unwrap().to_i64().unwrap().sum(), 20);
    // The other library reads the archives that are written here.
    let file = tempfile::NamedTempFile::new().unwrap();
    write_npz(file.path(), &[("x", FileArray::from(array![1_u8])), ("y", FileArray::from(array![2_u8]))])
        .unwrap();
    let mut theirs = zip::ZipArchive::new(std::fs::File::open(file.path()).unwrap()).unwrap();
    assert_eq!(theirs.len(), 2);
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut theirs.by_name("y.npy").unwrap(), &mut bytes).unwrap();
    assert_eq!(bytes.last(), Some(&2));
    // A flipped byte in the data fails the check sum.
    let mut stored = zipped(
        "a.npy",
        &npy("{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }", &[77; 4]),
        zip::CompressionMethod::Stored,
    );
    let at = stored.windows(4).position(|w| w == [77; 4]).unwrap();
    stored[at] = 78;
    assert!(refusal(Npz::from_bytes(stored).unwrap().read("a")).to_lowercase().contains("check sum"));
}

#[test]
fn shapes_with_long_integers_of_python_2_are_read() {
    let _guard = alone();
    for (shape, expected) in [("(2L, 3L)", vec![2, 3]), ("(6L,)", vec![6]), ("(1, 6L)", vec![1, 6])] {
        let dictionary = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
        assert_eq!(read(&npy(&dictionary, &[1; 6])).unwrap().shape(), expected);
    }
}

#[test]
fn either_byte_order_and_every_width_of_integers_are_read() {
    let _guard = alone();
    let read = |descr: &str, data: &[u8]| {
        let dictionary = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2,), }}");
        read(&npy(&dictionary, data)).unwrap()
    };
    let both = |values: [f64; 2], little: Vec<u8>, kind: &str| {
        let width = little.len() / 2;
        let big: Vec<u8> = little.chunks(width).flat_map(|x| x.iter().rev().copied()).collect();
        assert_eq!(read(&format!("<{kind}"), &little).to_f64().as_slice().unwrap(), values, "{kind}");
        assert_eq!(read(&format!(">{kind}"), &big).to_f64().as_slice().unwrap(), values, "{kind}");
    };
    let halves = [1.5, -0.25].map(|x| f16::from_f64(x).to_le_bytes());
    both([1.5, -0.25], halves.concat(), "f2");
    both([1.5, -0.25], [1.5_f32, -0.25].map(f32::to_le_bytes).concat(), "f4");
    both([0.1, -1e300], [0.1_f64, -1e300].map(f64::to_le_bytes).concat(), "f8");
    both([-2.0, 300.0], [-2_i16, 300].map(i16::to_le_bytes).concat(), "i2");
    both([-2.0, 70000.0], [-2_i32, 70000].map(i32::to_le_bytes).concat(), "i4");
    both([-2.0, 7e10], [-2_i64, 70_000_000_000].map(i64::to_le_bytes).concat(), "i8");
    both([2.0, 65535.0], [2_u16, 65535].map(u16::to_le_bytes).concat(), "u2");
    both([2.0, 4_294_967_295.0], [2_u32, u32::MAX].map(u32::to_le_bytes).concat(), "u4");
    both([2.0, 7e10], [2_u64, 70_000_000_000].map(u64::to_le_bytes).concat(), "u8");
    assert_eq!(read("|i1", &[0x80, 0x7f]).to_f64().as_slice().unwrap(), [-128.0, 127.0]);
    assert_eq!(read("<i1", &[0x80, 0x7f]).to_f64().as_slice().unwrap(), [-128.0, 127.0]);
    // Fortran order and big-endian bytes at once.
    let dictionary = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }";
    let data: Vec<u8> = [1_i16, 4, 2, 5, 3, 6].iter().flat_map(|x| x.to_be_bytes()).collect();
    let array = self::read(&npy(dictionary, &data)).unwrap().to_i64().unwrap();
    assert_eq!(array, array![[1, 2, 3], [4, 5, 6]].into_dyn());
}

#[test]
fn a_sparse_array_larger_than_the_memory_is_an_error() {
    let _guard = alone();
    let file = tempfile::NamedTempFile::new().unwrap();
    let header = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776,), }", &[]);
    std::fs::write(file.path(), &header).unwrap();
    let length = (1 << 40) + header.len() as u64;
    std::fs::OpenOptions::new().write(true).open(file.path()).unwrap().set_len(length).unwrap();
    let (result, peak) = measured(|| read_npy(file.path()));
    assert!(refusal(result).contains("needs 1099511627776 bytes of memory"));
    assert!(peak < 4096, "{peak} bytes");
}

#[test]
fn what_the_writer_of_archives_writes_has_no_limit_of_expansion() {
    let _guard = alone();
    let file = tempfile::NamedTempFile::new().unwrap();
    write_npz(file.path(), &[("x", FileArray::from(ndarray::Array1::<u8>::zeros(5000)))]).unwrap();
    // A stored array does not expand, so the limit does not concern it.
    assert_eq!(Npz::open(file.path()).unwrap().with_limit(100).read("x").unwrap().shape(), [5000]);
    // A name as long as the format allows is read back, and a longer one is not written.
    let long = "n".repeat(65_531);
    write_npz(file.path(), &[(&long, FileArray::from(array![3_u8]))]).unwrap();
    assert_eq!(Npz::open(file.path()).unwrap().read(&long).unwrap().to_i64().unwrap()[0], 3);
    let longer = "n".repeat(65_532);
    assert!(refusal(write_npz(file.path(), &[(&longer, FileArray::from(array![3_u8]))])).contains("65535"));
}

#[test]
fn a_stored_array_of_a_false_size_takes_no_memory() {
    let _guard = alone();
    let file = tempfile::NamedTempFile::new().unwrap();
    write_npz(file.path(), &[("x", FileArray::from(array![3_u8]))]).unwrap();
    let mut bytes = std::fs::read(file.path()).unwrap();
    let entry = bytes.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    bytes[entry + 24..entry + 28].copy_from_slice(&0x8000_0000_u32.to_le_bytes());
    let (message, peak) = measured(|| refusal(Npz::from_bytes(bytes).unwrap().read("x")));
    assert!(message.contains("2147483648 are promised"), "{message}");
    assert!(peak < 1 << 17, "{peak}");
}
