//! Susceptibilities and influence functions of a small network against finite differences of the perturbed posterior, by
//! quadrature over all its parameters.

use collimate_grad::{Batch, Objective, Scratch};
use collimate_slt::{NBeta, Perceptron, SampleLosses, Sampling, Susceptibility, Target, susceptibility};
use collimate_stream::RngStream;
use ndarray::Array2;

const N_BETA: f64 = 30.0;
const GAMMA: f64 = 4.0;
/// The parameters W₁, b₁, W₂, b₂ of one tanh unit.
const CENTRE: [f64; 4] = [0.9, 0.2, 1.1, -0.1];
/// The step of the central finite differences.
const H: f64 = 1e-3;

fn network(x: &[f64], y: &[f64]) -> Perceptron<f64> {
    let column = |v: &[f64]| Array2::from_shape_vec((v.len(), 1), v.to_vec()).unwrap();
    Perceptron::new(&[1, 1, 1], 1.0, column(x), column(y)).unwrap()
}

const OWN: ([f64; 5], [f64; 5]) = ([-1.5, -0.5, 0.2, 0.8, 2.0], [-1.0, -0.2, 0.4, 0.3, 1.4]);
const PROBE: ([f64; 2], [f64; 2]) = ([-1.0, 1.0], [0.5, 0.6]);

/// Appends the loss of every sample, by the formula of the network.
fn losses((x, y): (&[f64], &[f64]), w: &[f64; 4], out: &mut Vec<f64>) {
    out.clear();
    out.extend(x.iter().zip(y).map(|(x, y)| 0.5 * (y - w[2] * (w[0] * x + w[1]).tanh() - w[3]).powi(2)));
}

/// Computes derivatives of expectations with respect to the size of a perturbation, `[perturbations, observables]`.
///
/// The observables are the losses of the samples, and W₂ b₁. The first perturbations add h ℓ to the energy, for one sample
/// each. The last one is the loss `(1 − h) L + h L'`, where L' is the loss of the probe.
fn by_quadrature() -> Vec<Vec<f64>> {
    let n = OWN.0.len();
    let (columns, rows) = (n + 1, n + 1);
    let mut sums = vec![[[0.0; 2]; 2]; rows * columns];
    let (nodes, reach) = (41i32, 5.5 / GAMMA.sqrt());
    let at = |i: i32| reach * (2.0 * f64::from(i) / f64::from(nodes - 1) - 1.0);
    let (mut own, mut probe) = (Vec::new(), Vec::new());
    for cell in 0..nodes.pow(4) {
        let offsets =
            [cell % nodes, cell / nodes % nodes, cell / nodes.pow(2) % nodes, cell / nodes.pow(3)].map(at);
        let squares: f64 = offsets.iter().map(|d| d * d).sum();
        let mut w = CENTRE;
        w.iter_mut().zip(offsets).for_each(|(w, d)| *w += d);
        losses((&OWN.0, &OWN.1), &w, &mut own);
        let mean = own.iter().sum::<f64>() / n as f64;
        let energy = N_BETA * mean + 0.5 * GAMMA * squares;
        if energy > 60.0 {
            continue;
        }
        losses((&PROBE.0, &PROBE.1), &w, &mut probe);
        let change = probe.iter().sum::<f64>() / probe.len() as f64 - mean;
        let slopes = own.iter().copied().chain([N_BETA * change]);
        for (row, slope) in sums.chunks_mut(columns).zip(slopes) {
            for (side, h) in [H, -H].into_iter().enumerate() {
                let weight = (-energy - h * slope).exp();
                for (sums, value) in row.iter_mut().zip(own.iter().copied().chain([w[2] * w[1]])) {
                    sums[side][0] += weight;
                    sums[side][1] += weight * value;
                }
            }
        }
    }
    let derivative = |[up, down]: [[f64; 2]; 2]| (up[1] / up[0] - down[1] / down[0]) / (2.0 * H);
    sums.chunks(columns).map(|row| row.iter().map(|sides| derivative(*sides)).collect()).collect()
}

#[test]
fn responses_of_a_network_are_derivatives_of_the_perturbed_posterior() {
    let exact = by_quadrature();
    let n = OWN.0.len();
    let (own, probe) = (network(&OWN.0, &OWN.1), network(&PROBE.0, &PROBE.1));
    let mut values = Vec::new();
    losses((&OWN.0, &OWN.1), &CENTRE, &mut values);
    let mean = own.loss(&CENTRE, Batch::All, &mut Scratch::new());
    assert!((values.iter().sum::<f64>() / n as f64 - mean).abs() < 1e-14); // the models agree
    let n_beta = NBeta::new(N_BETA).unwrap();
    let target = Target::new(&own, &CENTRE, n_beta).unwrap().localised(GAMMA).unwrap();
    let sampling = Sampling { draws: 10_000, ..Sampling::hmc(8) };
    let recorded =
        SampleLosses::record(&sampling, &target, &[&own, &probe], &mut RngStream::new(1, 0)).unwrap();
    let [losses, probes] = &recorded.losses[..] else { panic!("two tables were asked for") };
    let judge = |found: Susceptibility, exact: f64, what: String| {
        let z = (found.value - exact) / found.standard_error;
        assert!(z.abs() < 4.5 && found.ess > 1000.0, "{what}: {found:?}, exact {exact}, z = {z:.2}");
        f64::from(u8::from(exact.abs() > 10.0 * found.standard_error))
    };
    let (matrix, mut seen) = (losses.influence(), 0.0);
    for (i, row) in exact[..n].iter().enumerate() {
        for (j, &exact) in row[..n].iter().enumerate() {
            let found = losses.influence_of(i, j);
            seen += judge(found, exact, format!("influence of {i} on {j}"));
            let slack = 1e-3 * matrix[[i, i]].abs() + 0.02 * found.value.abs();
            assert!((matrix[[i, j]] - found.value).abs() < slack);
        }
    }
    // Most entries are far from zero, so a wrong sign or factor is detected.
    assert!(seen >= 15.0, "{seen}");
    let change: Vec<Vec<f64>> = probes
        .mean_losses()
        .iter()
        .zip(losses.mean_losses())
        .map(|(probe, own)| probe.iter().zip(own).map(|(a, b)| a - b).collect())
        .collect();
    for (sample, &exact) in exact[n][..n].iter().enumerate() {
        let found = susceptibility(&losses.of_sample(sample), &change, n_beta).unwrap();
        judge(found, exact, format!("susceptibility of sample {sample}"));
    }
    // The response of a function of the weights, along other chains.
    let run = sampling.observe(&target, &mut RngStream::new(2, 0), |_| Vec::new()).unwrap();
    let mut scratch = Scratch::new();
    let mut of = |f: &dyn Fn(&[f64], &mut Scratch) -> f64| -> Vec<Vec<f64>> {
        run.observers
            .iter()
            .map(|draws: &Vec<f64>| draws.chunks_exact(4).map(|w| f(w, &mut scratch)).collect())
            .collect()
    };
    let product = of(&|w, _| w[2] * w[1]);
    let change = of(&|w, scratch| probe.loss(w, Batch::All, scratch) - own.loss(w, Batch::All, scratch));
    let far = judge(susceptibility(&product, &change, n_beta).unwrap(), exact[n][n], "of W₂ b₁".to_owned());
    assert!(far > 0.0, "too close to zero to be seen");
}
