use collimate_grad::{Batch, CheckConfig, Objective, Scratch, check_gradient};
use collimate_slt::Perceptron;
use collimate_stream::RngStream;
use ndarray::Array2;

#[test]
fn the_gradient_passes_the_checker_in_any_depth() {
    let mut stream = RngStream::new(1, 0);
    for widths in [vec![3, 2], vec![2, 4, 1], vec![3, 5, 4, 2]] {
        let mut draw = |rows, columns| Array2::from_shape_simple_fn((rows, columns), || stream.normal());
        let (x, y) = (draw(12, widths[0]), draw(12, widths[widths.len() - 1]));
        let objective = Perceptron::new(&widths, 0.8, x.clone(), y.clone()).unwrap();
        let w: Vec<f64> = (0..objective.n_parameters()).map(|_| 0.6 * stream.normal()).collect();
        for batch in [Batch::All, Batch::Indices(&[5, 5, 0, 11])] {
            assert!(check_gradient(&objective, &w, batch, &CheckConfig::default()).unwrap().passed());
        }
        let (mut each, mut out, mut scratch) = (vec![0.0; 4], vec![0.0; w.len()], Scratch::new());
        let batch = Batch::Indices(&[1, 2, 3, 4]);
        let loss = objective.loss_and_gradient_into(&w, batch, &mut scratch, &mut out);
        objective.per_sample_losses().unwrap().per_sample_losses_into(&w, batch, &mut scratch, &mut each);
        assert!((each.iter().sum::<f64>() / 4.0 / loss - 1.0).abs() < 1e-12);
        // The model in single precision agrees.
        let single = Perceptron::new(&widths, 0.8, x.mapv(|v| v as f32), y.mapv(|v| v as f32)).unwrap();
        let narrow: Vec<f32> = w.iter().map(|&v| v as f32).collect();
        let mut slopes = vec![0.0f32; w.len()];
        let other = single.loss_and_gradient_into(&narrow, batch, &mut scratch, &mut slopes);
        assert!((f64::from(other) / loss - 1.0).abs() < 1e-5);
        assert!(
            slopes
                .iter()
                .zip(&out)
                .all(|(&a, b): (&f32, &f64)| (f64::from(a) - b).abs() < 1e-4 * (1.0 + b.abs()))
        );
    }
    assert!(Perceptron::new(&[2], 1.0, Array2::<f64>::zeros((1, 2)), Array2::zeros((1, 2))).is_err());
    assert!(
        Perceptron::new(&[2, 1], 1.0, Array2::<f64>::from_elem((1, 2), f64::NAN), Array2::zeros((1, 1)))
            .is_err()
    );
}
