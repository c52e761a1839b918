use super::FileError;
use super::source::Source;
use super::zip::members;
use std::fmt;
use std::path::Path;

/// The number of bytes that tell the kind of a file.
pub(crate) const FIRST: u64 = 512;
/// The number that `torch.save` wrote in front of its older format, as a pickle holds it.
const TORCH_MAGIC: &[u8] = b"l\xfc\x9cF\xf9 j\xa8P\x19";

/// The kind of a file, told by its first bytes and never by its name.
///
/// # Examples
/// ```
/// use collimate_tensor::files::FileKind;
/// let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n";
/// assert_eq!(FileKind::of_bytes(pointer), FileKind::LfsPointer);
/// assert_eq!(FileKind::of_bytes(b"\x93NUMPY\x01\x00"), FileKind::Npy);
/// assert_eq!(FileKind::of_bytes(b""), FileKind::Empty);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A safetensors file.
    Safetensors,
    /// A zip archive of `torch.save`. [`FileKind::of_bytes`] returns [`FileKind::Zip`] for it.
    Torch,
    /// A zip archive without a pickle of tensors. [`FileKind::of_bytes`] returns [`FileKind::Zip`] for it.
    Npz,
    /// A zip archive.
    Zip,
    /// The older format of `torch.save`: pickles and storages one after another.
    TorchLegacy,
    /// An array of NumPy.
    Npy,
    /// A GGUF file.
    Gguf,
    /// A pickle that `torch.save` did not write.
    Pickle,
    /// An HDF5 file.
    Hdf5,
    /// A gzip archive.
    Gzip,
    /// A text that stands for a file in Git LFS.
    LfsPointer,
    /// A web page.
    Html,
    /// An XML text.
    Xml,
    /// A JSON text.
    Json,
    /// Another text.
    Text,
    /// A file without a byte.
    Empty,
    /// None of these.
    Unknown,
}

impl FileKind {
    /// Returns the kind of a file. The directory of a zip archive tells whether `torch.save` wrote it.
    ///
    /// # Errors
    /// [`FileError::Io`] if the file cannot be read, [`FileError::Malformed`] for a zip archive without its end.
    pub fn of(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let source = Source::regular(path.as_ref())?;
        match source.kind()? {
            Self::Zip => {
                let pickle = |name: &str| name == "data.pkl" || name.ends_with("/data.pkl");
                let torch = members(&source)?.iter().any(|member| pickle(&member.name));
                Ok(if torch { Self::Torch } else { Self::Npz })
            }
            kind => Ok(kind),
        }
    }

    /// Returns the kind that the first bytes of a file show. 512 bytes are enough.
    pub fn of_bytes(first: &[u8]) -> Self {
        if first.is_empty() {
            return Self::Empty;
        }
        // A header of safetensors is shorter than 2³² bytes, so the upper half of its length is zero.
        if first.len() > 8 && first[4..8] == [0; 4] && first[8] == b'{' {
            return Self::Safetensors;
        }
        let starts: [(&[u8], Self); 8] = [
            (b"PK\x03\x04", Self::Zip),
            (b"PK\x05\x06", Self::Zip),
            (b"\x93NUMPY", Self::Npy),
            (b"GGUF", Self::Gguf),
            (b"\x89HDF", Self::Hdf5),
            (b"\x1f\x8b", Self::Gzip),
            (b"version https://git-lfs", Self::LfsPointer),
            (b"version https://hawser", Self::LfsPointer),
        ];
        if let Some((_, kind)) = starts.iter().find(|(start, _)| first.starts_with(start)) {
            return *kind;
        }
        if first[0] == 0x80 && first.get(1).is_some_and(|&protocol| (2..=5).contains(&protocol)) {
            let reach = &first[..first.len().min(64)];
            let torch = reach.windows(TORCH_MAGIC.len()).any(|window| window == TORCH_MAGIC);
            return if torch { Self::TorchLegacy } else { Self::Pickle };
        }
        Self::of_text(first)
    }

    fn of_text(first: &[u8]) -> Self {
        // The bytes may end within a character.
        let text = match std::str::from_utf8(first) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(&first[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return Self::Unknown,
        };
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
            return Self::Unknown;
        }
        let page = ["<!doctype", "<html", "<head", "<body"];
        let start: String = text.chars().take(9).flat_map(char::to_lowercase).collect();
        match start.chars().next() {
            Some('<') if page.iter().any(|tag| start.starts_with(tag)) => Self::Html,
            Some('<') if start.starts_with("<?xml") => Self::Xml,
            Some('{' | '[') => Self::Json,
            _ => Self::Text,
        }
    }

    /// Returns true for kinds that hold no numbers at all: texts, pages and empty files.
    pub fn is_text(self) -> bool {
        matches!(self, Self::LfsPointer | Self::Html | Self::Xml | Self::Json | Self::Text | Self::Empty)
    }

    /// Returns the next step of a person who expected tensors, or an empty text.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Empty => "a download that failed leaves such a file; fetch it again",
            Self::LfsPointer => "run `git lfs pull` in its repository, or download the file itself",
            Self::Html => {
                "the server answered with a page; check the address and the permission, and fetch it again"
            }
            Self::Xml | Self::Json | Self::Text => {
                "a server that has no such file answers so; check the address and the permission, and fetch it again"
            }
            Self::Zip | Self::Torch | Self::Npz | Self::TorchLegacy | Self::Safetensors => {
                "the name of a file does not say its kind; give it the ending of its kind"
            }
            Self::Pickle => "load it where it was made, and save its dictionary of tensors with torch.save",
            Self::Hdf5 | Self::Gzip => "unpack it, or save the tensors as safetensors",
            Self::Gguf | Self::Npy | Self::Unknown => "",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "a safetensors file",
            Self::Torch => "a file of torch.save",
            Self::Npz => "an npz archive",
            Self::Zip => "a zip archive (of torch.save, or npz)",
            Self::TorchLegacy => "a file of torch.save in the format before torch 1.6",
            Self::Npy => "a single array of NumPy",
            Self::Gguf => "a GGUF file",
            Self::Pickle => "a pickle that torch.save did not write",
            Self::Hdf5 => "an HDF5 file",
            Self::Gzip => "a gzip archive",
            Self::LfsPointer => "a Git LFS pointer, a text instead of the file",
            Self::Html => "an HTML page",
            Self::Xml => "an XML text, perhaps the error of a server",
            Self::Json => "a JSON text, perhaps the error of a server",
            Self::Text => "a text",
            Self::Empty => "an empty file",
            Self::Unknown => "a file of unknown kind",
        })
    }
}

impl Source {
    /// Returns the kind that the first bytes show.
    pub(crate) fn kind(&self) -> Result<FileKind, FileError> {
        Ok(FileKind::of_bytes(&self.read(0, self.len.min(FIRST), "the first bytes")?))
    }

    /// Refuses a file that is certainly of another kind, and says what it is and what to do.
    pub(crate) fn expect(&self, wanted: &[FileKind], name: &str) -> Result<(), FileError> {
        let kind = self.kind()?;
        if kind == FileKind::Unknown || wanted.contains(&kind) {
            return Ok(());
        }
        let mut what = format!("this is {kind}, but {name} was expected");
        if kind.is_text() && kind != FileKind::LfsPointer && kind != FileKind::Empty {
            let first = self.read(0, self.len.min(60), "the first bytes")?;
            what.push_str(&format!(" (it begins with {:?})", String::from_utf8_lossy(&first)));
        }
        if !kind.advice().is_empty() {
            what.push_str(&format!("; {}", kind.advice()));
        }
        Err(self.malformed("the file", what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_kind() {
        let mut safetensors = 123_u64.to_le_bytes().to_vec();
        safetensors.extend(b"{\"a\"");
        for (bytes, kind) in [
            (&safetensors[..], FileKind::Safetensors),
            (b"PK\x03\x04", FileKind::Zip),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", FileKind::TorchLegacy),
            (b"\x80\x04\x95\x0f\0\0\0\0\0\0\0\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", FileKind::TorchLegacy),
            (b"\x80\x04}.", FileKind::Pickle),
            (b"GGUF\x03\0\0\0", FileKind::Gguf),
            (b"  \n<!DOCTYPE html>", FileKind::Html),
            (b"\xef\xbb\xbf<HTML>", FileKind::Html),
            (b"<?xml version=\"1.0\"?><Error>", FileKind::Xml),
            (b"{\"error\":\"Repository not found\"}", FileKind::Json),
            (b"Entry not found", FileKind::Text),
            (b"caf\xc3", FileKind::Text),
            (b"\x01\x02\x03", FileKind::Unknown),
            (b"\xff\xfe<\0h\0", FileKind::Unknown),
        ] {
            assert_eq!(FileKind::of_bytes(bytes), kind, "{bytes:?}");
        }
    }
}
