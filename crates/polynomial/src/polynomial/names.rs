//! The names of variables: one letter, or a Greek letter spelled out, with or without a subscript.

/// The longest name, in characters.
pub(crate) const LENGTH: usize = 24;

const GREEK: [&str; 25] = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu",
    "nu", "xi", "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "varphi",
];

/// Returns true for a Greek letter that is spelled out, such as `theta` or `Theta`.
pub(crate) fn is_greek(word: &str) -> bool {
    GREEK.contains(&word.to_lowercase().as_str())
}

/// Returns true for a letter of a name. Superscripts and subscripts are no letters here.
pub(crate) fn is_letter(c: char) -> bool {
    c.is_alphabetic() && superscript(c).is_none() && subscript(c).is_none() && !"ⁱⁿᵃ".contains(c)
}

/// Returns the digit that is written as a superscript.
pub(crate) fn superscript(c: char) -> Option<char> {
    "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|known| known == c).and_then(|digit| char::from_digit(digit as u32, 10))
}

/// Returns the digit that is written as a subscript.
pub(crate) fn subscript(c: char) -> Option<char> {
    "₀₁₂₃₄₅₆₇₈₉".chars().position(|known| known == c).and_then(|digit| char::from_digit(digit as u32, 10))
}

/// Returns true if a text reads back as this one name.
pub(crate) fn is_name(text: &str) -> bool {
    let end = text.find(|c| !is_letter(c)).unwrap_or(text.len());
    let (base, rest) = text.split_at(end);
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let suffix = match rest.strip_prefix('_') {
        Some(below) => digits(below) || (!below.is_empty() && below.chars().all(is_letter)),
        None => rest.is_empty() || digits(rest),
    };
    (base.chars().count() == 1 || is_greek(base)) && suffix && text.chars().count() <= LENGTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_single_letters_with_subscripts() {
        for name in ["x", "x1", "x_12", "w_max", "theta", "θ_2", "W"] {
            assert!(is_name(name), "{name}");
        }
        for text in
            ["", "xy", "weight", "x_", "x_1y", "x^2", "1x", "x y", "x²", "x₁", "abcdefghijklmnopqrstuvwxyz"]
        {
            assert!(!is_name(text), "{text}");
        }
    }
}
