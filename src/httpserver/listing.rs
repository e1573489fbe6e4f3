//! A directory as an HTML page of links.

use super::files;
use super::path::SitePath;
use crate::http::head::Refusal;
use crate::http::percent;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Names one page shows; a directory with more says so.
const NAMES_MAX: usize = 1_000;

/// The page for the directory at `real`, asked for as `path`. Hidden names are left out, and with
/// them uploads on their way.
pub fn page(real: &Path, path: &SitePath) -> Result<Vec<u8>, Refusal> {
    let mut names = Vec::new();
    for entry in fs::read_dir(real).map_err(|error| files::refusal(&error))? {
        let Ok(entry) = entry else { continue };
        let mut name = entry.file_name().as_bytes().to_vec();
        if name.starts_with(b".") {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            name.push(b'/');
        }
        names.push(name);
        if names.len() > NAMES_MAX {
            break;
        }
    }
    Ok(render(&path.to_string(), names).into_bytes())
}

fn render(title: &str, mut names: Vec<Vec<u8>>) -> String {
    let is_cut = names.len() > NAMES_MAX;
    names.truncate(NAMES_MAX);
    names.sort();
    let title = escape(title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>{title}</title></head>\n\
         <body><h1>{title}</h1><ul>\n"
    );
    if title != "/" {
        page.push_str("<li><a href=\"../\">../</a></li>\n");
    }
    for name in names {
        // `./` keeps a name with a colon from being read as a scheme (RFC 3986 §4.2).
        let link = percent::encode(&name, |byte| percent::is_unreserved(byte) || byte == b'/');
        let shown = escape(&String::from_utf8_lossy(&name));
        page.push_str(&format!("<li><a href=\"./{link}\">{shown}</a></li>\n"));
    }
    let more = if is_cut { "<p>and more.</p>" } else { "" };
    page + "</ul>" + more + "</body></html>\n"
}

/// `text` for an HTML element's content.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_escaped_and_encoded() {
        let names = vec![b"b&<\".txt".to_vec(), b"a/".to_vec(), b"c\xff:d".to_vec()];
        let page = render("/x/", names);
        let links: Vec<&str> = page.lines().filter(|line| line.starts_with("<li>")).collect();
        let expected = [
            "<li><a href=\"../\">../</a></li>",
            "<li><a href=\"./a/\">a/</a></li>",
            "<li><a href=\"./b%26%3C%22.txt\">b&amp;&lt;&quot;.txt</a></li>",
            "<li><a href=\"./c%FF%3Ad\">c\u{fffd}:d</a></li>",
        ];
        assert_eq!(links, expected);
    }

    #[test]
    fn a_page_is_cut_one_name_past_the_limit_and_says_so() {
        let names = |count: usize| (0..count).map(|n| n.to_string().into_bytes()).collect();
        assert!(!render("/", names(NAMES_MAX)).contains("and more"));
        let cut = render("/", names(NAMES_MAX + 1));
        assert!(cut.contains("and more"));
        assert_eq!(cut.matches("<li>").count(), NAMES_MAX);
    }
}
