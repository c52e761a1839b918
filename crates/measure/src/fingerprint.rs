use std::fmt;

/// A 128-bit fingerprint of the object and the data that a number was measured on.
///
/// Two measurements with equal fingerprints were taken on one object and one data set. A fingerprint protects against mistakes,
/// not against an adversary, because the hash is FNV-1a.
///
/// # Examples
/// ```
/// use collimate_measure::Fingerprint;
/// let a = Fingerprint::of(b"weights").and(b"text");
/// assert_ne!(a, Fingerprint::of(b"weightstext")); // the borders between the parts count
/// assert_eq!(a.to_string().len(), 32);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u128);

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

impl Fingerprint {
    /// Returns the fingerprint of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(OFFSET).and(bytes)
    }

    /// Returns the fingerprint of the content of `self` and some more bytes.
    #[must_use]
    pub fn and(self, bytes: &[u8]) -> Self {
        let length = (bytes.len() as u64).to_le_bytes();
        Self(length.iter().chain(bytes).fold(self.0, |h, &byte| (h ^ u128::from(byte)).wrapping_mul(PRIME)))
    }

    /// Returns the fingerprint of the content of `self` and the bits of some numbers.
    #[must_use]
    pub fn and_numbers(self, numbers: &[f64]) -> Self {
        numbers.iter().fold(self.and(&[]), |f, x| f.and(&x.to_bits().to_le_bytes()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
