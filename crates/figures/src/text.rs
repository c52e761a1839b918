//! Text and numbers inside a picture.

/// The size of all text, in pixels.
pub(crate) const FONT: f64 = 12.5;

/// Returns `text` for XML: the five special characters are escaped and control characters are replaced by U+FFFD.
///
/// # Examples
/// ```
/// assert_eq!(collimate_figures::escape("a < b & c"), "a &lt; b &amp; c");
/// ```
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Returns `x` in few digits: at most four decimals, or scientific notation for very small and very large values.
///
/// # Examples
/// ```
/// assert_eq!(collimate_figures::short_number(0.250), "0.25");
/// assert_eq!(collimate_figures::short_number(1.5e-7), "1.500e-7");
/// ```
pub fn short_number(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 {
        "0".to_owned()
    } else if !x.is_finite() || (1e-3..1e5).contains(&size) {
        let text = format!("{x:.4}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{x:.3e}")
    }
}

/// Escapes text for SVG, including `=`, so that a check of the markup cannot mistake it for an attribute.
pub(crate) fn drawn(text: &str) -> String {
    escape(text).replace('=', "&#61;")
}

/// Returns a coordinate with at most two decimals.
pub(crate) fn number(x: f64) -> String {
    let text = format!("{x:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Estimates the width of a text in pixels.
pub(crate) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * FONT * 0.56
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_numbers_are_short() {
        assert_eq!(escape("<a href='x'>&\"\u{0}"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;\u{fffd}");
        assert_eq!(number(-0.001), "0");
        assert_eq!(number(1.50), "1.5");
        assert_eq!(number(100.0), "100");
        assert_eq!(short_number(f64::INFINITY), "inf");
    }
}
