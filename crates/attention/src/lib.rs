//! Attention variants, composed and trusted.
