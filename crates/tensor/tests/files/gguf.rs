use crate::{alone, measured, refusal};
use collimate_stream::RngStream;
use collimate_tensor::files::{Gguf, GgufType, GgufValue};
use half::f16;

/// A builder of sound and unsound GGUF files.
#[derive(Clone, Default)]
pub(crate) struct Builder {
    values: Vec<u8>,
    n_values: u64,
    table: Vec<u8>,
    n_tensors: u64,
    data: Vec<u8>,
    alignment: usize,
}

pub(crate) fn text(s: &str) -> Vec<u8> {
    let mut out = (s.len() as u64).to_le_bytes().to_vec();
    out.extend(s.as_bytes());
    out
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { alignment: 32, ..Self::default() }
    }

    pub(crate) fn value(mut self, name: &str, kind: u32, bytes: &[u8]) -> Self {
        self.values.extend(text(name));
        self.values.extend(kind.to_le_bytes());
        self.values.extend(bytes);
        self.n_values += 1;
        self
    }

    /// Adds an array value: element type, count, content.
    pub(crate) fn array(self, name: &str, kind: u32, count: u64, content: &[u8]) -> Self {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend(count.to_le_bytes());
        bytes.extend(content);
        self.value(name, 9, &bytes)
    }

    pub(crate) fn entry(mut self, name: &str, axes: &[u64], kind: u32, offset: u64) -> Self {
        self.table.extend(text(name));
        self.table.extend((axes.len() as u32).to_le_bytes());
        axes.iter().for_each(|n| self.table.extend(n.to_le_bytes()));
        self.table.extend(kind.to_le_bytes());
        self.table.extend(offset.to_le_bytes());
        self.n_tensors += 1;
        self
    }

    /// Adds a tensor with its data at the next aligned offset.
    pub(crate) fn tensor(mut self, name: &str, axes: &[u64], kind: u32, data: &[u8]) -> Self {
        self.data.resize(self.data.len().next_multiple_of(self.alignment), 0);
        let offset = self.data.len() as u64;
        self.data.extend(data);
        self.entry(name, axes, kind, offset)
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend(self.n_tensors.to_le_bytes());
        out.extend(self.n_values.to_le_bytes());
        out.extend(&self.values);
        out.extend(&self.table);
        out.resize(out.len().next_multiple_of(self.alignment), 0);
        out.extend(&self.data);
        out
    }

    fn open(&self) -> Result<Gguf, collimate_tensor::files::FileError> {
        Gguf::from_bytes(self.build())
    }
}

pub(crate) fn random_bytes(n: usize, stream: &mut RngStream) -> Vec<u8> {
    (0..n).map(|_| stream.bits() as u8).collect()
}

/// Sets the f16 fields at the start of each block to small finite numbers.
pub(crate) fn blocks(n: usize, size: usize, fields: usize, stream: &mut RngStream) -> Vec<u8> {
    let mut out = random_bytes(n * size, stream);
    for block in out.chunks_mut(size) {
        for field in 0..fields {
            let x = f16::from_f64(stream.normal() * 0.01).to_le_bytes();
            block[2 * field..2 * field + 2].copy_from_slice(&x);
        }
    }
    out
}

#[test]
fn the_four_types_expand_by_their_formulas() {
    let _guard = alone();
    let mut stream = RngStream::new(1, 0);
    let q4 = blocks(6, 20, 2, &mut stream);
    let q8 = blocks(6, 34, 1, &mut stream);
    let f: Vec<u8> = (0..12).flat_map(|i| (i as f32 - 3.5).to_le_bytes()).collect();
    let h: Vec<u8> = (0..12).flat_map(|i| f16::from_f32(i as f32 / 4.0).to_le_bytes()).collect();
    let file = Builder::new()
        .tensor("q4", &[64, 3], 3, &q4)
        .tensor("q8", &[96, 2], 8, &q8)
        .tensor("f", &[4, 3], 0, &f)
        .tensor("h", &[2, 3, 2], 1, &h)
        .open()
        .unwrap();
    assert_eq!(file.tensors()["q4"].shape, [3, 64]);
    assert_eq!(file.tensors()["h"].shape, [2, 3, 2]);
    assert_eq!(file.tensors()["q8"].kind, GgufType::Q8_0);
    let half = |b: &[u8]| f64::from(f16::from_le_bytes([b[0], b[1]]));
    let a = file.read("q4").unwrap().to_f32();
    for (i, &x) in a.iter().enumerate() {
        let block = &q4[i / 32 * 20..][..20];
        let byte = block[4 + i % 16];
        let nibble = if i % 32 < 16 { byte % 16 } else { byte / 16 };
        let expected = half(block) * f64::from(nibble) + half(&block[2..]);
        assert!((f64::from(x) - expected).abs() < 1e-7, "{i}: {x} instead of {expected}");
    }
    let a = file.read("q8").unwrap().to_f32();
    for (i, &x) in a.iter().enumerate() {
        let block = &q8[i / 32 * 34..][..34];
        let expected = half(block) * f64::from(block[2 + i % 32] as i8);
        assert_eq!(f64::from(x), f64::from(expected as f32), "{i}");
    }
    assert_eq!(file.read("f").unwrap().to_f32()[[2, 3]], 7.5);
    assert_eq!(file.read("h").unwrap().to_f32()[[1, 2, 1]], 2.75);
    // Rows that are read alone equal the rows of the whole.
    let mut rows = vec![0.0; 128];
    file.read_rows_into("q4", 1..3, &mut rows).unwrap();
    assert_eq!(rows, file.read("q4").unwrap().to_f32().as_slice().unwrap()[64..]);
    assert!(file.read_rows_into("q4", 2..4, &mut rows).is_err());
    assert!(file.read_rows_into("q4", 0..1, &mut rows).is_err());
}

#[test]
fn a_tensor_larger_than_one_piece_is_read_whole() {
    let _guard = alone();
    let n = 700_000_u64;
    let data: Vec<u8> = (0..n).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let bytes = Builder::new().tensor("long", &[n / 7, 7], 0, &data).build();
    let file = Gguf::from_bytes(bytes).unwrap();
    let (array, peak) = measured(|| file.read("long").unwrap());
    assert!(array.to_f32().iter().enumerate().all(|(i, &x)| x == i as f32));
    assert!(peak < data.len() + (1 << 20) + 4096, "{peak} bytes");
}

#[test]
fn every_kind_of_metadata_is_read() {
    let _guard = alone();
    let mut nested = 4_u32.to_le_bytes().to_vec();
    nested.extend(2_u64.to_le_bytes());
    nested.extend([1, 0, 0, 0, 2, 0, 0, 0]);
    let words: Vec<u8> = ["a", "", "ü"].iter().flat_map(|w| text(w)).collect();
    let file = Builder::new()
        .value("u8", 0, &[200])
        .value("i8", 1, &[200])
        .value("u16", 2, &[1, 2])
        .value("i16", 3, &[255, 255])
        .value("u32", 4, &7_u32.to_le_bytes())
        .value("i32", 5, &(-7_i32).to_le_bytes())
        .value("f32", 6, &0.5_f32.to_le_bytes())
        .value("bool", 7, &[1])
        .value("text", 8, &text("hello"))
        .value("u64", 10, &u64::MAX.to_le_bytes())
        .value("i64", 11, &i64::MIN.to_le_bytes())
        .value("f64", 12, &2.5_f64.to_le_bytes())
        .array("words", 8, 3, &words)
        .array("bytes", 0, 3, &[1, 2, 255])
        .array("flags", 7, 2, &[0, 1])
        .array("lists", 9, 1, &nested)
        .open()
        .unwrap();
    assert_eq!(file.value("i8"), Some(&GgufValue::I8(-56)));
    assert_eq!(file.value("i8").unwrap().as_u64(), None);
    assert_eq!(file.value("u16").unwrap().as_u64(), Some(513));
    assert_eq!(file.value("u64").unwrap().as_u64(), Some(u64::MAX));
    assert_eq!(file.value("f64").unwrap().as_f64(), Some(2.5));
    assert_eq!(file.value("text").unwrap().as_text(), Some("hello"));
    assert_eq!(file.value("words").unwrap().as_texts().unwrap()[2], "ü");
    assert_eq!(file.value("bytes").unwrap().as_integers(), Some(&[1, 2, 255][..]));
    assert_eq!(file.value("flags"), Some(&GgufValue::Bools(vec![false, true])));
    assert_eq!(file.value("lists"), Some(&GgufValue::Arrays(vec![GgufValue::Integers(vec![1, 2])])));
    assert_eq!(file.metadata().len(), 16);
}

#[test]
fn hostile_metadata_is_refused_with_its_reason_and_little_memory() {
    let _guard = alone();
    let b = Builder::new;
    let mut deep = Vec::new();
    for _ in 0..1000 {
        deep.extend(9_u32.to_le_bytes());
        deep.extend(1_u64.to_le_bytes());
    }
    for (builder, reason) in [
        (b().value("a", 8, &u64::MAX.to_le_bytes()), "do not fit"),
        (b().value("a", 8, &(1_u64 << 40).to_le_bytes()), "do not fit"),
        (b().array("a", 0, u64::MAX, &[]), "do not fit"),
        (b().array("a", 8, 1 << 30, &[]), "do not fit"),
        (b().array("a", 13, 1, &[]), "element type 13"),
        (b().value("a", 13, &[]), "value type 13"),
        (b().value("a", 9, &deep), "nested deeper"),
        (b().value("a", 7, &[2]), "truth"),
        (b().value("a", 0, &[1]).value("a", 0, &[1]), "listed twice"),
        (b().value("a", 8, &[1, 0, 0, 0, 0, 0, 0, 0, 0xff]), "utf-8"),
        (b().value("general.alignment", 4, &0_u32.to_le_bytes()), "power of two"),
        (b().value("general.alignment", 4, &24_u32.to_le_bytes()), "power of two"),
        (b().value("general.alignment", 8, &text("x")), "power of two"),
    ] {
        let bytes = builder.build();
        let size = bytes.len();
        let (result, peak) = measured(|| Gguf::from_bytes(bytes));
        let text = refusal(result);
        assert!(text.contains(reason), "{text}");
        assert!(peak < 16 * size + 4096, "{peak} bytes for a file of {size}: {text}");
    }
}

#[test]
fn a_hostile_tensor_table_is_refused_with_its_reason() {
    let _guard = alone();
    let b = || Builder::new().tensor("a", &[8], 0, &[0; 32]);
    assert!(b().open().is_ok());
    for (builder, reason) in [
        (b().entry("b", &[8], 0, 0), "overlap"),
        (b().entry("b", &[8], 0, 32), "do not fit"),
        (b().entry("b", &[8], 0, 4), "alignment"),
        (b().entry("b", &[8], 0, u64::MAX - 31), "do not fit"),
        (b().entry("b", &[0], 0, 0), "empty"),
        (b().entry("b", &[1 << 62, 4, 4], 0, 0), "overflow"),
        (b().entry("b", &[1 << 62], 0, 0), "overflow"),
        (b().entry("b", &[1 << 60], 0, 0), "do not fit"),
        (b().entry("b", &[], 0, 0), "0 axes"),
        (b().entry("b", &[1; 5], 0, 0), "5 axes"),
        (b().entry("b", &[33], 3, 0), "blocks of 32"),
        (b().entry("a", &[8], 0, 0), "listed twice"),
    ] {
        let text = refusal(builder.open());
        assert!(text.contains(reason), "{text}");
    }
    let mut many = b();
    many.n_tensors = u64::MAX;
    assert!(refusal(many.open()).contains("do not fit"));
    many.n_tensors = 1;
    many.n_values = 1 << 50;
    assert!(refusal(many.open()).contains("do not fit"));
    let mut other = b().build();
    other[4] = 1;
    assert!(refusal(Gguf::from_bytes(other.clone())).contains("version 1 is not supported"));
    // A file of a big-endian machine has the bytes of its version the other way round.
    other[4..8].copy_from_slice(&3_u32.to_be_bytes());
    assert!(refusal(Gguf::from_bytes(other.clone())).contains("version 3 in the byte order of big-endian"));
    other[0] = b'X';
    assert!(refusal(Gguf::from_bytes(other)).contains("not a GGUF file"));
    assert!(refusal(Gguf::from_bytes(vec![])).contains("magic"));
}

#[test]
fn a_type_that_is_not_expanded_is_named_when_its_tensor_is_read() {
    let _guard = alone();
    let file = Builder::new()
        .tensor("a", &[32], 9, &[0; 36])
        .tensor("b", &[256], 15, &[0; 292])
        .tensor("c", &[2], 0, &[0; 8])
        .open()
        .unwrap();
    assert!(refusal(file.read("a")).contains("Q8_1"));
    assert!(refusal(file.read("b")).contains("Q8_K"));
    assert!(file.read("c").is_ok());
    assert!(refusal(file.read("d")).contains("'d'"));
}

#[test]
fn version_2_is_read_like_version_3() {
    let _guard = alone();
    let data: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let words: Vec<u8> = ["a", "bc"].iter().flat_map(|w| text(w)).collect();
    let mut bytes = Builder::new().array("words", 8, 2, &words).tensor("a", &[2], 0, &data).build();
    let third = Gguf::from_bytes(bytes.clone()).unwrap();
    bytes[4] = 2;
    let second = Gguf::from_bytes(bytes).unwrap();
    assert_eq!(second.metadata(), third.metadata());
    assert_eq!(second.read("a").unwrap(), third.read("a").unwrap());
    assert_eq!(second.read("a").unwrap().to_f32()[1], -2.0);
}

#[test]
fn one_tensor_of_a_format_that_is_not_read_leaves_the_rest_readable() {
    let _guard = alone();
    let data: Vec<u8> = [1.5_f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    // Two types of intermediate results, and a number that no version of the format has given yet.
    for (kind, axes, size, name) in
        [(9, vec![64], 72, "Q8_1"), (15, vec![256], 292, "Q8_K"), (99, vec![7], 3, "Unknown(99)")]
    {
        let builder = Builder::new().tensor("a", &[2], 0, &data).tensor("odd", &axes, kind, &vec![7; size]);
        let file = builder.tensor("z", &[2], 0, &data).open().unwrap();
        assert_eq!(file.read("a").unwrap().to_f32()[0], 1.5, "{name}");
        assert_eq!(file.read("z").unwrap().to_f32()[1], -2.0, "{name}");
        let text = refusal(file.read("odd"));
        assert!(text.contains(name) && text.contains("'odd'"), "{text}");
        assert!(file.read_rows_into("odd", 0..0, &mut []).is_err());
    }
    // The size of a known format is still checked.
    assert!(refusal(Builder::new().tensor("a", &[64], 20, &[0; 35]).open()).contains("do not fit"));
    assert!(refusal(Builder::new().entry("a", &[8], 99, 4096).open()).contains("do not fit"));
}

#[test]
fn numbers_stored_one_by_one_are_read_as_f32() {
    let _guard = alone();
    let bf16: Vec<u8> = [1.0_f32, -3.5].iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect();
    let f64s: Vec<u8> = [0.1_f64, -1e300].iter().flat_map(|x| x.to_le_bytes()).collect();
    let i16s: Vec<u8> = [i16::MIN, 7].iter().flat_map(|x| x.to_le_bytes()).collect();
    let i32s: Vec<u8> = [-5_i32, 1 << 24].iter().flat_map(|x| x.to_le_bytes()).collect();
    let i64s: Vec<u8> = [-5_i64, 1 << 40].iter().flat_map(|x| x.to_le_bytes()).collect();
    let file = Builder::new()
        .tensor("bf16", &[2], 30, &bf16)
        .tensor("f64", &[2], 28, &f64s)
        .tensor("i8", &[2], 24, &[0x80, 0x7f])
        .tensor("i16", &[2], 25, &i16s)
        .tensor("i32", &[2], 26, &i32s)
        .tensor("i64", &[2], 27, &i64s)
        .open()
        .unwrap();
    for (name, expected) in [
        ("bf16", [1.0, -3.5]),
        ("f64", [0.1, f32::NEG_INFINITY]),
        ("i8", [-128.0, 127.0]),
        ("i16", [-32768.0, 7.0]),
        ("i32", [-5.0, 16_777_216.0]),
        ("i64", [-5.0, 1_099_511_627_776.0]),
    ] {
        assert_eq!(file.read(name).unwrap().to_f32().as_slice().unwrap(), expected, "{name}");
    }
}

/// Makes a sparse file of one tebibyte that begins with these bytes.
fn sparse(beginning: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), beginning).unwrap();
    std::fs::OpenOptions::new().write(true).open(file.path()).unwrap().set_len(1 << 40).unwrap();
    file
}

#[test]
fn a_sparse_file_with_a_huge_array_is_refused_without_memory() {
    let _guard = alone();
    // Bytes, numbers, booleans, texts and arrays, each as many as would fit into the apparent length.
    for (kind, count) in
        [(0, 1_u64 << 39), (6, 1 << 37), (7, 1 << 39), (8, 1 << 36), (9, 1 << 35), (12, 1 << 36)]
    {
        let mut bytes = Builder::new().array("huge", kind, count, &[]).build();
        bytes.truncate(bytes.len() - bytes.len() % 32);
        let file = sparse(&bytes);
        let (result, peak) = measured(|| Gguf::open(file.path()));
        let text = refusal(result);
        assert!(text.contains("'huge'") && text.contains("more than the limit of 268435456"), "{text}");
        assert!(peak < 1 << 17, "{peak} bytes: {text}");
    }
    // Many small arrays count together.
    let mut many = Builder::new();
    for index in 0..9 {
        many = many.array(&format!("a{index}"), 0, 1 << 22, &vec![1; 1 << 22]);
    }
    assert!(refusal(many.open()).contains("limit of 268435456"));
}

#[test]
fn a_tensor_larger_than_the_memory_is_an_error() {
    let _guard = alone();
    // 1 TiB less the header: more than a machine gives, but it fits into the apparent length of the file.
    let bytes = Builder::new().entry("huge", &[1 << 30, 255], 0, 0).entry("small", &[4], 0, (255 << 32) + 32);
    let file = sparse(&bytes.build());
    let file = Gguf::open(file.path()).unwrap();
    let (result, peak) = measured(|| file.read("huge"));
    let text = refusal(result);
    assert!(text.contains("'huge'") && text.contains("needs 1095216660480 bytes of memory"), "{text}");
    assert!(peak < 4096, "{peak} bytes");
    assert_eq!(file.read("small").unwrap().to_f32().as_slice().unwrap(), [0.0; 4]);
}
