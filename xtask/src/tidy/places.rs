//! Places that must not be in a tracked file: folders of one machine, and hosts of package registries.

use super::problem::Problem;

/// The forbidden texts. Each is joined from two so that this file passes its own rule.
const FORBIDDEN: [&str; 10] = [
    concat!("/", "root/"),
    concat!("/", "home/"),
    concat!("/", "work/"),
    concat!("/", "tmp/"),
    concat!("..", "/shared"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("crates", ".io"),
];

/// Checks one file. The lock file is cargo's own and names its index.
pub(super) fn check(file: &str, text: &str) -> Vec<Problem> {
    if file == "Cargo.lock" {
        return Vec::new();
    }
    let found = |(index, line): (usize, &str)| {
        let word = FORBIDDEN.into_iter().find(|word| line.contains(word))?;
        Some(format!("{file}:{}: {word:?} does not belong in the repository", index + 1))
    };
    text.lines().enumerate().filter_map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_folders_and_registries_are_noticed() {
        for word in FORBIDDEN {
            assert_eq!(check("README.md", &format!("fine\nsee {word}x")).len(), 1, "{word}");
        }
        assert_eq!(check("README.md", "framework, rooted, home, shared, work/x"), Vec::<Problem>::new());
        assert_eq!(check("Cargo.lock", FORBIDDEN[9]), Vec::<Problem>::new());
    }
}
