use super::document::Document;
use flate2::read::GzDecoder;
use std::io::Read;
use std::sync::OnceLock;

static COMPRESSED: &[u8] = include_bytes!("../../text/jargon-4.4.7.txt.gz");

/// Returns the Jargon File 4.4.7 as documents: one for each lexicon entry, and one for each section around the lexicon.
///
/// It is the default text of the claims on real models: public domain, embedded, 239,000 words of human prose.
/// Wrapped lines are joined, so that the text is prose without line breaks inside paragraphs.
///
/// # Examples
/// ```
/// let documents = collimate_studies::text::jargon();
/// let foo = documents.iter().find(|d| d.title == "foobar").unwrap();
/// assert!(foo.text.contains("metasyntactic variable"));
/// ```
///
/// # References
/// "Jargon File 4.4.7", E. S. Raymond (editor), 2003.
pub fn jargon() -> &'static [Document] {
    static DOCUMENTS: OnceLock<Vec<Document>> = OnceLock::new();
    DOCUMENTS.get_or_init(|| documents(&jargon_file()))
}

/// Returns the whole file of [`jargon`], with its line breaks and headings.
///
/// # Examples
/// ```
/// assert_eq!(collimate_studies::text::jargon_file().len(), 1_681_817);
/// ```
pub fn jargon_file() -> String {
    let mut text = String::new();
    GzDecoder::new(COMPRESSED).read_to_string(&mut text).expect("the embedded text is complete");
    text
}

/// Splits the plain text into documents.
///
/// Sections have their title at the left margin; entries of the lexicon begin with `:headword:` in the third column.
fn documents(text: &str) -> Vec<Document> {
    let mut found: Vec<Document> = Vec::new();
    let mut paragraph = String::new();
    // The part before the first chapter is the table of contents; it is skipped.
    let body = text.find("\nChapter 1.").map_or(text, |at| &text[at + 1..]);
    for line in body.lines() {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim();
        if words.is_empty() || words.chars().all(|c| c == '═') {
            close(&mut found, &mut paragraph);
            continue;
        }
        let headword = words.strip_prefix(':').and_then(|rest| rest.find(": ").map(|at| &rest[..at]));
        let bare = words.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
        let title = if indent == 0 { Some(words) } else { headword.or(bare).filter(|_| indent == 3) };
        if let Some(title) = title.filter(|t| !t.is_empty() && paragraph.is_empty()) {
            close(&mut found, &mut paragraph);
            found.push(Document { title: title.to_string(), text: String::new() });
        }
        if !paragraph.is_empty() {
            paragraph.push(' ');
        }
        paragraph.push_str(words.strip_prefix(':').unwrap_or(words));
    }
    close(&mut found, &mut paragraph);
    // Headings without text are left out.
    found.retain(|d| d.text.len() > d.title.len() + 20);
    found
}

/// Appends a finished paragraph to the last document.
fn close(found: &mut [Document], paragraph: &mut String) {
    if let Some(document) = found.last_mut().filter(|_| !paragraph.is_empty()) {
        if !document.text.is_empty() {
            document.text.push_str("\n\n");
        }
        document.text.push_str(paragraph);
    }
    paragraph.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_documents() {
        let all = jargon();
        assert!((2200..2500).contains(&all.len()), "{} documents", all.len());
        let words: usize = all.iter().map(|d| d.text.split_whitespace().count()).sum();
        assert!((220_000..240_000).contains(&words), "{words} words");
        let mut titles: Vec<&str> = all.iter().map(|d| d.title.as_str()).collect();
        titles.sort_unstable();
        let (before, _) = (titles.len(), titles.dedup());
        assert!(before - titles.len() < 30, "{} titles occur twice", before - titles.len());
        let big_iron = all.iter().find(|d| d.title == "big iron").unwrap();
        assert!(
            big_iron
                .text
                .starts_with("big iron: n.\n\n[common] Large, expensive, ultra-fast computers. Used")
        );
        assert!(big_iron.text.ends_with("oppose {dinosaur}."));
        assert!(all.iter().any(|d| d.title == "The Story of Mel"));
    }

    #[test]
    fn a_small_page_is_cut_as_expected() {
        let page = "Contents\n\n   x\n\nChapter 1. One\n\n   A line\n   and more.\n\n   Second.\n\n   :a b: n.\n\n   Text of an entry that is long.\n";
        let all = documents(page);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].text, "Chapter 1. One\n\nA line and more.\n\nSecond.");
        assert_eq!(
            all[1],
            Document { title: "a b".into(), text: "a b: n.\n\nText of an entry that is long.".into() }
        );
    }
}
