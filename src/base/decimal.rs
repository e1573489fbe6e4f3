//! Numbers in decimal digits without the formatter, which costs more than the rest of a line.

/// A number in decimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    /// The last of them; those before `start` mean nothing.
    digits: [u8; 20],
    start: usize,
}

impl Decimal {
    /// The digits of `value`.
    #[inline]
    pub fn of(value: u64) -> Decimal {
        let (mut digits, mut start, mut rest) = ([0; 20], 20, value);
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return Decimal { digits, start };
            }
        }
    }

    /// The digits, most significant first.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}
