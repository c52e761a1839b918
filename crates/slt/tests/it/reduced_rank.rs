use collimate_grad::{Batch, CheckConfig, Objective, Parameters, Scratch, TapeObjective, check_gradient};
use collimate_slt::{ReducedRank, ReducedRankConfig, SltError};
use collimate_stream::RngStream;
use ndarray::{Array2, array};
use proptest::prelude::*;

fn normals(n: usize, stream: &mut RngStream) -> Vec<f64> {
    (0..n).map(|_| stream.normal()).collect()
}

fn sizes() -> impl Strategy<Value = (usize, usize, usize, usize, u64)> {
    (1usize..7, 1usize..5, 1usize..7, 1usize..40, any::<u64>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_gradient_passes_the_checker((inputs, hidden, outputs, n, seed) in sizes()) {
        let mut stream = RngStream::new(seed, 0);
        let config = ReducedRankConfig { inputs, hidden, outputs, noise: 0.7 };
        let truth = normals(config.n_parameters(), &mut stream);
        let objective = ReducedRank::sample(config, &truth, n, &mut stream).unwrap();
        let w = normals(config.n_parameters(), &mut stream);
        let batch: Vec<usize> = (0..stream.below(20) + 1).map(|_| stream.below(n)).collect();
        for batch in [Batch::All, Batch::Indices(&batch)] {
            let report = check_gradient(&objective, &w, batch, &CheckConfig::default()).unwrap();
            prop_assert!(report.passed(), "{}", report);
        }
    }

    #[test]
    fn all_ways_to_compute_the_loss_agree((inputs, hidden, outputs, n, seed) in sizes()) {
        let mut stream = RngStream::new(seed, 1);
        let config = ReducedRankConfig { inputs, hidden, outputs, noise: 1.3 };
        let p = config.n_parameters();
        let objective = ReducedRank::sample(config, &normals(p, &mut stream), n, &mut stream).unwrap();
        let w = normals(p, &mut stream);
        let mut scratch = Scratch::new();
        let (mut direct, mut indexed, mut moments) = (vec![0.0; p], vec![0.0; p], vec![0.0; p]);
        let loss = objective.loss_and_gradient_into(&w, Batch::All, &mut scratch, &mut direct);
        let every: Vec<usize> = (0..n).collect();
        let same = objective.loss_and_gradient_into(&w, Batch::Indices(&every), &mut scratch, &mut indexed);
        prop_assert_eq!((loss, &direct), (same, &indexed));
        let statistics = objective.sufficient_statistics().unwrap();
        let other = statistics.full_loss_and_gradient_into(&w, &mut scratch, &mut moments);
        let size = direct.iter().fold(loss, |s, g| s.max(g.abs()));
        prop_assert!((loss - other).abs() < 1e-11 * size);
        for (a, b) in direct.iter().zip(&moments) {
            prop_assert!((a - b).abs() < 1e-11 * size);
        }
        let mut losses = vec![0.0; n];
        objective.per_sample_losses().unwrap().per_sample_losses_into(&w, Batch::All, &mut scratch, &mut losses);
        prop_assert!((losses.iter().sum::<f64>() / n as f64 - loss).abs() < 1e-12 * loss);
    }
}

#[test]
fn a_tape_gives_the_same_gradient() {
    let mut stream = RngStream::new(5, 0);
    let x = Array2::from_shape_simple_fn((23, 4), || stream.normal());
    let y = Array2::from_shape_simple_fn((23, 3), || stream.normal());
    let config = ReducedRankConfig { inputs: 4, hidden: 2, outputs: 3, noise: 0.5 };
    let objective = ReducedRank::new(config, &x, &y).unwrap();
    let layout = Parameters::new().with("A", Array2::zeros((2, 4))).with("B", Array2::zeros((3, 2)));
    let taped = TapeObjective::new(layout, 23, move |tape, w, batch| {
        let input = tape.leaf(x.select(ndarray::Axis(0), batch));
        let target = tape.leaf(y.select(ndarray::Axis(0), batch));
        let (a, b) = (tape.transpose(w[0])?, tape.transpose(w[1])?);
        let hidden = tape.matmul(input, a)?;
        let output = tape.matmul(hidden, b)?;
        let negative = tape.scale(target, -1.0)?;
        let residual = tape.add(output, negative)?;
        let squares = tape.mul(residual, residual)?;
        let mean = tape.mean(squares)?;
        tape.scale(mean, 3.0 / (2.0 * 0.25)) // the mean also runs over the three outputs
    })
    .unwrap();
    let w = normals(14, &mut stream);
    let (mut left, mut right, mut scratch) = (vec![0.0; 14], vec![0.0; 14], Scratch::new());
    let a = objective.loss_and_gradient_into(&w, Batch::Indices(&[0, 7, 7, 22]), &mut scratch, &mut left);
    let b = taped.loss_and_gradient_into(&w, Batch::Indices(&[0, 7, 7, 22]), &mut scratch, &mut right);
    assert!((a - b).abs() < 1e-12 * a);
    assert!(left.iter().zip(&right).all(|(a, b)| (a - b).abs() < 1e-11), "{left:?} {right:?}");
    assert_eq!(
        (objective.coordinate_name(5), objective.coordinate_name(13)),
        ("A[1, 1]".into(), "B[2, 1]".into())
    );
}

#[test]
fn data_out_of_range_are_errors() {
    let config = ReducedRankConfig { inputs: 1, hidden: 1, outputs: 1, noise: 1.0 };
    let error = ReducedRank::new(config, &array![[1.0], [f64::NAN]], &array![[1.0], [2.0]]).unwrap_err();
    assert!(matches!(error, SltError::NonFinite { argument: "x", index: 1, .. }));
    assert!(ReducedRank::new(config, &array![[1.0, 2.0]], &array![[1.0]]).is_err());
    assert!(ReducedRank::new(config, &Array2::zeros((0, 1)), &Array2::zeros((0, 1))).is_err());
    let silent = ReducedRankConfig { noise: 0.0, ..config };
    assert!(ReducedRank::new(silent, &array![[1.0]], &array![[1.0]]).is_err());
}
