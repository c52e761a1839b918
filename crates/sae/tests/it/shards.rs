//! Shards on disk.

use collimate_measure::Fingerprint;
use collimate_sae::SaeError;
use collimate_sae::shards::{Beside, ShardWriter, Shards};
use collimate_stream::RngStream;
use ndarray::{Array2, array};
use std::path::Path;

/// Returns rows that carry their own number in the first column, in documents of seven.
fn write(folder: &Path, rows: usize, per_shard: usize) -> Shards {
    let mut writer = ShardWriter::create(folder, 3, per_shard, Fingerprint::of(b"source")).unwrap();
    for i in 0..rows {
        writer.push_row(i as u32 / 7, 1 + i as u32 % 7, &[i as f32, 0.1, -2.5]).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), rows as u64);
    Shards::open(folder).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let shards = write(folder.path(), 100, 30);
    shards.verify().unwrap();
    assert_eq!((shards.rows(), shards.width()), (100, 3));
    let mut next = 0;
    for block in shards.blocks(13) {
        let block = block.unwrap();
        for ((row, document), position) in
            block.rows.rows().into_iter().zip(&block.documents).zip(&block.positions)
        {
            assert_eq!((row[0], *document, *position), (next as f32, next / 7, 1 + next % 7));
            assert!((row[1] - 0.1).abs() < 0.1 / 2048.0 && row[2] == -2.5); // eleven bits
            next += 1;
        }
    }
    assert_eq!(next, 100);
}

#[test]
fn position_zero_is_dropped_and_bad_values_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = ShardWriter::create(folder.path(), 2, 10, Fingerprint::of(b"")).unwrap();
    writer.push_document(0, 0, &array![[70_000.0f32, 0.0], [1.0, 2.0]]).unwrap(); // the huge row is position 0
    assert_eq!(writer.rows(), 1);
    writer.push_row(1, 1, &[65_504.0, 1.0]).unwrap(); // the largest that fits half precision
    let error = writer.push_row(1, 2, &[1.0, f32::NAN]).unwrap_err();
    assert!(matches!(error, SaeError::NonFiniteInput { row: 2, column: 1, .. }), "{error}");
    assert!(matches!(writer.push_row(1, 2, &[1.0]).unwrap_err(), SaeError::Mismatch { .. }));
}

#[test]
fn a_shard_with_a_value_beyond_half_precision_is_stored_in_single_precision() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = ShardWriter::create(folder.path(), 3, 4, Fingerprint::of(b"")).unwrap();
    let row = |i: usize| [i as f32 + 0.1, if i == 5 || i == 8 { -65_520.0 } else { 1.0 }, 1e-3];
    for i in 0..10 {
        writer.push_row(i as u32 / 3, 1 + i as u32 % 3, &row(i)).unwrap();
    }
    writer.finish().unwrap();
    let shards = Shards::open(folder.path()).unwrap();
    shards.verify().unwrap();
    let half = |v: f32| half::f16::from_f32(v).to_f32();
    let mut stored: Vec<[f32; 3]> = Vec::new();
    for block in shards.blocks(3) {
        let block = block.unwrap();
        for (row, (document, position)) in
            block.rows.rows().into_iter().zip(block.documents.iter().zip(&block.positions))
        {
            let i = stored.len() as u32;
            assert_eq!((*document, *position), (i / 3, 1 + i % 3));
            stored.push([row[0], row[1], row[2]]);
        }
    }
    for (i, stored) in stored.iter().enumerate() {
        // Rows 4 and 5 share a shard; row 4 was rounded before row 5 came. Row 8 opens a shard in single precision.
        let single = i >= 5;
        assert_eq!(*stored, if single { row(i) } else { row(i).map(half) }, "row {i}");
    }
    // Nothing else is left in the folder, and rows in random order are the same rows.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4);
    let mut drawn: Vec<[f32; 3]> = (0..2)
        .flat_map(|_| {
            let block = shards.shuffled(4, 10, &mut RngStream::new(1, 0)).unwrap().next().unwrap().unwrap();
            block.rows().into_iter().map(|row| [row[0], row[1], row[2]]).collect::<Vec<_>>()
        })
        .take(10)
        .collect();
    drawn.sort_by(|a, b| a[0].total_cmp(&b[0]));
    assert_eq!(drawn, stored);
}

#[test]
fn every_epoch_returns_every_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let shards = write(folder.path(), 2500, 700);
    let order = |seed: u64, buffer: usize| -> Vec<u32> {
        let mut shuffled = shards.shuffled(buffer, 50, &mut RngStream::new(seed, 0)).unwrap();
        (0..50)
            .flat_map(|_| shuffled.next().unwrap().unwrap().column(0).mapv(|v| v as u32).to_vec())
            .collect()
    };
    // Half precision holds whole numbers exactly up to 2048 and even ones up to 4096.
    let stored: Vec<u32> = (0..2500).map(|i| half::f16::from_f32(i as f32).to_f32() as u32).collect();
    for buffer in [1, 64, 5000] {
        let first = order(1, buffer);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        let mut expected = stored.clone();
        expected.sort_unstable();
        assert_eq!(sorted, expected, "buffer {buffer}");
        assert_eq!(first, order(1, buffer));
    }
    let random = order(1, 5000);
    assert_ne!(random, order(2, 5000));
    // Shuffled well: the rank correlation with the stored order is near zero (its standard error is 0.02).
    let n = random.len() as f64;
    let correlation: f64 =
        random.iter().enumerate().map(|(i, &v)| (i as f64 / n - 0.5) * (f64::from(v) / n - 0.5)).sum::<f64>()
            / (n / 12.0);
    assert!(correlation.abs() < 0.08, "{correlation}");
}

#[test]
fn damage_is_found_while_reading_and_its_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 20, 8);
    let second = folder.path().join("00001.rows");
    let good = std::fs::read(&second).unwrap();
    // Width 3: a row is 6 bytes. After the eight rows lie the documents, the positions and the checksums of the rows.
    for (at, row) in
        [(64, 0), (64 + 6 * 3 + 5, 3), (64 + 48 + 4 * 7, 7), (64 + 48 + 32 + 4, 1), (64 + 48 + 64, 0)]
    {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        std::fs::write(&second, &flipped).unwrap();
        let shards = Shards::open(folder.path()).unwrap();
        let refused = |error: SaeError| {
            let error = error.to_string();
            assert!(
                error.contains("00001.rows") && error.contains(&format!("row {row} is damaged")),
                "{error}"
            );
        };
        refused(shards.blocks(5).find_map(Result::err).unwrap());
        refused(shards.shuffled(4, 20, &mut RngStream::new(1, 0)).unwrap().next().unwrap().unwrap_err());
        let both = Beside::new(vec![shards.clone()]).unwrap();
        refused(both.blocks(100).find_map(Result::err).unwrap());
        assert!(shards.verify().unwrap_err().to_string().contains("checksum"));
    }
    std::fs::write(&second, &good[..good.len() - 1]).unwrap();
    assert!(Shards::open(folder.path()).unwrap_err().to_string().contains("bytes"));
    let mut header = good.clone();
    header[16] = 255; // claims more rows
    std::fs::write(&second, &header).unwrap();
    assert!(Shards::open(folder.path()).unwrap_err().to_string().contains("header"));
    std::fs::write(&second, &good).unwrap();
    Shards::open(folder.path()).unwrap().verify().unwrap();
}

/// Writes a set of version 1: half precision, and no checksums of rows.
fn write_version_1(folder: &Path, rows: &[[f32; 2]]) {
    let mut content: Vec<u8> =
        rows.iter().flatten().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
    content.extend((0..rows.len() as u32).flat_map(|_| 4_u32.to_le_bytes()));
    content.extend((1..=rows.len() as u32).flat_map(u32::to_le_bytes));
    let fnv = |h: u64, byte: &u8| (h ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    let checksum = content.iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    let mut file = b"COLLROWS".to_vec();
    file.extend(1_u32.to_le_bytes());
    file.extend(2_u32.to_le_bytes());
    file.extend((rows.len() as u64).to_le_bytes());
    file.extend(checksum.to_le_bytes());
    file.resize(64, 0);
    file.extend(content);
    std::fs::write(folder.join("00000.rows"), file).unwrap();
    let index = format!(
        "collimate rows 1\nwidth 2\nsource {}\nshard 00000.rows {} {checksum:016x}\nend 1\n",
        Fingerprint::of(b"source"),
        rows.len()
    );
    std::fs::write(folder.join("index"), index).unwrap();
}

#[test]
fn sets_of_version_1_are_read_and_compared_with_their_checksums() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [[1.0, -2.0], [0.5, 4.0], [3.0, 8.0]];
    write_version_1(folder.path(), &rows);
    let shards = Shards::open(folder.path()).unwrap();
    shards.verify().unwrap();
    let block = shards.blocks(8).next().unwrap().unwrap();
    assert_eq!(block.rows, array![[1.0, -2.0], [0.5, 4.0], [3.0, 8.0]]);
    assert_eq!((block.documents, block.positions), (vec![4; 3], vec![1, 2, 3]));
    // The same rows in the present version have the same fingerprint, so that what was trained on them is found.
    let again = tempfile::tempdir().unwrap();
    let mut writer = ShardWriter::create(again.path(), 2, 10, Fingerprint::of(b"source")).unwrap();
    rows.iter().zip(1..).for_each(|(row, position)| writer.push_row(4, position, row).unwrap());
    writer.finish().unwrap();
    assert_eq!(Shards::open(again.path()).unwrap().fingerprint(), shards.fingerprint());
    let path = folder.path().join("00000.rows");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[70] ^= 1;
    bytes[71] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let shards = Shards::open(folder.path()).unwrap();
    for error in [
        shards.blocks(1).next().unwrap().unwrap_err(),
        shards.shuffled(2, 2, &mut RngStream::new(1, 0)).unwrap().next().unwrap().unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(
            error.contains("00000.rows: the shard is damaged") && error.contains("rows 0 to 2"),
            "{error}"
        );
    }
}

#[test]
fn a_value_that_is_not_finite_is_named_with_its_shard_and_row() {
    let folder = tempfile::tempdir().unwrap();
    for (value, word) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (-1e6, "-inf")] {
        write_version_1(folder.path(), &[[1.0, -2.0], [0.5, 4.0], [3.0, 8.0], [2.0, value]]);
        let shards = Shards::open(folder.path()).unwrap();
        for error in [
            shards.blocks(3).find_map(Result::err).unwrap(),
            shards.shuffled(4, 2, &mut RngStream::new(1, 0)).unwrap().next().unwrap().unwrap_err(),
            shards.verify().unwrap_err(),
        ] {
            let error = error.to_string();
            assert!(error.contains("00000.rows: row 3, column 1 is") && error.contains(word), "{error}");
        }
    }
}

#[test]
fn a_hostile_index_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 20, 8);
    let path = folder.path().join("index");
    let good = std::fs::read_to_string(&path).unwrap();
    for end in 0..good.len() {
        std::fs::write(&path, &good[..end]).unwrap();
        // A cut inside the last number may still read as that number of shards; otherwise it must be an error.
        if let Ok(shards) = Shards::open(folder.path()) {
            assert_eq!(shards.rows(), 20);
        }
    }
    for (from, to) in [
        ("width 3", "width 0"),
        ("width 3", "width 4294967295"),
        ("shard 00000.rows 8", "shard 00000.rows 18446744073709551615"),
        ("shard 00000.rows", "shard ../secret"),
        ("end 3", "end 4"),
    ] {
        std::fs::write(&path, good.replace(from, to)).unwrap();
        assert!(Shards::open(folder.path()).is_err(), "{to}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(Shards::open(folder.path()), Err(SaeError::Io { .. })));
}

#[test]
fn an_unfinished_set_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 20, 8);
    let mut writer = ShardWriter::create(folder.path(), 3, 8, Fingerprint::of(b"")).unwrap();
    writer.push_row(0, 1, &[0.0; 3]).unwrap();
    drop(writer);
    assert!(Shards::open(folder.path()).is_err());
}

#[test]
fn the_fingerprint_is_of_the_content() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, again) = (write(a.path(), 20, 8), write(b.path(), 20, 8));
    assert_eq!(first.fingerprint(), again.fingerprint());
    assert_ne!(first.fingerprint(), write(b.path(), 21, 8).fingerprint());
    let rows = Array2::<f32>::zeros((0, 3));
    let mut writer = ShardWriter::create(b.path(), 3, 8, Fingerprint::of(b"")).unwrap();
    writer.push_document(0, 0, &rows).unwrap();
    writer.finish().unwrap();
    assert!(Shards::open(b.path()).unwrap().shuffled(4, 4, &mut RngStream::new(1, 0)).is_err());
}

#[test]
fn sets_of_the_same_tokens_lie_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| write(&folder.path().join(name), 2000, 700));
    let both = Beside::new(vec![one.clone(), two]).unwrap();
    assert_eq!((both.rows(), both.width()), (2000, 6));
    // Half precision holds whole numbers exactly up to 2048.
    let mut next = 0;
    for block in both.blocks(64) {
        let block = block.unwrap();
        for (row, document) in block.rows.rows().into_iter().zip(block.documents) {
            assert_eq!((row[0], row[3], document), (next as f32, next as f32, next / 7));
            next += 1;
        }
    }
    assert_eq!(next, 2000);
    // Drawn at random, the halves of a row are still of one token, in the order of a single set.
    let mut stream = RngStream::new(4, 0);
    let mut alone = one.shuffled(64, 50, &mut stream).unwrap();
    let after = stream.bits();
    let mut stream = RngStream::new(4, 0);
    for rows in both.shuffled(64, 50, &mut stream).unwrap().take(100) {
        let (rows, alone) = (rows.unwrap(), alone.next().unwrap().unwrap());
        assert_eq!(rows.column(0), rows.column(3));
        assert_eq!(rows.column(0), alone.column(0));
    }
    assert_eq!(stream.bits(), after);
    assert_ne!(both.fingerprint(), one.fingerprint());
    assert_eq!(Beside::new(vec![one.clone()]).unwrap().fingerprint(), one.fingerprint());
}

#[test]
fn sets_of_other_tokens_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let one = write(&at("one"), 100, 30);
    for (name, rows, per_shard) in [("fewer", 90, 30), ("cut elsewhere", 100, 40)] {
        let other = write(&at(name), rows, per_shard);
        let error = Beside::new(vec![one.clone(), other]).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("same shards"), "{error}");
    }
    let mut writer = ShardWriter::create(at("other"), 1, 30, Fingerprint::of(b"source")).unwrap();
    for i in 0..100 {
        // Row 55 belongs to another position.
        writer.push_row(i / 7, if i == 55 { 99 } else { 1 + i % 7 }, &[0.0]).unwrap();
    }
    writer.finish().unwrap();
    let error = Beside::new(vec![one, Shards::open(at("other")).unwrap()]).unwrap_err().to_string();
    assert!(error.contains("row 55") && error.contains("position 99 of document 7"), "{error}");
    assert!(matches!(Beside::new(Vec::new()), Err(SaeError::OutOfRange { .. })));
}
