//! The storages of a file: members of a zip archive, or ranges of a file in the older format.

use super::node::Node;
use super::pickle::Pickle;
use super::view::{element_bytes, storage};
use crate::files::FileError;
use crate::files::source::Source;
use crate::files::zip::{Member, content, members};
use std::collections::BTreeMap;
use std::io::Read;
use std::rc::Rc;

/// The longest pickle that is read. A tensor takes about 200 bytes of it.
const LONGEST_PICKLE: u64 = 1 << 22;
/// The limit of bytes to which a compressed storage may expand, unless the file itself is larger.
const EXPANDED_LIMIT: u64 = 1 << 30;
/// The version of the older format.
const LEGACY_VERSION: i64 = 1001;
const PLACE: &str = "the pickle";

/// The bytes of a storage.
pub(super) enum Storage {
    /// A member of the zip archive.
    Member(Member),
    /// A range of the file.
    Range {
        /// The first byte.
        at: u64,
        /// The number of bytes.
        bytes: u64,
    },
}

/// The structure of a file and its storages by their names.
pub(super) type Opened = (Pickle, BTreeMap<String, Storage>);

impl Storage {
    /// Returns the number of bytes.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Member(member) => member.size,
            Self::Range { bytes, .. } => *bytes,
        }
    }

    /// Reads the bytes.
    pub(super) fn read(&self, source: &Source, place: &str) -> Result<Vec<u8>, FileError> {
        match self {
            Self::Member(member) => expand(source, member, EXPANDED_LIMIT.max(source.len), place),
            Self::Range { at, bytes } => source.read(*at, *bytes, place),
        }
    }
}

/// Opens a zip archive of `torch.save`.
pub(super) fn open_zip(source: &Source) -> Result<Opened, FileError> {
    let mut members: BTreeMap<String, Member> =
        members(source)?.into_iter().map(|member| (member.name.clone(), member)).collect();
    let pickle = members.keys().find(|name| *name == "data.pkl" || name.ends_with("/data.pkl")).cloned();
    let pickle = pickle.ok_or_else(|| source.malformed(PLACE, "the archive has no member data.pkl"))?;
    let folder = pickle.trim_end_matches("data.pkl").to_owned();
    let bytes = expand(source, &members[&pickle], LONGEST_PICKLE, PLACE)?;
    if let Some(order) = members.get(&format!("{folder}byteorder"))
        && expand(source, order, 64, "the byte order")? != b"little"
    {
        return Err(source.malformed("the byte order", "it is not 'little'"));
    }
    let pickle = Pickle::read(&Rc::new(bytes), 0).map_err(|what| source.malformed(PLACE, what))?;
    let prefix = format!("{folder}data/");
    let mut storages = BTreeMap::new();
    while let Some((name, member)) = members.pop_last() {
        if let Some(key) = name.strip_prefix(&prefix) {
            storages.insert(key.to_owned(), Storage::Member(member));
        }
    }
    Ok((pickle, storages))
}

/// Opens a file in the format before torch 1.6.
///
/// It holds five pickles (a number that marks the format, its version, facts of the machine, the object, the names of its
/// storages), and then each storage: the number of its elements in 64 bits, and the elements.
pub(super) fn open_legacy(source: &Source) -> Result<Opened, FileError> {
    let wrong = |what: String| source.malformed(PLACE, what);
    // All pickles stand in the first bytes.
    let bytes = Rc::new(source.read(0, source.len.min(LONGEST_PICKLE), PLACE)?);
    let magic = Pickle::read(&bytes, 0).map_err(wrong)?;
    let version = Pickle::read(&bytes, magic.end).map_err(wrong)?;
    if version.int(version.root) != Some(LEGACY_VERSION) {
        let found = version.int(version.root).map_or_else(|| "not a number".into(), |n| n.to_string());
        return Err(wrong(format!("the version of the format is {found}, but {LEGACY_VERSION} is expected")));
    }
    let system = Pickle::read(&bytes, version.end).map_err(wrong)?;
    if let Node::Dict(entries) = system.node(system.root)
        && entries.iter().any(|&(key, value)| {
            system.text(key) == Some("little_endian") && matches!(system.node(value), Node::Bool(false))
        })
    {
        return Err(source.malformed("the byte order", "it is not 'little'"));
    }
    let object = Pickle::read(&bytes, system.end).map_err(wrong)?;
    let keys = Pickle::read(&bytes, object.end).map_err(wrong)?;
    let mut sizes = BTreeMap::new();
    for node in object.nodes() {
        if let Node::Outside(outside) = node
            && let Ok(name) = storage(&object, *outside)
        {
            sizes.insert(name.key.to_owned(), element_bytes(name.class).ok_or(name.class));
        }
    }
    let mut storages = BTreeMap::new();
    let mut at = keys.end as u64;
    let names = keys.items(keys.root).ok_or_else(|| wrong("the list of storages is missing".into()))?;
    for &key in names {
        let key = keys.text(key).ok_or_else(|| wrong("a storage without a name".into()))?;
        let place = format!("storage '{key}'");
        let size = match sizes.get(key) {
            Some(Ok(size)) => *size,
            Some(Err(class)) => {
                let what = format!("its type {class} is not known, so the storages behind it are not found");
                return Err(source.malformed(place, what));
            }
            None => return Err(source.malformed(place, "no tensor of the file uses it")),
        };
        let mut count = [0; 8];
        source.read_into(at, &mut count, &place)?;
        at += 8;
        let count = u64::from_le_bytes(count);
        let end = count.checked_mul(size).and_then(|bytes| at.checked_add(bytes));
        let Some(end) = end.filter(|&end| end <= source.len) else {
            let what = format!(
                "its {count} elements of {size} bytes pass the end of the file; it was cut, so fetch it again"
            );
            return Err(source.malformed(place, what));
        };
        storages.insert(key.to_owned(), Storage::Range { at, bytes: end - at });
        at = end;
    }
    Ok((object, storages))
}

/// Reads the content of a member, at most `limit` bytes, and checks its check sum.
fn expand(source: &Source, member: &Member, limit: u64, place: &str) -> Result<Vec<u8>, FileError> {
    if member.size > limit {
        return Err(FileError::TooLarge {
            path: source.path.clone(),
            place: place.into(),
            needed: member.size,
            limit,
        });
    }
    let mut content = content(source, member, place)?;
    let mut bytes = Vec::new();
    // The buffer grows with the received bytes, so a wrong size alone takes no memory.
    (&mut content)
        .take(member.size)
        .read_to_end(&mut bytes)
        .map_err(|error| source.malformed(place, error.to_string()))?;
    if bytes.len() as u64 != member.size {
        return Err(source.malformed(place, format!("{} bytes came instead of {}", bytes.len(), member.size)));
    }
    content.finish().map_err(|what| source.malformed(place, what))?;
    Ok(bytes)
}
