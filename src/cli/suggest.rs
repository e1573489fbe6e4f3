//! The name that was probably meant by a mistyped one.

/// Longest word compared; longer ones are not typing errors.
const WORD_CHARS_MAX: usize = 40;

/// Shortest word that suggests a longer name containing it, in characters.
const PART_CHARS_MIN: usize = 4;

/// The candidate nearest to `word`: at most a third of its letters (at least one) changed, added,
/// dropped or swapped, in any case; or else the candidate that contains it, the shortest of several.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> = word.chars().take(WORD_CHARS_MAX + 1).map(lower).collect();
    if letters.len() > WORD_CHARS_MAX {
        return None;
    }
    let edits_max = (letters.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    let mut containing = Vec::new();
    for name in candidates {
        let edits = distance(&letters, name);
        // One character must be right: `x` is not a mistyped `p`.
        let is_near = edits <= edits_max && edits < letters.len();
        if is_near && best.is_none_or(|(least, _)| edits < least) {
            best = Some((edits, name));
        }
        if letters.len() >= PART_CHARS_MIN && name.contains(word) {
            containing.push(name);
        }
    }
    let shortest = containing.iter().map(|name| name.len()).min();
    containing.retain(|name| Some(name.len()) == shortest);
    match (best, &containing[..]) {
        (Some((_, name)), _) => Some(name),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

fn lower(letter: char) -> char {
    letter.to_ascii_lowercase()
}

/// Edits from one word, which is in small letters, to the other in any case. A swap of neighbours
/// counts once (optimal string alignment).
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().map(lower).collect();
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

    #[test]
    fn the_nearest_name_is_suggested_and_nothing_when_none_is_near() {
        let table: [(&str, &[&str], Option<&str>); 20] = [
            ("stratgy", &["retries", "strategy"], Some("strategy")),
            ("strategie", &["strategy"], Some("strategy")),
            ("dmeo", &["demo"], Some("demo")),
            ("demo", &["demo"], Some("demo")),
            ("RR", &["first", "rr"], Some("rr")),
            ("head", &["GET", "HEAD"], Some("HEAD")),
            // At most a third of the letters are wrong, but one in short words.
            ("rexxies", &["retries"], Some("retries")),
            ("rexxxes", &["retries"], None),
            ("dxxo", &["demo"], None),
            ("rx", &["rr"], Some("rr")),
            ("x", &["p"], None),
            ("", &["p"], None),
            // The nearest; of equally near ones the first.
            ("rank", &["rand", "rank"], Some("rank")),
            ("ranx", &["rand", "rank"], Some("rand")),
            ("rrank", &["rank", "brand"], Some("rank")),
            // A part of one name only.
            ("path", &["health-path", "mode"], Some("health-path")),
            ("pat", &["health-path", "mode"], None),
            ("timeout", &["head-timeout", "idle-timeout"], None),
            ("interval", &["check-interval", "file"], Some("check-interval")),
            ("port", &["strategy", "retries"], None),
        ];
        for (word, names, expected) in table {
            assert_eq!(nearest(word, names.iter().copied()), expected, "{word} of {names:?}");
        }
    }

    #[test]
    fn distance_counts_edits() {
        let table = [
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "axc", 1),
            ("abcd", "abd", 1),
            ("abd", "abcd", 1),
            ("abc", "acb", 1),
            ("ba", "ab", 1),
            ("ab", "bc", 2),
            ("ca", "abc", 3),
        ];
        for (a, b, expected) in table {
            let letters: Vec<char> = a.chars().collect();
            assert_eq!(distance(&letters, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn words_past_the_limit_are_not_compared() {
        let whole = "a".repeat(WORD_CHARS_MAX);
        assert_eq!(nearest(&whole, [whole.as_str()].into_iter()), Some(whole.as_str()));
        let past = "a".repeat(WORD_CHARS_MAX + 1);
        assert_eq!(nearest(&past, [past.as_str()].into_iter()), None);
    }
}
