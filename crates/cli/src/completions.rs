//! `collimate completions`.

use std::io::Write;

/// The options of `collimate completions`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate completions bash > ~/.local/share/bash-completion/completions/collimate
  collimate completions zsh > ~/.zfunc/_collimate
  collimate completions fish > ~/.config/fish/completions/collimate.fish")]
pub(crate) struct Options {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Shell {
    /// Bash, with the package bash-completion.
    Bash,
    /// Elvish.
    Elvish,
    /// Fish.
    Fish,
    /// PowerShell.
    Powershell,
    /// Zsh; its `fpath` must contain the folder of the script.
    Zsh,
}

/// Prints the completion script of a shell for `command`.
pub(crate) fn run(options: &Options, mut command: clap::Command) -> anyhow::Result<()> {
    let shell = match options.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Elvish => clap_complete::Shell::Elvish,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Powershell => clap_complete::Shell::PowerShell,
        Shell::Zsh => clap_complete::Shell::Zsh,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "collimate", &mut script);
    print!("{}", String::from_utf8(script)?);
    Ok(std::io::stdout().flush()?)
}
