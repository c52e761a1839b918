//! Estimates from recorded token losses, against the numbers of devinterp 2.0.1 and corrected values in f64.
//!
//! The recordings are of two trained models of 7,360 and 4,944 parameters: `gpt2` and a llama with grouped keys. devinterp computes in
//! f32 from f32 losses. The stated tolerances are relative to the largest value: 2e-6 for the coefficient, 3e-6 for susceptibilities
//! and 1e-6 for influence functions. Values that were recomputed in f64 agree to the rounding of f64 sums, 1e-12.

use approx::assert_abs_diff_eq;
use collimate_slt::{
    Association, Chains, Influence, NBeta, RecordedRun, RecordedSusceptibility, TokenLosses,
};
use collimate_tensor::files::Safetensors;
use ndarray::{Array, ArrayD, ArrayRef, Dimension, Ix2, Ix4};
use serde_json::Value;
use std::path::Path;

struct Case {
    traces: Safetensors,
    expected: Value,
}

fn cases() -> [Case; 2] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/recorded");
    ["gpt2", "llama_gqa"].map(|name| Case {
        traces: Safetensors::open(folder.join(format!("{name}.safetensors"))).unwrap(),
        expected: serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json"))).unwrap())
            .unwrap(),
    })
}

impl Case {
    fn array<D: Dimension>(&self, name: &str) -> Array<f64, D> {
        self.traces.read(name).unwrap().to_f64().into_dimensionality().unwrap()
    }

    fn losses(&self, name: &str) -> TokenLosses {
        TokenLosses::from_array(&self.array::<Ix4>(name)).unwrap()
    }

    fn initial(&self) -> f64 {
        self.array::<Ix2>("init_loss").mean().unwrap()
    }

    fn names(&self, key: &str) -> Vec<String> {
        self.expected[key].as_array().unwrap().iter().map(|x| x.as_str().unwrap().to_owned()).collect()
    }

    fn setting(&self, key: &str) -> f64 {
        self.expected["settings"][key].as_f64().unwrap()
    }
}

fn close<D: Dimension>(found: &ArrayRef<f64, D>, expected: &ArrayRef<f64, D>, tolerance: f64) {
    assert_eq!(found.shape(), expected.shape());
    let largest = expected.iter().fold(0.0_f64, |a, x| a.max(x.abs()));
    assert!(largest > 0.0);
    for (a, b) in found.iter().zip(expected.iter()) {
        assert_abs_diff_eq!(*a, *b, epsilon = tolerance * largest);
    }
}

fn list(of: &Value) -> ArrayD<f64> {
    let values = match of.as_array() {
        Some(values) => values.iter().map(|x| x.as_f64().unwrap()).collect(),
        None => vec![of.as_f64().unwrap()],
    };
    ArrayD::from_shape_vec(vec![values.len()], values).unwrap()
}

fn one(x: f64) -> ArrayD<f64> {
    ArrayD::from_elem(vec![1], x)
}

#[test]
fn coefficients_of_recorded_losses_are_those_of_devinterp_and_the_corrected_ones() {
    for case in cases() {
        let n_beta = NBeta::new(case.setting("n_beta")).unwrap();
        let burn_in = case.setting("num_burnin_steps") as usize;
        for run in ["full".to_owned()].into_iter().chain(case.names("restrictions")) {
            let losses = case.losses(&format!("{}.sampling_loss_micro", run.replace(' ', "_")));
            let found = losses.devinterp_llc(n_beta, case.initial()).unwrap();
            let expected = &case.expected["devinterp"][&run];
            close(&one(found.mean), &list(&expected["llc_mean"]), 2e-6);
            close(&one(found.scalar), &list(&expected["llc_scalar"]), 2e-6);
            let per_chain = ArrayD::from_shape_vec(vec![losses.chains()], found.per_chain).unwrap();
            close(&per_chain, &list(&expected["llc_per_chain"]), 2e-6);
            let mean = expected["llc_mean"].as_f64().unwrap();
            assert_abs_diff_eq!(
                found.standard_deviation,
                expected["llc_std"].as_f64().unwrap(),
                epsilon = 2e-6 * mean
            );
            let paired =
                losses.paired_llc(&case.array::<Ix2>("baseline_micro"), n_beta, burn_in, 1.0).unwrap();
            let expected = &case.expected["corrected"][&run];
            close(&one(paired.value), &list(&expected["llc_after_burnin_paired"]), 1e-12);
            let per_chain = ArrayD::from_shape_vec(vec![losses.chains()], paired.per_chain.clone()).unwrap();
            close(&per_chain, &list(&expected["per_chain_paired"]), 1e-12);
            // The errors are differences of numbers some 100 times larger.
            close(&one(paired.error_by_chains), &list(&expected["se_chains"]), 1e-10);
            close(&one(paired.iact), &list(&expected["iact_paired"]), 1e-10);
            close(&one(paired.error_by_iact), &list(&expected["se_iact"]), 1e-10);
            assert_eq!(paired.standard_error(), paired.error_by_chains.max(paired.error_by_iact));
        }
    }
}

#[test]
fn susceptibilities_of_recorded_losses_are_those_of_devinterp_and_their_covariance_parts() {
    for case in cases() {
        let by = |name: &str| case.array::<Ix2>(name);
        let (devinterp, exact) = (by("sus"), by("sus.devinterp_f64"));
        let (pooled, within) = (by("sus.pooled_cov_f64"), by("sus.within_chain_cov_f64"));
        for (column, run) in case.names("restrictions").iter().enumerate() {
            let run = run.replace(' ', "_");
            let reference = (case.losses(&format!("{run}.loss_train")), case.losses("full.loss_train"));
            let mut at = 0;
            for observable in case.names("observables_in_order_of_sus") {
                let probe = (
                    case.losses(&format!("{run}.loss_{observable}")),
                    case.losses(&format!("full.loss_{observable}")),
                );
                let found = RecordedSusceptibility::of(
                    RecordedRun { restricted: &reference.0, full: &reference.1 },
                    RecordedRun { restricted: &probe.0, full: &probe.1 },
                    case.initial(),
                )
                .unwrap();
                let count = found.devinterp.len();
                for (found, expected, tolerance) in [
                    (&found.devinterp, &devinterp, 3e-6),
                    (&found.devinterp, &exact, 1e-12),
                    (&found.pooled_covariance, &pooled, 1e-12),
                    (&found.covariance, &within, 1e-12),
                ] {
                    let largest = expected.iter().fold(0.0_f64, |a, x| a.max(x.abs()));
                    let expected = expected.column(column);
                    for (found, expected) in found.iter().zip(expected.iter().skip(at)) {
                        assert_abs_diff_eq!(*found, *expected, epsilon = tolerance * largest);
                    }
                }
                assert!(found.error_by_chains.iter().all(|error| *error > 0.0));
                at += count;
            }
            assert_eq!(at, devinterp.nrows());
        }
    }
}

#[test]
fn influence_functions_of_recorded_losses_are_those_of_devinterp_in_each_convention() {
    for case in cases() {
        let parts: Vec<TokenLosses> = (case.names("observables_in_order_of_bif").iter())
            .map(|name| case.losses(&format!("full.loss_{name}")))
            .collect();
        let losses = TokenLosses::joined_rows(&parts.iter().collect::<Vec<_>>()).unwrap();
        let convention = |chains, association| Influence { chains, association };
        let joined = convention(Chains::Joined, Association::Correlation);
        assert_eq!(joined, Influence::DEVINTERP);
        let covariance = convention(Chains::Joined, Association::Covariance);
        let averaged = convention(Chains::Averaged, Association::Correlation);
        let by = |name: &str| case.array::<Ix2>(name);
        close(&joined.of_rows(&losses), &by("bif.sequence"), 1e-6);
        close(&covariance.of_rows(&losses), &by("bif.sequence.cov"), 1e-6);
        close(&averaged.of_rows(&losses), &by("bif.sequence.chainmean"), 1e-6);
        close(&joined.of_token_averages(&losses), &by("bif.token.avg"), 1e-6);
        close(&covariance.of_token_averages(&losses), &by("bif.token.avg.cov"), 1e-6);
        close(&joined.of_tokens(&losses, 0..4, 8..12).unwrap(), &case.array::<Ix4>("bif.token"), 1e-6);
        close(&Influence::CORRECTED.of_rows(&losses), &by("bif.sequence.within_chain_f64"), 1e-12);
        // The covariance of rows is that of the estimator on samples, which is written otherwise.
        close(&covariance.of_rows(&losses), &losses.row_means().covariance(), 1e-12);
        assert!(Influence::CORRECTED.error_of_rows(&losses).unwrap().iter().all(|error| *error < 1.0));
    }
}
