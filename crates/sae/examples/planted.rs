//! Trains the three members on rows whose true dictionary is known, and shows what each recovers and what it shrinks.

use collimate_grad::WarmUp;
use collimate_sae::{
    Gated, L1, Normalisation, Planted, Relu, Sae, Size, TopK, Training, TrainingConfig, Variant, epochs,
    evaluate, mmcs, mmcs_null,
};
use collimate_stream::RngStream;

fn main() -> Result<(), collimate_sae::SaeError> {
    let mut stream = RngStream::named(7, "planted");
    let planted = Planted::random(24, 16, 0.06, 0.0, &mut stream);
    let rows = planted.rows(20_000, &mut stream);
    let held_out = planted.rows(4000, &mut stream);
    let size = Size { d_model: 16, n_latents: 48 };
    let floor = mmcs_null(&planted.directions, size.n_latents, &mut stream);
    println!("recovery of the planted directions by random ones: {floor:.3}");
    let members: [(Variant, f64); 3] =
        [(Relu::unit_norm().into(), 0.3), (Gated::paper().into(), 0.8), (TopK::new(2).into(), 0.0)];
    for (variant, l1) in members {
        let config = TrainingConfig {
            steps: 1500,
            batch: 256,
            l1: L1::sum_over_dims(l1),
            learning_rate: 3e-3,
            warm_up: WarmUp::Linear { steps: 50, from: 0.0 },
            sparsity_warm_up: 200,
            normalisation: Normalisation::None,
            ..TrainingConfig::default()
        };
        let sae = Sae::<f32>::new(variant, size, &mut RngStream::named(7, "init"))?;
        let trained = Training::new(sae, config)?.run(epochs(&rows, 512, &mut stream), |_| ())?;
        let found = mmcs(&planted.directions, &trained.model.weights().w_dec.mapv(f64::from))?;
        println!("\n{}: recovery {found:.3}", variant.name());
        for measured in evaluate(trained.model.dictionary(), [held_out.clone()])?.measurements() {
            println!("  {measured}");
        }
        assert!(found > 0.9 && floor < 0.6, "{} recovers {found}, random directions {floor}", variant.name());
    }
    Ok(())
}
