//! Whole numbers within a range, as options and list files take them.

use std::ops::RangeInclusive;

/// The number that `text` is, decimal digits only and within `range`; otherwise none.
pub fn whole(text: &str, range: RangeInclusive<u32>) -> Option<u32> {
    // `parse` alone would accept a sign.
    let is_digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| is_digits && range.contains(number))
}
