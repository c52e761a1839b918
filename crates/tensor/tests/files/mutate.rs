//! Sound files with bytes cut, flipped, moved and overwritten: an error or an array, never a panic, never much memory.

use crate::gguf::{Builder, blocks, random_bytes, text};
use crate::gguf_blocks::TYPES;
use crate::{alone, measured, npy, torch};
use collimate_stream::RngStream;
use collimate_tensor::files::{FileArray, Gguf, Npz, Safetensors, TorchFile, write_npz, write_safetensors};
use half::f16;
use ndarray::{Array, Array1, Array2};
use proptest::prelude::*;

/// The numbers that an attacker writes where a size is expected.
const HUGE: [u64; 8] = [u64::MAX, 1 << 63, i64::MAX as u64, 1 << 40, 1 << 32, u32::MAX as u64, 1 << 24, 0];

/// Makes one to four changes of a random kind.
pub(crate) fn mutate(mut bytes: Vec<u8>, stream: &mut RngStream) -> Vec<u8> {
    for _ in 0..1 + stream.below(4) {
        if bytes.is_empty() {
            break;
        }
        // Headers are the weakest part: half of the changes fall into the first 200 bytes.
        let reach = if stream.bernoulli(0.5) { bytes.len().min(200) } else { bytes.len() };
        let at = stream.below(reach);
        match stream.below(7) {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << stream.below(8),
            2 => bytes[at] = stream.bits() as u8,
            3 => {
                let value = HUGE[stream.below(HUGE.len())].to_le_bytes();
                let n = if stream.bernoulli(0.5) { 4 } else { 8 }.min(bytes.len() - at);
                bytes[at..at + n].copy_from_slice(&value[..n]);
            }
            4 => {
                let n = stream.below(bytes.len() - at + 1);
                bytes.drain(at..at + n);
            }
            5 => {
                let n = (1 + stream.below(64)).min(bytes.len() - at);
                let piece = bytes[at..at + n].to_vec();
                let to = stream.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            _ => {
                // A digit of a textual header is replaced by another digit, or by many.
                if let Some(digit) = bytes[at..].iter().position(u8::is_ascii_digit) {
                    let many = vec![b'9'; 1 + stream.below(20)];
                    bytes.splice(at + digit..at + digit + 1, many);
                }
            }
        }
    }
    bytes
}

fn sample_arrays(stream: &mut RngStream) -> Vec<(&'static str, FileArray)> {
    let (n, m) = (1 + stream.below(5), stream.below(6));
    vec![
        ("a", Array2::from_shape_fn((n, m), |_| stream.normal() as f32).into()),
        ("bb", Array1::from_shape_fn(m, |_| f16::from_f64(stream.normal())).into()),
        ("c", Array::from_shape_fn((n, 2, m), |_| stream.below(9) as i64).into()),
        ("d", Array1::from_shape_fn(n, |_| stream.bernoulli(0.5)).into()),
    ]
}

fn sample_safetensors(stream: &mut RngStream) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    write_safetensors(file.path(), &sample_arrays(stream), &[("note", "12")]).unwrap();
    std::fs::read(file.path()).unwrap()
}

fn sample_npz(stream: &mut RngStream) -> Vec<u8> {
    if stream.bernoulli(0.5) {
        let data = vec![3; 4 * 50];
        let dictionary = "{'descr': '<f4', 'fortran_order': True, 'shape': (5, 10), }";
        return npy::zipped("a.npy", &npy::npy(dictionary, &data), zip::CompressionMethod::Deflated);
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    write_npz(file.path(), &sample_arrays(stream)).unwrap();
    std::fs::read(file.path()).unwrap()
}

fn sample_gguf(stream: &mut RngStream) -> Vec<u8> {
    let words: Vec<u8> = ["the", "", "cat"].iter().flat_map(|w| text(w)).collect();
    let (q4, q8) = (blocks(4, 20, 2, stream), blocks(3, 34, 1, stream));
    let (kind, number) = TYPES[stream.below(TYPES.len())];
    let (elements, size) = kind.block_size().unwrap();
    let other = random_bytes(2 * size, stream);
    Builder::new()
        .tensor("other", &[elements as u64, 2], number, &other)
        .value("general.alignment", 4, &32_u32.to_le_bytes())
        .value("name", 8, &text("sample"))
        .array("words", 8, 3, &words)
        .array("numbers", 4, 2, &[1, 0, 0, 0, 2, 0, 0, 0])
        .tensor("q4", &[64, 2], 3, &q4)
        .tensor("q8", &[32, 3], 8, &q8)
        .tensor("f", &[3], 0, &[0; 12])
        .build()
}

/// Reads all arrays and returns their number.
fn read_all(kind: usize, bytes: Vec<u8>) -> usize {
    match kind {
        0 => Safetensors::from_bytes(bytes)
            .map_or(0, |file| file.names().filter(|name| file.read(name).is_ok()).count()),
        1 => Npz::from_bytes(bytes).map_or(0, |file| {
            let names: Vec<String> = file.names().map(str::to_owned).collect();
            names.iter().filter(|name| file.read(name).is_ok()).count()
        }),
        2 => Gguf::from_bytes(bytes)
            .map_or(0, |file| file.tensors().keys().filter(|name| file.read(name).is_ok()).count()),
        _ => TorchFile::from_bytes(bytes)
            .map_or(0, |file| file.names().filter(|name| file.read(name).is_ok()).count()),
    }
}

fn sample_torch(stream: &mut RngStream) -> Vec<u8> {
    let method =
        if stream.bernoulli(0.5) { zip::CompressionMethod::Stored } else { zip::CompressionMethod::Deflated };
    torch::archive(&torch::state_dict(), method)
}

const SAMPLES: [fn(&mut RngStream) -> Vec<u8>; 4] =
    [sample_safetensors, sample_npz, sample_gguf, sample_torch];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_file_never_panics_and_never_takes_much_memory(kind in 0..4_usize, seed in any::<u64>()) {
        let _guard = alone();
        let mut stream = RngStream::new(seed, 0);
        let sound = SAMPLES[kind](&mut stream);
        let bytes = mutate(sound, &mut stream);
        let size = bytes.len();
        let (_, peak) = measured(|| read_all(kind, bytes));
        // Tables of names and the window of the inflater are of this size. A wrong size that is trusted would take gigabytes.
        prop_assert!(peak <= 32 * size + (1 << 17), "{} bytes held for a file of {}", peak, size);
    }

    #[test]
    fn random_bytes_after_the_magic_string_are_refused(kind in 0..4_usize, n in 0..300_usize, seed in any::<u64>()) {
        let _guard = alone();
        let mut bytes: Vec<u8> = match kind {
            0 => vec![40, 0, 0, 0, 0, 0, 0, 0, b'{'],
            1 => b"PK\x03\x04".to_vec(),
            2 => b"GGUF\x03\x00\x00\x00".to_vec(),
            _ => b"\x93NUMPY\x01\x00".to_vec(),
        };
        bytes.extend(crate::gguf::random_bytes(n, &mut RngStream::new(seed, 1)));
        let size = bytes.len();
        let (read, peak) = measured(|| if kind == 3 { npy::read(&bytes).map_or(0, |_| 1) } else { read_all(kind, bytes) });
        prop_assert_eq!(read, 0);
        prop_assert!(peak <= 32 * size + (1 << 17), "{} bytes held for a file of {}", peak, size);
    }

    #[test]
    fn a_mutated_npy_file_never_panics(seed in any::<u64>()) {
        let _guard = alone();
        let mut stream = RngStream::new(seed, 2);
        let dictionary = "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }";
        let bytes = mutate(npy::npy(dictionary, &[7; 24]), &mut stream);
        let size = bytes.len();
        let (_, peak) = measured(|| npy::read(&bytes).is_ok());
        prop_assert!(peak <= 32 * size + (1 << 17), "{} bytes held for a file of {}", peak, size);
    }
}

#[test]
fn the_samples_are_sound_and_most_mutations_are_noticed() {
    let _guard = alone();
    let mut damaged = [0; 4];
    for seed in 0..200 {
        for (kind, sample) in SAMPLES.iter().enumerate() {
            let mut stream = RngStream::new(seed, 3);
            let sound = sample(&mut stream);
            let whole = read_all(kind, sound.clone());
            assert!(whole > 0);
            damaged[kind] += usize::from(read_all(kind, mutate(sound, &mut stream)) < whole);
        }
    }
    // No reader can notice a flipped bit in a value, but most changes must be noticed.
    assert!(damaged.iter().all(|&n| n > 100), "{damaged:?} of 200");
}
