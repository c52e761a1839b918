//! Prints the table of critical polygons, and their losses among six features.
//!
//! `cargo run -p collimate-superposition --example polygons`

use collimate_superposition::{CriticalPolygon, SuperpositionError, UnusedFeatures, feature_dimensionality};

fn main() -> Result<(), SuperpositionError> {
    println!("corners   norm       bias       each D   loss of k among k   loss among six");
    for corners in 3..=8 {
        let polygon = CriticalPolygon::new(corners)?;
        let (model, point) = polygon.parameters(corners, UnusedFeatures { on: 0 })?;
        let (w, _) = model.unpack(&point)?;
        let share = feature_dimensionality(&w)?[0];
        let among_six = match corners {
            3..=6 => format!("{:.5}", polygon.loss(6, UnusedFeatures { on: 0 })?),
            _ => "-".to_owned(),
        };
        println!(
            "{corners:7}   {:.5}   {:9.5}   {share:.4}   {:17.5}   {among_six:>14}",
            polygon.norm,
            polygon.bias,
            model.loss(&point)?
        );
    }
    // The spare feature of the pentagon gains exactly 1/144 by predicting its mean.
    let pentagon = CriticalPolygon::new(5)?;
    let gain = pentagon.loss(6, UnusedFeatures { on: 0 })? - pentagon.loss(6, UnusedFeatures { on: 1 })?;
    assert!((gain - 1.0 / 144.0).abs() < 1e-15);
    assert!((pentagon.loss(6, UnusedFeatures { on: 1 })? - 0.06180).abs() < 1e-5);
    Ok(())
}
