//! The name a mistyped one was probably meant to be. Does not know what the names stand for.

/// Longest word compared; longer ones are no typing slips.
const WORD_CHARS_MAX: usize = 40;

/// Fewest characters of a word that may stand for a longer name containing it.
const PART_CHARS_MIN: usize = 4;

/// The candidate nearest to `word`: at most a third of its letters (at least one) changed, added,
/// dropped or swapped; or else the only candidate that contains it.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> = word.chars().take(WORD_CHARS_MAX + 1).collect();
    if letters.is_empty() || letters.len() > WORD_CHARS_MAX {
        return None;
    }
    let slips_max = (letters.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    let mut containing = Vec::new();
    for name in candidates {
        let slips = distance(&letters, name);
        // A slip must leave something: `x` is not a mistyped `p`.
        let is_near = slips <= slips_max && slips < letters.len();
        if is_near && best.is_none_or(|(least, _)| slips < least) {
            best = Some((slips, name));
        }
        if letters.len() >= PART_CHARS_MIN && name.contains(word) {
            containing.push(name);
        }
    }
    match (best, &containing[..]) {
        (Some((_, name)), _) => Some(name),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

/// Edits from one word to the other, a swap of neighbours counting once (optimal string
/// alignment).
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 6] = [
        "strategy",
        "retries",
        "check-interval",
        "head-timeout",
        "idle-timeout",
        "demo",
    ];

    #[test]
    fn slips_find_the_name_meant() {
        let table = [
            ("stratgy", Some("strategy")),
            ("strategie", Some("strategy")),
            ("retrys", Some("retries")),
            ("dmeo", Some("demo")),
            ("demo", Some("demo")),
            ("head-timout", Some("head-timeout")),
            ("interval", Some("check-interval")),
            ("timeout", None),
            ("port", None),
            ("x", None),
            ("", None),
        ];
        for (word, expected) in table {
            assert_eq!(nearest(word, NAMES.into_iter()), expected, "{word}");
        }
    }

    #[test]
    fn distance_counts_edits() {
        let table = [
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
        ];
        for (a, b, expected) in table {
            let letters: Vec<char> = a.chars().collect();
            assert_eq!(distance(&letters, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn words_past_the_limit_are_not_compared() {
        let whole = "a".repeat(WORD_CHARS_MAX);
        assert_eq!(
            nearest(&whole, [whole.as_str()].into_iter()),
            Some(whole.as_str())
        );
        let past = "a".repeat(WORD_CHARS_MAX + 1);
        assert_eq!(nearest(&past, [past.as_str()].into_iter()), None);
    }
}
