use collimate_grad::{Batch, Objective, Scratch};
use collimate_slt::{BatchSampling, Chain, Method, NBeta, QuadraticLoss, QuadraticOracle, SltError, Target};
use collimate_stream::RngStream;

/// Creates a chain at nβ = 145, γ = 1.
fn chain<'a>(
    objective: &'a dyn Objective<f64>,
    centre: &[f64],
    step_size: f64,
    batch: BatchSampling,
) -> Result<Chain<'a>, SltError> {
    let target = Target::new(objective, centre, NBeta::new(145.0)?)?.localised(1.0)?;
    Chain::new(&target, Method::Sgld(batch), step_size)
}

#[test]
fn the_chain_has_the_stationary_law_of_the_euler_scheme_and_not_that_of_the_posterior() {
    let objective = QuadraticLoss::new(&[1.0]);
    let step = 1e-2;
    let oracle = QuadraticOracle::new(vec![1.0], NBeta::new(145.0).unwrap(), 1.0, step).unwrap();
    let mut chain = chain(&objective, &[0.0], step, BatchSampling::Full).unwrap();
    let mut stream = RngStream::new(11, 0);
    let steps = 400_000;
    let (mut mean, mut squares) = (0.0, 0.0);
    for _ in 0..1000 {
        chain.step(&mut stream).unwrap();
    }
    for _ in 0..steps {
        let llc = 145.0 * chain.step(&mut stream).unwrap().loss;
        mean += llc / steps as f64;
        squares += llc * llc / steps as f64;
    }
    let error = ((squares - mean * mean) * oracle.autocorrelation_time(0) / steps as f64).sqrt();
    assert!(
        (mean - oracle.stationary_llc()).abs() < 4.0 * error,
        "{mean} ± {error}, {}",
        oracle.stationary_llc()
    );
    assert!((mean - oracle.posterior_llc()).abs() > 50.0 * error);
}

#[test]
fn distinct_batches_have_each_sample_at_most_once_and_all_equally_often() {
    struct Recorder(std::sync::Mutex<Vec<usize>>);
    impl Objective<f64> for Recorder {
        fn n_parameters(&self) -> usize {
            1
        }
        fn n_samples(&self) -> usize {
            10
        }
        fn loss_and_gradient_into(
            &self,
            _: &[f64],
            batch: Batch<'_>,
            _: &mut Scratch,
            out: &mut [f64],
        ) -> f64 {
            let Batch::Indices(indices) = batch else { panic!("a batch of three was asked for") };
            let mut sorted = indices.to_vec();
            sorted.sort();
            sorted.dedup();
            assert_eq!((indices.len(), sorted.len()), (3, 3));
            self.0.lock().unwrap().extend(indices);
            out[0] = 0.0;
            0.0
        }
    }
    let recorder = Recorder(Default::default());
    let mut chain = chain(&recorder, &[0.0], 1e-3, BatchSampling::Distinct(3)).unwrap();
    let mut stream = RngStream::new(2, 0);
    for _ in 0..10_000 {
        chain.step(&mut stream).unwrap();
    }
    let seen = recorder.0.into_inner().unwrap();
    for sample in 0..10 {
        let count = seen.iter().filter(|&&i| i == sample).count() as f64;
        assert!((count - 3000.0).abs() < 5.0 * (10_000.0f64 * 0.3 * 0.7).sqrt(), "{sample}: {count}");
    }
}

#[test]
fn the_same_stream_gives_the_same_chain() {
    let objective =
        QuadraticLoss::of_samples(&[1.0, 2.0], vec![vec![-1.0, 0.0], vec![0.0, 0.5], vec![1.0, -0.5]]);
    for batch in [BatchSampling::Full, BatchSampling::Distinct(2), BatchSampling::Independent(2)] {
        let run = || {
            let mut chain = chain(&objective, &[0.1, 0.2], 1e-3, batch).unwrap();
            let mut stream = RngStream::new(3, 1);
            for _ in 0..50 {
                chain.step(&mut stream).unwrap();
            }
            chain.w().iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }
}

#[test]
fn an_unstable_chain_is_an_error() {
    let objective = QuadraticLoss::new(&[1.0]);
    let mut chain = chain(&objective, &[1.0], 1.0, BatchSampling::Full).unwrap();
    let mut stream = RngStream::new(1, 0);
    let error = (0..1000).find_map(|_| chain.step(&mut stream).err()).unwrap();
    assert!(matches!(error, SltError::Diverged { .. }));
    assert!(error.to_string().contains("a smaller step size is needed"));
}

#[test]
fn settings_out_of_range_are_errors() {
    let objective = QuadraticLoss::of_samples(&[1.0], vec![vec![0.0]; 4]);
    assert!(chain(&objective, &[0.0, 0.0], 1e-3, BatchSampling::Full).is_err());
    assert!(chain(&objective, &[f64::NAN], 1e-3, BatchSampling::Full).is_err());
    assert!(chain(&objective, &[0.0], -1e-3, BatchSampling::Full).is_err());
    assert!(chain(&objective, &[0.0], 1e-3, BatchSampling::Distinct(5)).is_err());
    assert!(chain(&objective, &[0.0], 1e-3, BatchSampling::Independent(0)).is_err());
}
