//! Help, shell completions and manual pages: all come from the one definition of the command line.

use super::run;

#[test]
fn help_shows_examples_and_the_common_options() {
    let folder = tempfile::tempdir().unwrap();
    for command in
        [&["--help"][..], &["sae", "train", "--help"], &["tms", "phase", "--help"], &["llc", "--help"]]
    {
        let (status, out, said) = run(folder.path(), command);
        assert_eq!(status, 0, "{said}");
        for words in ["Examples:", "--threads", "--quiet"] {
            assert!(out.contains(words), "{command:?} {words}: {out}");
        }
    }
    let (_, out, _) = run(folder.path(), &["sae", "train", "--help"]);
    assert!(out.contains("- topk:") && out.contains("--force"), "possible values are described: {out}");
}

#[test]
fn completions_name_the_commands_and_their_values() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (status, out, said) = run(folder.path(), &["completions", shell]);
        assert_eq!(status, 0, "{said}");
        // The scripts for Elvish and PowerShell complete commands and options, but no values of options.
        let values =
            if ["elvish", "powershell"].contains(&shell) { &[][..] } else { &["batchtopk", "residual-post"] };
        for word in ["activations", "variant", "quiet"].iter().chain(values) {
            assert!(out.contains(word), "{shell}: {word}");
        }
    }
    let (status, _, said) = run(folder.path(), &["completions", "ash"]);
    assert!(status == 2 && said.contains("possible values: bash"), "{said}");
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let (status, out, said) = run(folder.path(), &["manual", "--output", "pages/man1"]);
    assert_eq!(status, 0, "{said}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join("pages/man1").join(name)).unwrap();
    assert!(read("collimate.1").contains("collimate\\-sae") || read("collimate.1").contains("sae"));
    let page = read("collimate-sae-train.1");
    for words in ["variant", "Examples:", "threads"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(out.lines().count(), std::fs::read_dir(folder.path().join("pages/man1")).unwrap().count());
}
