//! Models that are split into several GGUF files.

use crate::gguf::{Builder, text};
use crate::mutate::mutate;
use crate::{alone, measured, refusal};
use collimate_stream::RngStream;
use collimate_tensor::files::Gguf;
use std::path::{Path, PathBuf};

/// A part of a model of three parts and four tensors, with tensors of two numbers.
fn part(number: u16, tensors: &[(&str, f32)]) -> Builder {
    part_of(number, 3, 4, tensors)
}

fn part_of(number: u16, count: u16, total: i32, tensors: &[(&str, f32)]) -> Builder {
    let mut builder = Builder::new()
        .value("split.no", 2, &number.to_le_bytes())
        .value("split.count", 2, &count.to_le_bytes())
        .value("split.tensors.count", 5, &total.to_le_bytes());
    if number == 0 {
        builder = builder.value("general.name", 8, &text("small"));
    }
    for (name, x) in tensors {
        builder = builder.tensor(name, &[2], 0, &[*x, x + 0.5].map(f32::to_le_bytes).concat());
    }
    builder
}

/// The three parts. The first has only metadata, as some writers do it.
fn parts() -> [Builder; 3] {
    [part(0, &[]), part(1, &[("c", 3.0), ("a", 1.0)]), part(2, &[("b", 2.0), ("d", 4.0)])]
}

fn path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("small-{:05}-of-00003.gguf", number + 1))
}

fn write(folder: &Path, parts: &[Builder]) {
    for (number, part) in parts.iter().enumerate() {
        std::fs::write(path(folder, number), part.build()).unwrap();
    }
}

#[test]
fn any_part_opens_the_whole_model() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &parts());
    // One part is of version 2.
    let mut old = parts()[1].build();
    old[4] = 2;
    std::fs::write(path(folder.path(), 1), old).unwrap();
    for number in 0..3 {
        let file = Gguf::open(path(folder.path(), number)).unwrap();
        assert_eq!(file.tensors().keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        for (name, first) in [("a", 1.0), ("b", 2.0), ("c", 3.0), ("d", 4.0)] {
            let expected = [first, first + 0.5];
            assert_eq!(file.read(name).unwrap().to_f32().as_slice().unwrap(), expected);
            assert_eq!(file.read_stored(name).unwrap().to_f32().as_slice().unwrap(), expected);
            let mut row = [0.0; 2];
            file.read_rows_into(name, 0..1, &mut row).unwrap();
            assert_eq!(row, expected);
        }
        assert_eq!(file.value("general.name").unwrap().as_text(), Some("small"));
        assert_eq!(file.value("split.no").unwrap().as_u64(), Some(0));
        let expected: Vec<PathBuf> = (0..3).map(|number| path(folder.path(), number)).collect();
        assert_eq!(file.paths().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_file_that_is_the_whole_model_needs_no_name() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any name");
    // Joining the parts leaves a count of 0 or 1 behind.
    for count in [0, 1] {
        std::fs::write(&path, part_of(0, count, 7, &[("a", 1.0)]).build()).unwrap();
        let file = Gguf::open(&path).unwrap();
        assert_eq!(file.read("a").unwrap().to_f32()[1], 1.5);
        assert_eq!(file.paths().collect::<Vec<_>>(), [&path]);
    }
}

/// Writes the parts after a change, and returns the refusal of the first part.
fn refused(change: impl FnOnce(&mut [Builder; 3])) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut changed = parts();
    change(&mut changed);
    write(folder.path(), &changed);
    refusal(Gguf::open(path(folder.path(), 0)))
}

#[test]
fn parts_that_do_not_fit_are_refused_with_the_file_and_the_reason() {
    let _guard = alone();
    let second = "small-00002-of-00003.gguf";
    let third = "small-00003-of-00003.gguf";
    for (replaced, builder, file, reason) in [
        (1, part(2, &[]), second, "the name is that of part 2 of 3, but the file is part 3 of 3"),
        (1, part_of(1, 4, 4, &[]), second, "the name is that of part 2 of 3, but the file is part 2 of 4"),
        (2, part_of(2, 3, 5, &[]), third, "it is 5, but 4 in another part"),
        (2, part(2, &[("b", 2.0)]), "small-00001-of-00003.gguf", "it is 4, but the parts have 3 tensors"),
        (2, part(2, &[("b", 2.0), ("a", 2.0)]), third, "tensor 'a': the part "),
        (2, part(2, &[]).value("general.name", 8, &text("other")), third, "different models"),
        (2, Builder::new(), third, "the file is not split"),
        (
            1,
            Builder::new().value("split.count", 2, &[3, 0]),
            second,
            "'split.no': a part of a split model needs",
        ),
        (1, Builder::new().value("split.count", 8, &text("3")), second, "not a natural number"),
        (1, part(7, &[]), second, "the number 7 of a part is not below their count 3"),
    ] {
        let message = refused(|parts| parts[replaced] = builder);
        assert!(message.contains(file) && message.contains(reason), "{message}");
    }
    // An entry that is equal in two parts is no contradiction.
    let folder = tempfile::tempdir().unwrap();
    let mut same = parts();
    same[2] = same[2].clone().value("general.name", 8, &text("small"));
    write(folder.path(), &same);
    assert!(Gguf::open(path(folder.path(), 2)).is_ok());
}

#[test]
fn a_missing_or_renamed_part_is_named() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &parts());
    std::fs::remove_file(path(folder.path(), 2)).unwrap();
    let message = refusal(Gguf::open(path(folder.path(), 1)));
    for text in ["small-00003-of-00003.gguf", "part 3 of 3", "small-00002-of-00003.gguf", "into one folder"] {
        assert!(message.contains(text), "{message}");
    }
    let renamed = folder.path().join("renamed.gguf");
    std::fs::rename(path(folder.path(), 1), &renamed).unwrap();
    let message = refusal(Gguf::open(&renamed));
    assert!(message.contains("its name must end in '-00002-of-00003.gguf'"), "{message}");
    let message = refusal(Gguf::from_bytes(parts()[1].build()));
    assert!(message.contains("part 2 of 3") && message.contains("by its path"), "{message}");
}

#[test]
fn a_mutated_part_never_panics_and_never_takes_much_memory() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let mut refused = 0;
    for seed in 0..400 {
        let mut stream = RngStream::new(seed, 0);
        let mut files = parts().map(|part| part.build());
        let changed = stream.below(3);
        files[changed] = mutate(files[changed].clone(), &mut stream);
        for (number, file) in files.iter().enumerate() {
            std::fs::write(path(folder.path(), number), file).unwrap();
        }
        let size: usize = files.iter().map(Vec::len).sum();
        let opened = path(folder.path(), stream.below(3));
        let (read, peak) = measured(|| {
            Gguf::open(opened)
                .map_or(0, |file| file.tensors().keys().filter(|name| file.read(name).is_ok()).count())
        });
        assert!(peak <= 32 * size + (1 << 17), "{peak} bytes held for files of {size}");
        refused += usize::from(read == 0);
    }
    // A change of a value, of a name or of the padding is no fault of the file.
    assert!(refused > 200, "{refused} of 400");
}
