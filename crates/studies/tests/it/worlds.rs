//! Synthetic rows of known features, and labels of tokens.

use collimate_sae::BiasStart;
use collimate_stream::RngStream;
use collimate_studies::diagnosis::{LabelSet, labels};
use collimate_studies::synthetic::{Measured, Preset, SyntheticRows, SyntheticTraining, TRAINED};
use collimate_superposition::{SparseFeatures, WorldConfig};

#[test]
fn activations_are_their_features_along_their_directions() {
    let stream = RngStream::new(5, 0);
    let config =
        WorldConfig { features: 20, width: 8, roots: 0, causes: 2, highest: 0.4, ..Default::default() };
    let world = SyntheticRows::of_world(config, 30, 40, &stream).unwrap();
    let source = SparseFeatures::uniform(6, 0.3).unwrap();
    let directions = SyntheticRows::random(6, 4, &mut RngStream::new(6, 0));
    let drawn = SyntheticRows::of(&source, directions, 30, 40, &stream).unwrap();
    for synthetic in [&world, &drawn] {
        let made = synthetic.truth.dot(&synthetic.directions);
        let off =
            made.iter().zip(&synthetic.held_out).map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max);
        assert!(off < 1e-5 && synthetic.rows.nrows() == 30, "{off}");
        let on = synthetic.rows_where(|x, row| x[[row, 0]] > 0.0);
        assert!(on.len() < 40 && on.iter().all(|&row| synthetic.truth[[row, 0]] > 0.0));
    }
    assert_ne!(
        drawn.rows,
        drawn.held_out.slice(ndarray::s![..30, ..]),
        "held-out rows differ from training rows"
    );
    assert!(SyntheticRows::of(&source, SyntheticRows::orthogonal(5, 5), 1, 1, &stream).is_err());
    assert!(SyntheticRows::of_world(WorldConfig { features: 0, ..config }, 1, 1, &stream).is_err());
}

#[test]
fn a_dictionary_finds_a_few_orthogonal_features_and_random_directions_do_not() {
    let source = SparseFeatures::uniform(6, 0.15).unwrap();
    let synthetic =
        SyntheticRows::of(&source, SyntheticRows::orthogonal(6, 6), 4000, 500, &RngStream::new(8, 0))
            .unwrap();
    let bias_start = BiasStart::Given;
    let recipe = SyntheticTraining {
        preset: Preset::TopK,
        n_latents: 8,
        sparsity: 2.0,
        steps: 300,
        bias_start,
        seed: 4,
    };
    let trained = recipe.train(&synthetic).unwrap().model;
    assert_eq!(
        trained.weights(),
        recipe.train(&synthetic).unwrap().model.weights(),
        "a recipe determines every bit"
    );
    let measured = Measured::of(&trained, &synthetic, 1).unwrap();
    let [found, chance] = measured.against_null("MMCS (truth to dictionary)");
    assert!(found > chance + 0.15, "{found}, chance {chance}");
    assert!(measured.evaluation.sums.explained_variance() > 0.5);
    for preset in TRAINED {
        let sparsity = if preset.selects() { 2.0 } else { 0.3 };
        let recipe = SyntheticTraining { preset, sparsity, steps: 20, ..recipe };
        assert!(recipe.train(&synthetic).is_ok(), "{}", preset.name());
    }
}

#[test]
fn labels_of_tokens() {
    let pieces = [" The", " the", " the", "s", "1", "\n", " ,", " the"];
    let (all, spelling) = labels(LabelSet::Spelling, &pieces);
    assert_eq!((all.len(), spelling.dim()), (8, (8, 8)));
    assert_eq!(spelling.row(0).to_vec(), [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    let (_, kinds) = labels(LabelSet::Kind, &pieces);
    assert!(kinds.rows().into_iter().all(|row| row.sum() == 1.0));
    let (chosen, which) = labels(LabelSet::Identity, &pieces);
    assert_eq!((chosen.len(), which.dim()), (8, (8, 6)));
    assert_eq!(which.column(0).to_vec(), [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]); // the most frequent first
    let (none, empty) = labels(LabelSet::Identity, &[]);
    assert!(none.is_empty() && empty.dim() == (0, 0));
}
