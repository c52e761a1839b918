//! The part of the zip format that npz files use: members stored or deflated, with sizes from the central directory.
//!
//! The zip crate is not used, because it reserves memory for the number of members that a file claims.

use super::FileError;
use super::source::Source;
use flate2::bufread::DeflateDecoder;
use flate2::{Crc, CrcReader};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

const DIRECTORY: &str = "the zip directory";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const END_BYTES: u64 = 22;
const ENTRY_BYTES: u64 = 46;
const LOCAL_BYTES: u64 = 30;

/// The entry of a member in the central directory.
pub(crate) struct Member {
    pub(crate) name: String,
    encrypted: bool,
    method: u16,
    checksum: u32,
    compressed: u64,
    pub(crate) size: u64,
    local: u64,
}

impl Member {
    /// Returns true if the member is compressed, so that its content may be far larger than its part of the file.
    pub(crate) fn expands(&self) -> bool {
        self.method != 0
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Reads the central directory.
pub(crate) fn members(source: &Source) -> Result<Vec<Member>, FileError> {
    // A comment of at most 65,535 bytes follows the end record, which gives its length.
    let reach = source.len.min(END_BYTES + u64::from(u16::MAX));
    let tail = source.read(source.len - reach, reach, DIRECTORY)?;
    let end = (0..(tail.len() + 1).saturating_sub(END_BYTES as usize))
        .rev()
        .find(|&at| {
            tail[at..].starts_with(&END) && at + 22 + usize::from(u16_at(&tail, at + 20)) == tail.len()
        })
        .ok_or_else(|| source.malformed(DIRECTORY, "this is not a zip archive, or its end is missing"))?;
    let end_position = source.len - reach + end as u64;
    let end = &tail[end..];
    let (mut count, mut size, mut start) =
        (u64::from(u16_at(end, 10)), u64::from(u32_at(end, 12)), u64::from(u32_at(end, 16)));
    if count == 0xffff || size == 0xffff_ffff || start == 0xffff_ffff {
        let locator = end_position
            .checked_sub(20)
            .map(|at| source.read(at, 20, DIRECTORY))
            .transpose()?
            .filter(|locator| locator.starts_with(&LOCATOR_64));
        if let Some(locator) = locator {
            let end = source.read(u64_at(&locator, 8), 56, DIRECTORY)?;
            if !end.starts_with(&END_64) {
                return Err(source.malformed(DIRECTORY, "the 64-bit end record is not where it should be"));
            }
            (count, size, start) = (u64_at(&end, 32), u64_at(&end, 40), u64_at(&end, 48));
        }
    }
    if start.checked_add(size).is_none_or(|stop| stop > end_position)
        || count.checked_mul(ENTRY_BYTES).is_none_or(|least| least > size)
    {
        let what =
            format!("{count} members in {size} bytes at {start} do not fit in front of byte {end_position}");
        return Err(source.malformed(DIRECTORY, what));
    }
    let directory = source.read(start, size, DIRECTORY)?;
    let mut rest = directory.as_slice();
    let mut members = Vec::with_capacity(count as usize);
    for index in 0..count {
        let (member, after) = entry(rest).ok_or_else(|| {
            source.malformed(DIRECTORY, format!("entry {index} is cut or has no signature"))
        })?;
        members.push(member);
        rest = after;
    }
    Ok(members)
}

/// Splits the directory into its first entry and the rest.
fn entry(bytes: &[u8]) -> Option<(Member, &[u8])> {
    let fixed = bytes.get(..ENTRY_BYTES as usize).filter(|fixed| fixed.starts_with(&ENTRY))?;
    let lengths = [28, 30, 32].map(|at| usize::from(u16_at(fixed, at)));
    let name_end = ENTRY_BYTES as usize + lengths[0];
    let name = bytes.get(ENTRY_BYTES as usize..name_end)?;
    let mut extra = bytes.get(name_end..name_end + lengths[1])?;
    let after = bytes.get(name_end + lengths[1] + lengths[2]..)?;
    // Sizes above 32 bits are stored in an extra field, in this order, and are all ones here.
    let mut wide = [u32_at(fixed, 24), u32_at(fixed, 20), u32_at(fixed, 42)].map(u64::from);
    while extra.len() >= 4 {
        let length = usize::from(u16_at(extra, 2));
        let field = extra.get(4..4 + length)?;
        if u16_at(extra, 0) == 1 {
            let mut values = field.as_chunks::<8>().0.iter();
            for value in wide.iter_mut().filter(|value| **value == u64::from(u32::MAX)) {
                *value = u64::from_le_bytes(*values.next()?);
            }
        }
        extra = &extra[4 + length..];
    }
    let member = Member {
        name: String::from_utf8_lossy(name).into_owned(),
        encrypted: u16_at(fixed, 8) & 1 == 1,
        method: u16_at(fixed, 10),
        checksum: u32_at(fixed, 16),
        compressed: wide[1],
        size: wide[0],
        local: wide[2],
    };
    Some((member, after))
}

/// The content of a member, which is expanded while it is read.
pub(crate) struct Content<'a> {
    reader: CrcReader<Box<dyn Read + 'a>>,
    checksum: u32,
}

impl Read for Content<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reader.read(out)
    }
}

impl Content<'_> {
    /// Returns an error unless the member was read to its end and its check sum is right.
    pub(crate) fn finish(mut self) -> Result<(), String> {
        match self.reader.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => return Err("more data follow than the zip directory says".into()),
            Err(error) => return Err(error.to_string()),
        }
        let found = self.reader.crc().sum();
        if found != self.checksum {
            return Err(format!("the check sum is {found:08x}, but {:08x} was promised", self.checksum));
        }
        Ok(())
    }
}

/// A range of a file as a stream.
struct Part<'a> {
    source: &'a Source,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = (out.len() as u64).min(self.end - self.at) as usize;
        self.source.read_into(self.at, &mut out[..n], "a member").map_err(io::Error::other)?;
        self.at += n as u64;
        Ok(n)
    }
}

/// Opens a member for reading.
pub(crate) fn content<'a>(
    source: &'a Source,
    member: &Member,
    place: &str,
) -> Result<Content<'a>, FileError> {
    let local = source.read(member.local, LOCAL_BYTES, place)?;
    if !local.starts_with(&LOCAL) {
        return Err(source.malformed(place, "its local header is not where the zip directory says"));
    }
    // The read above stayed within the file, so the sums below cannot overflow.
    let at = member.local + LOCAL_BYTES + u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
    let end = at.checked_add(member.compressed).filter(|&end| end <= source.len);
    let Some(end) = end else {
        let what = format!("its {} bytes at {at} pass the end of the file", member.compressed);
        return Err(source.malformed(place, what));
    };
    if !member.encrypted && !member.expands() && member.size != member.compressed {
        let what = format!("it is stored in {} bytes, but {} are promised", member.compressed, member.size);
        return Err(source.malformed(place, what));
    }
    let part: Box<dyn BufRead + 'a> = Box::new(BufReader::new(Part { source, at, end }));
    let reader: Box<dyn Read + 'a> = match (member.encrypted, member.method) {
        (false, 0) => Box::new(part),
        (false, 8) => Box::new(DeflateDecoder::new(part)),
        (encrypted, method) => {
            return Err(FileError::Unsupported {
                path: source.path.clone(),
                place: place.into(),
                what: if encrypted { "encryption".into() } else { format!("compression method {method}") },
                supported: "0 (stored), 8 (deflated)",
            });
        }
    };
    Ok(Content { reader: CrcReader::new(reader), checksum: member.checksum })
}

/// Writes members without compression. Archives of 4 GiB and more are refused, because they need the 64-bit form.
pub(crate) fn write_stored(
    out: &mut dyn Write,
    path: &Path,
    members: &[(String, Vec<u8>)],
) -> Result<(), FileError> {
    let names: u64 = members.iter().map(|(name, _)| name.len() as u64).sum();
    let content: u64 = members.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let total = content + 2 * names + members.len() as u64 * (LOCAL_BYTES + ENTRY_BYTES) + END_BYTES;
    let limit = u64::from(u32::MAX);
    let too_large = |place: &str, needed, limit| FileError::TooLarge {
        path: path.into(),
        place: place.into(),
        needed,
        limit,
    };
    if total >= limit {
        return Err(too_large("the archive", total, limit));
    }
    if members.len() >= usize::from(u16::MAX) {
        return Err(too_large(DIRECTORY, members.len() as u64, u64::from(u16::MAX)));
    }
    let mut directory = Vec::new();
    let mut position = 0_u32;
    let mut put = |bytes: &[u8]| {
        out.write_all(bytes).map_err(|source| FileError::Io {
            path: path.into(),
            place: "writing".into(),
            source,
        })
    };
    for (name, bytes) in members {
        let Ok(name_len) = u16::try_from(name.len()) else {
            return Err(too_large("the name of a member", name.len() as u64, u64::from(u16::MAX)));
        };
        let mut crc = Crc::new();
        crc.update(bytes);
        // Version 2.0; flag: the name is UTF-8; stored; 1 January 1980, so that the bytes depend on the content only.
        let mut fields = vec![20, 0, 0, 8, 0, 0, 0, 0, 33, 0];
        fields.extend(crc.sum().to_le_bytes());
        fields.extend([bytes.len() as u32; 2].map(u32::to_le_bytes).concat());
        fields.extend(name_len.to_le_bytes());
        fields.extend([0; 2]); // no extra field
        directory.extend(ENTRY);
        directory.extend([20, 0]);
        directory.extend(&fields);
        directory.extend([0; 10]); // no comment, disk 0, no attributes
        directory.extend(position.to_le_bytes());
        directory.extend(name.as_bytes());
        let local = [&LOCAL[..], &fields, name.as_bytes()].concat();
        put(&local)?;
        put(bytes)?;
        position += (local.len() + bytes.len()) as u32;
    }
    let count = members.len() as u16;
    let mut end = END.to_vec();
    end.extend([0; 4]);
    end.extend([count; 2].map(u16::to_le_bytes).concat());
    end.extend((directory.len() as u32).to_le_bytes());
    end.extend(position.to_le_bytes());
    end.extend([0; 2]);
    put(&directory)?;
    put(&end)
}
