//! The latents to show, and the text around the places at which they fire.

use super::subject::Subject;
use collimate_studies::latents::{Firing, LatentTop, LogitEffect, characters, direct_effect, token_text};
use collimate_studies::{Sequence, rows_at};
use collimate_transformer::{HookPoint, Model, Site, Tokenizer};
use ndarray::{Axis, s};

/// The number of tokens shown on each side of the place of a firing.
const AROUND: usize = 14;
/// The number of tokens shown whose logits a latent raises most, and of those it lowers most.
const EFFECTS: usize = 8;

/// A latent, the places at which it fires most strongly, and its effects on the logits.
pub(super) struct Latent {
    /// The places.
    pub(super) top: LatentTop,
    /// The effects, if the site writes into the residual stream.
    pub(super) effects: Option<Effects>,
}

/// The tokens whose logits a latent raises most, and the tokens whose logits it lowers most.
pub(super) struct Effects {
    /// The raised logits, the largest effect first.
    pub(super) raised: Vec<LogitEffect>,
    /// The lowered logits, the largest effect first.
    pub(super) lowered: Vec<LogitEffect>,
}

/// The text in which the latents fire.
pub(super) struct Corpus<'a> {
    /// The tokenizer of the model.
    pub(super) tokenizer: &'a Tokenizer,
    /// The sequences of tokens.
    pub(super) sequences: &'a [Sequence],
    /// The number of rows, without those that are left out.
    pub(super) rows: u64,
}

/// A part of the shown text: whole characters, which may be several tokens.
pub(super) struct Shown {
    /// The text, with visible signs for line breaks and tabs.
    pub(super) text: String,
    /// The code of largest magnitude among the tokens.
    pub(super) code: f32,
    /// True if the firing is at one of the tokens.
    pub(super) peak: bool,
}

impl Corpus<'_> {
    /// Returns the text of a token, with visible signs for line breaks and tabs.
    pub(super) fn piece(&self, token: u32) -> anyhow::Result<String> {
        Ok(visible(&token_text(self.tokenizer, token)?))
    }

    /// Returns the text around a firing, in whole characters.
    pub(super) fn shown(&self, firing: &Firing) -> anyhow::Result<Vec<Shown>> {
        // Characters are joined from the first token after the start token on, so that none is cut at the edge.
        let tokens = &self.sequences[firing.sequence].tokens[1..];
        let window =
            firing.position.saturating_sub(AROUND)..(firing.position + AROUND + 1).min(tokens.len() + 1);
        let largest =
            |codes: &[f32]| codes.iter().fold(0.0, |a: f32, &b| if b.abs() > a.abs() { b } else { a });
        let parts = characters(self.tokenizer, tokens)?.into_iter();
        let parts = parts.map(|(range, text)| (range.start + 1..range.end + 1, text));
        Ok(parts
            .filter(|(range, _)| range.start < window.end && range.end > window.start)
            .map(|(range, text)| Shown {
                text: visible(&text),
                code: largest(&firing.around[range.clone()]),
                peak: range.contains(&firing.position),
            })
            .collect())
    }
}

/// Puts visible signs in the places of line breaks and tabs.
fn visible(text: &str) -> String {
    text.replace('\n', "⏎").replace('\t', "⇥")
}

/// Chooses latents that fire, evenly spread in the order of their counts.
pub(super) fn choose(fired: &[u64], count: usize) -> Vec<u32> {
    let mut alive: Vec<u32> = (0..fired.len() as u32).filter(|&i| fired[i as usize] > 0).collect();
    alive.sort_by_key(|&i| (std::cmp::Reverse(fired[i as usize]), i));
    let count = count.min(alive.len());
    let mut chosen: Vec<u32> = (0..count).map(|i| alive[i * alive.len() / count]).collect();
    chosen.sort_unstable();
    chosen
}

/// Computes the effect of each latent on the logits, if its decoder row is added to the residual stream. In a dictionary that
/// normalises its rows, a decoder row counts by the scale of the row: here by its mean over the sequence.
pub(super) fn effects(
    model: &Model<f32>,
    subject: &Subject,
    point: HookPoint,
    latents: &[u32],
    sequence: &Sequence,
) -> anyhow::Result<Vec<Option<Effects>>> {
    let Some(directions) = subject.directions(point, model.description().width, latents)? else {
        return Ok(latents.iter().map(|_| None).collect());
    };
    let scales = rows_at(model, &sequence.tokens, Site::FinalNormScale.of_layer(0))?;
    // The residual stream of position 0 is a hundred times as long as the others.
    let later = scales.slice(s![1.., ..]);
    let square = later.mapv(|scale| scale * scale).mean().unwrap_or(1.0);
    let norm = square.sqrt() / subject.scale(model, point, sequence)?;
    let mut all = Vec::new();
    for block in directions.axis_chunks_iter(Axis(0), 64) {
        let effects = direct_effect(model, &block, norm)?;
        all.extend(effects.rows().into_iter().map(|row| {
            let (raised, lowered) = LogitEffect::extremes(&row.to_vec(), EFFECTS);
            Some(Effects { raised, lowered })
        }));
    }
    Ok(all)
}
