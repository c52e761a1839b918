//! Claims about two sparse features in one dimension and the boundary of superposition.

use super::extremes::largest;
use super::quotients::gradient_error;
use crate::exact::{TwoFeatures, canonical_boundary, optimised_boundary};
use collimate_claims::{Claim, Claims, Exact, Meta, Outcome, Study, Subject, Why};
use collimate_figures::{Chart, Series};
use collimate_stream::RngStream;

const TOY_MODELS: &str =
    "Elhage et al. (2022), Superposition as a Phase Change (there called a toy model of the toy model)";
const WATTENBERG: &str = "Wattenberg, Exploring Exact Toy Models";

/// The number of random starts of each search for the optimum, in addition to the natural candidates.
const STARTS: u64 = 8;

/// Returns the claims of this file.
pub(super) fn claims() -> Claims {
    exact().extend(boundaries())
}

fn exact() -> Claims {
    let candidates = Meta::theorem(
        "superposition/candidate-losses",
        Subject::Superposition,
        "the four candidate losses f, g, h₁, h₂ are values of the exact expected loss",
    )
    .code("T8")
    .source(WATTENBERG);
    let boundary = Meta::theorem(
        "superposition/canonical-boundary",
        Subject::Superposition,
        "the candidates tie at a density of 4r/(2 + 5r), and importance r has the same boundary as 1/r",
    )
    .code("T9")
    .source(TOY_MODELS);
    let gradient = Meta::theorem(
        "superposition/two-feature-gradient",
        Subject::Superposition,
        "the exact gradient of the two-feature loss is the limit of its difference quotients",
    )
    .code("T2")
    .source("calculus");
    let domain = |s: f64, r: f64| (0.001..=1.0).contains(&s) && (0.01..=100.0).contains(&r);
    Claims::new()
        .with(
            Exact::new(candidates)
                .names(&["density", "importance"])
                .input(|_, stream| Some((stream.uniform_in(0.01, 1.0), stream.normal().exp())))
                .admits(move |&(s, r)| domain(s, r))
                .margin(|&(s, r)| {
                    let (Ok(model), Ok(equal)) = (TwoFeatures::new(s, r), TwoFeatures::new(s, 1.0)) else {
                        return f64::NAN;
                    };
                    let worst = [
                        loss(&model, [0.0, 1.0, s / 2.0, 0.0]) - model.ignore_first(),
                        loss(&model, [1.0, 0.0, 0.0, s / 2.0]) - model.ignore_last(),
                        loss(&equal, [1.0, -1.0, 0.0, 0.0]) - equal.superpose_first(),
                        loss(&model, [1.0, -1.0, 0.0, 0.0]) - model.superpose_last(),
                    ];
                    1e-13 * (1.0 + r) - largest(worst.map(f64::abs))
                }),
        )
        .with(
            Exact::new(boundary)
                .names(&["importance"])
                .input(|_, stream| Some(stream.normal().exp()))
                .admits(|r| (0.01..=100.0).contains(r))
                .margin(|&r| {
                    let (Ok(s), Ok(mirrored)) = (canonical_boundary(r), canonical_boundary(1.0 / r)) else {
                        return f64::NAN;
                    };
                    let Ok(model) = TwoFeatures::new(s, r) else { return f64::NAN };
                    let tie = (model.superpose_last() - model.dedicated()).abs() / (1.0 + r);
                    1e-12 - largest([tie, (s - mirrored).abs()])
                }),
        )
        .with(
            Exact::new(gradient)
                .names(&["density", "importance", "point"])
                .input(|_, stream| {
                    let point: Vec<f64> = (0..4).map(|_| 0.7 * stream.normal()).collect();
                    Some((stream.uniform_in(0.01, 1.0), stream.normal().exp(), point))
                })
                .margin(|(s, r, point)| gradient_margin(*s, *r, point)),
        )
}

fn loss(model: &TwoFeatures, parameters: [f64; 4]) -> f64 {
    model.loss_and_gradient(&parameters, &mut [0.0; 4]).unwrap_or(f64::NAN)
}

fn gradient_margin(density: f64, importance: f64, point: &[f64]) -> f64 {
    let Ok(model) = TwoFeatures::new(density, importance) else { return f64::NAN };
    let &[w1, w2, b1, b2] = point else { return f64::NAN };
    let mut exact = [0.0; 4];
    match model.loss_and_gradient(&[w1, w2, b1, b2], &mut exact) {
        Ok(value) => {
            let error = gradient_error(|p| loss(&model, [p[0], p[1], p[2], p[3]]), point, &exact);
            1e-6 * (1.0 + value) - error
        }
        Err(_) => f64::NAN,
    }
}

fn boundaries() -> Claims {
    let canonical = Meta::counterexample(
        "superposition/canonical-boundary-of-the-optimum",
        Subject::Superposition,
        "for importances up to one half, above the canonical density the best weights and biases give the dimension to one \
         feature alone",
    )
    .code("T10")
    .source(TOY_MODELS)
    .protocol(
        "exact loss over all four parameters, multi-start quasi-Newton to a gradient of 1e-8; refuted by a point whose \
         loss is lower than that of the dedicated solution by more than 1e-4",
    );
    let first_order = Meta::counterexample(
        "superposition/first-order-for-every-importance",
        Subject::Superposition,
        "at the boundary of superposition the best weight of the second feature jumps, whatever its importance",
    )
    .code("T11")
    .source(TOY_MODELS)
    .protocol(
        "the optimised boundary by bisection to 1e-4; a jump is a second weight beyond 0.1 just below it; importances \
         0.1, 0.25, 0.5, 0.65, 0.8",
    );
    let belief = Exact::new(canonical)
        .inputs([60, 200, 600])
        .names(&["importance", "density"])
        .input(|_, stream| {
            let r = stream.uniform_in(0.1, 0.5);
            Some((r, stream.uniform_in(canonical_boundary(r).ok()?, 1.0)))
        })
        .admits(|&(r, s)| (0.1..=0.5).contains(&r) && s <= 1.0 && canonical_boundary(r).is_ok_and(|b| s > b))
        .margin(|&(r, s)| {
            let Ok(model) = TwoFeatures::new(s, r) else { return f64::NAN };
            // The stream is fixed, so that the margin is a function of the input.
            match model.optimum(STARTS, &mut RngStream::named(0, "optimum")) {
                Ok(best) => best.loss - model.dedicated() + 1e-4,
                Err(_) => f64::NAN,
            }
        });
    let meta = *belief.meta();
    Claims::new()
        .with(Study::new(meta).run(move |context| {
            let outcome = belief.run(context);
            match phase_diagram(context.by_tier([9, 19, 39])) {
                Ok(figure) => outcome.figure(figure),
                Err(_) => outcome.note("the phase diagram could not be drawn: a search did not converge"),
            }
        }))
        .with(Study::new(first_order).run(|_| {
            let mut outcome = Outcome::upheld();
            let mut trials = 0;
            for r in [0.1, 0.25, 0.5, 0.65, 0.8] {
                let found = optimised_boundary(r, 1e-4, STARTS, &mut RngStream::named(0, "boundary"));
                let boundary = match found {
                    Ok(Some(boundary)) => boundary,
                    Ok(None) => continue,
                    Err(error) => return Outcome::inconclusive(Why::Invalid(error.to_string())),
                };
                trials += 1;
                let second = boundary.below.w[1];
                outcome.notes.push(format!(
                    "importance {r}: boundary {:.4}, second weight just below it {second:.3}",
                    boundary.density
                ));
                let margin = second.abs() - 0.1;
                if margin < outcome.margin.unwrap_or(f64::INFINITY) {
                    outcome.margin = Some(margin);
                    if margin < 0.0 {
                        outcome.verdict = collimate_claims::Verdict::Refuted;
                        let [w1, w2] = boundary.below.w;
                        let [b1, b2] = boundary.below.b;
                        outcome = outcome.counterexample(format!(
                            "let (importance, density) = ({r:?}, {:?});\nlet (w, b) = ([{w1:?}, {w2:?}], [{b1:?}, {b2:?}]);",
                            boundary.density
                        ));
                    }
                }
            }
            outcome.trials(trials)
        }))
}

/// Draws both boundaries over the importance.
fn phase_diagram(points: usize) -> Result<collimate_figures::Figure, crate::SuperpositionError> {
    let importance = |i: usize| 0.1 + 0.85 * i as f64 / (points - 1) as f64;
    let (mut canonical, mut optimised) = (Vec::new(), Vec::new());
    for r in (0..points).map(importance) {
        canonical.push((r, canonical_boundary(r)?));
        // Without a boundary superposition is optimal at every density below 1.
        let found = optimised_boundary(r, 1e-4, STARTS, &mut RngStream::named(0, "boundary"))?;
        optimised.push((r, found.map_or(1.0, |b| b.density)));
    }
    Ok(Chart::new(
        "Where two features share one dimension",
        "Below a line, superposition is best. The canonical line compares three natural settings of the weights; the other \
         is the optimum over weights and biases.",
    )
    .axes("importance of the second feature", "density")
    .with(Series::line("canonical comparison", canonical))
    .with(Series::line("optimum over all parameters", optimised))
    .figure())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_near_a_corner_does_not_refute_its_gradient_and_a_wrong_gradient_does() {
        // Slope 0.0012 and bias −0.0002 of the second output.
        let (s, r) = (0.14768047193238382, 1.1667266483764787);
        let point =
            [-0.6318650790763167, -0.035078627713442834, -0.06583771955206291, -0.0002071672471989772];
        assert!(gradient_margin(s, r, &point) > 0.0);
        let model = TwoFeatures::new(s, r).unwrap();
        let mut exact = [0.0; 4];
        let value = model.loss_and_gradient(&point, &mut exact).unwrap();
        for i in 0..4 {
            let mut wrong = exact;
            wrong[i] += 1e-5;
            assert!(
                gradient_error(|p| loss(&model, [p[0], p[1], p[2], p[3]]), &point, &wrong)
                    > 1e-6 * (1.0 + value)
            );
        }
    }
}
