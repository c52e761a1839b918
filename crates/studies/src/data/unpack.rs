use super::error::DataError;
use super::item::{Contents, Item, PinnedFile};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// Unpacks the kept files of an archive into an empty folder. The pinned sizes bound the number of bytes.
pub(super) fn unpack(item: &Item, archive: &Path, into: &Path) -> Result<(), DataError> {
    match item.contents {
        Contents::File(file) => unpack_zip_member(archive, &file, into),
        Contents::Files(files) => files.iter().try_for_each(|file| unpack_zip_member(archive, file, into)),
        Contents::Tree { folder, keeps, files, bytes, .. } => {
            unpack_tar_folder(archive, folder, keeps, files, bytes, into)
        }
    }
}

/// Unpacks one file of a zip archive.
fn unpack_zip_member(archive: &Path, file: &PinnedFile, into: &Path) -> Result<(), DataError> {
    let PinnedFile { member, name, bytes, .. } = *file;
    let unreadable = |error: zip::result::ZipError| bad(archive, error);
    let file = File::open(archive).map_err(DataError::io(archive))?;
    let mut zip = zip::ZipArchive::new(file).map_err(unreadable)?;
    let mut entry = zip.by_name(member).map_err(unreadable)?;
    if entry.size() != bytes {
        return Err(bad(archive, format!("{member} claims {} bytes instead of {bytes}", entry.size())));
    }
    copy_exactly(&mut entry, bytes, archive, &into.join(name))
}

/// Unpacks the selected plain files of one folder of a gzipped tar archive.
fn unpack_tar_folder(
    archive: &Path,
    folder: &str,
    keeps: fn(&str) -> bool,
    files: usize,
    bytes: u64,
    into: &Path,
) -> Result<(), DataError> {
    let file = File::open(archive).map_err(DataError::io(archive))?;
    // A tar file has a header and padding for each member, and may have members that are not kept.
    let bound = 4 * bytes + (1 << 20);
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file).take(bound));
    let (mut left, mut kept) = (bytes, 0);
    for entry in tar.entries().map_err(|error| bad(archive, error))? {
        let mut entry = entry.map_err(|error| bad(archive, error))?;
        let path = entry.path().map_err(|error| bad(archive, error))?.to_string_lossy().into_owned();
        // Only plain names directly in the folder are kept, so no name can lead out of the target.
        let Some(name) = path.strip_prefix(folder).filter(|name| is_plain(name) && keeps(name)) else {
            continue;
        };
        if !entry.header().entry_type().is_file() {
            return Err(bad(archive, format!("{path} is not a plain file")));
        }
        let size = entry.size();
        if kept == files || size > left {
            return Err(bad(archive, format!("more than {files} files or {bytes} bytes in {folder}")));
        }
        (left, kept) = (left - size, kept + 1);
        copy_exactly(&mut entry, size, archive, &into.join(name))?;
    }
    Ok(())
}

/// Returns true for a name without folders that is not a hidden file.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':'])
}

/// Copies exactly `bytes` bytes to disk; a source with fewer or more bytes is an error.
fn copy_exactly(source: &mut dyn Read, bytes: u64, archive: &Path, target: &Path) -> Result<(), DataError> {
    let mut file = File::create_new(target).map_err(DataError::io(target))?;
    let mut buffer = vec![0_u8; 1 << 18];
    let mut copied = 0_u64;
    loop {
        let read = source.read(&mut buffer).map_err(|error| bad(archive, error))?;
        if read == 0 {
            break;
        }
        copied += read as u64;
        if copied > bytes {
            return Err(bad(archive, format!("a member holds more than its {bytes} bytes")));
        }
        file.write_all(&buffer[..read]).map_err(DataError::io(target))?;
    }
    if copied != bytes {
        return Err(bad(archive, format!("a member ends after {copied} of {bytes} bytes")));
    }
    file.sync_all().map_err(DataError::io(target))
}

fn bad(archive: &Path, reason: impl ToString) -> DataError {
    DataError::Archive { path: archive.to_owned(), reason: reason.to_string() }
}
