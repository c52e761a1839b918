//! Absorption: the latent of a child feature takes over the direction of the parent, and the latent of the parent no longer fires.

use crate::error::StudyError;
use crate::synthetic::rows::SyntheticRows;
use crate::synthetic::training::SyntheticTraining;
use collimate_claims::{Claims, Meta, Proportion, Subject, Tier};
use collimate_sae::presets::Preset;
use collimate_sae::{BiasStart, Sae, Trained};
use collimate_stream::RngStream;
use collimate_superposition::{Hierarchy, Siblings, Source, SparseFeatures};
use ndarray::ArrayRef2;

const ABSORBS: Meta = Meta::empirical(
    "sae/l1-absorbs-a-parent",
    Subject::Sae,
    "Where a child feature implies its parent, the parent's latent of an L1 dictionary misses the parent when the child is on. With \
     independent features of the same frequencies it does not.",
    "Four orthogonal features of amount 1 in 8 dimensions are on 30, 9, 20 and 10 % of the time; the second is on only where the first is, \
     or all are independent. Dictionaries have 4 latents: ReLU-L1 at λ = 1, 1,000 updates of 256 rows of 8,000; the run with the lowest loss of four \
     starts counts. The parent's latent is the latent that agrees best with the parent where the child is off (balanced accuracy). A trial succeeds when \
     its recall falls by at least 0.2 where the child is on, and by at most 0.05 in the control. Supported above a rate of 0.5, refuted below 0.9, \
     errors 1e-3. The settings were chosen on other seeds.",
)
.code("A21")
.source("Chanin et al. (2024), A is for Absorption")
.tier(Tier::Standard);

/// The number of starts; the dictionary with the lowest loss counts. From a single start a feature is often not found at all.
const FITS: u64 = 4;

pub(super) fn claims() -> Claims {
    Claims::new().with(Proportion::new(ABSORBS).hypotheses(0.5, 0.9).errors(1e-3, 1e-3).cap(200).trial(
        |stream| {
            // Training that fails says nothing about absorption, so it must not count as a trial without success.
            let [with_child, control] = [true, false]
                .map(|hierarchical| drop(stream, hierarchical).expect("these sizes can be trained"));
            with_child >= 0.2 && control <= 0.05
        },
    ))
}

/// A source whose features have the amount 1 where they are on.
#[derive(Debug)]
struct Switches<S>(S);

impl<S: Source> Source for Switches<S> {
    fn features(&self) -> usize {
        self.0.features()
    }

    fn fill_row(&self, row: &mut [f64], stream: &mut RngStream) {
        self.0.fill_row(row, stream);
        row.iter_mut().for_each(|x| *x = f64::from(u8::from(*x > 0.0)));
    }
}

/// Computes the fall of the recall of the parent's latent where the child is on.
fn drop(stream: &mut RngStream, hierarchical: bool) -> Result<f64, StudyError> {
    let seed = stream.bits();
    let data = RngStream::named(seed, "absorption");
    let directions = SyntheticRows::orthogonal(4, 8);
    let synthetic = if hierarchical {
        let parents = vec![None, Some(0), None, None];
        let source = Hierarchy::new(parents, vec![0.3, 0.3, 0.2, 0.1], Siblings::Independent)?;
        SyntheticRows::of(&Switches(source), directions, 8000, 4000, &data)?
    } else {
        let source = SparseFeatures::new(vec![0.3, 0.09, 0.2, 0.1])?;
        SyntheticRows::of(&Switches(source), directions, 8000, 4000, &data)?
    };
    let fit = |start: u64| {
        let seed = seed.wrapping_add(start);
        let bias_start = BiasStart::Given;
        SyntheticTraining { preset: Preset::Relu, n_latents: 4, sparsity: 1.0, steps: 1000, bias_start, seed }
            .train(&synthetic)
    };
    let mut best: Option<Trained<Sae<f32>>> = None;
    let loss = |trained: &Trained<Sae<f32>>| trained.log.last().map_or(f64::INFINITY, |now| now.losses.total);
    for start in 0..FITS {
        let one = fit(start)?;
        if best.as_ref().is_none_or(|best| loss(&one) < loss(best)) {
            best = Some(one);
        }
    }
    let sae = best.expect("at least one fit").model;
    let without =
        |parent: bool| synthetic.rows_where(|x, row| (x[[row, 0]] > 0.0) == parent && x[[row, 1]] == 0.0);
    let alone = firing(&sae, &synthetic, &without(true))?;
    let absent = firing(&sae, &synthetic, &without(false))?;
    let both =
        firing(&sae, &synthetic, &synthetic.rows_where(|x, row| x[[row, 0]] > 0.0 && x[[row, 1]] > 0.0))?;
    let skill = |i: usize| alone[i] - absent[i];
    let parent = (0..4).fold(0, |best, i| if skill(i) > skill(best) { i } else { best });
    Ok(alone[parent] - both[parent])
}

/// Computes the share of the given rows on which each latent is active.
fn firing(sae: &Sae<f32>, synthetic: &SyntheticRows, rows: &[usize]) -> Result<Vec<f64>, StudyError> {
    let x = synthetic.held_out.select(ndarray::Axis(0), rows);
    let x: &ArrayRef2<f32> = &x;
    let mut counts = vec![0.0; sae.size().n_latents];
    for (latents, _) in sae.dictionary().encode(x)?.rows() {
        latents.iter().for_each(|&latent| counts[latent as usize] += 1.0);
    }
    counts.iter_mut().for_each(|count| *count /= rows.len().max(1) as f64);
    Ok(counts)
}
