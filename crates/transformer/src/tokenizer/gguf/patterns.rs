//! The ways in which byte-level BPE tokenizers cut a text, by the names that llama.cpp gives them.

/// A way to cut a text before its pieces are merged.
pub(super) struct Cut {
    names: &'static [&'static str],
    /// The patterns, applied one after another. Each match, and each text between two matches, becomes a part.
    pub(super) patterns: &'static [&'static str],
    /// True if a part that is a piece is taken before any merge.
    pub(super) whole_pieces_first: bool,
    /// True if the file adds the token at the beginning of a text unless it says otherwise.
    pub(super) begins: bool,
    /// True if the text is brought into the form NFC first.
    pub(super) nfc: bool,
}

const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN_35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT_4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK_3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const DEEPSEEK_LETTERS: &str = "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u{1f7d}ᾀ-ᾴᾶ-ᾼ\u{1fbe}ῂ-ῄῆ-ῌῐ-\u{1fd3}ῖ-\u{1fdb}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u{2126}ℨ\u{212a}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";
const HAN_AND_KANA: &str = "[一-龥\u{3040}-ゟ゠-ヿ]+";
const EAST_ASIAN: &str = "[一-龥ࠀ-一가-\u{d7ff}]+";

/// A cut without further properties.
const fn cut(names: &'static [&'static str], patterns: &'static [&'static str]) -> Cut {
    Cut { names, patterns, whole_pieces_first: false, begins: false, nfc: false }
}

/// The ways that are known, with all their names.
const CUTS: &[Cut] = &[
    cut(&["default"], &[r"[\p{P}\$\+<=>\^~\|]+", GPT_2, r"\p{N}+", r"[0-9][0-9][0-9]"]),
    cut(
        &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "jina-v1-en",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v2-code",
            "roberta-bpe",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "exaone4",
            "jais",
            "trillion",
            "granite-docling",
        ],
        &[GPT_2],
    ),
    Cut { nfc: true, ..cut(&["olmo", "mpt"], &[GPT_2]) },
    cut(
        &["smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"],
        &[r"\p{N}", GPT_2],
    ),
    Cut { nfc: true, ..cut(&["command-r"], &[r"\p{N}", GPT_2]) },
    cut(&["falcon"], &[r"[\p{P}\$\+<=>\^~\|`]+", GPT_2, r"[0-9][0-9][0-9]"]),
    Cut {
        whole_pieces_first: true,
        begins: true,
        ..cut(
            &[
                "llama-bpe",
                "llama3",
                "llama-v3",
                "falcon3",
                "falcon-h1",
                "pixtral",
                "midm-2.0",
                "lfm2",
                "jina-v5-nano",
            ],
            &[LLAMA_3],
        )
    },
    cut(&["dbrx", "smaug-bpe", "chatglm-bpe"], &[LLAMA_3]),
    Cut { whole_pieces_first: true, ..cut(&["glm4"], &[LLAMA_3]) },
    Cut { nfc: true, ..cut(&["qwen2", "deepseek-r1-qwen"], &[QWEN_2]) },
    cut(&["stablelm2", "megrez", "hunyuan", "grok-2", "kormo", "f2llmv2", "solar-open"], &[QWEN_2]),
    Cut { nfc: true, ..cut(&["qwen35"], &[QWEN_35]) },
    Cut { whole_pieces_first: true, begins: true, ..cut(&["tekken"], &[TEKKEN]) },
    cut(&["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], &[GPT_4O]),
    cut(
        &["deepseek-llm"],
        &["[\r\n]", DEEPSEEK_LETTERS, r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", EAST_ASIAN, r"\p{N}+"],
    ),
    cut(&["deepseek-coder"], &["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", EAST_ASIAN, r"\p{N}"]),
    cut(&["deepseek-v3", "hunyuan-dense", "joyai-llm"], &[r"\p{N}{1,3}", HAN_AND_KANA, DEEPSEEK_3]),
    cut(&["bloom", "poro-chat", "gpt3-finnish"], &[r" ?[^(\s|.,!?…。，、।۔،)]+"]),
    cut(&["viking"], &[r" ?[^(\s|.,!?…。，、।۔،)]+", r"\p{N}"]),
    cut(
        &["bailingmoe", "bailingmoe2", "llada-moe"],
        &[
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        ],
    ),
    cut(
        &["seed-coder"],
        &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
    ),
    Cut {
        begins: true,
        ..cut(
            &["chameleon"],
            &[
                "<sentinel:[0-9]+>",
                "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
                "([\t\n]|    |  )",
                r"\p{N}",
                r"[\p{P}!-/:-@\[-`{-~]",
                GPT_2,
            ],
        )
    },
];

impl Cut {
    /// Returns the way with a name, if it is known.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        CUTS.iter().find(|cut| cut.names.contains(&name))
    }
}

/// Returns the known names.
pub(super) fn known_names() -> Vec<&'static str> {
    CUTS.iter().flat_map(|cut| cut.names).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::{CUTS, known_names};
    use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
    use tokenizers::{
        OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior,
    };

    fn parts(name: &str, text: &str) -> Vec<String> {
        let mut cut = PreTokenizedString::from(text);
        for pattern in super::Cut::named(name).unwrap().patterns {
            let pattern = SplitPattern::Regex((*pattern).into());
            Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
                .unwrap()
                .pre_tokenize(&mut cut)
                .unwrap();
        }
        let splits = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
        splits.into_iter().map(|(part, _, _)| part.to_owned()).collect()
    }

    #[test]
    fn every_way_keeps_the_whole_text() {
        let text = "They'RE 20,346 naïve  \t観測者は\r\n\n x->y!!!🙂 Ünïcode IMGIMGABZ <sentinel:7>  ";
        for cut in CUTS {
            for name in cut.names {
                assert_eq!(parts(name, text).concat(), text, "{name}");
                assert!(parts(name, text).len() > 5, "{name}");
            }
        }
    }

    #[test]
    fn a_name_stands_for_one_way() {
        let mut names = known_names();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_ways_differ_where_their_tokenizers_do() {
        let text = "I'M 12345 éa...\n";
        for (name, expected) in [
            ("gpt-2", &["I", "'", "M", " 12345", " éa", "...", "\n"][..]),
            ("smollm", &["I", "'", "M", " ", "1", "2", "3", "4", "5", " éa", "...", "\n"]),
            ("falcon", &["I", "'", "M", " ", "123", "45", " éa", "...", "\n"]),
            ("llama-bpe", &["I", "'M", " ", "123", "45", " éa", "...\n"]),
            ("qwen2", &["I", "'M", " ", "1", "2", "3", "4", "5", " éa", "...\n"]),
            ("gpt-4o", &["I'M", " ", "123", "45", " éa", "...\n"]),
            ("tekken", &["I", "'M", " ", "1", "2", "3", "4", "5", " éa", "...\n"]),
            ("deepseek-v3", &["I", "'M", " ", "123", "45", " éa", "...\n"]),
            // The range of signs from : to ~ includes the letters from A to z.
            ("deepseek-llm", &["I", "'", "M", " ", "12345", " é", "a", "...", "\n"]),
            ("bloom", &["I'M", " 12345", " éa", "...\n"]),
            ("default", &["I", "'", "M", " ", "123", "45", " éa", "...", "\n"]),
        ] {
            assert_eq!(parts(name, text), expected, "{name}");
        }
    }
}
