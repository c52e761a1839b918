//! GGUF files that hold metadata only.

use collimate_tensor::files::Gguf;

/// The metadata of a file before it is written.
#[derive(Clone)]
pub(super) struct Metadata {
    count: u64,
    entries: Vec<u8>,
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

impl Metadata {
    pub(super) fn new(model: &str) -> Self {
        Self { count: 0, entries: Vec::new() }.text("tokenizer.ggml.model", model)
    }

    fn entry(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        put(&mut self.entries, key);
        self.entries.extend(kind.to_le_bytes());
        self.entries.extend(value);
        self.count += 1;
        self
    }

    fn list(self, key: &str, kind: u32, count: usize, values: &[u8]) -> Self {
        let mut out = kind.to_le_bytes().to_vec();
        out.extend((count as u64).to_le_bytes());
        out.extend(values);
        self.entry(key, 9, &out)
    }

    pub(super) fn text(self, key: &str, value: &str) -> Self {
        let mut out = Vec::new();
        put(&mut out, value);
        self.entry(key, 8, &out)
    }

    pub(super) fn natural(self, key: &str, value: u32) -> Self {
        self.entry(key, 4, &value.to_le_bytes())
    }

    pub(super) fn truth(self, key: &str, value: bool) -> Self {
        self.entry(key, 7, &[u8::from(value)])
    }

    pub(super) fn texts<T: AsRef<str>>(self, key: &str, values: &[T]) -> Self {
        let mut out = Vec::new();
        values.iter().for_each(|value| put(&mut out, value.as_ref()));
        self.list(key, 8, values.len(), &out)
    }

    pub(super) fn integers(self, key: &str, values: &[i32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.list(key, 5, values.len(), &bytes)
    }

    pub(super) fn numbers(self, key: &str, values: &[f32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.list(key, 6, values.len(), &bytes)
    }

    pub(super) fn bytes(self, key: &str, values: &[u8]) -> Self {
        self.list(key, 0, values.len(), values)
    }

    pub(super) fn open(self) -> Gguf {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend(0_u64.to_le_bytes());
        out.extend(self.count.to_le_bytes());
        out.extend(self.entries);
        Gguf::from_bytes(out).unwrap()
    }
}

/// Returns the letters of the bytes in byte-level pieces.
pub(super) fn letters() -> Vec<String> {
    let mut next = 256;
    let letter = |byte: u8| {
        if matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff) {
            return char::from(byte).to_string();
        }
        next += 1;
        char::from_u32(next - 1).unwrap().to_string()
    };
    (0..=255).map(letter).collect()
}
