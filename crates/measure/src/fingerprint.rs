use std::fmt;

/// A 128-bit fingerprint of the object and the data that a number was measured on.
///
/// Two measurements with equal fingerprints were taken on the same thing. It guards against mistakes, not
/// against an adversary: the hash is FNV-1a.
///
/// # Examples
/// ```
/// use collimate_measure::Fingerprint;
/// let a = Fingerprint::of(b"weights").and(b"text");
/// assert_ne!(a, Fingerprint::of(b"weightstext")); // the parts keep their borders
/// assert_eq!(a.to_string().len(), 32);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u128);

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

impl Fingerprint {
    /// The fingerprint of one run of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(OFFSET).and(bytes)
    }

    /// The fingerprint of what `self` stands for together with more bytes.
    #[must_use]
    pub fn and(self, bytes: &[u8]) -> Self {
        let length = (bytes.len() as u64).to_le_bytes();
        Self(length.iter().chain(bytes).fold(self.0, |h, &byte| (h ^ u128::from(byte)).wrapping_mul(PRIME)))
    }

    /// The fingerprint of what `self` stands for together with some numbers, by their bits.
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
