use collimate_stream::RngStream;

/// Computes a statistic on resampled documents: `n_documents` documents are drawn with replacement for each replicate.
///
/// Documents are the unit because the tokens of one document are not independent. The statistics of two objects on one draw give a
/// paired comparison.
///
/// # Examples
/// ```
/// use collimate_studies::document_bootstrap;
/// let x = [1.0, 2.0, 3.0, 4.0];
/// let mean = |drawn: &[usize]| drawn.iter().map(|&i| x[i]).sum::<f64>() / drawn.len() as f64;
/// let replicates = document_bootstrap(4, 2000, &mut collimate_stream::RngStream::new(0, 0), mean);
/// let centre = replicates.iter().sum::<f64>() / 2000.0;
/// assert!((centre - 2.5).abs() < 0.05); // the mean of the sample; one replicate has standard deviation 0.56
/// ```
///
/// # References
/// Efron (1979); Davison and Hinkley (1997), section 3.8 on resampling of clusters.
pub fn document_bootstrap(
    n_documents: usize,
    replicates: usize,
    stream: &mut RngStream,
    statistic: impl Fn(&[usize]) -> f64,
) -> Vec<f64> {
    let mut drawn = vec![0; n_documents];
    (0..replicates)
        .map(|_| {
            drawn.iter_mut().for_each(|i| *i = stream.below(n_documents));
            statistic(&drawn)
        })
        .collect()
}
