//! Text and Markdown as roff for man(7). Of Markdown it reads what the chapters of the manual use:
//! headings, paragraphs, lists, tables, code, and emphasis.

/// Longest line of the output where words can be broken; roff fills them anyway.
const LINE_BYTES_MAX: usize = 78;

/// Plain text as roff: every character stands for itself, and nothing begins a request.
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            '"' => out.push_str("\\(dq"),
            char => out.push(char),
        }
    }
    out
}

/// A paragraph or the like, already escaped, in lines of moderate length.
pub fn lines(escaped: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in escaped.split_whitespace() {
        if column > 0 && column + 1 + word.len() > LINE_BYTES_MAX {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        if column == 0 && word.starts_with('.') {
            out.push_str("\\&");
        }
        out.push_str(word);
        column += word.len();
    }
    out.push('\n');
    out
}

/// Lines as they are, in a fixed pitch.
pub fn verbatim<'a>(text: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::from(".PP\n.RS 4\n.EX\n");
    for line in text {
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        out.push_str(&format!("{guard}{}\n", escape(line)));
    }
    out.push_str(".EE\n.RE\n");
    out
}

/// Markdown without block structure: code and strong text bold, emphasis italic, links their text.
pub fn inline(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        match index % 2 {
            0 => out.push_str(&emphasis(part)),
            _ => out.push_str(&format!("\\fB{}\\fR", escape(part))),
        }
    }
    out
}

/// As [`inline`], without code.
fn emphasis(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split("**").enumerate() {
        let starred: Vec<&str> = part.split('*').collect();
        let part = match starred[..] {
            [before, inner, after] => {
                format!("{}\\fI{}\\fR{}", escape(before), escape(inner), escape(after))
            }
            _ => escape(part),
        };
        match index % 2 {
            0 => out.push_str(&part),
            _ => out.push_str(&format!("\\fB{part}\\fR")),
        }
    }
    without_links(&out)
}

/// `[text](address)` as its text.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let Some((_, beyond)) = after.split_once(')') else { break };
        out.push_str(&before.replacen('[', "", 1));
        rest = beyond;
    }
    out.push_str(rest);
    out
}

/// A chapter: its heading is left to the caller.
pub fn chapter(markdown: &str) -> String {
    let mut out = String::new();
    let mut lines = markdown.lines().skip_while(|line| line.starts_with("# ")).peekable();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        if let Some(heading) = line.strip_prefix("## ") {
            out.push_str(&format!(".SS {}\n", inline(heading)));
        } else if line.starts_with("```") {
            let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            out.push_str(&verbatim(code.into_iter()));
        } else if line.starts_with('|') {
            let mut rows = vec![cells(line)];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                rows.push(cells(row));
            }
            out.push_str(&table(&rows));
        } else {
            let is_item = line.starts_with("- ");
            let mut text = line.strip_prefix("- ").unwrap_or(line).to_owned();
            let goes_on = |line: &&str| {
                !line.trim().is_empty()
                    && !["- ", "|", "```", "## "].iter().any(|it| line.starts_with(it))
            };
            while let Some(more) = lines.next_if(goes_on) {
                text.push(' ');
                text.push_str(more.trim());
            }
            out.push_str(if is_item { ".IP \\(bu 2\n" } else { ".PP\n" });
            out.push_str(&self::lines(&inline(&text)));
        }
    }
    out
}

/// A page without paragraphs that begin right after a heading, which begins one itself.
pub fn without_empty_paragraphs(page: &str) -> String {
    let mut out = String::new();
    let mut is_after_heading = false;
    for line in page.lines() {
        if is_after_heading && line == ".PP" {
            continue;
        }
        is_after_heading = [".SH ", ".SS ", ".PP"].iter().any(|it| line.starts_with(it));
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// The cells of a row of a table; a bar within code is no border.
fn cells(row: &str) -> Vec<&str> {
    let row = row.trim().trim_start_matches('|').trim_end_matches('|');
    let mut cells = Vec::new();
    let (mut start, mut is_code) = (0, false);
    for (at, char) in row.char_indices() {
        match char {
            '`' => is_code = !is_code,
            '|' if !is_code => {
                cells.push(row[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    cells.push(row[start..].trim());
    cells
}

/// A table as a list, which fits any terminal: the first cell, then the others, named by the
/// heading where there is more than one.
fn table(rows: &[Vec<&str>]) -> String {
    let [headings, _, rows @ ..] = rows else { return String::new() };
    let mut out = String::new();
    for row in rows {
        let [first, others @ ..] = &row[..] else { continue };
        let named = others.iter().zip(headings.iter().skip(1));
        let named: Vec<String> = match others {
            [one] => vec![(*one).to_owned()],
            _ => named
                .filter(|(cell, _)| !cell.is_empty())
                .map(|(cell, heading)| format!("{heading}: {cell}"))
                .collect(),
        };
        let named = inline(&named.join("; "));
        out.push_str(&format!(".TP\n{}{}", lines(&inline(first)), lines(&named)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stands_for_itself() {
        let table = [
            ("a-b", "a\\-b"),
            ("\\n", "\\en"),
            ("it's", "it\\(aqs"),
            ("\"x\" ~^`", "\\(dqx\\(dq \\(ti\\(ha\\(ga"),
        ];
        for (text, expected) in table {
            assert_eq!(escape(text), expected, "{text}");
        }
        assert_eq!(lines("... a"), "\\&... a\n");
        let long = lines(&".bc ".repeat(100));
        assert!(long.lines().all(|line| line.starts_with("\\&.") && line.len() <= 80), "{long}");
        assert_eq!(verbatim([".x", "a"].into_iter()), ".PP\n.RS 4\n.EX\n\\&.x\na\n.EE\n.RE\n");
    }

    #[test]
    fn markdown_becomes_fonts() {
        let table = [
            ("a `-b` c", "a \\fB\\-b\\fR c"),
            ("**a**: b", "\\fBa\\fR: b"),
            ("10s, *fixed*", "10s, \\fIfixed\\fR"),
            ("`X-*` and `*`", "\\fBX\\-*\\fR and \\fB*\\fR"),
            ("see [health](health.md).", "see health."),
        ];
        for (markdown, expected) in table {
            assert_eq!(inline(markdown), expected, "{markdown}");
        }
    }

    #[test]
    fn chapters_become_man_pages() {
        let markdown = "# Title\n\nOne\ntwo.\n\n- a\n  b\n- c\n\n## Part\n\n```sh\n.x y\n```\n\n\
                        | k | v |\n|---|---|\n| `a|b` | c |\n";
        let expected = ".PP\nOne two.\n.IP \\(bu 2\na b\n.IP \\(bu 2\nc\n.SS Part\n\
                        .PP\n.RS 4\n.EX\n\\&.x y\n.EE\n.RE\n.TP\n\\fBa|b\\fR\nc\n";
        assert_eq!(chapter(markdown), expected);
        let wide = "| k | v | w |\n|---|---|---|\n| a | b | c |\n| d | | e |\n";
        let page = ".SH A\n.PP\nb\n.PP\nc\n";
        assert_eq!(without_empty_paragraphs(page), ".SH A\nb\n.PP\nc\n");
        assert_eq!(chapter(wide), ".TP\na\nv: b; w: c\n.TP\nd\nw: e\n");
    }
}
