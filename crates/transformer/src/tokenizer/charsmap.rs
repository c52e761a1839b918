//! The check of a table of normalisations as SentencePiece stores it.
//!
//! ```text
//! u32 size | size bytes: a double array of u32 units | the replacements, each ended by a zero byte
//! unit:  bits 0–7 and 31 label, bit 8 has a value, bits 10–30 offset (shifted left by 8 more if bit 9 is set); of a value: bits 0–30
//! ```
//!
//! The library that applies a table indexes it without a check. So every place that a text could lead to is checked here.

/// The number of labels of a unit.
const LABELS: usize = 256;

/// Checks that no text leads outside the table.
///
/// # Errors
/// The reason, for a table that is cut off or that points outside itself.
pub(super) fn check(table: &[u8]) -> Result<(), String> {
    let cut_off = || format!("the table of normalisations is cut off after {} bytes", table.len());
    let (size, rest) = table.split_first_chunk::<4>().ok_or_else(cut_off)?;
    let size = u32::from_le_bytes(*size) as usize;
    if size > rest.len() {
        return Err(cut_off());
    }
    let (units, replacements) = rest.split_at(size);
    if size == 0 || !size.is_multiple_of(4 * LABELS) {
        return Err(format!("a double array of {size} bytes is no whole number of blocks of {}", 4 * LABELS));
    }
    let replacements = std::str::from_utf8(replacements)
        .map_err(|error| format!("the replacements of normalisations are not UTF-8: {error}"))?;
    let units: Vec<usize> =
        units.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit) as usize).collect();
    // A step reaches the root, and units whose label is a byte other than zero. Values have bit 31 set.
    let reached = |&(index, unit): &(usize, &usize)| index == 0 || unit >> 31 == 0 && unit & 0xff != 0;
    for (index, unit) in units.iter().enumerate().filter(reached) {
        let offset = (unit >> 10) << ((unit & (1 << 9)) >> 6);
        let base = if index == 0 { offset } else { index ^ offset };
        // The next step adds a label by exclusive or, so it stays within the block of the base.
        if base >= units.len() {
            return Err(format!("unit {index} of the double array points to {base} of {}", units.len()));
        }
        if unit >> 8 & 1 == 1 && index != 0 {
            let value = units[base] & ((1 << 31) - 1);
            if !replacements.is_char_boundary(value) {
                return Err(format!("unit {index} of the double array has no replacement at {value}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    /// A table in which `a` becomes `b`: the root leads to unit 'a', whose value lies at the base of that unit.
    fn table() -> Vec<u8> {
        let mut units = vec![0_u32; 512];
        units[0] = 256 << 10;
        let a = 256 ^ usize::from(b'a');
        // The value lies at index a ^ offset.
        units[a] = u32::from(b'a') | 1 << 8 | 1 << 10;
        units[a ^ 1] = 1 << 31;
        let mut out = (4 * units.len() as u32).to_le_bytes().to_vec();
        units.iter().for_each(|unit| out.extend(unit.to_le_bytes()));
        out.extend(b"b\0");
        out
    }

    #[test]
    fn a_table_is_applied_as_the_library_does() {
        use tokenizers::normalizers::Precompiled;
        check(&table()).unwrap();
        assert_eq!(Precompiled::from(&table()).unwrap().normalize_string("cab"), "cbb");
    }

    #[test]
    fn tables_that_point_outside_themselves_are_refused() {
        let good = table();
        let unit = |index: usize, value: u32| {
            let mut bad = good.clone();
            bad[4 + 4 * index..8 + 4 * index].copy_from_slice(&value.to_le_bytes());
            bad
        };
        let a = 256 ^ usize::from(b'a');
        let mut hostile_size = good.clone();
        hostile_size[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut not_text = good.clone();
        not_text.push(0xff);
        for (bad, reason) in [
            (good[..3].to_vec(), "cut off"),
            (good[..2000].to_vec(), "cut off"),
            (hostile_size, "cut off"),
            (vec![0; 4], "no whole number"),
            (not_text, "not UTF-8"),
            (unit(0, 512 << 10), "points to 512"),
            (unit(a, u32::from(b'a') | 1 << 9 | 8 << 10), "points to"),
            (unit(a ^ 1, 1 << 31 | 3), "no replacement at 3"),
        ] {
            let error = check(&bad).unwrap_err();
            assert!(error.contains(reason), "{error} (expected {reason})");
        }
    }
}
