use collimate_grad::{Batch, CheckConfig, Objective, Scratch, check_gradient};
use collimate_slt::{DeepLinear, ReducedRank, ReducedRankConfig};
use collimate_stream::RngStream;

fn point(length: usize, stream: &mut RngStream) -> Vec<f64> {
    (0..length).map(|_| 0.5 * stream.normal()).collect()
}

#[test]
fn the_gradient_passes_the_checker_and_the_statistics_agree() {
    let mut stream = RngStream::new(1, 0);
    for widths in [vec![3, 2], vec![2, 3, 2], vec![3, 2, 4, 2]] {
        let length = widths.windows(2).map(|p| p[0] * p[1]).sum();
        let truth = point(length, &mut stream);
        let objective = DeepLinear::sample(&widths, 0.7, &truth, 30, &mut stream).unwrap();
        let w = point(length, &mut stream);
        for batch in [Batch::All, Batch::Indices(&[3, 3, 7])] {
            assert!(check_gradient(&objective, &w, batch, &CheckConfig::default()).unwrap().passed());
        }
        let (mut direct, mut fast) = (vec![0.0; length], vec![0.0; length]);
        let mut scratch = Scratch::new();
        let loss = objective.loss_and_gradient_into(&w, Batch::All, &mut scratch, &mut direct);
        let statistics = objective.sufficient_statistics().unwrap();
        let other = statistics.full_loss_and_gradient_into(&w, &mut scratch, &mut fast);
        assert!((loss / other - 1.0).abs() < 1e-11);
        assert!(direct.iter().zip(&fast).all(|(a, b)| (a - b).abs() < 1e-10 * (1.0 + a.abs())));
        let mut each = vec![0.0; 30];
        objective.per_sample_losses().unwrap().per_sample_losses_into(
            &w,
            Batch::All,
            &mut scratch,
            &mut each,
        );
        assert!((each.iter().sum::<f64>() / 30.0 / loss - 1.0).abs() < 1e-11);
    }
}

#[test]
fn two_layers_are_reduced_rank_regression() {
    let config = ReducedRankConfig { inputs: 3, hidden: 2, outputs: 4, noise: 0.5 };
    let truth = point(14, &mut RngStream::new(2, 0));
    let deep = DeepLinear::sample(&[3, 2, 4], 0.5, &truth, 25, &mut RngStream::new(3, 0)).unwrap();
    let shallow = ReducedRank::sample(config, &truth, 25, &mut RngStream::new(3, 0)).unwrap();
    let w = point(14, &mut RngStream::new(4, 0));
    let (mut a, mut b, mut scratch) = (vec![0.0; 14], vec![0.0; 14], Scratch::new());
    let one = deep.loss_and_gradient_into(&w, Batch::All, &mut scratch, &mut a);
    let two = shallow.loss_and_gradient_into(&w, Batch::All, &mut scratch, &mut b);
    assert!((one / two - 1.0).abs() < 1e-12);
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-11 * (1.0 + a.abs())));
    assert_eq!(deep.coordinate_name(6), "W2[0, 0]");
    assert!(DeepLinear::sample(&[3], 1.0, &[], 5, &mut RngStream::new(1, 0)).is_err());
    assert!(DeepLinear::sample(&[3, 2], 1.0, &[0.0; 5], 5, &mut RngStream::new(1, 0)).is_err());
}
