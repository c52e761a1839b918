use collimate_measure::{OutOfRange, ensure};
use collimate_stream::RngStream;

/// The prime modulo which ranks are computed, 2⁶¹ − 1.
const PRIME: u64 = (1 << 61) - 1;

/// Computes the rank of the Jacobian of a network of squared units at a generic point.
///
/// ```text
/// f_o(x) = Σ_h a_oh (w_h·x)²,   x of d inputs, H units, c outputs
/// ```
///
/// The outputs are quadratic forms, so the Jacobian has c·d(d + 1)/2 rows and H(d + c) columns. At a regular point of the true map, the
/// learning coefficient is half this rank. For one output it is Hd − H(H − 1)/2 up to H = d. For several outputs it is the smaller of
/// H(d + c − 1) and c·d(d + 1)/2, with exceptions such as c = 3, d = 4, H = 5.
///
/// The rank is computed in integers modulo 2⁶¹ − 1 at two random points, and the larger one is returned. A point gives a smaller rank than
/// the generic one with a probability below H(d + c)·3/2⁶¹, by the lemma of Schwartz and Zippel.
///
/// # Errors
/// [`OutOfRange`] for a size of 0 or above 32.
///
/// # Examples
/// ```
/// use collimate_studies::development::quadratic_network_rank;
/// assert_eq!(quadratic_network_rank(3, 2, 1)?, 5); // 2·3 − 1
/// assert_eq!(quadratic_network_rank(4, 5, 3)?, 29); // and not 5·6 = 30
/// # Ok::<(), collimate_measure::OutOfRange>(())
/// ```
pub fn quadratic_network_rank(inputs: usize, units: usize, outputs: usize) -> Result<usize, OutOfRange> {
    for (argument, size) in [("the inputs", inputs), ("the units", units), ("the outputs", outputs)] {
        ensure((1..=32).contains(&size), argument, "in 1..=32", size as f64)?;
    }
    let mut stream = RngStream::named(0, "points of a network of squared units");
    Ok((0..2).map(|_| rank_at_random(inputs, units, outputs, &mut stream)).max().unwrap_or(0))
}

/// Returns the rank at one random point modulo the prime.
fn rank_at_random(inputs: usize, units: usize, outputs: usize, stream: &mut RngStream) -> usize {
    let mut random = |n: usize| -> Vec<u64> { (0..n).map(|_| stream.bits() % PRIME).collect() };
    let (w, a) = (random(units * inputs), random(outputs * units));
    let monomials: Vec<(usize, usize)> = (0..inputs).flat_map(|i| (i..inputs).map(move |j| (i, j))).collect();
    let mut columns = Vec::new();
    for h in 0..units {
        let w = &w[h * inputs..(h + 1) * inputs];
        // The derivative by w_hk of the coefficient of x_i x_j, up to the factor 2, which changes no rank.
        for k in 0..inputs {
            let column = (0..outputs).flat_map(|o| {
                let a = a[o * units + h];
                monomials.iter().map(move |&(i, j)| {
                    // (w·x)² has w_i² at x_i² and 2 w_i w_j at x_i x_j: halved derivatives are w_i, or w_j and w_i.
                    let part = match (k == i, k == j) {
                        (true, true) => w[i],
                        (true, false) => w[j],
                        (false, true) => w[i],
                        (false, false) => 0,
                    };
                    times(a, part)
                })
            });
            columns.push(column.collect::<Vec<u64>>());
        }
        for of in 0..outputs {
            let column = (0..outputs).flat_map(|o| {
                monomials.iter().map(move |&(i, j)| {
                    let square = times(w[i], w[j]);
                    let coefficient = if i == j { square } else { times(2, square) };
                    if o == of { coefficient } else { 0 }
                })
            });
            columns.push(column.collect());
        }
    }
    rank(columns)
}

/// Returns a·b modulo the prime.
fn times(a: u64, b: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(PRIME)) as u64
}

/// Returns 1/a modulo the prime, by Fermat's theorem.
fn inverse(a: u64) -> u64 {
    let (mut result, mut power, mut exponent) = (1, a, PRIME - 2);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = times(result, power);
        }
        power = times(power, power);
        exponent >>= 1;
    }
    result
}

/// Returns the rank of vectors modulo the prime, by Gaussian elimination.
fn rank(mut vectors: Vec<Vec<u64>>) -> usize {
    let length = vectors.first().map_or(0, Vec::len);
    let mut rank = 0;
    for place in 0..length {
        let Some(pivot) = (rank..vectors.len()).find(|&row| vectors[row][place] != 0) else { continue };
        vectors.swap(rank, pivot);
        let (done, rest) = vectors.split_at_mut(rank + 1);
        let pivot = &done[rank];
        let scale = inverse(pivot[place]);
        for row in rest.iter_mut().filter(|row| row[place] != 0) {
            let factor = PRIME - times(row[place], scale);
            for (x, p) in row[place..].iter_mut().zip(&pivot[place..]) {
                *x = (*x + times(factor, *p)) % PRIME;
            }
        }
        rank += 1;
    }
    rank
}
