//! The Brown corpus: human part-of-speech labels on 1.16 million words of 1961 American English.
//!
//! The user downloads it on request, and it is never part of the repository: its package says that redistribution is permitted,
//! another index says non-commercial use only.
//!
//! References: W. N. Francis and H. Kučera (1964), "A Standard Corpus of Present-Day Edited American English".

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A word with its part of speech.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedWord {
    /// The word, as in the corpus.
    pub word: String,
    /// The coarse part of speech.
    pub tag: PartOfSpeech,
}

/// One of the 500 texts of the corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedDocument {
    /// The file's name, for example `ca01`.
    pub name: String,
    /// The genre, for example `news`.
    pub genre: String,
    /// The words in order.
    pub words: Vec<TaggedWord>,
}

/// The coarse parts of speech. The about 80 tags of the corpus are mapped onto them.
///
/// # References
/// The mapping follows the universal tag set of Petrov, Das and McDonald (2012).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PartOfSpeech {
    /// A noun, proper or common.
    Noun,
    /// A verb, an auxiliary or a modal.
    Verb,
    /// An adjective or an ordinal number.
    Adjective,
    /// An adverb.
    Adverb,
    /// A pronoun.
    Pronoun,
    /// A determiner or an article.
    Determiner,
    /// A preposition or a subordinating conjunction.
    Adposition,
    /// A coordinating conjunction.
    Conjunction,
    /// A cardinal number.
    Number,
    /// A particle, the negation, or existential "there".
    Particle,
    /// A punctuation mark.
    Punctuation,
    /// A foreign word, an interjection, or any other word.
    Other,
}

impl PartOfSpeech {
    /// All parts of speech in their order.
    pub const ALL: [PartOfSpeech; 12] = [
        Self::Noun,
        Self::Verb,
        Self::Adjective,
        Self::Adverb,
        Self::Pronoun,
        Self::Determiner,
        Self::Adposition,
        Self::Conjunction,
        Self::Number,
        Self::Particle,
        Self::Punctuation,
        Self::Other,
    ];

    /// Returns the part of speech of a tag of the corpus, for example `nn-tl` or `vbd`.
    ///
    /// # Examples
    /// ```
    /// use collimate_studies::text::brown::PartOfSpeech;
    /// assert_eq!(PartOfSpeech::of_tag("np$-tl"), PartOfSpeech::Noun);
    /// assert_eq!(PartOfSpeech::of_tag("bedz*"), PartOfSpeech::Verb);
    /// ```
    pub fn of_tag(tag: &str) -> Self {
        // The mark of a foreign word stands in front of the tag; the marks of titles, headlines and cited words stand after it.
        if tag.starts_with("fw-") {
            return Self::Other;
        }
        let first = tag.split(['-', '+']).find(|part| !part.is_empty()).unwrap_or(tag);
        let base = first.trim_end_matches('$');
        let base = if base.len() > 1 { base.trim_end_matches('*') } else { base };
        match base.trim_end_matches('$') {
            "nn" | "nns" | "np" | "nps" | "nr" | "nrs" => Self::Noun,
            "vb" | "vbd" | "vbg" | "vbn" | "vbz" | "vbp" | "md" | "be" | "bed" | "bedz" | "beg" | "bem"
            | "ben" | "ber" | "bez" | "do" | "dod" | "doz" | "hv" | "hvd" | "hvg" | "hvn" | "hvz" => {
                Self::Verb
            }
            "jj" | "jjr" | "jjs" | "jjt" | "od" => Self::Adjective,
            "rb" | "rbr" | "rbt" | "rn" | "ql" | "qlp" | "wrb" | "wql" => Self::Adverb,
            "pn" | "pp" | "ppl" | "ppls" | "ppo" | "pps" | "ppss" | "wp" | "wpo" | "wps" => Self::Pronoun,
            "at" | "abl" | "abn" | "abx" | "ap" | "dt" | "dti" | "dts" | "dtx" | "wdt" => Self::Determiner,
            "in" | "cs" => Self::Adposition,
            "cc" => Self::Conjunction,
            "cd" => Self::Number,
            "rp" | "to" | "ex" | "*" => Self::Particle,
            "." | "," | ":" | "(" | ")" | "''" | "``" | "'" | "`" | "--" => Self::Punctuation,
            // The dash has the tag `--`, which splitting at dashes leaves empty.
            _ if tag.chars().all(|c| c.is_ascii_punctuation()) => Self::Punctuation,
            _ => Self::Other,
        }
    }
}

/// An error of reading the corpus.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BrownError {
    /// A file that is missing or cannot be read.
    #[error("cannot read {path}: {source}; `collimate data --full` downloads the corpus")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A token without a tag.
    #[error("{path}, token {position}: `{token}` is not of the form word/tag")]
    Untagged {
        /// The file.
        path: PathBuf,
        /// The position of the token in the file, from zero.
        position: usize,
        /// The token.
        token: String,
    },
}

/// Reads the corpus from the folder of its package (`cats.txt` and the files `ca01` … `cr09`).
///
/// # Errors
/// [`BrownError`], which names the file, and the token if one is malformed.
pub fn read(folder: &Path) -> Result<Vec<TaggedDocument>, BrownError> {
    let load = |path: PathBuf| match fs::read(&path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(source) => Err(BrownError::Read { path, source }),
    };
    let categories = load(folder.join("cats.txt"))?;
    let genres: BTreeMap<&str, &str> = categories.lines().filter_map(|line| line.split_once(' ')).collect();
    genres
        .iter()
        .map(|(name, genre)| {
            let path = folder.join(name);
            let words = parse(&load(path.clone())?).map_err(|(position, token)| BrownError::Untagged {
                path,
                position,
                token,
            })?;
            Ok(TaggedDocument { name: (*name).to_string(), genre: genre.trim().to_string(), words })
        })
        .collect()
}

/// Parses the words of one file. The error holds the position and the text of a token without a tag.
fn parse(text: &str) -> Result<Vec<TaggedWord>, (usize, String)> {
    text.split_whitespace()
        .enumerate()
        .map(|(position, token)| {
            // The word may contain slashes; the tag follows the last slash.
            let (word, tag) = token
                .rsplit_once('/')
                .filter(|(w, t)| !w.is_empty() && !t.is_empty())
                .ok_or((position, token.to_string()))?;
            Ok(TaggedWord { word: word.to_string(), tag: PartOfSpeech::of_tag(tag) })
        })
        .collect()
}

/// Returns the document as running text, with the byte range of each word.
///
/// Punctuation follows its word without a space. The quotation marks `` `` `` and `''` of the corpus become `"`.
///
/// # Examples
/// ```
/// use collimate_studies::text::brown::{PartOfSpeech, TaggedWord, running_text};
/// let word = |word: &str, tag| TaggedWord { word: word.into(), tag };
/// let words = [word("Yes", PartOfSpeech::Other), word(",", PartOfSpeech::Punctuation), word("sir", PartOfSpeech::Noun)];
/// let (text, ranges) = running_text(&words);
/// assert_eq!(text, "Yes, sir");
/// assert_eq!(&text[ranges[2].clone()], "sir");
/// ```
pub fn running_text(words: &[TaggedWord]) -> (String, Vec<std::ops::Range<usize>>) {
    let mut text = String::new();
    let mut ranges = Vec::with_capacity(words.len());
    let mut glue = true;
    for w in words {
        let shown = match w.word.as_str() {
            "``" | "''" => "\"",
            other => other,
        };
        let closing = w.word == "''" || matches!(shown, "," | "." | ";" | ":" | "?" | "!" | ")");
        if !(glue || closing) {
            text.push(' ');
        }
        let start = text.len();
        text.push_str(shown);
        ranges.push(start..text.len());
        glue = w.word == "``" || shown == "(";
    }
    (text, ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_map_to_parts_of_speech() {
        use PartOfSpeech::*;
        for (tag, expected) in [
            ("nn-tl", Noun),
            ("np$", Noun),
            ("vbd", Verb),
            ("hvz*", Verb),
            ("md*", Verb),
            ("jj-hl", Adjective),
            ("ql", Adverb),
            ("pps+bez", Pronoun),
            ("pp$", Pronoun),
            ("at", Determiner),
            ("in-tl", Adposition),
            ("cc", Conjunction),
            ("cd", Number),
            ("to", Particle),
            ("*", Particle),
            (".", Punctuation),
            ("--", Punctuation),
            (".-hl", Punctuation),
            ("``", Punctuation),
            ("fw-nn", Other),
            ("uh", Other),
        ] {
            assert_eq!(PartOfSpeech::of_tag(tag), expected, "{tag}");
        }
    }

    #[test]
    fn a_folder_is_read_and_a_bad_token_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cats.txt"), "ca01 news\n").unwrap();
        fs::write(folder.path().join("ca01"), "\n\n\tThe/at jury/nn said/vbd 1/2/cd ./.\n").unwrap();
        let read_back = read(folder.path()).unwrap();
        assert_eq!(read_back[0].genre, "news");
        assert_eq!(read_back[0].words[3], TaggedWord { word: "1/2".into(), tag: PartOfSpeech::Number });
        assert_eq!(running_text(&read_back[0].words).0, "The jury said 1/2.");
        fs::write(folder.path().join("ca01"), "The/at jury\n").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("token 1: `jury`"));
        fs::remove_file(folder.path().join("ca01")).unwrap();
        assert!(matches!(read(folder.path()), Err(BrownError::Read { .. })));
    }
}
