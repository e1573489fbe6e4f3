//! How a culprit is shown in a message: one safe line. Decides nothing about what is wrong with it.

/// Longest culprit shown whole, in characters; more is cut, so that a message stays one line.
const SHOWN_MAX: usize = 60;

/// `text` between backticks, control characters escaped (it may reach a terminal), long text cut.
pub fn quote(text: &str) -> String {
    let mut shown = String::from("`");
    for c in text.chars().take(SHOWN_MAX) {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown.push('`');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_shown_as_it_is() {
        assert_eq!(quote("localhost:80"), "`localhost:80`");
    }

    #[test]
    fn control_characters_cannot_reach_the_terminal() {
        assert_eq!(quote("a\x1b[2J\nb"), "`a\\u{1b}[2J\\nb`");
    }

    #[test]
    fn text_is_shown_whole_at_the_limit_and_cut_one_past_it() {
        let whole = "x".repeat(SHOWN_MAX);
        assert_eq!(quote(&whole), format!("`{whole}`"));
        assert_eq!(quote(&format!("{whole}y")), format!("`{whole}…`"));
    }
}
