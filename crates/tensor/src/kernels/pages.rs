//! Large pages for large arrays.

/// The size of a large page. On a system with another size the advice has less effect, but is never wrong.
const LARGE: usize = 2 << 20;

/// Asks the system to back fresh memory with large pages, so that one page fault replaces 512.
///
/// This is advice: it changes no number, and a system without free large pages uses small ones.
pub(crate) fn advise<T>(memory: &mut [T]) {
    #[cfg(target_os = "linux")]
    {
        let range = memory.as_mut_ptr_range();
        let (start, end) = (range.start as usize, range.end as usize);
        // Only whole large pages; the rest stays in small pages.
        let (first, last) = (start.next_multiple_of(LARGE), end / LARGE * LARGE);
        if first < last {
            // SAFETY: the range lies within memory that is borrowed mutably; the advice changes neither its content nor who may
            // read and write it, and a failure is of no consequence.
            unsafe {
                let from = memory.as_mut_ptr().cast::<u8>().add(first - start);
                libc::madvise(from.cast(), last - first, libc::MADV_HUGEPAGE);
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (memory, LARGE);
}

/// Asks the allocator to keep freed memory for the next array instead of returning it to the system.
pub(crate) fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // The largest threshold that the library accepts, and no return of less than 2 GiB.
        let (mapped, trimmed) = (32 << 20, i32::MAX);
        // SAFETY: both calls set a number of the allocator, under its own lock.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, mapped);
            libc::mallopt(libc::M_TRIM_THRESHOLD, trimmed);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn advice_changes_no_number() {
        for length in [0, 1, 1 << 19, (3 << 20) + 5] {
            let mut numbers: Vec<f32> = (0..length).map(|i| i as f32).collect();
            super::advise(&mut numbers);
            assert!(numbers.iter().enumerate().all(|(i, &x)| x == i as f32));
            let mut zeros = vec![0.0_f64; length];
            super::advise(&mut zeros[..]);
            assert!(zeros.iter().all(|&x| x == 0.0));
            zeros.fill(1.0);
            assert_eq!(zeros.iter().sum::<f64>(), length as f64);
        }
    }
}
