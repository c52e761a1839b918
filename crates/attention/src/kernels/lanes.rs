use collimate_tensor::CpuLevel;

/// Returns the numbers in a vector at a level, for numbers of `bytes` bytes. Rows of tiles are whole vectors.
pub(crate) fn lanes(level: CpuLevel, bytes: usize) -> usize {
    match level {
        CpuLevel::Avx512 => 64 / bytes,
        _ => 32 / bytes,
    }
}

/// Returns the number of vectors side by side in the widest product whose sums stay in registers.
pub(crate) fn vectors(level: CpuLevel) -> usize {
    match level {
        CpuLevel::Avx512 => 4,
        CpuLevel::Avx2 => 2,
        _ => 1,
    }
}

/// Returns `columns` rounded up to whole vectors of the level in use.
pub(crate) fn whole<F>(columns: usize) -> usize {
    columns.next_multiple_of(lanes(CpuLevel::current(), size_of::<F>()))
}
