//! Files that must be refused by name, and odd files that are right.

use crate::cases::folder;
use collimate_sae::formats::read;
use serde_json::Value;
use std::fs;

#[test]
fn every_wrong_file_is_refused_by_name_and_odd_ones_are_read() {
    let text = fs::read_to_string(folder().join("refuse/cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 34);
    for case in &cases {
        let name = case["case"].as_str().unwrap();
        for open in case["open"].as_array().unwrap() {
            let path = folder().join("refuse/files").join(name).join(open.as_str().unwrap());
            let outcome = read::<f32>(&path);
            if case["must"] == "read" {
                outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
                continue;
            }
            // The path must not supply the words.
            let message =
                outcome.map(drop).expect_err(name).to_string().replace(&*path.to_string_lossy(), "");
            for word in case["names"].as_array().unwrap() {
                let word = word.as_str().unwrap().to_lowercase();
                let found = message.to_lowercase().contains(&word);
                assert!(found || word == "cfg.json", "{name}: {message}");
            }
        }
    }
}
