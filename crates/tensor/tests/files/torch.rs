//! Files of `torch.save` are read as data. Their pickle is not run.

use crate::refusal;
use collimate_tensor::files::{TorchFile, TorchObject, TorchScalar};
use std::io::{Cursor, Write};

/// Returns two storages: six floats 0 … 5, and two 64-bit integers 7, 8.
fn storages() -> [Vec<u8>; 2] {
    let floats = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let integers = [7_i64, 8].iter().flat_map(|n| n.to_le_bytes()).collect();
    [floats, integers]
}

pub(crate) fn archive(pickle: &[u8], method: zip::CompressionMethod) -> Vec<u8> {
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    let [floats, integers] = storages();
    let members: [(&str, &[u8]); 4] = [
        ("ae/data.pkl", pickle),
        ("ae/byteorder", b"little"),
        ("ae/data/0", &floats),
        ("ae/data/1", &integers),
    ];
    for (name, bytes) in members {
        out.start_file(name, options).unwrap();
        out.write_all(bytes).unwrap();
    }
    out.finish().unwrap().into_inner()
}

pub(crate) fn open(pickle: &[u8]) -> Result<TorchFile, collimate_tensor::files::FileError> {
    TorchFile::from_bytes(archive(pickle, zip::CompressionMethod::Stored))
}

pub(crate) fn text(value: &str) -> Vec<u8> {
    [&[0x8c, value.len() as u8], value.as_bytes()].concat()
}

/// Returns the opcodes of a tensor, with numbers up to 255.
pub(crate) fn tensor(
    class: &str,
    storage: u8,
    elements: u8,
    offset: u8,
    shape: &[u8],
    strides: &[u8],
) -> Vec<u8> {
    let tuple = |numbers: &[u8]| {
        [b"(".to_vec(), numbers.iter().flat_map(|&n| [b'K', n]).collect(), b"t".to_vec()].concat()
    };
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        format!("ctorch\n{class}\n").into_bytes(),
        text(&storage.to_string()),
        text("cpu"),
        vec![b'K', elements, b't', b'Q', b'K', offset],
        tuple(shape),
        tuple(strides),
        b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
    ]
    .concat()
}

/// Returns a pickle of a dictionary.
pub(crate) fn dictionary(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"\x80\x02}(".to_vec();
    for (name, value) in entries {
        out.extend(text(name));
        out.extend(value);
    }
    out.extend(b"u.");
    out
}

pub(crate) fn state_dict() -> Vec<u8> {
    dictionary(&[
        ("w", tensor("FloatStorage", 0, 6, 0, &[2, 3], &[3, 1])),
        ("transposed", tensor("FloatStorage", 0, 6, 0, &[3, 2], &[1, 3])),
        ("n", tensor("LongStorage", 1, 2, 1, &[], &[])),
        ("k", b"K\x20".to_vec()),
        ("activation", text("TopK")),
    ])
}

#[test]
fn tensors_come_in_row_order_with_their_types() {
    let _guard = crate::alone();
    let file = open(&state_dict()).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["n", "transposed", "w"]);
    assert_eq!(file.shape("w"), Some(&[2, 3][..]));
    let w = file.read("w").unwrap().to_f32();
    let transposed = file.read("transposed").unwrap().to_f32();
    assert_eq!(w[[1, 0]], 3.0);
    assert_eq!(w.t(), transposed);
    assert_eq!(file.read("n").unwrap().to_i64().unwrap().first(), Some(&8));
    assert_eq!(file.scalar("k"), Some(&TorchScalar::Int(32)));
    assert_eq!(file.scalar("activation"), Some(&TorchScalar::Text("TopK".into())));
    assert!(refusal(file.read("b")).contains("there is no 'b'"));
}

#[test]
fn a_call_to_anything_else_is_not_made() {
    let _guard = crate::alone();
    // PyTorch would run this pickle, which starts a shell.
    let call = b"cposix\nsystem\n(X\x04\x00\x00\x00exittR".to_vec();
    let file =
        open(&dictionary(&[("evil", call.clone()), ("w", tensor("FloatStorage", 0, 6, 0, &[6], &[1]))]))
            .unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["w"]);
    assert_eq!(file.objects().collect::<Vec<_>>(), [("evil", &TorchObject::Call("posix.system".into()))]);
    let message = refusal(open(&[call, b".".to_vec()].concat()));
    assert!(message.contains("does not hold a dictionary") && message.contains("posix.system"), "{message}");
}

#[test]
fn views_that_leave_their_storage_are_refused() {
    let _guard = crate::alone();
    let cases = [
        (tensor("FloatStorage", 0, 6, 1, &[2, 3], &[3, 1]), "reaches element 6 of a storage of 6"),
        (tensor("FloatStorage", 0, 6, 0, &[255, 255, 255], &[0, 0, 0]), "more than the limit of 1048576"),
        (tensor("FloatStorage", 0, 6, 0, &[255, 255, 255, 255, 255, 255, 255, 255], &[0; 8]), "larger"),
        (tensor("FloatStorage", 0, 5, 0, &[5], &[1]), "24 bytes, not 5 elements"),
        (tensor("FloatStorage", 9, 6, 0, &[6], &[1]), "storage '9' is not in the file"),
        (tensor("ComplexStorage", 0, 6, 0, &[6], &[1]), "ComplexStorage"),
    ];
    for (value, expected) in cases {
        let message = refusal(open(&dictionary(&[("w", value)])).and_then(|file| file.read("w")));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn broken_streams_name_the_byte() {
    let _guard = crate::alone();
    for (stream, expected) in [
        (&b"\x80\x02}(X\xff\xff\xff\xff"[..], "do not fit"),
        (b"\x80\x02}u.", "no mark"),
        (b"}r\xff\xff\xff\x7f.", "memo 2147483647 is set before memo 0"),
        (b"h\x03.", "memo 3 was never set"),
        (b"}", "without STOP"),
        (b"i", "opcode 0x69"),
        (b"\x85.", "stack is empty"),
        (b"}(K\x01u.", "a key has no value"),
        (b"(0.", "nothing stands behind the mark"),
    ] {
        let message = refusal(open(stream));
        assert!(message.contains(expected) && message.contains("at byte"), "{message}");
    }
    // A million nested tuples are harmless, because the structure is an arena and not a tree.
    let deep = [b")".to_vec(), vec![0x85; 1_000_000], b".".to_vec()].concat();
    assert!(refusal(open(&deep)).contains("does not hold a dictionary"));
}

#[test]
fn archives_without_a_pickle_are_refused() {
    let _guard = crate::alone();
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    out.start_file("ae/data/0", zip::write::SimpleFileOptions::default()).unwrap();
    let bytes = out.finish().unwrap().into_inner();
    assert!(refusal(TorchFile::from_bytes(bytes)).contains("no member data.pkl"));
    let cut = refusal(TorchFile::from_bytes(b"\x80\x02\x8a\nl\xfc".to_vec()));
    assert!(cut.contains("a pickle that torch.save did not write"), "{cut}");
}
