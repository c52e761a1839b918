use crate::arranged::arrangement::{Arranged, ArrangedForward, Arrangement, typed};
use crate::arranged::crosscoder::LayeredCrosscoder;
use crate::arranged::temporal::TemporalDictionary;
use crate::arranged::transcoder::LayeredTranscoder;
use crate::dictionary::{Dictionary, Target};
use crate::error::SaeError;
use crate::precision::Precision;
use collimate_measure::Fingerprint;
use ndarray::{ArrayRef, ArrayViewD, Ix2, IxDyn};

/// The list of the architectures. A new one is a file that implements `Arranged`, and a line here.
macro_rules! architectures {
    ($($(#[$doc:meta])* $name:ident($kind:ident),)*) => {
        /// A dictionary of any architecture, with one way to encode and to reconstruct.
        ///
        /// `formats::read_any` (feature `files`) returns it for every readable file.
        ///
        /// # Examples
        /// ```
        /// use collimate_sae::{AnyDictionary, Arrangement, RngStream, Sae, Size, TopK};
        /// let size = Size { d_model: 4, n_latents: 8 };
        /// let sae = Sae::<f64>::new(TopK::new(2), size, &mut RngStream::new(1, 0))?;
        /// let any = AnyDictionary::from(sae.dictionary().clone());
        /// assert_eq!(any.arrangement(), Arrangement::Rows);
        /// let x = ndarray::array![[1.0, 0.5, -0.25, 0.0]].into_dyn();
        /// let out = any.forward(&x)?;
        /// assert_eq!((out.code_axes, out.codes.n_stored()), (vec![1], 2));
        /// # Ok::<(), collimate_sae::SaeError>(())
        /// ```
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum AnyDictionary<F> {
            $($(#[$doc])* $name($kind<F>),)*
        }

        $(
            impl<F> From<$kind<F>> for AnyDictionary<F> {
                fn from(dictionary: $kind<F>) -> Self {
                    Self::$name(dictionary)
                }
            }
        )*

        impl<F: Precision> AnyDictionary<F> {
            fn arranged(&self) -> &dyn Arranged<F> {
                match self { $(Self::$name(dictionary) => dictionary,)* }
            }
        }
    };
}

architectures! {
    /// A dictionary of single rows: an autoencoder, or a transcoder of one layer.
    Rows(Dictionary),
    /// A transcoder for each layer, with or without an effect on the layers after it.
    Transcoder(LayeredTranscoder),
    /// One code for several layers, or for the same layer of several models.
    Crosscoder(LayeredCrosscoder),
    /// A dictionary that predicts the codes of a position from the positions before it.
    Temporal(TemporalDictionary),
}

impl<F: Precision> AnyDictionary<F> {
    /// Returns the name of the architecture, for messages.
    pub fn name(&self) -> &'static str {
        self.arranged().name()
    }

    /// Returns the axes of the input.
    pub fn arrangement(&self) -> Arrangement {
        self.arranged().arrangement()
    }

    /// Returns the width of the input, the last axis of `x`.
    pub fn d_in(&self) -> usize {
        self.arranged().widths()[0]
    }

    /// Returns the width of the output, the last axis of the reconstruction.
    pub fn d_out(&self) -> usize {
        self.arranged().widths()[1]
    }

    /// Returns the number of latents in one row of codes. A layered transcoder has this number in each layer.
    pub fn n_latents(&self) -> usize {
        self.arranged().n_latents()
    }

    /// Returns the properties besides the sizes, such as the activation, as pairs of a name and a value.
    pub fn properties(&self) -> Vec<(&'static str, String)> {
        self.arranged().properties()
    }

    /// Computes the fingerprint of everything that determines the codes and the reconstruction.
    pub fn fingerprint(&self) -> Fingerprint {
        self.arranged().fingerprint()
    }

    /// Computes the codes and the reconstruction of an input with the axes of [`AnyDictionary::arrangement`].
    ///
    /// # Shapes
    /// `x` as [`AnyDictionary::arrangement`] says. The reconstruction has the same axes, with the width of the output.
    ///
    /// # Errors
    /// [`SaeError::Mismatch`] for other axes, another number of layers or another width; [`SaeError::NonFiniteInput`] for NaN
    /// or infinity, with the row counted over all leading axes.
    ///
    /// # Determinism
    /// The same bits on any number of threads. For members that select over the batch and have no threshold, the codes of a
    /// row depend on the rows that are encoded with it.
    pub fn forward(&self, x: &ArrayRef<F, IxDyn>) -> Result<ArrangedForward<F>, SaeError> {
        self.arranged().forward_any(x)
    }
}

impl<F: Precision> Arranged<F> for Dictionary<F> {
    fn name(&self) -> &'static str {
        match self.target() {
            Target::Input => "autoencoder",
            Target::Other => "transcoder",
        }
    }

    fn arrangement(&self) -> Arrangement {
        Arrangement::Rows
    }

    fn widths(&self) -> [usize; 2] {
        [self.size().d_model, self.d_out()]
    }

    fn n_latents(&self) -> usize {
        self.size().n_latents
    }

    fn properties(&self) -> Vec<(&'static str, String)> {
        vec![("activation", self.variant().name().to_owned())]
    }

    fn fingerprint(&self) -> Fingerprint {
        Dictionary::fingerprint(self)
    }

    fn forward_checked(&self, x: ArrayViewD<'_, F>) -> Result<ArrangedForward<F>, SaeError> {
        let out = self.forward(&typed::<F, Ix2>(x))?;
        Ok(ArrangedForward {
            code_axes: vec![out.codes.n_rows()],
            codes: out.codes,
            reconstruction: out.reconstruction.into_dyn(),
            predicted: None,
        })
    }
}
