//! A value as part of a message: one line that is safe to print on a terminal.

/// Longest value shown whole, in characters as shown; more is cut, so that a message stays one
/// line.
const SHOWN_MAX: usize = 60;

/// `text` between backticks, control characters escaped (it may reach a terminal), long text cut.
pub fn quote(text: &str) -> String {
    let mut shown = String::from("`");
    let mut room = SHOWN_MAX;
    for c in text.chars() {
        let escaped = c.is_control().then(|| c.escape_default());
        let width = escaped.as_ref().map_or(1, |escaped| escaped.len());
        if width > room {
            shown.push('…');
            break;
        }
        room -= width;
        match escaped {
            Some(escaped) => shown.extend(escaped),
            None => shown.push(c),
        }
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
        let whole = "\\u{1b}".repeat(SHOWN_MAX / 6);
        assert_eq!(quote(&"\x1b".repeat(SHOWN_MAX / 6)), format!("`{whole}`"));
        assert_eq!(quote(&"\x1b".repeat(SHOWN_MAX / 6 + 1)), format!("`{whole}…`"));
    }
}
