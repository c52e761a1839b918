use collimate_measure::{WrongLength, same_length};

/// Returns the effective sample size of chains of one quantity, by Geyer's initial monotone sequence.
///
/// It is the number of independent draws that would give an equally precise mean.
///
/// ```text
/// ESS = M N / τ,   τ = −1 + 2 Σ_k min-so-far(ρ_2k + ρ_2k+1) while positive
/// ρ_t = 1 − (W − mean_m s_m²(t)) / var⁺,   var⁺ = (N−1)/N W + B/N
/// ```
///
/// The variance between chains enters `var⁺`, so chains that disagree have a small effective size. The result is NaN if the
/// draws do not vary, or if a chain has fewer than four of them.
///
/// # Errors
/// [`WrongLength`] if the chains differ in length.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// let mut stream = RngStream::new(1, 0);
/// let chains: Vec<Vec<f64>> = (0..4).map(|_| (0..1000).map(|_| stream.normal()).collect()).collect();
/// let ess = collimate_slt::effective_sample_size(&chains)?;
/// assert!((3200.0..4800.0).contains(&ess)); // independent draws: near 4000
/// assert!(collimate_slt::effective_sample_size(&[vec![1.0; 5], vec![1.0; 6]]).is_err());
/// # Ok::<(), collimate_slt::WrongLength>(())
/// ```
///
/// # References
/// Geyer (1992), section 3.3; Vehtari et al. (2021), eq. 10–13.
pub fn effective_sample_size(chains: &[Vec<f64>]) -> Result<f64, WrongLength> {
    let Some((within, total)) = variances(chains)? else { return Ok(f64::NAN) };
    let n = chains[0].len();
    let means: Vec<f64> = chains.iter().map(|chain| mean(chain)).collect();
    let correlation = |lag: usize| {
        let covariance = |(chain, mu): (&Vec<f64>, &f64)| {
            let products = chain.iter().zip(&chain[lag..]).map(|(a, b)| (a - mu) * (b - mu));
            products.sum::<f64>() / n as f64
        };
        let average = chains.iter().zip(&means).map(covariance).sum::<f64>() / chains.len() as f64;
        1.0 - (within - average) / total
    };
    let (mut sum, mut smallest) = (0.0, f64::INFINITY);
    let mut lag = 0;
    while lag + 1 < n {
        // At lag 0 the correlation is 1 by definition. The estimate above would differ by 1/n.
        let pair = if lag == 0 { 1.0 } else { correlation(lag) } + correlation(lag + 1);
        if pair <= 0.0 {
            break;
        }
        smallest = pair.min(smallest);
        sum += smallest;
        lag += 2;
    }
    let draws = (chains.len() * n) as f64;
    // Antithetic chains can be better than independent draws, but the factor is bounded at this length.
    Ok(draws / (2.0 * sum - 1.0).max(1.0 / draws.log10().max(1.0)))
}

/// Returns split R̂, the ratio of the spread of all draws to that of each half chain. It is near 1 if the chains agree.
///
/// ```text
/// R̂ = √(var⁺/W)   over the halves of all chains
/// ```
///
/// The result is NaN if the draws do not vary, or if a half chain has fewer than four of them.
///
/// # Errors
/// [`WrongLength`] if the chains differ in length.
///
/// # References
/// Gelman et al. (2013), section 11.4.
pub fn split_r_hat(chains: &[Vec<f64>]) -> Result<f64, WrongLength> {
    equal_lengths(chains)?;
    let halves: Vec<Vec<f64>> = chains
        .iter()
        .flat_map(|chain| {
            let half = chain.len() / 2;
            [chain[..half].to_vec(), chain[chain.len() - half..].to_vec()]
        })
        .collect();
    Ok(variances(&halves)?.map_or(f64::NAN, |(within, total)| (total / within).sqrt()))
}

/// Returns (W, var⁺), or `None` if the draws do not vary or a chain has fewer than four.
fn variances(chains: &[Vec<f64>]) -> Result<Option<(f64, f64)>, WrongLength> {
    let n = equal_lengths(chains)?;
    if n < 4 {
        return Ok(None);
    }
    let means: Vec<f64> = chains.iter().map(|chain| mean(chain)).collect();
    let spread =
        |x: &[f64], mu: f64| x.iter().map(|x| (x - mu) * (x - mu)).sum::<f64>() / (x.len() as f64 - 1.0);
    let within =
        chains.iter().zip(&means).map(|(chain, &mu)| spread(chain, mu)).sum::<f64>() / chains.len() as f64;
    let between = if chains.len() > 1 { spread(&means, mean(&means)) } else { 0.0 };
    let total = (n as f64 - 1.0) / n as f64 * within + between;
    Ok((within > 0.0 && total.is_finite()).then_some((within, total)))
}

/// Returns the length of all chains, 0 without a chain.
pub(super) fn equal_lengths(chains: &[Vec<f64>]) -> Result<usize, WrongLength> {
    let n = chains.first().map_or(0, Vec::len);
    chains.iter().try_for_each(|chain| same_length("a chain", n, chain.len()))?;
    Ok(n)
}

/// Returns the mean.
pub(crate) fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// Returns the integrated autocorrelation time in draws, `M N / ESS`.
///
/// # Errors
/// [`WrongLength`] if the chains differ in length.
pub fn autocorrelation_time(chains: &[Vec<f64>]) -> Result<f64, WrongLength> {
    Ok(chains.iter().map(Vec::len).sum::<usize>() as f64 / effective_sample_size(chains)?)
}

/// The mean of a quantity over chains, with its Monte-Carlo error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChainMean {
    /// The mean.
    pub value: f64,
    /// The standard error `sd/√ESS`, or NaN if the draws do not vary.
    pub standard_error: f64,
    /// The effective sample size.
    pub ess: f64,
}

impl ChainMean {
    /// Computes the mean over chains of equal length.
    ///
    /// # Errors
    /// [`WrongLength`] if the chains differ in length.
    ///
    /// # Examples
    /// ```
    /// use collimate_slt::ChainMean;
    /// let found = ChainMean::of(&[vec![1.0, 3.0, 2.0, 2.0, 1.0, 3.0], vec![3.0, 1.0, 2.0, 2.0, 3.0, 1.0]])?;
    /// assert_eq!(found.value, 2.0);
    /// # Ok::<(), collimate_slt::WrongLength>(())
    /// ```
    pub fn of(chains: &[Vec<f64>]) -> Result<Self, WrongLength> {
        let means: Vec<f64> = chains.iter().map(|chain| mean(chain)).collect();
        let value = mean(&means);
        let draws = chains.iter().map(Vec::len).sum::<usize>() as f64;
        let squares: f64 = chains.iter().flatten().map(|x| (x - value) * (x - value)).sum();
        let ess = effective_sample_size(chains)?;
        Ok(Self { value, standard_error: (squares / (draws - 1.0) / ess).sqrt(), ess })
    }

    /// Computes the covariance of two quantities along the same draws, with its Monte-Carlo error.
    ///
    /// # Errors
    /// [`WrongLength`] if the two differ in shape, or chains in length.
    pub fn covariance(a: &[Vec<f64>], b: &[Vec<f64>]) -> Result<Self, WrongLength> {
        same_length("the second quantity", a.len(), b.len())?;
        let centre = |chains: &[Vec<f64>]| mean(&chains.iter().map(|c| mean(c)).collect::<Vec<_>>());
        let (centre_a, centre_b) = (centre(a), centre(b));
        let product = |(a, b): (&Vec<f64>, &Vec<f64>)| {
            same_length("a chain of the second quantity", a.len(), b.len())?;
            Ok(a.iter().zip(b).map(|(a, b)| (a - centre_a) * (b - centre_b)).collect())
        };
        let products = a.iter().zip(b).map(product).collect::<Result<Vec<Vec<f64>>, WrongLength>>()?;
        Self::of(&products)
    }
}
