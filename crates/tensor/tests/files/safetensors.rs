use crate::{alone, measured, refusal};
use collimate_tensor::files::{FileArray, FileData, FileError, Safetensors, write_safetensors};
use half::{bf16, f16};
use ndarray::{Array3, array};

/// Returns a file with this header text and this number of data bytes.
pub(crate) fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 1);
    bytes
}

fn open(header: &str, data: usize) -> Result<Safetensors, FileError> {
    Safetensors::from_bytes(file(header, data))
}

#[test]
fn written_tensors_are_read_back() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.safetensors");
    let cube = Array3::from_shape_fn((2, 3, 4), |(i, j, k)| (100 * i + 10 * j + k) as f32);
    let tensors = [
        ("f16", FileArray::from(array![f16::from_f32(0.5), f16::NAN])),
        ("bf16", FileArray::from(array![bf16::from_f32(-3.0)])),
        ("f32", FileArray::from(cube.clone())),
        ("turned", FileArray::from(cube.permuted_axes([2, 0, 1]))),
        ("f64", FileArray::from(array![[std::f64::consts::PI]])),
        ("i32", FileArray::from(array![i32::MIN, -1])),
        ("i64", FileArray::from(array![i64::MAX])),
        ("u8", FileArray::from(array![0_u8, 255])),
        ("bool", FileArray::from(array![true, false, true])),
        ("empty", FileArray::new(vec![0, 3], FileData::F32(vec![])).unwrap()),
        ("scalar", FileArray::new(vec![], FileData::F32(vec![7.0])).unwrap()),
    ];
    write_safetensors(&path, &tensors, &[("made by", "a test")]).unwrap();
    let file = Safetensors::open(&path).unwrap();
    assert_eq!(file.metadata()["made by"], "a test");
    assert_eq!(file.names().count(), tensors.len());
    for (name, array) in &tensors[1..] {
        assert_eq!(&file.read(name).unwrap(), array, "{name}");
    }
    assert!(file.read("f16").unwrap().to_f32()[1].is_nan());
    assert_eq!(file.read("turned").unwrap().to_f32()[[3, 1, 2]], 123.0);
    // Nothing else was left in the folder.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_hostile_header_is_refused_with_its_reason() {
    let _guard = alone();
    let one = |offsets: &str| format!(r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":{offsets}}}}}"#);
    assert!(open(&one("[0,8]"), 8).is_ok());
    for (header, data, reason) in [
        (one("[0,8]"), 7, "do not make up a file"),
        (one("[0,8]"), 9, "do not make up a file"),
        (one("[4,12]"), 12, "invalid offset"),
        (one("[0,4]"), 4, "invalid shape"),
        (one("[8,0]"), 8, "invalid offset"),
        (one("[0,18446744073709551615]"), 8, "invalid"),
        (r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#.into(), 0, "overflow"),
        (r#"{"a":{"dtype":7,"shape":[],"data_offsets":[0,4]}}"#.into(), 4, "invalid type"),
        (r#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}"#.into(), 2, "invalid shape"),
        (r#"{"__metadata__":{"a":"1","a":"2"}}"#.into(), 0, "'a' are listed twice"),
        (r#"{"__metadata__":{"a":"1"},"__metadata__":{"a":"1"}}"#.into(), 0, "'__metadata__' is listed twice"),
        (r#"{"__metadata__":null,"__metadata__":{}}"#.into(), 0, "'__metadata__' is listed twice"),
        (r#"{"__metadata__":{"a":1}}"#.into(), 0, "expected a string"),
        (r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#.into(), 4, "integer"),
        (
            r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#
                .into(),
            6,
            "invalid offset",
        ),
        (
            r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#
                .into(),
            4,
            "listed twice",
        ),
        ("[".repeat(5000), 0, "header"),
    ] {
        let text = refusal(open(&header, data));
        assert!(text.to_lowercase().contains(reason), "{header:.80}: {text}");
    }
}

#[test]
fn a_header_longer_than_the_file_allocates_nothing() {
    let _guard = alone();
    for claimed in [57, 1 << 20, 99_999_999, 1 << 40, u64::MAX] {
        let mut bytes = file("{}", 40);
        bytes[..8].copy_from_slice(&u64::to_le_bytes(claimed));
        let (result, peak) = measured(|| Safetensors::from_bytes(bytes));
        assert!(refusal(result).contains("header"));
        assert!(peak < 4096, "{peak} bytes for a claimed header of {claimed}");
    }
}

#[test]
fn an_element_type_that_is_not_read_is_named() {
    let _guard = alone();
    // One tensor of a type that is not read, or not known, leaves the others readable.
    for (dtype, bytes) in [("C64", 16), ("F4", 1), ("F6_E3M2", 3), ("F31", 5)] {
        let shape = if dtype == "F6_E3M2" { 4 } else { 2 };
        let end = bytes + 4;
        let header = format!(
            r#"{{"a":{{"dtype":"{dtype}","shape":[{shape}],"data_offsets":[0,{bytes}]}},
                "b":{{"dtype":"U8","shape":[4],"data_offsets":[{bytes},{end}]}}}}"#
        );
        let file = open(&header, end).unwrap();
        assert_eq!(file.shape("a"), Some(&[shape][..]));
        let text = refusal(file.read("a"));
        assert!(text.contains(dtype) && text.contains("supported: BOOL, U8"), "{text}");
        assert_eq!(file.read("b").unwrap().to_i64().unwrap().sum(), 4);
    }
    let file = open(r#"{"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}"#, 2).unwrap();
    assert_eq!(file.read("a").unwrap().to_i64().unwrap()[0], 1);
    let mut bytes = self::file(r#"{"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}"#, 1);
    *bytes.last_mut().unwrap() = 2;
    assert!(refusal(Safetensors::from_bytes(bytes).unwrap().read("a")).contains("truth"));
}

#[test]
fn a_writer_that_refuses_leaves_the_old_file() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept");
    std::fs::write(&path, b"old").unwrap();
    // Two tensors of one name, a folder in place of a file, a file that is not there.
    let twice = [("a", FileArray::from(array![1_u8])), ("a", FileArray::from(array![2_u8]))];
    assert!(refusal(write_safetensors(&path, &twice, &[])).contains("twice"));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(refusal(Safetensors::open(folder.path())).contains("regular file"));
    assert!(refusal(Safetensors::open(folder.path().join("none"))).contains("none"));
}

/// Reads one tensor of `n` elements of a type from its bytes.
fn read_as(dtype: &str, n: usize, bytes: &[u8]) -> FileArray {
    let end = bytes.len();
    let header = format!(r#"{{"a":{{"dtype":"{dtype}","shape":[{n}],"data_offsets":[0,{end}]}}}}"#);
    let mut all = file(&header, 0);
    all.extend(bytes);
    Safetensors::from_bytes(all).unwrap().read("a").unwrap()
}

#[test]
fn eight_bit_numbers_are_read_by_their_formulas() {
    let _guard = alone();
    // Zero, the least and the largest number, one, minus one, and the codes beyond the largest number.
    let values = |dtype: &str, codes: &[u8]| -> Vec<f64> {
        read_as(dtype, codes.len(), codes).to_f64().into_raw_vec_and_offset().0
    };
    assert_eq!(
        values("F8_E4M3", &[0, 1, 7, 8, 0x38, 0xb8, 0x7e, 0xfe]),
        [0.0, 2f64.powi(-9), 7.0 * 2f64.powi(-9), 2f64.powi(-6), 1.0, -1.0, 448.0, -448.0]
    );
    assert!(values("F8_E4M3", &[0x7f, 0xff]).iter().all(|x| x.is_nan()));
    assert_eq!(
        values("F8_E5M2", &[0, 1, 0x3c, 0xbc, 0x7b, 0x7c, 0xfc]),
        [0.0, 2f64.powi(-16), 1.0, -1.0, 57344.0, f64::INFINITY, f64::NEG_INFINITY]
    );
    assert!(values("F8_E5M2", &[0x7d, 0x7f]).iter().all(|x| x.is_nan()));
    assert_eq!(
        values("F8_E4M3FNUZ", &[0, 1, 0x40, 0xc0, 0x7f, 0xff]),
        [0.0, 2f64.powi(-10), 1.0, -1.0, 240.0, -240.0]
    );
    assert_eq!(values("F8_E5M2FNUZ", &[0, 1, 0x40, 0x7f]), [0.0, 2f64.powi(-17), 1.0, 57344.0]);
    assert!(values("F8_E4M3FNUZ", &[0x80])[0].is_nan() && values("F8_E5M2FNUZ", &[0x80])[0].is_nan());
    assert_eq!(values("F8_E8M0", &[0, 127, 128, 254]), [2f64.powi(-127), 1.0, 2.0, 2f64.powi(127)]);
    assert!(values("F8_E8M0", &[255])[0].is_nan());
    assert_eq!(values("I8", &[0x80, 0xff, 0x7f]), [-128.0, -1.0, 127.0]);
}

#[test]
fn integers_of_every_width_are_read_exactly() {
    let _guard = alone();
    let integers = |dtype: &str, bytes: Vec<u8>| {
        let n = bytes.len() * 8 / dtype[1..].parse::<usize>().unwrap();
        read_as(dtype, n, &bytes).to_i64().map(|x| x.into_raw_vec_and_offset().0)
    };
    let bytes = |x: &[u64], width: usize| -> Vec<u8> {
        x.iter().flat_map(|x| x.to_le_bytes()[..width].to_vec()).collect()
    };
    let all = u64::MAX;
    assert_eq!(integers("I16", bytes(&[all, 0x7fff, 0x8000], 2)), Some(vec![-1, 32767, -32768]));
    assert_eq!(integers("U16", bytes(&[all, 5], 2)), Some(vec![65535, 5]));
    assert_eq!(integers("U32", bytes(&[all, 5], 4)), Some(vec![4_294_967_295, 5]));
    assert_eq!(integers("U64", bytes(&[5, i64::MAX as u64], 8)), Some(vec![5, i64::MAX]));
    // A number above the largest signed integer stays what it is.
    assert_eq!(integers("U64", bytes(&[5, all], 8)), None);
    assert_eq!(read_as("U64", 1, &bytes(&[all], 8)).data(), &FileData::U64(vec![all]));
}

#[test]
fn free_text_that_is_null_is_none() {
    let _guard = alone();
    let header = r#"{"__metadata__":null,"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#;
    let file = open(header, 2).unwrap();
    assert!(file.metadata().is_empty());
    assert_eq!(file.names().collect::<Vec<_>>(), ["a"]);
    assert!(open(r#"{"__metadata__":{}}"#, 0).unwrap().metadata().is_empty());
}

#[test]
fn what_the_reader_refuses_is_not_written() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let one = || FileArray::from(array![1_u8]);
    assert!(refusal(write_safetensors(&path, &[("__metadata__", one())], &[])).contains("'__metadata__'"));
    let twice = [("a", "1"), ("b", "2"), ("a", "1")];
    assert!(refusal(write_safetensors(&path, &[("w", one())], &twice)).contains("'a' are given twice"));
    assert!(!path.exists());
    // Names and texts of any characters come back.
    let odd = "quote \" slash \\ line\n\u{1} λ";
    write_safetensors(&path, &[(odd, one()), ("", one())], &[(odd, odd)]).unwrap();
    let file = Safetensors::open(&path).unwrap();
    assert_eq!(file.metadata()[odd], odd);
    assert_eq!(file.read(odd).unwrap(), one());
    assert_eq!(file.names().next(), Some(""));
}

#[test]
fn the_reference_implementation_writes_and_reads_the_same_bytes() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let tensors = [
        ("b", FileArray::from(array![1.5_f32, -2.0])),
        ("half", FileArray::from(array![f16::ONE])),
        ("a", FileArray::from(array![[1.0_f32], [2.0]])),
        ("n", FileArray::from(array![7_i64])),
        ("u", FileArray::from(array![u64::MAX])),
        ("flags", FileArray::from(array![true])),
    ];
    let texts: Vec<(String, String)> = (0..20).map(|i| (format!("key {i}"), format!("{i}"))).collect();
    let texts: Vec<(&str, &str)> = texts.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    write_safetensors(&path, &tensors, &texts).unwrap();
    let written = std::fs::read(&path).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&written).unwrap();
    assert_eq!(theirs.len(), tensors.len());
    assert_eq!(theirs.tensor("a").unwrap().shape(), [2, 1]);
    assert_eq!(theirs.tensor("u").unwrap().data(), [255; 8]);
    // The keys ascend, so a second file has the same bytes whatever the order in which they are given.
    let backwards: Vec<(&str, &str)> = texts.iter().rev().copied().collect();
    write_safetensors(&path, &tensors, &backwards).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), written);
    // Without a map whose order is undefined, the reference writes these bytes too.
    let views: Vec<_> = theirs.tensors();
    write_safetensors(&path, &tensors, &[("one", "text")]).unwrap();
    let one = std::collections::HashMap::from([("one".to_owned(), "text".to_owned())]);
    assert_eq!(std::fs::read(&path).unwrap(), safetensors::serialize(views, Some(one)).unwrap());
}

#[test]
fn the_bytes_do_not_depend_on_the_order_of_the_free_text() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let tensors = [("w", FileArray::from(array![1.5_f32, -2.0])), ("i", FileArray::from(array![3_i64]))];
    let bytes = |free: &[(&str, &str)], tensors: &[(&str, FileArray)]| {
        let path = folder.path().join("a.safetensors");
        write_safetensors(&path, tensors, free).unwrap();
        let file = Safetensors::open(&path).unwrap();
        assert_eq!(file.metadata().len(), free.len());
        assert!(free.iter().all(|(key, value)| file.metadata()[*key] == *value), "{free:?}");
        let bytes = std::fs::read(&path).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert_eq!(header % 8, 0);
        // The crate of the format reads it too.
        assert_eq!(safetensors::SafeTensors::deserialize(&bytes).unwrap().len(), tensors.len());
        bytes
    };
    let free = [("a", "1"), ("b", "\"quoted\"\n"), ("c", "ü"), ("d", ""), ("e", "5"), ("f", "6")];
    let mut turned = free;
    turned.reverse();
    for tensors in [&tensors[..], &[]] {
        assert_eq!(bytes(&free, tensors), bytes(&turned, tensors));
        bytes(&free[..1], tensors);
        bytes(&[], tensors);
    }
    let path = folder.path().join("twice");
    assert!(refusal(write_safetensors(&path, &tensors, &[("a", "1"), ("a", "2")])).contains("twice"));
    assert!(!path.exists());
}

#[test]
fn a_pipe_is_refused_without_waiting_for_its_writer() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    let _ = std::process::Command::new("mkfifo").arg(&path).status();
    for (path, what) in [(path.as_path(), "a pipe"), (folder.path(), "a folder")] {
        if path.exists() {
            let error = Safetensors::open(path).err().unwrap().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
