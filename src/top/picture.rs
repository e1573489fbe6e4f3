//! A snapshot as lines of text for a given width and height. Draws nothing.

use super::snapshot::{Server, Snapshot};
use crate::base::figures::{milliseconds, percent, rate, span, whole};

/// Spaces between two columns of the table.
const GAP: usize = 2;

/// Fewest columns for the reasons of all servers; with less each has a line of its own.
const REASON_MIN: usize = 18;

/// Longest server name, in percent of the width.
const NAME_PERCENT: usize = 40;

/// What a line is, for those that colour it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Figures of the whole balancer, and servers that are up and well.
    Plain,
    /// Names of columns.
    Head,
    /// A server that is down, or its reason.
    Down,
    /// A server that is up with errors, retries or no room, draining or not known.
    Trouble,
    /// What was left out.
    Note,
}

/// One line, not longer than the width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub tone: Tone,
    pub text: String,
}

/// The lines for `columns` and at most `rows`, if there is a limit. What does not fit is counted in
/// the last line; servers in trouble are shown first then.
pub fn draw(snapshot: &Snapshot, columns: usize, rows: Option<usize>) -> Vec<Line> {
    let mut lines: Vec<Line> = figures(snapshot, columns)
        .into_iter()
        .map(|text| Line { tone: Tone::Plain, text })
        .collect();
    lines.push(Line { tone: Tone::Plain, text: String::new() });
    let table = Table::new(&snapshot.servers, columns);
    lines.push(Line { tone: Tone::Head, text: table.head() });
    let room = rows.map_or(usize::MAX, |rows| rows.saturating_sub(lines.len()));
    let blocks: Vec<Vec<Line>> =
        snapshot.servers.iter().map(|server| table.block(server, columns)).collect();
    if blocks.iter().map(Vec::len).sum::<usize>() <= room {
        lines.extend(blocks.into_iter().flatten());
        return lines;
    }
    let mut order: Vec<(&Server, Vec<Line>)> = snapshot.servers.iter().zip(blocks).collect();
    order.sort_by_key(|(server, _)| !server.is_in_trouble());
    let (mut left, mut hidden) = (room.saturating_sub(1), 0);
    for (_, block) in order {
        match left.checked_sub(block.len()) {
            Some(rest) if hidden == 0 => {
                left = rest;
                lines.extend(block);
            }
            Some(_) | None => hidden += 1,
        }
    }
    let note = cut(format!("... {hidden} more; the window is too low"), columns);
    lines.push(Line { tone: Tone::Note, text: note });
    lines.truncate(rows.unwrap_or(usize::MAX));
    lines
}

/// The figures of the whole balancer, in as few lines as they need.
fn figures(snapshot: &Snapshot, columns: usize) -> Vec<String> {
    let number = |name| whole(snapshot.number(name));
    let ms = |name| milliseconds(snapshot.number(name));
    let first = [
        format!("loadbalancer {}", snapshot.text("version")),
        snapshot.text("ready_reason").to_owned(),
        format!("{}, {}", snapshot.text("mode"), snapshot.text("strategy")),
        format!("on {}", snapshot.text("listen")),
        format!("for {}", span(snapshot.number("uptime_seconds"))),
    ];
    let second = [
        format!("requests/s {}", rate(snapshot.number("requests_per_second"))),
        format!("in flight {} of {}", number("in_flight"), number("in_flight_max")),
        format!("queue {}", number("queued")),
        format!("clients {} ({} idle)", number("clients"), number("clients_idle")),
        format!("p50 {} ms", ms("last_minute.p50_seconds")),
        format!("p95 {} ms", ms("last_minute.p95_seconds")),
        format!("p99 {} ms", ms("last_minute.p99_seconds")),
    ];
    // Where answering is what the program is there for, as with redirects, nothing is refused.
    let is_refusal =
        |(cause, count): &&(String, u64)| *count > 0 && cause != "proxy_internal_response";
    let refused = snapshot.refused.iter().filter(is_refusal);
    let causes: Vec<String> = refused
        .clone()
        .map(|(cause, count)| format!("{} {}", cause.replace('_', " "), whole(Some(*count as f64))))
        .collect();
    let total: u64 = refused.map(|(_, count)| *count).sum();
    let third: Vec<String> =
        [format!("refused {}", whole(Some(total as f64)))].into_iter().chain(causes).collect();
    [&first[..], &second[..], &third[..]]
        .into_iter()
        .flat_map(|items| flow(items, columns))
        .collect()
}

/// Items in lines, broken between items only.
fn flow(items: &[String], columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for item in items {
        match lines.last_mut() {
            Some(line) if width(line) + 3 + width(item) <= columns => {
                line.push_str("   ");
                line.push_str(item);
            }
            Some(_) | None => lines.push(cut(item.clone(), columns)),
        }
    }
    lines
}

/// A column of the table.
struct Column {
    title: &'static str,
    /// Columns with a lower number are shown first when there is little room.
    rank: u8,
    align: Align,
    cell: fn(&Server) -> String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

static NAME: Column =
    Column { title: "SERVER", rank: 0, align: Align::Left, cell: |server| server.name.clone() };

/// Those after the name, in the order shown.
static COLUMNS: [Column; 13] = [
    Column { title: "STATE", rank: 1, align: Align::Left, cell: state },
    Column { title: "SINCE", rank: 6, align: Align::Right, cell: |server| span(server.seconds) },
    Column { title: "IN FLIGHT", rank: 3, align: Align::Right, cell: in_flight },
    Column { title: "WAITING", rank: 7, align: Align::Right, cell: |server| whole(server.waiting) },
    Column {
        title: "REQ/S",
        rank: 2,
        align: Align::Right,
        cell: |server| rate(server.requests_per_second),
    },
    Column {
        title: "5XX/S",
        rank: 4,
        align: Align::Right,
        cell: |server| rate(server.errors_per_second),
    },
    Column {
        title: "P50 MS",
        rank: 9,
        align: Align::Right,
        cell: |server| milliseconds(server.p50_seconds),
    },
    Column {
        title: "P95 MS",
        rank: 13,
        align: Align::Right,
        cell: |server| milliseconds(server.p95_seconds),
    },
    Column {
        title: "P99 MS",
        rank: 5,
        align: Align::Right,
        cell: |server| milliseconds(server.p99_seconds),
    },
    Column {
        title: "RETRY/MIN",
        rank: 11,
        align: Align::Right,
        cell: |server| whole(server.retries_per_second.map(|number| number * 60.0)),
    },
    Column { title: "SHARE", rank: 10, align: Align::Right, cell: |server| percent(server.share) },
    Column { title: "WEIGHT", rank: 12, align: Align::Right, cell: |server| whole(server.weight) },
    Column { title: "WHY", rank: 8, align: Align::Left, cell: Server::why },
];

/// As the page has it.
fn state(server: &Server) -> String {
    match server.state.as_str() {
        "drain" => "draining".to_owned(),
        state => state.to_owned(),
    }
}

fn in_flight(server: &Server) -> String {
    match server.max {
        Some(_) => format!("{}/{}", whole(server.in_flight), whole(server.max)),
        None => whole(server.in_flight),
    }
}

/// The columns that fit, with their widths.
struct Table {
    columns: Vec<(&'static Column, usize)>,
    has_reasons: bool,
}

impl Table {
    fn new(servers: &[Server], columns: usize) -> Table {
        let natural = |column: &Column| {
            let cells = servers.iter().map(|server| width(&(column.cell)(server)));
            cells.chain([width(column.title)]).max().unwrap_or_default()
        };
        let name = natural(&NAME).min((columns * NAME_PERCENT / 100).max(width(NAME.title)));
        let mut used = name;
        let mut ranked: Vec<&Column> = COLUMNS.iter().collect();
        ranked.sort_by_key(|column| column.rank);
        let mut shown: Vec<(&Column, usize)> = Vec::new();
        for column in ranked {
            let needed = match column.title {
                "WHY" => REASON_MIN,
                _ => natural(column),
            };
            if used + GAP + needed <= columns {
                used += GAP + needed;
                shown.push((column, needed));
            }
        }
        let mut table = Table { columns: vec![(&NAME, name)], has_reasons: false };
        for column in &COLUMNS {
            let Some((_, needed)) = shown.iter().find(|(one, _)| one.title == column.title) else {
                continue;
            };
            // The last one has what is left.
            let is_reason = column.title == "WHY";
            table.has_reasons |= is_reason;
            let needed = if is_reason { *needed + columns.saturating_sub(used) } else { *needed };
            table.columns.push((column, needed));
        }
        table
    }

    fn head(&self) -> String {
        self.line(|column| column.title.to_owned())
    }

    /// The lines of one server: one, and another for its reason where the table has no place.
    fn block(&self, server: &Server, columns: usize) -> Vec<Line> {
        let tone = match server.state.as_str() {
            "down" => Tone::Down,
            _ if server.is_in_trouble() => Tone::Trouble,
            _ => Tone::Plain,
        };
        let mut block = vec![Line { tone, text: self.line(|column| (column.cell)(server)) }];
        let why = server.why();
        if !self.has_reasons && !why.is_empty() {
            block.push(Line { tone, text: cut(format!("  {why}"), columns) });
        }
        block
    }

    fn line(&self, cell: impl Fn(&Column) -> String) -> String {
        let mut line = String::new();
        for (at, (column, width)) in self.columns.iter().enumerate() {
            let width = *width;
            if at > 0 {
                line.push_str("  ");
            }
            let text = match at {
                0 => without_middle(cell(column), width),
                _ => cut(cell(column), width),
            };
            match column.align {
                Align::Left => line.push_str(&format!("{text:width$}")),
                Align::Right => line.push_str(&format!("{text:>width$}")),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Characters as columns: names and reasons are ASCII but for host names in other scripts.
fn width(text: &str) -> usize {
    text.chars().count()
}

/// The start of `text`; `..` for what is left out.
fn cut(text: String, columns: usize) -> String {
    if width(&text) <= columns {
        return text;
    }
    let kept: String = text.chars().take(columns.saturating_sub(2)).collect();
    kept + &".."[..columns.min(2)]
}

/// Start and end of `text`, which differ between servers of one domain.
fn without_middle(text: String, columns: usize) -> String {
    let length = width(&text);
    if length <= columns {
        return text;
    }
    let kept = columns.saturating_sub(2);
    let start: String = text.chars().take(kept / 2).collect();
    let end: String = text.chars().skip(length - (kept - kept / 2)).collect();
    start + &".."[..columns.min(2)] + &end
}

#[cfg(test)]
mod tests;
