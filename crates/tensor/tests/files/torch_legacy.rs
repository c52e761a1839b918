//! The format of `torch.save` before torch 1.6: pickles and storages one after another.

use crate::refusal;
use crate::torch::{dictionary, tensor, text};
use collimate_tensor::files::TorchFile;

/// The number in front of the format.
const MAGIC: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";

/// Returns a file with the storages 0 (floats 0 … 5) and 1 (64-bit integers 7, 8).
fn legacy(object: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(b"\x80\x02M\xe9\x03.");
    out.extend(dictionary(&[("protocol_version", b"M\xe9\x03".to_vec()), ("little_endian", vec![0x88])]));
    out.extend(object);
    out.extend([b"\x80\x02](".to_vec(), text("0"), text("1"), b"e.".to_vec()].concat());
    out.extend(6_u64.to_le_bytes());
    out.extend((0..6).flat_map(|i| (i as f32).to_le_bytes()));
    out.extend(2_u64.to_le_bytes());
    out.extend([7_i64, 8].iter().flat_map(|n| n.to_le_bytes()));
    out
}

/// Returns the opcodes of a tensor whose storage is described by six parts, as this format does.
fn view(class: &str, storage: u8, elements: u8, offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let new = tensor(class, storage, elements, offset, shape, strides);
    let at = new.windows(2).position(|pair| pair == b"tQ").unwrap();
    [&new[..at], b"N", &new[at..]].concat()
}

fn object() -> Vec<u8> {
    dictionary(&[
        ("w", view("FloatStorage", 0, 6, 0, &[2, 3], &[3, 1])),
        ("columns", view("FloatStorage", 0, 6, 0, &[2, 3], &[1, 2])),
        ("every_other", view("FloatStorage", 0, 6, 1, &[3], &[2])),
        ("n", view("LongStorage", 1, 2, 1, &[], &[])),
    ])
}

#[test]
fn views_with_offsets_and_strides_share_a_storage() {
    let _guard = crate::alone();
    let file = TorchFile::from_bytes(legacy(&object())).unwrap();
    assert_eq!(file.names().collect::<Vec<_>>(), ["columns", "every_other", "n", "w"]);
    let numbers = |name: &str| file.read(name).unwrap().to_f32().iter().copied().collect::<Vec<f32>>();
    assert_eq!(numbers("w"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(numbers("columns"), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    assert_eq!(numbers("every_other"), [1.0, 3.0, 5.0]);
    assert_eq!(file.read("n").unwrap().to_i64().unwrap().first(), Some(&8));
}

#[test]
fn cut_and_changed_files_say_where() {
    let _guard = crate::alone();
    let sound = legacy(&object());
    for end in 0..sound.len() {
        assert!(TorchFile::from_bytes(sound[..end].to_vec()).is_err(), "cut at {end}");
    }
    let message = refusal(TorchFile::from_bytes(sound[..sound.len() - 3].to_vec()));
    assert!(message.contains("storage '1'") && message.contains("was cut"), "{message}");
    let mut huge = sound.clone();
    let at = huge.windows(8).rposition(|bytes| bytes == 2_u64.to_le_bytes()).unwrap();
    huge[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(refusal(TorchFile::from_bytes(huge)).contains("pass the end"));
    let mut version = sound.clone();
    version[MAGIC.len() + 3] = 7;
    assert!(refusal(TorchFile::from_bytes(version)).contains("the version of the format is 775"));
    let mut big = sound;
    let at = big.iter().position(|&b| b == 0x88).unwrap();
    big[at] = 0x89;
    assert!(refusal(TorchFile::from_bytes(big)).contains("it is not 'little'"));
}

#[test]
fn a_storage_of_an_unknown_type_is_named() {
    let _guard = crate::alone();
    let strange = dictionary(&[
        ("w", view("FloatStorage", 0, 6, 0, &[6], &[1])),
        ("n", view("StrangeStorage", 1, 2, 0, &[2], &[1])),
    ]);
    assert!(refusal(TorchFile::from_bytes(legacy(&strange))).contains("StrangeStorage"));
    // The storage of a known type that is not read is stepped over.
    let complex = dictionary(&[
        ("w", view("FloatStorage", 0, 6, 0, &[6], &[1])),
        ("z", view("ComplexFloatStorage", 1, 2, 0, &[2], &[1])),
    ]);
    let file = TorchFile::from_bytes(legacy(&complex)).unwrap();
    assert_eq!(file.read("w").unwrap().to_f32()[5], 5.0);
    assert!(refusal(file.read("z")).contains("ComplexFloatStorage"));
}
