//! What `loadbalancer ctl` has set of one server, beside what the list says of it.

use std::fmt;
use std::str::FromStr;

/// Least and most weight of a server, as in the list.
const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=1000;

/// Whether a server takes requests, as an operator wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    Up,
    /// No new request; what is in flight ends.
    Drain,
    /// As `Drain`, and it is not probed.
    Down,
}

impl Wish {
    /// The word of the command.
    pub fn word(self) -> &'static str {
        match self {
            Wish::Up => "up",
            Wish::Drain => "drain",
            Wish::Down => "down",
        }
    }

    /// The wish that a word stands for.
    pub fn from_word(word: &str) -> Option<Wish> {
        [Wish::Up, Wish::Drain, Wish::Down].into_iter().find(|wish| wish.word() == word)
    }
}

/// What was set by hand; what is none is as the list says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ByHand {
    pub wish: Option<Wish>,
    /// 1 to 1000.
    pub weight: Option<u32>,
}

impl ByHand {
    /// Nothing was set.
    pub fn is_none(self) -> bool {
        self == ByHand::default()
    }
}

/// A weight as a number of its range.
pub fn weight(text: &str) -> Option<u32> {
    text.parse().ok().filter(|weight| WEIGHTS.contains(weight))
}

/// Words of a list: `drain weight=5`; nothing for nothing.
impl fmt::Display for ByHand {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.wish.map_or("", Wish::word);
        match self.weight {
            Some(weight) if word.is_empty() => write!(out, "weight={weight}"),
            Some(weight) => write!(out, "{word} weight={weight}"),
            None => out.write_str(word),
        }
    }
}

impl FromStr for ByHand {
    type Err = ();

    fn from_str(text: &str) -> Result<ByHand, ()> {
        let mut by_hand = ByHand::default();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            match word.strip_prefix("weight=") {
                Some(number) => by_hand.weight = Some(weight(number).ok_or(())?),
                None => by_hand.wish = Some(Wish::from_word(word).ok_or(())?),
            }
        }
        Ok(by_hand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for (wish, weight, expected) in [
            (None, None, ""),
            (Some(Wish::Drain), None, "drain"),
            (Some(Wish::Up), Some(1000), "up weight=1000"),
            (None, Some(1), "weight=1"),
        ] {
            let by_hand = ByHand { wish, weight };
            assert_eq!(by_hand.to_string(), expected);
            assert_eq!(expected.parse(), Ok(by_hand));
        }
    }

    #[test]
    fn other_words_are_refused() {
        for text in ["weight=0", "weight=1001", "weight=x", "backup", "drain,down"] {
            assert_eq!(text.parse::<ByHand>(), Err(()), "{text}");
        }
    }
}
