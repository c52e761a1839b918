//! Properties of the estimates from recorded token losses, and the recordings that they refuse.

use approx::{assert_abs_diff_eq, assert_relative_eq};
use collimate_slt::{
    Association, Chains, Doubt, Influence, NBeta, RecordedError, RecordedRun, RecordedSusceptibility,
    TokenLosses,
};
use collimate_stream::RngStream;
use ndarray::{Array2, Array4};
use proptest::prelude::*;

fn random(shape: [usize; 4], seed: u64) -> Array4<f64> {
    let mut stream = RngStream::new(seed, 0);
    Array4::from_shape_fn(shape, |_| 2.0 + 0.3 * stream.normal())
}

fn of(losses: &Array4<f64>) -> TokenLosses {
    TokenLosses::from_array(losses).unwrap()
}

fn n_beta() -> NBeta {
    NBeta::new(30.0).unwrap()
}

proptest! {
    #[test]
    fn a_common_offset_of_losses_and_baseline_changes_no_coefficient(seed in 0u64..1000, offset in -5.0..5.0f64) {
        let losses = random([3, 12, 2, 3], seed);
        let at_w_star = Array2::from_elem((3, 12), 1.9);
        let plain = of(&losses).paired_llc(&at_w_star, n_beta(), 2, 1.0).unwrap();
        let moved = of(&(&losses + offset)).paired_llc(&(&at_w_star + offset), n_beta(), 2, 1.0).unwrap();
        // A loss of at most 10 is rounded by 1e-15, and nβ is 30. The sums of 66 terms add up to 100 times that.
        prop_assert!((plain.value - moved.value).abs() < 1e-11);
        prop_assert!((plain.error_by_chains - moved.error_by_chains).abs() < 1e-10);
        let first = of(&losses).devinterp_llc(n_beta(), 1.9).unwrap();
        let second = of(&(&losses + offset)).devinterp_llc(n_beta(), 1.9 + offset).unwrap();
        prop_assert!((first.mean - second.mean).abs() < 1e-11);
    }

    #[test]
    fn coefficients_grow_linearly_in_n_beta_and_do_not_depend_on_the_order_of_chains(seed in 0u64..1000) {
        let losses = random([3, 9, 2, 2], seed);
        let at_w_star = Array2::from_shape_fn((3, 9), |(c, d)| 1.5 + 0.01 * (c + d) as f64);
        let plain = of(&losses).paired_llc(&at_w_star, n_beta(), 0, 1.0).unwrap();
        let double = of(&losses).paired_llc(&at_w_star, NBeta::new(60.0).unwrap(), 0, 1.0).unwrap();
        prop_assert!((double.value - 2.0 * plain.value).abs() < 1e-10);
        prop_assert!((double.standard_error() - 2.0 * plain.standard_error()).abs() < 1e-10);
        let (mut turned, mut base) = (losses.clone(), at_w_star.clone());
        turned.invert_axis(ndarray::Axis(0));
        base.invert_axis(ndarray::Axis(0));
        let turned = of(&turned).paired_llc(&base, n_beta(), 0, 1.0).unwrap();
        prop_assert!((turned.value - plain.value).abs() < 1e-12 * plain.value.abs());
    }

    #[test]
    fn centred_influence_ignores_offsets_of_chains_and_is_a_correlation_matrix(seed in 0u64..1000) {
        let losses = random([3, 15, 4, 2], seed);
        let mut moved = losses.clone();
        for (chain, mut part) in moved.outer_iter_mut().enumerate() {
            part += 3.0 * chain as f64;
        }
        for association in [Association::Correlation, Association::Covariance] {
            let centred = Influence { chains: Chains::Centred, association };
            let (a, b) = (centred.of_rows(&of(&losses)), centred.of_rows(&of(&moved)));
            prop_assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12));
        }
        let joined = Influence::DEVINTERP.of_rows(&of(&moved));
        prop_assert!(joined.iter().all(|x| *x > 0.9), "offsets of chains enter the joined convention");
        let found = Influence::CORRECTED.of_rows(&of(&losses));
        for i in 0..4 {
            prop_assert!((found[[i, i]] - 1.0).abs() < 1e-12);
            for j in 0..4 {
                prop_assert!((found[[i, j]] - found[[j, i]]).abs() < 1e-12 && found[[i, j]].abs() < 1.0 + 1e-12);
            }
        }
    }

    #[test]
    fn the_average_over_tokens_is_the_mean_of_the_table_of_tokens(seed in 0u64..1000) {
        let losses = of(&random([2, 11, 3, 2], seed));
        for chains in [Chains::Joined, Chains::Averaged, Chains::Centred] {
            for association in [Association::Correlation, Association::Covariance] {
                let convention = Influence { chains, association };
                let table = convention.of_tokens(&losses, 0..3, 0..3).unwrap();
                let averages = convention.of_token_averages(&losses);
                for ((i, j), average) in averages.indexed_iter() {
                    let block = table.slice(ndarray::s![i, j, .., ..]).mean().unwrap();
                    prop_assert!((average - block).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn only_the_shift_of_a_susceptibility_depends_on_the_initial_loss(seed in 0u64..1000, initial in 0.0..3.0f64) {
        let [restricted, full, probe, probe_full] =
            [0, 1, 2, 3].map(|i| of(&random([3, 8, 2, 3], 10 * seed + i)));
        let reference = RecordedRun { restricted: &restricted, full: &full };
        let probe = RecordedRun { restricted: &probe, full: &probe_full };
        let a = RecordedSusceptibility::of(reference, probe, 0.0).unwrap();
        let b = RecordedSusceptibility::of(reference, probe, initial).unwrap();
        prop_assert_eq!(&a.covariance, &b.covariance);
        prop_assert_eq!(&a.pooled_covariance, &b.pooled_covariance);
        let change = &a.shift - &b.shift;
        // (E_C − E_full)[ℓ_r − ℓ_x] is known from the shift at 0, which is E_C[φ] times it.
        let mean = restricted.draw_means().mean().unwrap();
        for (change, shift) in change.iter().zip(&a.shift) {
            prop_assert!((change - shift / mean * initial).abs() < 1e-11);
        }
    }
}

#[test]
fn chains_that_do_not_move_have_the_coefficient_zero_whatever_devinterp_says() {
    // The rows of each step differ, as with step size 0.
    let rows = |c: usize, d: usize| 1.5 + ((7 * c + 3 * d) % 5) as f64 / 10.0;
    let losses = of(&Array4::from_shape_fn((2, 10, 3, 2), |(c, d, ..)| rows(c, d)));
    let at_w_star = Array2::from_shape_fn((2, 10), |(c, d)| rows(c, d));
    let found = losses.paired_llc(&at_w_star, n_beta(), 0, 1.0).unwrap();
    assert_abs_diff_eq!(found.value, 0.0, epsilon = 1e-13);
    assert!(losses.devinterp_llc(n_beta(), 1.5).unwrap().mean > 5.0);
    assert!(!found.diagnosis.trusted());
}

#[test]
fn the_burn_in_of_a_decaying_loss_has_its_exact_share() {
    // L_d − L* = ρ^d: the mean over all T draws is (1 − ρ^T)/(T (1 − ρ)), and after b draws ρ^b times that of T − b.
    let (rho, draws, burn_in) = (0.9_f64, 50usize, 20usize);
    let losses = of(&Array4::from_shape_fn((2, draws, 1, 1), |(_, d, ..)| 1.0 + rho.powi(d as i32)));
    let mean = |count: usize| (1.0 - rho.powi(count as i32)) / (count as f64 * (1.0 - rho));
    let whole = losses.devinterp_llc(n_beta(), 1.0).unwrap();
    assert_relative_eq!(whole.mean, 30.0 * mean(draws), max_relative = 1e-12);
    let at_w_star = Array2::from_elem((2, draws), 1.0);
    let found = losses.paired_llc(&at_w_star, n_beta(), burn_in, 1.0).unwrap();
    let exact = 30.0 * rho.powi(burn_in as i32) * mean(draws - burn_in);
    assert_relative_eq!(found.value, exact, max_relative = 1e-12);
    assert!(found.diagnosis.doubts.iter().any(|doubt| matches!(doubt, Doubt::Drifting { z } if *z < -3.0)));
}

#[test]
fn recordings_without_an_estimate_are_refused_by_name() {
    let good = random([2, 6, 2, 3], 1);
    let refused = |losses: &Array4<f64>| TokenLosses::from_array(losses).unwrap_err();
    let shape = vec![2, 0, 2, 3];
    assert!(
        matches!(refused(&Array4::zeros((2, 0, 2, 3))), RecordedError::Empty { shape: s, .. } if s == shape)
    );
    let mut left = good.clone();
    for draw in 3..6 {
        left[[1, draw, 0, 2]] = f64::INFINITY;
    }
    assert_eq!(refused(&left), RecordedError::Diverged { chain: 1, draw: 3, draws: 6 });
    assert!(refused(&left).to_string().contains("smaller step size"));
    let mut hole = good.clone();
    hole[[0, 2, 1, 1]] = f64::NAN;
    assert!(matches!(refused(&hole), RecordedError::NotFinite { chain: 0, draw: 2, row: 1, token: 1, .. }));

    let losses = of(&good);
    let base = Array2::from_elem((2, 6), 1.0);
    let paired = |losses: &TokenLosses, base: &Array2<f64>, burn_in| {
        losses.paired_llc(base, n_beta(), burn_in, 1.0).unwrap_err()
    };
    let one = of(&random([1, 6, 2, 3], 2));
    assert_eq!(paired(&one, &Array2::from_elem((1, 6), 1.0), 0), RecordedError::OneChain);
    assert_eq!(paired(&losses, &base, 5), RecordedError::BurnIn { burn_in: 5, draws: 6 });
    assert_eq!(paired(&losses, &base, usize::MAX), RecordedError::BurnIn { burn_in: usize::MAX, draws: 6 });
    let short = Array2::from_elem((2, 5), 1.0);
    assert!(matches!(paired(&losses, &short, 0), RecordedError::Axis { axis: "draws", given: 5, .. }));
    let mut unknown = base.clone();
    unknown[[0, 0]] = f64::NAN;
    assert!(matches!(paired(&losses, &unknown, 0), RecordedError::NotANumber { what: "a loss at w*", .. }));
    assert!(losses.devinterp_llc(n_beta(), f64::NAN).is_err());

    // Rows of different lengths.
    let longer = of(&random([2, 6, 2, 4], 3));
    let error = TokenLosses::joined_rows(&[&losses, &longer]).unwrap_err();
    assert!(matches!(error, RecordedError::Axis { axis: "tokens", expected: 3, given: 4, .. }));
    assert!(TokenLosses::joined_rows(&[]).is_err());
    fn run(x: &TokenLosses) -> RecordedRun<'_> {
        RecordedRun { restricted: x, full: x }
    }
    let more = of(&random([3, 6, 2, 3], 4));
    let error = RecordedSusceptibility::of(run(&losses), run(&more), 1.0).unwrap_err();
    assert!(matches!(error, RecordedError::Axis { axis: "chains", expected: 2, given: 3, .. }));
    assert_eq!(RecordedSusceptibility::of(run(&one), run(&one), 1.0), Err(RecordedError::OneChain));
    assert_eq!(Influence::CORRECTED.error_of_rows(&one), Err(RecordedError::OneChain));
    assert!(matches!(Influence::DEVINTERP.of_tokens(&losses, 0..2, 1..3), Err(RecordedError::OutOfRange(_))));
    assert!(matches!(Influence::DEVINTERP.of_tokens(&losses, 0..0, 0..2), Err(RecordedError::OutOfRange(_))));
}

#[test]
fn a_row_that_does_not_vary_has_no_correlation() {
    let mut losses = random([2, 6, 3, 2], 5);
    losses.slice_mut(ndarray::s![.., .., 1, ..]).fill(0.1);
    let found = Influence::DEVINTERP.of_rows(&of(&losses));
    assert!(found.row(1).iter().all(|x| x.is_nan()) && found[[0, 2]].is_finite());
    let covariance = Influence { association: Association::Covariance, ..Influence::DEVINTERP };
    assert_eq!(covariance.of_rows(&of(&losses))[[1, 1]], 0.0);
}
