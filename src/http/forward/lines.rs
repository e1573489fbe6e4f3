//! Field lines of forwarded requests and responses: what is copied, and the framing.

use crate::http::field::{Length, Name, lists};
use crate::http::head::{FieldLine, Fields, Span};
use crate::http::writer::Writer;

/// The framing as one canonical line, where the received one was dropped: the next server could
/// read a list with empty members, unusual case, repetitions or leading zeros differently.
pub(super) fn write_framing(fields: &Fields, chunked: bool, to: &mut Writer<'_>) {
    if chunked {
        to.append(b"Transfer-Encoding: chunked\r\n");
    } else if let Length::Bytes(length) | Length::Repeated(length) = fields.length
        && fields.length_needs_rewrite
    {
        to.append(b"Content-Length: ");
        to.append_decimal(length);
        to.append(b"\r\n");
    }
}

pub(super) fn write_upgrade(bytes: &[u8], protocol: Option<Span>, to: &mut Writer<'_>) {
    if let Some(protocol) = protocol {
        to.append_all(&[b"Connection: upgrade\r\nUpgrade: ", protocol.of(bytes), b"\r\n"]);
    }
}

/// Copies `first`, if given, which must directly precede the field lines, and all of them.
pub(super) fn copy_all(bytes: &[u8], first: Option<Span>, fields: &Fields, to: &mut Writer<'_>) {
    let start = first.unwrap_or(fields.span()).start();
    to.append(bytes.get(start..fields.span().end()).unwrap_or_default());
}

/// Copies `first`, if given, which must directly precede the field lines, and the field lines that
/// are not hop-by-hop, not named by `Connection`, and that `keep` accepts. Adjacent lines are
/// copied at once.
pub(super) fn copy_fields(
    bytes: &[u8],
    first: Option<Span>,
    fields: &Fields,
    to: &mut Writer<'_>,
    keep: impl Fn(&FieldLine) -> bool,
) {
    let is_kept = |line: &FieldLine| {
        !line.name.is_hop_by_hop()
            && keep(line)
            && (fields.connection.listed_fields == 0
                || !is_named_by_connection(bytes, fields, line))
    };
    if fields.has_bare_lf {
        to.append(first.map_or(b"", |line| line.of(bytes)));
        return copy_with_crlf(bytes, fields.lines().iter().filter(|line| is_kept(line)), to);
    }
    let mut run = Some(first.unwrap_or(fields.span()).start());
    for line in fields.lines() {
        let start = line.name_text.start();
        if is_kept(line) {
            run.get_or_insert(start);
        } else if let Some(run) = run.take() {
            to.append(bytes.get(run..start).unwrap_or_default());
        }
    }
    if let Some(run) = run {
        to.append(bytes.get(run..fields.span().end()).unwrap_or_default());
    }
}

/// Copies lines of which some end in a bare LF.
fn copy_with_crlf<'a>(
    bytes: &[u8],
    lines: impl Iterator<Item = &'a FieldLine>,
    to: &mut Writer<'_>,
) {
    for line in lines {
        to.append_all(&[line.name_text.of(bytes), b": ", line.value.of(bytes), b"\r\n"]);
    }
}

/// Whether a `Connection` line names this field and is allowed to remove it (RFC 9110 §7.6.1).
fn is_named_by_connection(bytes: &[u8], fields: &Fields, line: &FieldLine) -> bool {
    let name = line.name_text.of(bytes);
    let mut lines = fields.lines().iter().filter(|other| other.name == Name::Connection);
    !line.name.is_protected() && lines.any(|other| lists(other.value.of(bytes), name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{self, Parse, RequestHead};

    /// A head with one line of each name, alone and beside others.
    #[test]
    fn what_is_always_forwarded_is_kept_line_by_line_too() {
        for line in [
            "A: b",
            "Authorization: b",
            "Close: b",
            "Connection: close",
            "Connection: Date, X-A",
            "Content-Length: 3",
            "Content-Length: 03",
            "Date: b",
            "Expect: b",
            "Forwarded: b",
            "Keep-Alive: b",
            "Max-Forwards: 3",
            "Proxy-Authenticate: b",
            "Proxy-Authorization: b",
            "Proxy-Connection: b",
            "Referer: b",
            "TE: b",
            "Trailer: b",
            "Transfer-Encoding: chunked",
            "Upgrade: b",
            "User-Agent: b",
            "Via: b",
            "WWW-Authenticate: b",
            "X-Forwarded-For: b",
            "X-Forwarded-Host: b",
            "X-Forwarded-Port: b",
            "X-Forwarded-Proto: b",
            "X-Real-IP: b",
            "Content_Length: 3",
            "A: b\n",
        ] {
            let text = format!("GET / HTTP/1.1\r\nHost: x\r\n{line}\r\nX-A: c\r\n\r\n");
            let (bytes, mut parsed) = (text.as_bytes(), RequestHead::default());
            let _ = head::request(bytes, &mut parsed);
            let fields = &parsed.fields;
            let name = Name::of(line.split(':').next().unwrap_or_default().as_bytes());
            let is_usual = fields.are_always_forwarded();
            assert!(name.is_always_forwarded() || !is_usual, "{line}");
            let (mut whole, mut each) = ([0; 256], [0; 256]);
            let (mut to_whole, mut to_each) = (Writer::new(&mut whole), Writer::new(&mut each));
            copy_all(bytes, parsed.line(), fields, &mut to_whole);
            // The strictest there can be: it drops whatever a caller may drop.
            copy_fields(bytes, parsed.line(), fields, &mut to_each, |line| {
                line.name.is_always_forwarded() && !fields.length_needs_rewrite
            });
            let same = to_whole.finish() == to_each.finish() && whole == each;
            assert_eq!(same, is_usual, "{line}");
        }
        let complete =
            head::request(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &mut RequestHead::default());
        assert_eq!(complete, Parse::Complete, "the shape of the heads above");
    }
}
