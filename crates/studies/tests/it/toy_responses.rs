//! The response of the toy model of superposition to a change of its data agrees with susceptibilities and influence functions. The
//! reference is the perturbed posterior by quadrature.

use collimate_grad::{Batch, Objective, PerSampleLosses, Scratch};
use collimate_slt::{NBeta, Region, SampleLosses, Sampling, Target, susceptibility};
use collimate_stream::RngStream;
use collimate_superposition::{Activation, CriticalPolygon, ToyLoss, UnusedFeatures};
use ndarray::Array2;

const FEATURES: usize = 6;
const N_BETA: f64 = 200.0;
const GAMMA: f64 = 10.0;
/// The free coordinates: W[0, 0] and the first bias.
const MOVING: [usize; 2] = [0, 2 * FEATURES];

/// Makes the toy model on samples `ξ e_j`.
fn toy(samples: &[(usize, f64)]) -> ToyLoss {
    let mut x = Array2::zeros((samples.len(), FEATURES));
    samples.iter().enumerate().for_each(|(row, &(j, size))| x[[row, j]] = size);
    ToyLoss::new(2, Activation::Relu, vec![1.0; FEATURES], x).unwrap()
}

fn each(model: &ToyLoss, w: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; model.n_samples()];
    model.per_sample_losses_into(w, Batch::All, &mut Scratch::new(), &mut out);
    out
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// Computes central differences of the expectations of all sample losses: under a larger weight of each sample, and under a share
/// of the probe in the data.
fn by_quadrature(own: &ToyLoss, probe: &ToyLoss, centre: &[f64]) -> Vec<Vec<f64>> {
    let n = own.n_samples();
    let (nodes, reach, h) = (300, 5.5 / GAMMA.sqrt(), 1e-3);
    let at = |i: u32| reach * ((2.0 * f64::from(i) + 1.0) / f64::from(nodes) - 1.0);
    let mut sums = vec![[[0.0; 2]; 2]; (n + 1) * n];
    let mut w = centre.to_vec();
    for (i, j) in (0..nodes).flat_map(|i| (0..nodes).map(move |j| (i, j))) {
        let offsets = [at(i), at(j)];
        MOVING.into_iter().zip(offsets).for_each(|(k, offset)| w[k] = centre[k] + offset);
        let losses = each(own, &w);
        let energy = N_BETA * mean(&losses) + 0.5 * GAMMA * offsets.iter().map(|d| d * d).sum::<f64>();
        let change = mean(&each(probe, &w)) - mean(&losses);
        let slopes = losses.iter().copied().chain([N_BETA * change]);
        for (row, slope) in sums.chunks_mut(n).zip(slopes) {
            for (side, h) in [h, -h].into_iter().enumerate() {
                let weight = (-energy - h * slope).exp();
                for (sums, loss) in row.iter_mut().zip(&losses) {
                    sums[side][0] += weight;
                    sums[side][1] += weight * loss;
                }
            }
        }
    }
    let derivative = |[up, down]: [[f64; 2]; 2]| (up[1] / up[0] - down[1] / down[0]) / (2.0 * h);
    sums.chunks(n).map(|row| row.iter().map(|sides| derivative(*sides)).collect()).collect()
}

#[test]
fn the_response_of_a_pentagon_to_its_data_agrees_with_its_covariances() {
    let samples: Vec<(usize, f64)> = (0..FEATURES).flat_map(|j| [0.35, 0.95].map(|size| (j, size))).collect();
    let (own, probe) = (toy(&samples), toy(&[(0, 0.5), (0, 1.0), (5, 0.7)]));
    let (_, mut centre) =
        CriticalPolygon::new(5).unwrap().parameters(FEATURES, UnusedFeatures { on: 0 }).unwrap();
    centre[2 * FEATURES + 5] = -0.5;
    let exact = by_quadrature(&own, &probe, &centre);
    let mut moving = vec![false; centre.len()];
    MOVING.into_iter().for_each(|k| moving[k] = true);
    let n_beta = NBeta::new(N_BETA).unwrap();
    let region = Region::everywhere(centre.len()).moving(&moving).unwrap();
    let target =
        Target::new(&own, &centre, n_beta).unwrap().localised(GAMMA).unwrap().within(region).unwrap();
    let sampling = Sampling { draws: 10_000, ..Sampling::hmc(6) };
    let recorded =
        SampleLosses::record(&sampling, &target, &[&own, &probe], &mut RngStream::new(1, 0)).unwrap();
    let [losses, probes] = &recorded.losses[..] else { panic!("two tables were asked for") };
    let change: Vec<Vec<f64>> = probes
        .mean_losses()
        .iter()
        .zip(losses.mean_losses())
        .map(|(probe, own)| probe.iter().zip(own).map(|(a, b)| a - b).collect())
        .collect();
    let mut far = 0;
    for i in 0..own.n_samples() {
        let answer = susceptibility(&losses.of_sample(i), &change, n_beta).unwrap();
        for (found, exact) in (0..own.n_samples())
            .map(|j| (losses.influence_of(j, i), exact[j][i]))
            .chain([(answer, exact[own.n_samples()][i])])
        {
            // A sample that neither weight reaches has a constant loss, and a sample that they rarely reach a nearly constant one. There
            // both values are zero up to the rounding of a difference quotient.
            if exact.abs() < 1e-6 {
                assert!(found.value.abs() < 1e-6, "{found:?}");
                continue;
            }
            let z = (found.value - exact) / found.standard_error;
            assert!(z.abs() < 4.5, "{i}: {found:?}, exact {exact}, z = {z:.2}");
            far += i32::from(exact.abs() > 10.0 * found.standard_error);
        }
    }
    // Enough values lie far from zero to show a wrong sign or factor.
    assert!(far >= 30, "{far}");
}
