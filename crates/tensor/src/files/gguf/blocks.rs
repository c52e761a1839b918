use half::{bf16, f16};

/// The names of the storage formats that can be expanded.
pub(super) const READABLE: &str = "F32, F16, BF16, F64, I8, I16, I32, I64, Q4_1, Q8_0";

/// The storage formats of the elements of a GGUF tensor. Only numbers stored one by one, `Q4_1` and `Q8_0` can be read. A tensor of
/// another format does not prevent reading the other tensors of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types)]
#[allow(missing_docs)] // The names are the format's own.
#[non_exhaustive]
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
    IQ2_XXS,
    IQ2_XS,
    IQ3_XXS,
    IQ1_S,
    IQ4_NL,
    IQ3_S,
    IQ2_S,
    IQ4_XS,
    IQ1_M,
    TQ1_0,
    TQ2_0,
    MXFP4,
    /// A format that is newer than this reader, by its number.
    Unknown(u32),
}

/// A block of a readable type.
pub(super) struct Block {
    pub(super) elements: usize,
    pub(super) bytes: usize,
    /// Expands whole blocks. Both slices hold the same number of blocks.
    pub(super) expand: fn(&[u8], &mut [f32]),
}

impl GgufType {
    pub(super) fn from_number(number: u32) -> Self {
        match number {
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
            16 => Self::IQ2_XXS,
            17 => Self::IQ2_XS,
            18 => Self::IQ3_XXS,
            19 => Self::IQ1_S,
            20 => Self::IQ4_NL,
            21 => Self::IQ3_S,
            22 => Self::IQ2_S,
            23 => Self::IQ4_XS,
            29 => Self::IQ1_M,
            34 => Self::TQ1_0,
            35 => Self::TQ2_0,
            39 => Self::MXFP4,
            _ => Self::Unknown(number),
        }
    }

    /// Returns the numbers of elements and of bytes in one block, if the format is known.
    pub(super) fn block(self) -> Option<(u64, u64)> {
        Some(match self {
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
            Self::IQ4_NL => (32, 18),
            Self::MXFP4 => (32, 17),
            Self::IQ1_S => (256, 50),
            Self::TQ1_0 => (256, 54),
            Self::IQ1_M => (256, 56),
            Self::IQ2_XXS | Self::TQ2_0 => (256, 66),
            Self::IQ2_XS => (256, 74),
            Self::IQ2_S => (256, 82),
            Self::IQ3_XXS => (256, 98),
            Self::IQ3_S => (256, 110),
            Self::IQ4_XS => (256, 136),
            Self::Unknown(_) => return None,
        })
    }

    pub(super) fn readable(self) -> Option<Block> {
        let expand: fn(&[u8], &mut [f32]) = match self {
            Self::F32 => expand_f32,
            Self::F16 => expand_f16,
            Self::BF16 => |bytes, out| expand(bytes, out, |b| bf16::from_le_bytes(b).to_f32()),
            Self::F64 => |bytes, out| expand(bytes, out, |b| f64::from_le_bytes(b) as f32),
            Self::I8 => |bytes, out| expand(bytes, out, |[b]| f32::from(b.cast_signed())),
            Self::I16 => |bytes, out| expand(bytes, out, |b| f32::from(i16::from_le_bytes(b))),
            Self::I32 => |bytes, out| expand(bytes, out, |b| i32::from_le_bytes(b) as f32),
            Self::I64 => |bytes, out| expand(bytes, out, |b| i64::from_le_bytes(b) as f32),
            Self::Q4_1 => expand_q4_1,
            Self::Q8_0 => expand_q8_0,
            _ => return None,
        };
        let (elements, bytes) = self.block()?;
        Some(Block { elements: elements as usize, bytes: bytes as usize, expand })
    }
}

/// Expands numbers that are stored one by one.
fn expand<const N: usize>(bytes: &[u8], out: &mut [f32], from: impl Fn([u8; N]) -> f32) {
    for (x, chunk) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *x = from(*chunk);
    }
}

fn expand_f32(bytes: &[u8], out: &mut [f32]) {
    expand(bytes, out, f32::from_le_bytes);
}

fn expand_f16(bytes: &[u8], out: &mut [f32]) {
    expand(bytes, out, |b| f16::from_le_bytes(b).to_f32());
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
