use super::super::FileError;
use super::cursor::Cursor;

/// The deepest nesting of arrays that is read.
const DEEPEST: usize = 4;

/// A metadata value of a GGUF file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum GgufValue {
    /// Type 0.
    U8(u8),
    /// Type 1.
    I8(i8),
    /// Type 2.
    U16(u16),
    /// Type 3.
    I16(i16),
    /// Type 4.
    U32(u32),
    /// Type 5.
    I32(i32),
    /// Type 6.
    F32(f32),
    /// Type 7: one byte, 0 or 1.
    Bool(bool),
    /// Type 8.
    Text(String),
    /// Type 9, of strings.
    Texts(Vec<String>),
    /// Type 9, of signed or unsigned integers of up to 32 bits, or of signed ones of 64.
    Integers(Vec<i64>),
    /// Type 9, of unsigned 64-bit integers.
    Naturals(Vec<u64>),
    /// Type 9, of floating-point numbers.
    Numbers(Vec<f64>),
    /// Type 9, of booleans.
    Bools(Vec<bool>),
    /// Type 9, of arrays.
    Arrays(Vec<GgufValue>),
    /// Type 10.
    U64(u64),
    /// Type 11.
    I64(i64),
    /// Type 12.
    F64(f64),
}

impl GgufValue {
    /// Returns the value as a natural number, if it is one of any width.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(x) => Some(x.into()),
            Self::U16(x) => Some(x.into()),
            Self::U32(x) => Some(x.into()),
            Self::U64(x) => Some(x),
            Self::I8(x) => x.try_into().ok(),
            Self::I16(x) => x.try_into().ok(),
            Self::I32(x) => x.try_into().ok(),
            Self::I64(x) => x.try_into().ok(),
            _ => None,
        }
    }

    /// Returns the value as a floating-point number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(x) => Some(x.into()),
            Self::F64(x) => Some(x),
            _ => None,
        }
    }

    /// Returns the value as text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the value as a list of texts, if it is one.
    pub fn as_texts(&self) -> Option<&[String]> {
        match self {
            Self::Texts(texts) => Some(texts),
            _ => None,
        }
    }

    /// Returns the value as a list of integers, if it is one.
    pub fn as_integers(&self) -> Option<&[i64]> {
        match self {
            Self::Integers(integers) => Some(integers),
            _ => None,
        }
    }

    pub(super) fn read(cursor: &mut Cursor, place: &str) -> Result<Self, FileError> {
        let kind = cursor.u32(place)?;
        Ok(match kind {
            0 => Self::U8(u8::from_le_bytes(cursor.bytes(place)?)),
            1 => Self::I8(i8::from_le_bytes(cursor.bytes(place)?)),
            2 => Self::U16(u16::from_le_bytes(cursor.bytes(place)?)),
            3 => Self::I16(i16::from_le_bytes(cursor.bytes(place)?)),
            4 => Self::U32(cursor.u32(place)?),
            5 => Self::I32(i32::from_le_bytes(cursor.bytes(place)?)),
            6 => Self::F32(f32::from_le_bytes(cursor.bytes(place)?)),
            7 => Self::Bool(truth(cursor, place)?),
            8 => Self::Text(cursor.string(place)?),
            9 => Self::read_array(cursor, place, 1)?,
            10 => Self::U64(cursor.u64(place)?),
            11 => Self::I64(i64::from_le_bytes(cursor.bytes(place)?)),
            12 => Self::F64(f64::from_le_bytes(cursor.bytes(place)?)),
            _ => return Err(cursor.malformed(place, format!("value type {kind} is unknown"))),
        })
    }

    fn read_array(cursor: &mut Cursor, place: &str, depth: usize) -> Result<Self, FileError> {
        if depth > DEEPEST {
            return Err(cursor.malformed(place, format!("arrays are nested deeper than {DEEPEST} levels")));
        }
        let kind = cursor.u32(place)?;
        let count = cursor.u64(place)?;
        // The size of the smallest element in bytes: an empty string has its length, an empty array its type and length.
        let smallest = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => 12,
            _ => return Err(cursor.malformed(place, format!("array element type {kind} is unknown"))),
        };
        cursor.check_count(count, smallest, place)?;
        let in_memory = match kind {
            7 => size_of::<bool>(),
            8 => size_of::<String>(),
            9 => size_of::<GgufValue>(),
            _ => size_of::<i64>(),
        };
        cursor.spend(count, in_memory, place)?;
        // The count was checked against the file and against the limit of memory.
        let n = count as usize;
        fn all<'a, T>(
            cursor: &mut Cursor<'a>,
            n: usize,
            mut one: impl FnMut(&mut Cursor<'a>) -> Result<T, FileError>,
        ) -> Result<Vec<T>, FileError> {
            let mut out = Vec::with_capacity(n);
            for _ in 0..n {
                out.push(one(cursor)?);
            }
            Ok(out)
        }
        Ok(match kind {
            0 => Self::Integers(all(cursor, n, |c| Ok(u8::from_le_bytes(c.bytes(place)?).into()))?),
            1 => Self::Integers(all(cursor, n, |c| Ok(i8::from_le_bytes(c.bytes(place)?).into()))?),
            2 => Self::Integers(all(cursor, n, |c| Ok(u16::from_le_bytes(c.bytes(place)?).into()))?),
            3 => Self::Integers(all(cursor, n, |c| Ok(i16::from_le_bytes(c.bytes(place)?).into()))?),
            4 => Self::Integers(all(cursor, n, |c| Ok(c.u32(place)?.into()))?),
            5 => Self::Integers(all(cursor, n, |c| Ok(i32::from_le_bytes(c.bytes(place)?).into()))?),
            6 => Self::Numbers(all(cursor, n, |c| Ok(f32::from_le_bytes(c.bytes(place)?).into()))?),
            7 => Self::Bools(all(cursor, n, |c| truth(c, place))?),
            8 => Self::Texts(all(cursor, n, |c| c.string(place))?),
            9 => Self::Arrays(all(cursor, n, |c| Self::read_array(c, place, depth + 1))?),
            10 => Self::Naturals(all(cursor, n, |c| c.u64(place))?),
            11 => Self::Integers(all(cursor, n, |c| Ok(i64::from_le_bytes(c.bytes(place)?)))?),
            _ => Self::Numbers(all(cursor, n, |c| Ok(f64::from_le_bytes(c.bytes(place)?)))?),
        })
    }
}

fn truth(cursor: &mut Cursor, place: &str) -> Result<bool, FileError> {
    match cursor.bytes(place)? {
        [0] => Ok(false),
        [1] => Ok(true),
        [other] => Err(cursor.malformed(place, format!("byte {other} is no truth value"))),
    }
}
