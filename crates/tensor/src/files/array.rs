use super::FileError;
use half::{bf16, f16};
use ndarray::{Array, ArrayD, Dimension, IxDyn};

/// The elements of an array with the type that they have in the file, in C order (last axis fastest).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FileData {
    /// IEEE half precision.
    F16(Vec<f16>),
    /// The upper half of a single-precision number.
    Bf16(Vec<bf16>),
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
    /// Signed 32-bit integers.
    I32(Vec<i32>),
    /// Signed 64-bit integers.
    I64(Vec<i64>),
    /// Unsigned 64-bit integers.
    U64(Vec<u64>),
    /// Bytes.
    U8(Vec<u8>),
    /// Boolean values, one byte each in the file.
    Bool(Vec<bool>),
}

/// Runs one expression on the vector inside, for any element type.
macro_rules! each {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            FileData::F16($v) => $body,
            FileData::Bf16($v) => $body,
            FileData::F32($v) => $body,
            FileData::F64($v) => $body,
            FileData::I32($v) => $body,
            FileData::I64($v) => $body,
            FileData::U64($v) => $body,
            FileData::U8($v) => $body,
            FileData::Bool($v) => $body,
        }
    };
}

/// The element types that can be read, used to build a [`FileData`] of the right kind from raw bytes.
///
/// Types without a kind of their own become the smallest wider kind, which holds each of their numbers exactly: 8-bit floating-point
/// numbers become f16 (f32 if they are only an exponent), 8-bit and 16-bit integers i32, and unsigned 32-bit integers i64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ElementType {
    F8E4M3,
    F8E5M2,
    F8E4M3Fnuz,
    F8E5M2Fnuz,
    F8E8M0,
    F16,
    Bf16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

impl ElementType {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::F8E4M3 | Self::F8E5M2 | Self::F8E4M3Fnuz | Self::F8E5M2Fnuz | Self::F8E8M0 => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// Decodes little-endian bytes. Their number is a multiple of the element's size. `Err` holds a byte that is not a boolean.
    pub(crate) fn decode(self, bytes: Vec<u8>) -> Result<FileData, u8> {
        fn all<const N: usize, T>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
            bytes.as_chunks::<N>().0.iter().map(|&chunk| from(chunk)).collect()
        }
        Ok(match self {
            Self::F16 => FileData::F16(all(&bytes, f16::from_le_bytes)),
            Self::Bf16 => FileData::Bf16(all(&bytes, bf16::from_le_bytes)),
            Self::F32 => FileData::F32(all(&bytes, f32::from_le_bytes)),
            Self::F64 => FileData::F64(all(&bytes, f64::from_le_bytes)),
            Self::F8E4M3 => FileData::F16(all(&bytes, |[b]| small_float(b, 3, 7, NanCode::AllOnes))),
            // The upper half of an f16.
            Self::F8E5M2 => FileData::F16(all(&bytes, |[b]| f16::from_le_bytes([0, b]))),
            Self::F8E4M3Fnuz => FileData::F16(all(&bytes, |[b]| small_float(b, 3, 8, NanCode::MinusZero))),
            Self::F8E5M2Fnuz => FileData::F16(all(&bytes, |[b]| small_float(b, 2, 16, NanCode::MinusZero))),
            Self::F8E8M0 => FileData::F32(all(&bytes, |[b]| match b {
                u8::MAX => f32::NAN,
                exponent => 2.0_f64.powi(i32::from(exponent) - 127) as f32,
            })),
            Self::I8 => FileData::I32(all(&bytes, |[b]| i32::from(b.cast_signed()))),
            Self::I16 => FileData::I32(all(&bytes, |b| i32::from(i16::from_le_bytes(b)))),
            Self::U16 => FileData::I32(all(&bytes, |b| i32::from(u16::from_le_bytes(b)))),
            Self::U32 => FileData::I64(all(&bytes, |b| i64::from(u32::from_le_bytes(b)))),
            Self::I32 => FileData::I32(all(&bytes, i32::from_le_bytes)),
            Self::I64 => FileData::I64(all(&bytes, i64::from_le_bytes)),
            Self::U64 => FileData::U64(all(&bytes, u64::from_le_bytes)),
            Self::U8 => FileData::U8(bytes),
            Self::Bool => match bytes.iter().find(|&&b| b > 1) {
                Some(&bad) => return Err(bad),
                None => FileData::Bool(bytes.iter().map(|&b| b == 1).collect()),
            },
        })
    }
}

/// The codes of an 8-bit floating-point format that mean NaN.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NanCode {
    /// The two codes whose exponent and mantissa are all ones.
    AllOnes,
    /// The code of −0, which these formats do not have.
    MinusZero,
}

/// Returns the number of an 8-bit floating-point code without infinities: sign, exponent with the given bias, and `mantissa` bits.
fn small_float(code: u8, mantissa: u32, bias: i32, nan: NanCode) -> f16 {
    let is_nan = match nan {
        NanCode::AllOnes => code & 0x7f == 0x7f,
        NanCode::MinusZero => code == 0x80,
    };
    if is_nan {
        return f16::NAN;
    }
    let (exponent, digits) = (i32::from(code & 0x7f) >> mantissa, i32::from(code) & ((1 << mantissa) - 1));
    // Without an exponent the leading one is missing too.
    let (digits, exponent) = if exponent == 0 { (digits, 1) } else { (digits + (1 << mantissa), exponent) };
    let size = f64::from(digits) * 2.0_f64.powi(exponent - bias - mantissa as i32);
    f16::from_f64(if code & 0x80 == 0 { size } else { -size })
}

/// An array read from a file or to be written to one: a shape, and elements with their type.
///
/// # Shapes
/// Any number of axes; elements in C order.
///
/// # Examples
/// ```
/// use collimate_tensor::files::{FileArray, FileData};
/// let a = FileArray::new(vec![2, 2], FileData::I32(vec![1, 2, 3, 4]))?;
/// assert_eq!(a.to_f32()[[1, 1]], 4.0);
/// assert!(FileArray::new(vec![3], FileData::U8(vec![0])).is_err());
/// # Ok::<(), collimate_tensor::files::FileError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FileArray {
    shape: Vec<usize>,
    data: FileData,
}

impl FileArray {
    /// Makes an array with this shape.
    ///
    /// # Errors
    /// [`FileError::Shape`] if the number of elements does not fit the shape.
    pub fn new(shape: Vec<usize>, data: FileData) -> Result<Self, FileError> {
        let given = each!(&data, v => v.len());
        if checked_len(&shape) != Some(given) {
            return Err(FileError::Shape { shape, given });
        }
        Ok(Self { shape, data })
    }

    /// Returns the length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the elements with their type.
    pub fn data(&self) -> &FileData {
        &self.data
    }

    /// Returns the name of the element type: `"f16"`, `"bf16"`, `"f32"`, `"f64"`, `"i32"`, `"i64"`, `"u64"`, `"u8"` or `"bool"`.
    ///
    /// The readers turn other types into one of these that holds each number exactly: 8-bit floating-point numbers into f16, 8-bit and
    /// 16-bit integers into i32, unsigned 32-bit integers into i64.
    pub fn type_name(&self) -> &'static str {
        match self.data {
            FileData::F16(_) => "f16",
            FileData::Bf16(_) => "bf16",
            FileData::F32(_) => "f32",
            FileData::F64(_) => "f64",
            FileData::I32(_) => "i32",
            FileData::I64(_) => "i64",
            FileData::U64(_) => "u64",
            FileData::U8(_) => "u8",
            FileData::Bool(_) => "bool",
        }
    }

    /// Returns the elements as single-precision numbers.
    ///
    /// Doubles and integers beyond 2²⁴ are rounded to the nearest number. Booleans become 0 and 1.
    pub fn to_f32(&self) -> ArrayD<f32> {
        let values: Vec<f32> = match &self.data {
            FileData::F16(v) => v.iter().map(|x| x.to_f32()).collect(),
            FileData::Bf16(v) => v.iter().map(|x| x.to_f32()).collect(),
            FileData::F32(v) => v.clone(),
            FileData::F64(v) => v.iter().map(|&x| x as f32).collect(),
            FileData::I32(v) => v.iter().map(|&x| x as f32).collect(),
            FileData::I64(v) => v.iter().map(|&x| x as f32).collect(),
            FileData::U64(v) => v.iter().map(|&x| x as f32).collect(),
            FileData::U8(v) => v.iter().map(|&x| f32::from(x)).collect(),
            FileData::Bool(v) => v.iter().map(|&x| f32::from(u8::from(x))).collect(),
        };
        self.array(values)
    }

    /// Returns the elements as double-precision numbers. Only integers beyond 2⁵³ are rounded.
    pub fn to_f64(&self) -> ArrayD<f64> {
        let values: Vec<f64> = match &self.data {
            FileData::F16(v) => v.iter().map(|x| x.to_f64()).collect(),
            FileData::Bf16(v) => v.iter().map(|x| x.to_f64()).collect(),
            FileData::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            FileData::F64(v) => v.clone(),
            FileData::I32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            FileData::I64(v) => v.iter().map(|&x| x as f64).collect(),
            FileData::U64(v) => v.iter().map(|&x| x as f64).collect(),
            FileData::U8(v) => v.iter().map(|&x| f64::from(x)).collect(),
            FileData::Bool(v) => v.iter().map(|&x| f64::from(u8::from(x))).collect(),
        };
        self.array(values)
    }

    /// Returns the elements as integers. Returns `None` if they are floating-point numbers, or if one is above 2⁶³ − 1.
    pub fn to_i64(&self) -> Option<ArrayD<i64>> {
        let values: Vec<i64> = match &self.data {
            FileData::I32(v) => v.iter().map(|&x| i64::from(x)).collect(),
            FileData::I64(v) => v.clone(),
            FileData::U64(v) => v.iter().map(|&x| i64::try_from(x).ok()).collect::<Option<_>>()?,
            FileData::U8(v) => v.iter().map(|&x| i64::from(x)).collect(),
            FileData::Bool(v) => v.iter().map(|&x| i64::from(x)).collect(),
            _ => return None,
        };
        Some(self.array(values))
    }

    fn array<T>(&self, values: Vec<T>) -> ArrayD<T> {
        // The constructor checked the shape against the number of elements.
        ArrayD::from_shape_vec(IxDyn(&self.shape), values).expect("shape and elements agree")
    }

    /// Returns the elements as little-endian bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        fn all<const N: usize, T: Copy>(values: &[T], to: impl Fn(T) -> [u8; N]) -> Vec<u8> {
            let mut out = Vec::with_capacity(N * values.len());
            values.iter().for_each(|&x| out.extend_from_slice(&to(x)));
            out
        }
        match &self.data {
            FileData::F16(v) => all(v, f16::to_le_bytes),
            FileData::Bf16(v) => all(v, bf16::to_le_bytes),
            FileData::F32(v) => all(v, f32::to_le_bytes),
            FileData::F64(v) => all(v, f64::to_le_bytes),
            FileData::I32(v) => all(v, i32::to_le_bytes),
            FileData::I64(v) => all(v, i64::to_le_bytes),
            FileData::U64(v) => all(v, u64::to_le_bytes),
            FileData::U8(v) => v.clone(),
            FileData::Bool(v) => all(v, |x| [u8::from(x)]),
        }
    }

    pub(crate) fn byte_len(&self) -> usize {
        each!(&self.data, v => size_of_val(v.as_slice()))
    }
}

/// Returns the number of elements of a shape. Returns `None` if it overflows, or if the product of the axes that are not empty
/// overflows.
pub(crate) fn checked_len(shape: &[usize]) -> Option<usize> {
    // ndarray refuses shapes whose non-empty axes multiply beyond isize::MAX, so they are refused here.
    let non_empty = shape.iter().filter(|&&n| n > 0).try_fold(1usize, |a, &n| a.checked_mul(n))?;
    if non_empty > isize::MAX as usize {
        return None;
    }
    Some(if shape.contains(&0) { 0 } else { non_empty })
}

macro_rules! from_array {
    ($($element:ty => $variant:ident),*) => {$(
        impl<D: Dimension> From<Array<$element, D>> for FileArray {
            fn from(array: Array<$element, D>) -> Self {
                let shape = array.shape().to_vec();
                // Elements in C order are moved; others are reordered.
                let data = if array.is_standard_layout() {
                    let (mut data, offset) = array.into_raw_vec_and_offset();
                    let n = shape.iter().product();
                    data.drain(..offset.unwrap_or(0));
                    data.truncate(n);
                    data
                } else {
                    array.iter().copied().collect()
                };
                Self { shape, data: FileData::$variant(data) }
            }
        }
    )*};
}

from_array!(f16 => F16, bf16 => Bf16, f32 => F32, f64 => F64, i32 => I32, i64 => I64, u64 => U64, u8 => U8, bool => Bool);
