use crate::error::StudyError;
use crate::rows::rows_at;
use crate::sequence::Sequence;
use collimate_sae::Dictionary;
use collimate_transformer::{Decoder, HookPoint};
use ndarray::s;

/// One position at which a latent fires.
#[derive(Clone, Debug, PartialEq)]
pub struct Firing {
    /// The index of the sequence.
    pub sequence: usize,
    /// The position in the sequence.
    pub position: usize,
    /// The code.
    pub code: f32,
    /// The codes of the latent on the whole sequence; the code of position 0 is zero.
    pub around: Vec<f32>,
}

/// The strongest firings of a latent, and their number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatentTop {
    /// The latent.
    pub latent: u32,
    /// The largest codes, at most one from each sequence, the largest first.
    pub firings: Vec<Firing>,
    /// The number of positions at which it fires.
    pub fired: u64,
    /// The number of positive codes in each of 40 equal bins from zero to the largest code.
    pub histogram: Vec<u64>,
}

/// Finds the positions at which some latents fire most, and counts the firings of every latent.
///
/// `progress` is called with the number of sequences done so far; the search stops when it returns false.
///
/// # Errors
/// [`StudyError::Interrupted`], [`StudyError::Model`], [`StudyError::Dictionary`].
///
/// # Determinism
/// Among equal codes the earlier position is kept.
pub fn top_firings(
    decoder: &Decoder,
    dictionary: &Dictionary<f32>,
    point: HookPoint,
    sequences: &[Sequence],
    latents: &[u32],
    most: usize,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<(Vec<LatentTop>, Vec<u64>), StudyError> {
    const BINS: usize = 40;
    let mut tops: Vec<LatentTop> =
        latents.iter().map(|&latent| LatentTop { latent, ..LatentTop::default() }).collect();
    let mut codes: Vec<Vec<f32>> = vec![Vec::new(); latents.len()];
    let mut fired = vec![0; dictionary.size().n_latents];
    for (number, sequence) in sequences.iter().enumerate() {
        if !progress(number) {
            return Err(StudyError::Interrupted);
        }
        let rows = rows_at(decoder, &sequence.tokens, point)?;
        let out = dictionary.forward(&rows.slice(s![1.., ..]).to_owned())?;
        let mut around = vec![vec![0.0; sequence.tokens.len()]; latents.len()];
        for (i, (active, values)) in out.codes.rows().enumerate() {
            active.iter().for_each(|&latent| fired[latent as usize] += 1);
            for (slot, latent) in latents.iter().enumerate() {
                if let Ok(place) = active.binary_search(latent) {
                    around[slot][i + 1] = values[place];
                    codes[slot].push(values[place]);
                }
            }
        }
        for (top, around) in tops.iter_mut().zip(around) {
            let position =
                (0..around.len()).fold(0, |best, i| if around[i] > around[best] { i } else { best });
            let code = around[position];
            if code > 0.0 {
                top.firings.push(Firing { sequence: number, position, code, around });
                top.firings.sort_by(|a, b| b.code.total_cmp(&a.code).then(a.sequence.cmp(&b.sequence)));
                top.firings.truncate(most);
            }
        }
    }
    for (top, codes) in tops.iter_mut().zip(codes) {
        top.fired = codes.len() as u64;
        top.histogram = vec![0; BINS];
        let largest = codes.iter().copied().fold(0.0, f32::max);
        for code in codes {
            top.histogram[((code / largest * BINS as f32) as usize).min(BINS - 1)] += 1;
        }
    }
    Ok((tops, fired))
}
