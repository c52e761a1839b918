use super::super::FileError;
use super::super::source::Source;
use super::header::{GgufTensor, Part};
use super::value::GgufValue;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// The entry with the number of a part. It differs between the parts.
const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// All files of a model.
pub(super) struct Parts {
    pub(super) sources: Vec<Source>,
    pub(super) metadata: BTreeMap<String, GgufValue>,
    pub(super) tensors: BTreeMap<String, GgufTensor>,
}

/// The place of a file in a split model, by its metadata.
#[derive(Clone, Copy)]
struct Split {
    /// The number of the part, from 0.
    number: u64,
    /// The number of parts, above 1.
    count: u64,
    /// The number of tensors of the model.
    tensors: u64,
}

impl Split {
    /// Returns the place of a part. Returns `None` if the file is the whole model.
    fn of(part: &Part) -> Result<Option<Self>, FileError> {
        let value = |name: &str| match part.metadata.get(name).map(GgufValue::as_u64) {
            Some(Some(value)) => Ok(value),
            Some(None) => Err(entry(part, name, "it is not a natural number".into())),
            None => Err(entry(part, name, "a part of a split model needs this entry".into())),
        };
        if !part.metadata.contains_key(COUNT) || value(COUNT)? < 2 {
            return Ok(None);
        }
        let split = Self { number: value(NUMBER)?, count: value(COUNT)?, tensors: value(TENSORS)? };
        if split.number >= split.count {
            let what =
                format!("the number {} of a part is not below their count {}", split.number, split.count);
            return Err(entry(part, NUMBER, what));
        }
        Ok(Some(split))
    }

    /// Returns the ending of the name of a part.
    fn ending(self, number: u64) -> String {
        format!("-{:05}-of-{:05}.gguf", number + 1, self.count)
    }
}

impl Parts {
    /// Opens a file, and the others if it is a part of a split model.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let given = Part::parse(Source::open(path)?, 0)?;
        let Some(split) = Split::of(&given)? else {
            return Self::join(vec![given]);
        };
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(stem) = name.and_then(|name| name.strip_suffix(&split.ending(split.number))) else {
            let what = format!(
                "the file is part {} of {}, so its name must end in '{}'; give all parts the names that they had when the model was split",
                split.number + 1,
                split.count,
                split.ending(split.number)
            );
            return Err(entry(&given, NUMBER, what));
        };
        let mut parts = Vec::new();
        let mut spent = given.spent;
        let mut given = Some(given);
        for number in 0..split.count {
            if let Some(part) = given.take_if(|_| number == split.number) {
                parts.push(part);
                continue;
            }
            let name = path.with_file_name(format!("{stem}{}", split.ending(number)));
            let source = Source::open(&name).map_err(|error| missing(error, path, number, split.count))?;
            let part = Part::parse(source, spent)?;
            spent = part.spent;
            check(&part, number, split)?;
            parts.push(part);
        }
        let parts = Self::join(parts)?;
        if parts.tensors.len() as u64 != split.tensors {
            let what = format!("it is {}, but the parts have {} tensors", split.tensors, parts.tensors.len());
            return Err(parts.sources[0].malformed(format!("metadata entry '{TENSORS}'"), what));
        }
        Ok(parts)
    }

    /// Reads a file that is already in memory.
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Result<Self, FileError> {
        let part = Part::parse(Source::memory(bytes), 0)?;
        if let Some(split) = Split::of(&part)? {
            let what = format!(
                "this is part {} of {}; open the file by its path, beside the other parts",
                split.number + 1,
                split.count
            );
            return Err(entry(&part, COUNT, what));
        }
        Self::join(vec![part])
    }

    /// Joins metadata and tensors. An entry that two parts have must have one value.
    fn join(parts: Vec<Part>) -> Result<Self, FileError> {
        let (mut sources, mut metadata, mut tensors) =
            (Vec::new(), BTreeMap::new(), BTreeMap::<_, GgufTensor>::new());
        for (number, part) in parts.into_iter().enumerate() {
            for (name, value) in part.metadata {
                match metadata.get(&name) {
                    Some(other) if name != NUMBER && *other != value => {
                        let what = "another part has another value, so the parts belong to different models";
                        return Err(part.source.malformed(format!("metadata entry '{name}'"), what));
                    }
                    Some(_) => {}
                    None => {
                        metadata.insert(name, value);
                    }
                }
            }
            sources.push(part.source);
            for (name, mut tensor) in part.tensors {
                if let Some(other) = tensors.get(&name) {
                    let what = format!("the part {} has it too", sources[other.part].path.display());
                    return Err(sources[number].malformed(format!("tensor '{name}'"), what));
                }
                tensor.part = number;
                tensors.insert(name, tensor);
            }
        }
        Ok(Self { sources, metadata, tensors })
    }
}

/// Checks that a part has the number of its name, and the counts of the part that was opened first.
fn check(part: &Part, number: u64, split: Split) -> Result<(), FileError> {
    let Some(own) = Split::of(part)? else {
        return Err(entry(
            part,
            COUNT,
            format!("the name is that of a part of {}, but the file is not split", split.count),
        ));
    };
    if (own.number, own.count) != (number, split.count) {
        let what = format!(
            "the name is that of part {} of {}, but the file is part {} of {}; download or name it again",
            number + 1,
            split.count,
            own.number + 1,
            own.count
        );
        return Err(entry(part, NUMBER, what));
    }
    if own.tensors != split.tensors {
        let what = format!(
            "it is {}, but {} in another part, so they belong to different models",
            own.tensors, split.tensors
        );
        return Err(entry(part, TENSORS, what));
    }
    Ok(())
}

/// Returns the error that names a missing part, or another error as it is.
fn missing(error: FileError, path: &Path, number: u64, count: u64) -> FileError {
    match error {
        FileError::Io { path: part, source, .. } if source.kind() == ErrorKind::NotFound => FileError::Io {
            path: part,
            place: format!(
                "opening part {} of {count} of the model of {}; put all parts into one folder",
                number + 1,
                path.display()
            ),
            source,
        },
        other => other,
    }
}

fn entry(part: &Part, name: &str, what: String) -> FileError {
    part.source.malformed(format!("metadata entry '{name}'"), what)
}
