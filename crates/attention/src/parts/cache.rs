use crate::AttentionError;
use crate::error::check_shape;
use collimate_tensor::Scalar;
use ndarray::{Array3, ArrayRef3, ArrayView3, s};

/// Rows of some heads that grow along the sequence. They lie in one block of memory, which doubles when it is full.
#[derive(Clone, Debug)]
struct Rows<F> {
    memory: Array3<F>,
    length: usize,
}

impl<F: Scalar> Rows<F> {
    fn new(heads: usize, width: usize) -> Self {
        Self { memory: Array3::zeros((heads, 0, width)), length: 0 }
    }

    fn check(
        &self,
        name: &'static str,
        axes: &'static str,
        rows: &ArrayRef3<F>,
    ) -> Result<(), AttentionError> {
        let (heads, _, width) = self.memory.dim();
        check_shape(name, axes, &[heads, rows.dim().1, width], rows.shape())
    }

    fn append(&mut self, rows: &ArrayRef3<F>) {
        let (heads, capacity, width) = self.memory.dim();
        let length = self.length + rows.dim().1;
        if length > capacity {
            let mut larger = Array3::zeros((heads, length.next_power_of_two(), width));
            larger.slice_mut(s![.., ..self.length, ..]).assign(&self.view());
            self.memory = larger;
        }
        self.memory.slice_mut(s![.., self.length..length, ..]).assign(rows);
        self.length = length;
    }

    fn view(&self) -> ArrayView3<'_, F> {
        self.memory.slice(s![.., ..self.length, ..])
    }
}

/// The cached keys and values of all earlier tokens.
///
/// [`Attention`](crate::Attention) takes the views without a copy. Use a causal mask with the offset
/// [`Offset::KeysMinusQueries`](crate::Offset::KeysMinusQueries): the new queries have the last positions. The cache does not change
/// the keys, so rotate them before you append them.
///
/// # Shapes
/// Keys `[g, s, d]`, values `[g, s, e]`.
///
/// # Examples
/// ```
/// use collimate_attention::{Attention, KeyValueCache, Mask, Offset};
/// use ndarray::Array3;
/// let attention = Attention::scaled_dot_product().mask(Mask::causal(Offset::keys_minus_queries()));
/// let mut cache = KeyValueCache::new(1, 2, 1);
/// for step in 0..3 {
///     let row = Array3::<f64>::ones((1, 1, 2));
///     cache.append(&row, &Array3::from_elem((1, 1, 1), step as f64))?;
///     let (out, _) = attention.forward(&row, &cache.keys(), &cache.values())?;
///     assert!((out[[0, 0, 0]] - step as f64 / 2.0).abs() < 1e-15); // the mean so far
/// }
/// cache.truncate(1);
/// assert_eq!(cache.len(), 1);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyValueCache<F> {
    keys: Rows<F>,
    values: Rows<F>,
}

impl<F: Scalar> KeyValueCache<F> {
    /// Makes an empty cache for `key_heads` key heads, with keys of width `width` and values of width `value_width`.
    pub fn new(key_heads: usize, width: usize, value_width: usize) -> Self {
        Self { keys: Rows::new(key_heads, width), values: Rows::new(key_heads, value_width) }
    }

    /// Appends the keys `[g, n, d]` and values `[g, n, e]` of n tokens.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] if they do not fit the cache or each other. The cache is then not changed.
    pub fn append(&mut self, keys: &ArrayRef3<F>, values: &ArrayRef3<F>) -> Result<(), AttentionError> {
        self.keys.check("keys", "[g, n, d]", keys)?;
        self.values.check("values", "[g, n, e]", values)?;
        let (heads, rows, width) = values.dim();
        check_shape("values", "[g, n, e]", &[heads, keys.dim().1, width], &[heads, rows, width])?;
        self.keys.append(keys);
        self.values.append(values);
        Ok(())
    }

    /// Returns all cached keys `[g, s, d]`.
    pub fn keys(&self) -> ArrayView3<'_, F> {
        self.keys.view()
    }

    /// Returns all cached values `[g, s, e]`.
    pub fn values(&self) -> ArrayView3<'_, F> {
        self.values.view()
    }

    /// Returns the number of tokens.
    pub fn len(&self) -> usize {
        self.keys.length
    }

    /// Returns true if there is no token yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all tokens after the first `length`.
    pub fn truncate(&mut self, length: usize) {
        self.keys.length = self.len().min(length);
        self.values.length = self.keys.length;
    }
}

/// The cache of multi-head latent attention: one latent row and one rotated key row for each token, shared by all heads.
///
/// In the absorbed form the latent rows are both the keys and the values of one head, so the cache keeps `d_c + d_R` numbers for each token.
///
/// # Shapes
/// Latent rows `[1, s, d_c]` and rotated keys `[1, s, d_R]`: with a head axis of length 1, as attention takes them.
///
/// # Examples
/// ```
/// use collimate_attention::LatentCache;
/// use ndarray::Array3;
/// let mut cache = LatentCache::<f32>::new(512, 64);
/// cache.append(&Array3::zeros((1, 7, 512)), &Array3::zeros((1, 7, 64)))?;
/// assert_eq!((cache.latents().dim(), cache.rotary_keys().dim()), ((1, 7, 512), (1, 7, 64)));
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// DeepSeek-AI (2024), "DeepSeek-V2", section 2.1.
#[derive(Clone, Debug)]
pub struct LatentCache<F>(KeyValueCache<F>);

impl<F: Scalar> LatentCache<F> {
    /// Makes an empty cache for latent rows of width d_c and rotated keys of width d_R.
    pub fn new(latent_width: usize, rotary_width: usize) -> Self {
        Self(KeyValueCache::new(1, latent_width, rotary_width))
    }

    /// Appends latent rows `[1, n, d_c]` and rotated keys `[1, n, d_R]`.
    ///
    /// # Errors
    /// Like [`KeyValueCache::append`].
    pub fn append(
        &mut self,
        latents: &ArrayRef3<F>,
        rotary_keys: &ArrayRef3<F>,
    ) -> Result<(), AttentionError> {
        self.0.append(latents, rotary_keys)
    }

    /// Returns all cached latent rows `[1, s, d_c]`.
    pub fn latents(&self) -> ArrayView3<'_, F> {
        self.0.keys()
    }

    /// Returns all cached rotated keys `[1, s, d_R]`.
    pub fn rotary_keys(&self) -> ArrayView3<'_, F> {
        self.0.values()
    }

    /// Returns the number of tokens.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there is no token yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes all tokens after the first `length`.
    pub fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }
}
