//! Small items with their archives and digests, and a fetcher that serves them.

use collimate_studies::data::{
    Client, Contents, DataError, Fetcher, Item, PinnedFile, file_sha256, tree_sha256,
};
use std::collections::VecDeque;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub(super) const MEMBER: &str = "inside/model.bin";

/// Returns the content of the file in the made-up wheel: compressible, and longer than one copy buffer.
pub(super) fn payload() -> Vec<u8> {
    (0..400_000_u32).map(|index| (index / 7 % 251) as u8).collect()
}

/// Makes an item with one file, and its archive.
pub(super) fn wheel() -> (&'static Item, Vec<u8>) {
    let bytes = payload();
    let archive = zip_of(MEMBER, &bytes);
    let item = wheel_item(digest_of(&archive), archive.len(), digest_of(&bytes), bytes.len());
    (item, archive)
}

/// Makes an item of two files of a wheel, and its archive.
pub(super) fn wheel_of_two() -> (&'static Item, Vec<u8>) {
    let (one, archive) = wheel();
    let Contents::File(model) = one.contents else { panic!("a wheel with one file") };
    let notes = b"Name: made-up";
    let file = PinnedFile {
        member: "METADATA",
        name: "notes.txt",
        bytes: notes.len() as u64,
        sha256: digest_of(notes).leak(),
    };
    let contents = Contents::Files(Box::leak(Box::new([model, file])));
    (Box::leak(Box::new(Item { name: "made-up-folder", contents, ..*one })), archive)
}

/// Makes an item of one file with the given sizes and digests.
pub(super) fn wheel_item(
    archive: String,
    archive_bytes: usize,
    inner: String,
    bytes: usize,
) -> &'static Item {
    Box::leak(Box::new(Item {
        name: "made-up",
        title: "a made-up model",
        client: Client::Pip,
        package: "made-up-package",
        version: "1.0",
        archive_sha256: archive.leak(),
        archive_bytes: archive_bytes as u64,
        contents: Contents::File(PinnedFile {
            member: MEMBER,
            name: "model.bin",
            bytes: bytes as u64,
            sha256: inner.leak(),
        }),
        licence: "made up, so anyone may use it.",
        how: "collimate data",
    }))
}

/// Makes an item with three small files of a folder, and its archive, which has more files than are kept.
pub(super) fn tarball() -> (&'static Item, Vec<u8>) {
    let files = [("a1", "one/nn"), ("a2", "two/nn three/vb"), ("genres", "a1 news\na2 fiction\n")];
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let digest = tree_sha256(folder.path()).unwrap();
    let mut members = vec![("package/index.json".to_owned(), "{}".to_owned())];
    members.extend(files.map(|(name, text)| (format!("package/{name}"), text.to_owned())));
    members.push(("elsewhere/a1".to_owned(), "not this".to_owned()));
    let archive = tar_of(&members);
    let bytes = files.iter().map(|(_, text)| text.len() as u64).sum();
    (tar_item(digest_of(&archive), archive.len(), digest, bytes), archive)
}

/// Makes an item of three files with the given sizes and digests.
pub(super) fn tar_item(archive: String, archive_bytes: usize, inner: String, bytes: u64) -> &'static Item {
    let keeps = |name: &str| name.starts_with('a') || name == "genres";
    Box::leak(Box::new(Item {
        name: "made-up-texts",
        title: "made-up texts",
        client: Client::Npm,
        package: "made-up-texts",
        version: "2.0",
        archive_sha256: archive.leak(),
        archive_bytes: archive_bytes as u64,
        contents: Contents::Tree { folder: "package/", keeps, files: 3, bytes, sha256: inner.leak() },
        licence: "made up, so anyone may use it.",
        how: "collimate data --full",
    }))
}

pub(super) fn zip_of(member: &str, bytes: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file(member, zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(bytes).unwrap();
    writer.start_file("METADATA", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(b"Name: made-up").unwrap();
    writer.finish().unwrap().into_inner()
}

pub(super) fn tar_of(members: &[(String, String)]) -> Vec<u8> {
    let mut builder =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (path, text) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

pub(super) fn digest_of(bytes: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file_sha256(file.path()).unwrap().0
}

/// A fetcher that serves the given archives one after the other, and then fails.
pub(super) struct Serves {
    archives: Mutex<VecDeque<Vec<u8>>>,
}

impl Serves {
    pub(super) fn these(archives: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { archives: Mutex::new(archives.into_iter().collect()) }
    }

    /// Returns the number of archives that were not requested.
    pub(super) fn left(&self) -> usize {
        self.archives.lock().unwrap().len()
    }
}

impl Fetcher for Serves {
    fn fetch(
        &self,
        item: &'static Item,
        folder: &Path,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<PathBuf, DataError> {
        let archive = self.archives.lock().unwrap().pop_front().ok_or_else(|| DataError::Fetch {
            title: item.title,
            command: "serve".into(),
            status: "nothing left".into(),
            said: String::new(),
        })?;
        on_bytes(archive.len() as u64);
        let path = folder.join("archive");
        std::fs::write(&path, archive).unwrap();
        Ok(path)
    }
}
