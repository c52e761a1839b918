use super::encoder::Encoder;
use crate::error::StudyError;
use crate::leave_out::RowRule;
use crate::rows::rows_at;
use crate::sequence::Sequence;
use collimate_transformer::{HookPoint, Model};
use ndarray::Axis;

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
    /// The codes of largest magnitude, at most one from each sequence, the largest magnitude first.
    pub firings: Vec<Firing>,
    /// The number of positions at which it fires: at which its code is not zero.
    pub fired: u64,
    /// The ends of the histogram: the least code, or zero if no code is negative, and the largest code, or zero if none is positive.
    pub range: [f32; 2],
    /// The number of codes that are not zero in each of 40 equal bins of `range`.
    pub histogram: Vec<u64>,
}

/// The latents and the rows of [`top_firings`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopOptions<'a> {
    /// The latents whose firings are kept. Every latent is counted.
    pub latents: &'a [u32],
    /// The largest number of firings that are kept for each latent.
    pub most: usize,
    /// The rows that are left out; by default position 0 alone.
    pub rule: RowRule,
}

/// The firings on some sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct TopFirings {
    /// The strongest firings of each chosen latent, in the order in which they were chosen.
    pub tops: Vec<LatentTop>,
    /// The number of rows on which each latent of the dictionary fires.
    pub fired: Vec<u64>,
    /// The number of rows that were not left out.
    pub rows: u64,
}

/// The number of bins of a histogram.
const BINS: usize = 40;

/// Finds the positions at which some latents fire most, and counts the firings of every latent. Rows that are left out do not count.
///
/// The latents belong to a dictionary of single rows, or to one layer of a transcoder ([`Encoder`]). `progress` is called with the number of sequences done so far; the search stops when it returns false.
///
/// # Errors
/// [`StudyError::Interrupted`], [`StudyError::Model`], [`StudyError::Dictionary`].
///
/// # Determinism
/// Among codes of equal magnitude the earlier position is kept.
///
/// # Examples
/// ```
/// use collimate_sae::{Sae, Size, TopK};
/// use collimate_stream::RngStream;
/// use collimate_studies::Sequence;
/// use collimate_studies::latents::{TopOptions, top_firings};
/// use collimate_transformer::{Description, Model, Site};
/// let mut stream = RngStream::new(1, 0);
/// let model = Model::<f32>::random(Description::small(), &stream);
/// let size = Size { d_model: model.description().width, n_latents: 64 };
/// let dictionary = Sae::<f32>::new(TopK::new(4), size, &mut stream)?.into_dictionary();
/// let text = [Sequence { document: 0, tokens: vec![0, 5, 9, 5] }];
/// let options = TopOptions { latents: &[3, 7], most: 2, ..TopOptions::default() };
/// let point = Site::ResidualPost.of_layer(0);
/// let found = top_firings(&model, &dictionary, point, &text, &options, &mut |_| true)?;
/// assert_eq!((found.rows, found.tops[1].latent), (3, 7)); // three positions after position 0
/// assert!(found.fired.iter().sum::<u64>() <= 3 * 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn top_firings<'a>(
    model: &Model<f32>,
    encoder: impl Into<Encoder<'a>>,
    point: HookPoint,
    sequences: &[Sequence],
    options: &TopOptions<'_>,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<TopFirings, StudyError> {
    let encoder = encoder.into();
    let TopOptions { latents, most, ref rule } = *options;
    let mut tops: Vec<LatentTop> =
        latents.iter().map(|&latent| LatentTop { latent, ..LatentTop::default() }).collect();
    let mut codes: Vec<Vec<f32>> = vec![Vec::new(); latents.len()];
    let mut fired = vec![0; encoder.n_latents()];
    let mut kept = 0;
    for (number, sequence) in sequences.iter().enumerate() {
        if !progress(number) {
            return Err(StudyError::Interrupted);
        }
        let rows = rows_at(model, &sequence.tokens, point)?;
        let positions = rule.kept(&sequence.tokens, &rows);
        if positions.is_empty() {
            continue;
        }
        kept += positions.len() as u64;
        let found = encoder.codes(&rows.select(Axis(0), &positions))?;
        let mut around = vec![vec![0.0; sequence.tokens.len()]; latents.len()];
        for (&position, (active, values)) in positions.iter().zip(found.rows()) {
            active.iter().for_each(|&latent| fired[latent as usize] += 1);
            for (slot, latent) in latents.iter().enumerate() {
                if let Ok(place) = active.binary_search(latent) {
                    around[slot][position] = values[place];
                    codes[slot].push(values[place]);
                }
            }
        }
        for (top, around) in tops.iter_mut().zip(around) {
            let larger = |a: usize, b: usize| around[a].abs() > around[b].abs();
            let position = (0..around.len()).fold(0, |best, i| if larger(i, best) { i } else { best });
            let code = around[position];
            if code != 0.0 {
                top.firings.push(Firing { sequence: number, position, code, around });
                let order = |a: &Firing, b: &Firing| b.code.abs().total_cmp(&a.code.abs());
                top.firings.sort_by(|a, b| order(a, b).then(a.sequence.cmp(&b.sequence)));
                top.firings.truncate(most);
            }
        }
    }
    for (top, codes) in tops.iter_mut().zip(codes) {
        top.fired = codes.len() as u64;
        top.range = codes
            .iter()
            .fold([0.0, 0.0], |[least, largest], &code| [f32::min(least, code), f32::max(largest, code)]);
        top.histogram = histogram(&codes, top.range);
    }
    Ok(TopFirings { tops, fired, rows: kept })
}

/// Counts the codes in equal bins of a range.
fn histogram(codes: &[f32], [least, largest]: [f32; 2]) -> Vec<u64> {
    let mut bins = vec![0; BINS];
    for code in codes {
        let share = (code - least) / (largest - least);
        bins[((share * BINS as f32) as usize).min(BINS - 1)] += 1;
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::histogram;

    #[test]
    fn a_histogram_counts_codes_of_both_signs() {
        let bins = histogram(&[-2.0, -1.9, 2.0, 0.1], [-2.0, 2.0]);
        assert_eq!((bins[0], bins[1], bins[21], bins[39]), (1, 1, 1, 1));
        let bins = histogram(&[0.5, 1.0], [0.0, 1.0]);
        assert_eq!((bins[20], bins[39], bins.iter().sum::<u64>()), (1, 1, 2));
        let bins = histogram(&[-1.0, -0.5], [-1.0, 0.0]);
        assert_eq!((bins[0], bins[20]), (1, 1));
        assert_eq!(histogram(&[], [0.0, 0.0]), [0; 40]);
    }
}
