//! The chapters of the manual: their names, what each is about, and their text, which is part of
//! the binary. Prints nothing.

/// One chapter.
#[derive(Debug)]
pub struct Topic {
    /// What follows `loadbalancer help`; the file is NAME.md.
    pub name: &'static str,
    /// One line, for the list of chapters.
    pub about: &'static str,
    /// Markdown, at most 80 columns, ends in a newline.
    pub text: &'static str,
}

macro_rules! topic {
    ($name:literal, $about:literal) => {
        Topic { name: $name, about: $about, text: include_str!(concat!($name, ".md")) }
    };
}

/// Every chapter, in the order of the list; README has the same one.
pub static TOPICS: &[Topic] = &[
    topic!("migrating", "coming from another balancer: what to type now"),
    topic!("strategies", "how a server is chosen"),
    topic!("sticky", "keeping a client at its server by a cookie"),
    topic!("tls", "TLS with clients and with servers"),
    topic!("lists", "servers in a file, and how it is reloaded"),
    topic!("health", "when a server is up or down"),
    topic!("silence", "when a server falls silent"),
    topic!("retries", "when a request is sent again"),
    topic!("bodies", "when the body of a request is forwarded"),
    topic!("limits", "limits and time-outs, with defaults"),
    topic!("headers", "what is changed in messages, and what is refused"),
    topic!("networks", "PROXY headers, unix sockets, names that move"),
    topic!("watch", "the live page, and `top`, the same in a terminal"),
    topic!("logs", "event lines, `-v`, access log formats and their fields"),
    topic!("metrics", "`--admin`: Prometheus, status, readiness, live page"),
    topic!("check", "finding what is wrong before the start"),
    topic!("replay", "recording choices, and comparing strategies over them"),
    topic!("signals", "signals, stopping and exit status"),
    topic!("control", "`loadbalancer ctl`: drain a server, reload, stop"),
    topic!("takeover", "replacing a running balancer without losing a request"),
    topic!("systemd", "under systemd, and several processes on one port"),
    topic!("deploy", "deploys, a second balancer, Kubernetes, Nomad, log rotation"),
    topic!("strace", "one request as system calls"),
];

/// The chapter of this name.
pub fn topic(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.name == name)
}

/// What `loadbalancer help` prints: the name of each chapter and what it is about.
pub fn contents() -> String {
    let width = TOPICS.iter().map(|topic| topic.name.len()).max().unwrap_or_default();
    let mut out = String::from(
        "loadbalancer --help lists all options. \
         loadbalancer help TOPIC prints a chapter:\n\n",
    );
    for Topic { name, about, .. } in TOPICS {
        out.push_str(&format!("  {name:width$}  {about}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;

    const COLUMNS_MAX: usize = 80;

    #[test]
    fn every_chapter_file_is_in_the_table() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual");
        let names = fs::read_dir(directory).expect("the directory of this file");
        let names = names.map(|entry| entry.expect("an entry").file_name());
        let files: BTreeSet<String> =
            names.filter_map(|name| Some(name.to_str()?.strip_suffix(".md")?.to_owned())).collect();
        let table: BTreeSet<String> = TOPICS.iter().map(|topic| topic.name.to_owned()).collect();
        assert_eq!(files, table);
        assert_eq!(table.len(), TOPICS.len(), "two chapters have the same name");
    }

    #[test]
    fn chapters_begin_with_a_heading_and_fit_on_80_columns() {
        for topic in TOPICS {
            assert!(topic.text.starts_with("# "), "{}: no heading", topic.name);
            assert!(topic.text.ends_with('\n'), "{}: no newline at its end", topic.name);
            for (line, number) in topic.text.lines().zip(1..) {
                let columns = line.chars().count();
                assert!(columns <= COLUMNS_MAX, "{}.md:{number}: {columns} columns", topic.name);
            }
        }
        assert!(contents().lines().all(|line| line.chars().count() <= COLUMNS_MAX));
    }

    #[test]
    fn chapters_name_only_chapters_that_exist() {
        let mut count = 0;
        for topic in TOPICS {
            for rest in topic.text.split("`help ").skip(1) {
                let name = rest.split('`').next().unwrap_or_default();
                assert!(super::topic(name).is_some(), "{}: there is no `help {name}`", topic.name);
                count += 1;
            }
        }
        assert!(count > 3, "only {count} were found");
    }
}
