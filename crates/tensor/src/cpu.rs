use std::sync::OnceLock;

/// The instructions that the kernels use. They are detected at run time, so the build needs no compiler flags.
///
/// The environment variable `COLLIMATE_CPU` (`portable`, `avx2` or `avx512`) lowers the level, to measure or to reproduce
/// results of a smaller processor. It is read once and cannot raise the level.
///
/// # Determinism
/// One binary at one level gives the same bits each time. Record the level with results that should be compared.
///
/// # Examples
/// ```
/// use collimate_tensor::CpuLevel;
/// assert!(CpuLevel::current() <= CpuLevel::detected());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CpuLevel {
    /// The instructions that every processor of the architecture has.
    Portable,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl CpuLevel {
    /// Returns the highest level that this processor supports.
    pub fn detected() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx2 && avx512 {
                return Self::Avx512;
            }
            if avx2 {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// Returns the level in use: the detected one, unless `COLLIMATE_CPU` lowers it.
    pub fn current() -> Self {
        static LEVEL: OnceLock<CpuLevel> = OnceLock::new();
        *LEVEL.get_or_init(|| {
            let wish = std::env::var("COLLIMATE_CPU").unwrap_or_default();
            let wish = match wish.to_ascii_lowercase().as_str() {
                "portable" => Self::Portable,
                "avx2" => Self::Avx2,
                _ => Self::Avx512,
            };
            wish.min(Self::detected())
        })
    }

    /// Returns the name under which results record the level.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}
