use super::scalar::SamplerScalar;
use super::target::Target;
use collimate_grad::Scratch;
use collimate_stream::RngStream;

/// The largest number of steps from a point of the box to a valley of the loss.
const DESCENT: usize = 300;
/// The number of draws after which a point with a finite loss is given up.
const REDRAWS: usize = 50;

/// Returns the starting points of chains.
///
/// On a box without localisation the expectation is that over the whole box, so the chains must not all start in the basin of the
/// centre. The first one starts there. The others start at points that are spread over the box, one in each of equal slices of each
/// coordinate, and descend from there along the gradient into a valley of the loss. Otherwise all chains start at the centre.
///
/// # Determinism
/// The points follow from `stream` alone.
pub(super) fn starting_points<F: SamplerScalar>(
    target: &Target<'_, F>,
    chains: usize,
    stream: &mut RngStream,
) -> Vec<Vec<F>> {
    let mut points = vec![target.centre.clone(); chains];
    let Some((low, high, _)) = &target.walls else { return points };
    if target.gamma > 0.0 || chains < 2 {
        return points;
    }
    let slices = chains - 1;
    // One order of the slices for each coordinate, so that the points are spread in all of them.
    let orders: Vec<Vec<usize>> = low.iter().map(|_| stream.permutation(slices)).collect();
    for (k, point) in points[1..].iter_mut().enumerate() {
        for _ in 0..REDRAWS {
            for i in (0..point.len()).filter(|&i| target.moves(i)) {
                let share = (orders[i][k] as f64 + stream.uniform()) / slices as f64;
                let (low, high) = (low[i].to_f64(), high[i].to_f64());
                point[i] = F::from_f64(low + share * (high - low));
            }
            if descend(target, point) {
                break;
            }
            point.copy_from_slice(&target.centre);
        }
    }
    points
}

/// Moves a point along the gradient within the box, until nβ L falls by less than 1 in ten steps. Returns false if the loss at the
/// point is not finite.
fn descend<F: SamplerScalar>(target: &Target<'_, F>, point: &mut [F]) -> bool {
    let (mut scratch, mut gradient) = (Scratch::new(), vec![F::zero(); point.len()]);
    let mut loss = target.full(point, &mut scratch, &mut gradient);
    if !loss.is_finite() {
        return false;
    }
    let (mut next, mut slope) = (point.to_vec(), gradient.clone());
    let (mut rate, mut checked) = (0.1, loss);
    for step in 1..=DESCENT {
        for i in (0..point.len()).filter(|&i| target.moves(i)) {
            let moved = point[i].to_f64() - rate * gradient[i].to_f64();
            next[i] = F::from_f64(match &target.walls {
                Some((low, high, _)) => moved.clamp(low[i].to_f64(), high[i].to_f64()),
                None => moved,
            });
        }
        let found = target.full(&next, &mut scratch, &mut slope);
        if found < loss && slope.iter().all(|x| x.is_finite()) {
            loss = found;
            point.copy_from_slice(&next);
            std::mem::swap(&mut gradient, &mut slope);
            rate *= 2.0;
        } else {
            rate /= 4.0;
        }
        if step % 10 == 0 {
            if target.n_beta * (checked - loss) < 1.0 {
                break;
            }
            checked = loss;
        }
    }
    true
}
