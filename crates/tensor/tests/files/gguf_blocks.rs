//! Every storage type against the expansions of the gguf package: see `tests/conformance/README.md`.

use crate::gguf::Builder;
use crate::{alone, refusal};
use collimate_tensor::files::{FileData, Gguf, GgufType, Npz, StoredMatrix};
use half::{bf16, f16};

/// Each type with its number in files.
pub(crate) const TYPES: [(GgufType, u32); 25] = [
    (GgufType::F16, 1),
    (GgufType::Q4_0, 2),
    (GgufType::Q4_1, 3),
    (GgufType::Q5_0, 6),
    (GgufType::Q5_1, 7),
    (GgufType::Q8_0, 8),
    (GgufType::Q2_K, 10),
    (GgufType::Q3_K, 11),
    (GgufType::Q4_K, 12),
    (GgufType::Q5_K, 13),
    (GgufType::Q6_K, 14),
    (GgufType::IQ2_XXS, 16),
    (GgufType::IQ2_XS, 17),
    (GgufType::IQ3_XXS, 18),
    (GgufType::IQ1_S, 19),
    (GgufType::IQ4_NL, 20),
    (GgufType::IQ3_S, 21),
    (GgufType::IQ2_S, 22),
    (GgufType::IQ4_XS, 23),
    (GgufType::IQ1_M, 29),
    (GgufType::BF16, 30),
    (GgufType::TQ1_0, 34),
    (GgufType::TQ2_0, 35),
    (GgufType::MXFP4, 39),
    (GgufType::NVFP4, 40),
];

/// Blocks of one type, and the numbers that they must become.
struct Case {
    kind: GgufType,
    number: u32,
    bytes: Vec<u8>,
    expected: Vec<f32>,
}

/// Reads the cases of a file, and checks that it has a case for each of its pairs of arrays.
fn cases(file: &str) -> Vec<Case> {
    let file = Npz::open(format!("{}/tests/conformance/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let cases: Vec<Case> = TYPES
        .iter()
        .filter(|(kind, _)| file.names().any(|name| name == format!("{kind:?}.f32")))
        .map(|&(kind, number)| {
            let array = |part| file.read(&format!("{kind:?}.{part}")).unwrap().data().clone();
            let (FileData::U8(bytes), FileData::F32(expected)) = (array("bytes"), array("f32")) else {
                panic!("{kind:?} has other element types");
            };
            Case { kind, number, bytes, expected }
        })
        .collect();
    assert_eq!(2 * cases.len(), file.names().count());
    cases
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Checks one case through the reader: the whole tensor, a range of its rows, and the tensor in its stored form.
fn check(Case { kind, number, bytes, expected }: &Case) {
    let n = expected.len();
    let (rows, width) = (4, n / 4);
    let file = Builder::new().tensor("x", &[width as u64, rows as u64], *number, bytes);
    let file = Gguf::from_bytes(file.build()).unwrap();
    assert_eq!(file.tensors()["x"].kind, *kind);
    assert_eq!(file.tensors()["x"].shape, [rows, width]);
    let whole = file.read("x").unwrap().to_f32();
    assert_eq!(bits(whole.as_slice().unwrap()), bits(expected), "{kind:?}");
    let mut middle = vec![0.0; 2 * width];
    file.read_rows_into("x", 1..3, &mut middle).unwrap();
    assert_eq!(bits(&middle), bits(&expected[width..3 * width]), "rows of {kind:?}");
    let stored = file.read_stored("x").unwrap();
    assert_eq!((stored.kind(), stored.shape(), stored.byte_len()), (*kind, [rows, width], bytes.len()));
    for row in 0..rows {
        stored.expand_rows_into(row..row + 1, &mut middle[..width]).unwrap();
        assert_eq!(bits(&middle[..width]), bits(&expected[row * width..][..width]), "row {row} of {kind:?}");
    }
    let (elements, size) = kind.block_size().unwrap();
    assert_eq!(bytes.len() / size * elements, n);
}

#[test]
fn blocks_of_every_type_expand_to_the_published_bits() {
    let _guard = alone();
    let cases = cases("quant_blocks.npz");
    assert_eq!(cases.len(), TYPES.len());
    cases.iter().for_each(check);
}

#[test]
fn every_word_exponent_and_digit_expands_to_the_bits_of_the_gguf_package() {
    let _guard = alone();
    let cases = cases("every_code.npz");
    assert_eq!(cases.len(), 10);
    cases.iter().for_each(check);
}

#[test]
fn every_number_of_16_bits_expands_as_in_the_half_crate() {
    let _guard = alone();
    let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let expand = |kind| StoredMatrix::new(kind, [256, 256], bytes.clone()).unwrap().to_f32();
    let (halves, brains) = (expand(GgufType::F16), expand(GgufType::BF16));
    for (code, (half, brain)) in (0..=u16::MAX).zip(halves.iter().zip(&brains)) {
        assert_eq!(half.to_bits(), f16::from_bits(code).to_f32().to_bits(), "f16 {code:#06x}");
        assert_eq!(brain.to_bits(), bf16::from_bits(code).to_f32().to_bits(), "bf16 {code:#06x}");
    }
}

#[test]
fn types_of_intermediate_results_are_refused_by_name() {
    let _guard = alone();
    for (number, elements, size, name) in [(9, 32, 36, "Q8_1"), (15, 256, 292, "Q8_K")] {
        let file = Builder::new().tensor("x", &[elements], number, &vec![0; size]).build();
        let file = Gguf::from_bytes(file).unwrap();
        for text in [refusal(file.read("x")), refusal(file.read_stored("x"))] {
            assert!(text.contains(&format!("the type {name} is not supported")), "{text}");
        }
    }
}
