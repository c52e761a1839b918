//! Every field that the `tokenizers` library gives for every text.

use super::{NAMES, from_json, ids, recorded, text};
use collimate_transformer::{EncodeOptions, SpecialTokens};
use serde_json::{Value, json};
use std::ops::Range;

fn pairs(ranges: &[Range<usize>]) -> Value {
    ranges.iter().map(|range| json!([range.start, range.end])).collect()
}

#[test]
fn every_text_has_the_tokens_of_the_library() {
    for name in NAMES {
        let tokenizer = from_json(name);
        let recorded = recorded(name, "cases.json");
        let cases = recorded["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 25, "{name}");
        for case in cases {
            let given = text(case, "text");
            let place = format!("{name}: {given:?}");
            let plain = EncodeOptions::of_the_library(SpecialTokens::Omitted);
            let found = tokenizer.encode_with(given, plain).unwrap();
            assert_eq!(found.ids, ids(case, "ids"), "{place}");
            assert_eq!(json!(found.pieces), case["tokens"], "{place}");
            assert_eq!(pairs(&found.byte_ranges), case["byte_offsets"], "{place}");
            assert_eq!(pairs(&found.character_ranges), case["char_offsets"], "{place}");
            assert!(found.special.iter().all(|special| !special), "{place}");
            let with = EncodeOptions::of_the_library(SpecialTokens::Added);
            let found = tokenizer.encode_with(given, with).unwrap();
            assert_eq!(found.ids, ids(case, "ids_with_special"), "{place}");
            let mask: Vec<u32> = found.special.iter().map(|&special| special.into()).collect();
            assert_eq!(mask, ids(case, "special_tokens_mask"), "{place}");
            let decoded = tokenizer.decode(&ids(case, "ids")).unwrap();
            assert_eq!(decoded, text(case, "decoded"), "{place}");
            let decoded = tokenizer.decode_without_special(&ids(case, "ids")).unwrap();
            assert_eq!(decoded, text(case, "decoded_skip_special"), "{place}");
        }
    }
}

#[test]
fn pairs_have_the_tokens_and_the_types_of_the_library() {
    let mut count = 0;
    for name in NAMES {
        let tokenizer = from_json(name);
        for pair in recorded(name, "cases.json")["pairs"].as_array().unwrap() {
            let options = EncodeOptions::of_the_library(SpecialTokens::Added);
            let found = tokenizer.encode_pair(text(pair, "first"), text(pair, "second"), options).unwrap();
            assert_eq!(found.ids, ids(pair, "ids_with_special"), "{name}: {pair}");
            assert_eq!(found.type_ids, ids(pair, "type_ids"), "{name}: {pair}");
            count += 1;
        }
    }
    assert!(count >= 4, "{count} pairs");
}

#[test]
fn the_short_ways_agree_with_the_long_one() {
    for name in NAMES {
        let tokenizer = from_json(name);
        for case in recorded(name, "cases.json")["cases"].as_array().unwrap() {
            let given = text(case, "text");
            let Ok(long) = tokenizer.encode_with(given, EncodeOptions::default()) else {
                assert!(tokenizer.encode(given).is_err(), "{name}: {given:?}");
                continue;
            };
            assert_eq!(tokenizer.encode(given).unwrap(), long.ids, "{name}: {given:?}");
            let ranges: Vec<_> = long.ids.iter().copied().zip(long.byte_ranges).collect();
            assert_eq!(tokenizer.encode_with_ranges(given).unwrap(), ranges, "{name}: {given:?}");
        }
    }
}

#[test]
fn the_vocabulary_has_names_in_both_directions() {
    for (name, size) in NAMES.into_iter().zip([400, 422, 470, 320, 221]) {
        let tokenizer = from_json(name);
        assert_eq!(tokenizer.len(), size, "{name}");
        assert!(!tokenizer.is_empty(), "{name}");
        for id in 0..size as u32 {
            let piece = tokenizer.piece(id).unwrap_or_else(|| panic!("{name}: {id}"));
            assert_eq!(tokenizer.id(piece), Some(id), "{name}: {piece:?}");
        }
        assert_eq!(tokenizer.piece(size as u32), None, "{name}");
        assert_eq!(tokenizer.id("no such piece"), None, "{name}");
        let error = tokenizer.decode(&[0, size as u32]).unwrap_err().to_string();
        assert!(error.contains(&format!("token {size} at position 1")), "{name}: {error}");
    }
}
