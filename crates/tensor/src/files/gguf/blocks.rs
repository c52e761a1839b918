use half::f16;

/// The storage formats of the elements of a GGUF tensor. Only F32, F16, `Q4_1` and `Q8_0` can be read. The name and size of the
/// others are known, so that a file with such tensors can be opened and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types)]
#[allow(missing_docs)] // The names are the format's own.
pub enum GgufType {
    F32,
    F16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q8_1,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    Q8_K,
    I8,
    I16,
    I32,
    I64,
    F64,
    BF16,
}

/// A block of a readable type.
pub(super) struct Block {
    pub(super) elements: usize,
    pub(super) bytes: usize,
    /// Expands whole blocks. Both slices hold the same number of blocks.
    pub(super) expand: fn(&[u8], &mut [f32]),
}

impl GgufType {
    pub(super) fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            9 => Self::Q8_1,
            10 => Self::Q2_K,
            11 => Self::Q3_K,
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            15 => Self::Q8_K,
            24 => Self::I8,
            25 => Self::I16,
            26 => Self::I32,
            27 => Self::I64,
            28 => Self::F64,
            30 => Self::BF16,
            _ => return None,
        })
    }

    /// Returns the numbers of elements and of bytes in one block.
    pub(super) fn block(self) -> (u64, u64) {
        match self {
            Self::I8 => (1, 1),
            Self::F16 | Self::BF16 | Self::I16 => (1, 2),
            Self::F32 | Self::I32 => (1, 4),
            Self::F64 | Self::I64 => (1, 8),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q8_1 => (32, 36),
            Self::Q2_K => (256, 84),
            Self::Q3_K => (256, 110),
            Self::Q4_K => (256, 144),
            Self::Q5_K => (256, 176),
            Self::Q6_K => (256, 210),
            Self::Q8_K => (256, 292),
        }
    }

    pub(super) fn readable(self) -> Option<Block> {
        let expand: fn(&[u8], &mut [f32]) = match self {
            Self::F32 => expand_f32,
            Self::F16 => expand_f16,
            Self::Q4_1 => expand_q4_1,
            Self::Q8_0 => expand_q8_0,
            _ => return None,
        };
        let (elements, bytes) = self.block();
        Some(Block { elements: elements as usize, bytes: bytes as usize, expand })
    }
}

fn expand_f32(bytes: &[u8], out: &mut [f32]) {
    for (x, chunk) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *x = f32::from_le_bytes(*chunk);
    }
}

fn expand_f16(bytes: &[u8], out: &mut [f32]) {
    for (x, chunk) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *x = f16::from_le_bytes(*chunk).to_f32();
    }
}

fn expand_q4_1(bytes: &[u8], out: &mut [f32]) {
    for (x, block) in out.as_chunks_mut::<32>().0.iter_mut().zip(bytes.as_chunks::<20>().0) {
        let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
        let minimum = f16::from_le_bytes([block[2], block[3]]).to_f32();
        let (low, high) = x.split_at_mut(16);
        for i in 0..16 {
            let pair = block[4 + i];
            low[i] = f32::from(pair & 15) * scale + minimum;
            high[i] = f32::from(pair >> 4) * scale + minimum;
        }
    }
}

fn expand_q8_0(bytes: &[u8], out: &mut [f32]) {
    for (x, block) in out.as_chunks_mut::<32>().0.iter_mut().zip(bytes.as_chunks::<34>().0) {
        let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
        for i in 0..32 {
            x[i] = f32::from(block[2 + i].cast_signed()) * scale;
        }
    }
}
