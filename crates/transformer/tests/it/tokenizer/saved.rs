//! Tokenizers that are written to a folder, and read again.

use super::{NAMES, from_gguf, from_json, recorded, text};
use collimate_transformer::{EncodeOptions, SpecialTokens, Tokenizer};

#[test]
fn a_tokenizer_that_is_written_reads_every_text_as_before() {
    let mut texts = 0;
    for (name, open) in NAMES.iter().flat_map(|&name| [(name, from_json as fn(&str) -> _), (name, from_gguf)])
    {
        let folder = tempfile::tempdir().unwrap();
        let before = open(name);
        before.save(folder.path()).unwrap();
        let after = Tokenizer::open(folder.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((before.len(), before.special_ids()), (after.len(), after.special_ids()), "{name}");
        assert_eq!(before.chat_templates(), after.chat_templates(), "{name}");
        for case in recorded(name, "cases.json")["cases"].as_array().unwrap() {
            for special in [SpecialTokens::Omitted, SpecialTokens::Added] {
                let options = EncodeOptions::of_the_library(special);
                let [a, b] = [&before, &after].map(|t| t.encode_with(text(case, "text"), options).unwrap());
                assert_eq!(a, b, "{name}: {case}");
                assert_eq!(before.decode(&a.ids).unwrap(), after.decode(&a.ids).unwrap(), "{name}: {case}");
                texts += 1;
            }
        }
    }
    assert_eq!(texts, 2 * 2 * 25 * NAMES.len());
}

#[test]
fn the_tokenizer_of_bytes_spells_every_byte_and_no_name_of_a_special_token() {
    let tokenizer = Tokenizer::of_bytes().unwrap();
    let every: String = (0..0x800).filter_map(char::from_u32).chain("<|endoftext|> 漢🦀".chars()).collect();
    let ids = tokenizer.encode(&every).unwrap();
    let bytes: Vec<u32> = every.bytes().map(u32::from).collect();
    assert_eq!(ids, bytes);
    assert_eq!(tokenizer.decode(&ids).unwrap(), every);
}
