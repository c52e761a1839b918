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
        (r#"{"a":{"dtype":"F31","shape":[],"data_offsets":[0,4]}}"#.into(), 4, "unknown variant"),
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
    let file = open(r#"{"a":{"dtype":"U16","shape":[2],"data_offsets":[0,4]}}"#, 4).unwrap();
    assert_eq!(file.shape("a"), Some(&[2][..]));
    assert!(refusal(file.read("a")).contains("U16"));
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
