//! Field lines that both directions write alike.

use crate::http::field::{Length, Name, lists};
use crate::http::head::{FieldLine, Fields, Span};
use crate::http::writer::Writer;

/// The framing in one plain line, where the one that came was dropped: a list with empty members,
/// odd letters, or a number with zeros before it may mean something else to the next reader.
pub(super) fn write_framing(fields: &Fields, chunked: bool, to: &mut Writer<'_>) {
    if chunked {
        to.append(b"Transfer-Encoding: chunked\r\n");
    } else if let Length::Bytes(length) = fields.length
        && fields.length_has_leading_zeros
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

/// Copies `first`, if given, which stands before the field lines, and those of them that are not
/// hop-by-hop, not named by `Connection`, and that `keep` keeps.
pub(super) fn copy_fields(
    bytes: &[u8],
    first: Option<Span>,
    fields: &Fields,
    to: &mut Writer<'_>,
    keep: impl Fn(&FieldLine) -> bool,
) {
    let mut run = Some(first.unwrap_or(fields.span()).start());
    for line in fields.lines() {
        let dropped = line.name.is_hop_by_hop()
            || !keep(line)
            || (fields.connection.listed_fields > 0 && is_named_by_connection(bytes, fields, line));
        let start = line.name_text.start();
        if !dropped {
            run.get_or_insert(start);
        } else if let Some(run) = run.take() {
            to.append(bytes.get(run..start).unwrap_or_default());
        }
    }
    if let Some(run) = run {
        to.append(bytes.get(run..fields.span().end()).unwrap_or_default());
    }
}

/// Whether a `Connection` line names this line's field and may (RFC 9110 §7.6.1).
fn is_named_by_connection(bytes: &[u8], fields: &Fields, line: &FieldLine) -> bool {
    let name = line.name_text.of(bytes);
    let mut lines = fields.lines().iter().filter(|other| other.name == Name::Connection);
    !line.name.is_protected() && lines.any(|other| lists(other.value.of(bytes), name))
}
