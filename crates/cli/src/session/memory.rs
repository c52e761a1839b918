//! The memory that options ask for.

use anyhow::ensure;

/// The memory that is assumed where the system does not tell it, in bytes.
const ASSUMED: u64 = 16 << 30;

/// Returns an error if options ask for more memory than the machine has free. `options` names them.
///
/// A system promises more memory than it has, and then ends the program without a message.
pub(crate) fn affordable(options: &str, bytes: &[usize]) -> anyhow::Result<()> {
    let needed = bytes.iter().fold(1_u64, |product, &size| product.saturating_mul(size as u64));
    let free = free().unwrap_or(ASSUMED);
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    ensure!(
        needed <= free,
        "{options}: about {:.1} GB of memory are needed, but {:.1} GB are free; choose a smaller size",
        gigabytes(needed),
        gigabytes(free)
    );
    Ok(())
}

/// Returns the number of bytes that a new program can use, as Linux tells it.
fn free() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_beyond_all_memory_is_refused_with_its_option() {
        affordable("--latents", &[1000, 64]).expect("64 kB");
        for sizes in [&[usize::MAX, 2][..], &[1 << 30, 1 << 20]] {
            let error = affordable("--latents", sizes).expect_err("too large").to_string();
            assert!(error.starts_with("--latents: about") && error.contains("smaller"), "{error}");
        }
    }
}
