//! Latents as text on a terminal.

use super::latents::{Corpus, Latent};
use std::fmt::Write;
use std::io::IsTerminal;

/// Returns the places at which a latent fires most strongly, one on each line.
pub(super) fn latent(latent: &Latent, corpus: &Corpus) -> anyhow::Result<String> {
    let (bold, plain) =
        if std::io::stdout().is_terminal() { ("\x1b[1;33m", "\x1b[0m") } else { ("«", "»") };
    let mut out = String::new();
    let (top, rows) = (&latent.top, corpus.rows);
    let share = 100.0 * top.fired as f64 / rows as f64;
    writeln!(out, "latent {} fires on {share:.3} % of {rows} tokens", top.latent)?;
    if let Some(effects) = &latent.effects {
        for (word, list) in [("raises", &effects.raised), ("lowers", &effects.lowered)] {
            let tokens: Vec<String> = list
                .iter()
                .map(|e| Ok(format!("{:?} {:+.2}", corpus.piece(e.token)?, e.effect)))
                .collect::<anyhow::Result<_>>()?;
            writeln!(out, "  {word}  {}", tokens.join("  "))?;
        }
    }
    for firing in &top.firings {
        let mut line = String::new();
        for shown in corpus.shown(firing)? {
            match shown.peak {
                true => line += &format!("{bold}{}{plain}", shown.text),
                false => line += &shown.text,
            }
        }
        writeln!(out, "  {:>8.3}  {line}", firing.code)?;
    }
    writeln!(out)?;
    Ok(out)
}
