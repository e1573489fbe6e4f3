//! One half-duplex move: inbox → framing → outbox. Pure: no socket, no clock.

use crate::base::buffer::{Buffer, Pool};
use crate::http::body::Body;
use crate::http::chunked::{ChunkedFault, Piece};
use crate::http::forward::BodyTransform;

/// Room a chunk needs beside its data: four digits of size, two CRLF.
const CHUNK_FRAMING: usize = 8;

const _: () = assert!(crate::base::buffer::LARGE_BYTES <= 0xffff, "four digits are enough");

/// What ends a chunked body that has no trailer section (RFC 9112 §7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Moves what belongs to `body` as far as there is room; how many bytes left `from`.
///
/// Progress: with an empty `to` and a body that is neither ended nor starved (see
/// [`Body::is_starved`]), at least one byte leaves `from`.
pub fn pump(
    body: &mut Body,
    transform: BodyTransform,
    from: &mut Buffer,
    to: &mut Buffer,
    pool: &mut Pool,
) -> Result<usize, ChunkedFault> {
    match transform {
        BodyTransform::Keep => keep(body, true, from, to, pool),
        BodyTransform::StripTrailers => keep(body, false, from, to, pool),
        BodyTransform::Unchunk => dechunk(body, from, to, pool),
        BodyTransform::Chunk => Ok(enchunk(from, to, pool)),
    }
}

fn keep(
    body: &mut Body,
    trailers: bool,
    from: &mut Buffer,
    to: &mut Buffer,
    pool: &mut Pool,
) -> Result<usize, ChunkedFault> {
    // Most bodies have a length, and no framing to look for.
    if let Body::Length(left) = *body {
        let ready = from.data().len().min(to.room());
        let count = usize::try_from(left).map_or(ready, |left| left.min(ready));
        let moved = to.take_from(from, count, pool);
        body.pass(moved as u64);
        return Ok(moved);
    }
    let mut moved = 0;
    loop {
        let ready = from.data().len().min(to.room());
        let run = body.filter(&from.data()[..ready], trailers)?;
        moved += to.take_from(from, run.forwarded, pool) + run.dropped;
        from.consume(run.dropped);
        if run.dropped == 0 {
            return Ok(moved);
        }
    }
}

fn dechunk(
    body: &mut Body,
    from: &mut Buffer,
    to: &mut Buffer,
    pool: &mut Pool,
) -> Result<usize, ChunkedFault> {
    let mut moved = 0;
    while !from.is_empty() && !body.is_ended() && to.room() > 0 {
        let ready = from.data().len().min(to.room());
        let count = match body.next(&from.data()[..ready])? {
            Piece::Data(count) => to.append(&from.data()[..count], pool),
            Piece::Framing(count) | Piece::Extension(count) => count,
        };
        from.consume(count);
        moved += count;
    }
    Ok(moved)
}

fn enchunk(from: &mut Buffer, to: &mut Buffer, pool: &mut Pool) -> usize {
    let count = from.data().len().min(to.room().saturating_sub(CHUNK_FRAMING));
    if count == 0 {
        return 0;
    }
    let mut size = *b"0000\r\n";
    for (at, digit) in size[..4].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[count >> (12 - 4 * at) & 15];
    }
    to.append(&size, pool);
    to.append(&from.data()[..count], pool);
    to.append(b"\r\n", pool);
    from.consume(count);
    count
}

/// Writes the end of a body that came until close; false when there is no room yet.
pub fn finish(transform: BodyTransform, to: &mut Buffer, pool: &mut Pool) -> bool {
    if transform != BodyTransform::Chunk {
        return true;
    }
    let fits = to.room() >= LAST_CHUNK.len();
    if fits {
        to.append(LAST_CHUNK, pool);
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::chunked::Chunked;

    /// Pumps `input` in two pieces cut at `cut`, draining `to` every time; what came out.
    fn run(
        body: Body,
        transform: BodyTransform,
        input: &[u8],
        cut: usize,
    ) -> Result<Vec<u8>, ChunkedFault> {
        run_parts(body, transform, &[&input[..cut], &input[cut..]])
    }

    fn run_parts(
        mut body: Body,
        transform: BodyTransform,
        parts: &[&[u8]],
    ) -> Result<Vec<u8>, ChunkedFault> {
        let mut pool = Pool::new();
        let (mut from, mut to) = (Buffer::new(), Buffer::new());
        let mut out = Vec::new();
        for part in parts {
            from.append(part, &mut pool);
            loop {
                let moved = pump(&mut body, transform, &mut from, &mut to, &mut pool)?;
                out.extend_from_slice(to.data());
                to.consume(to.data().len());
                if moved == 0 {
                    break;
                }
            }
        }
        if body == Body::UntilClose {
            assert!(finish(transform, &mut to, &mut pool));
            out.extend_from_slice(to.data());
        }
        out.extend_from_slice(b"|");
        out.extend_from_slice(from.data());
        Ok(out)
    }

    #[test]
    fn every_recoding_under_every_split() {
        let chunked = b"3\r\nabc\r\n1 ;x\r\nd\r\n0;y\r\nHost: h\r\nT: u\r\nTE: v\r\n\r\nrest";
        for cut in 0..=chunked.len() {
            let body = Body::Chunked(Chunked::new());
            let kept = run(body, BodyTransform::Keep, chunked, cut).expect("well-formed");
            assert_eq!(kept, b"3\r\nabc\r\n1\r\nd\r\n0\r\nT: u\r\n\r\n|rest", "cut at {cut}");
            let bare = run(body, BodyTransform::StripTrailers, chunked, cut).expect("well-formed");
            assert_eq!(bare, b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n|rest", "cut at {cut}");
            let plain = run(body, BodyTransform::Unchunk, chunked, cut).expect("well-formed");
            assert_eq!(plain, b"abcd|rest", "cut at {cut}");
        }
        for cut in 0..=4 {
            let out =
                run(Body::UntilClose, BodyTransform::Chunk, b"abcd", cut).expect("no framing");
            let text = String::from_utf8_lossy(&out).replace("000", "");
            let expected = match cut {
                0 | 4 => "4\r\nabcd\r\n0\r\n\r\n|".to_string(),
                _ => format!(
                    "{cut}\r\n{}\r\n{}\r\n{}\r\n0\r\n\r\n|",
                    &"abcd"[..cut],
                    4 - cut,
                    &"abcd"[cut..]
                ),
            };
            assert_eq!(text, expected, "cut at {cut}");
        }
        assert_eq!(run(Body::Length(2), BodyTransform::Keep, b"abc", 1).expect("plain"), b"ab|c");
    }

    #[test]
    fn two_cuts_anywhere_change_nothing() {
        let body = Body::Chunked(Chunked::new());
        for (input, kept) in [
            (
                &b"3 ;e=\"f\"\r\nabc\r\n0;y\r\nHost: h\r\nT: u\r\nTE: v\r\n\r\nrest"[..],
                Ok(&b"3\r\nabc\r\n0\r\nT: u\r\n\r\n|rest"[..]),
            ),
            (b"1\r\na\r\n1\r\nb\r\n00\r\n\r\n\r\n", Ok(b"1\r\na\r\n1\r\nb\r\n00\r\n\r\n|\r\n")),
            (b"1\r\na\r\n0\r\nT: u\r\n v\r\n\r\n", Err(ChunkedFault::Malformed)),
            (b"1\r\na\r\n0\r\nT: u\nV: w\r\n\r\n", Err(ChunkedFault::Malformed)),
            (b"1\r\nab\r\n0\r\n\r\n", Err(ChunkedFault::Malformed)),
        ] {
            for first in 0..=input.len() {
                for second in first..=input.len() {
                    let parts = [&input[..first], &input[first..second], &input[second..]];
                    let found = run_parts(body, BodyTransform::Keep, &parts);
                    let found = found.as_deref().map_err(|malformed| *malformed);
                    assert_eq!(found, kept, "cut at {first} and {second}");
                }
            }
        }
    }

    #[test]
    fn a_full_outbox_stops_the_pump_and_nothing_is_lost() {
        let mut pool = Pool::new();
        let (mut from, mut to) = (Buffer::new(), Buffer::new());
        let mut body = Body::UntilClose;
        let big = vec![b'x'; to.room()];
        for transform in [BodyTransform::Keep, BodyTransform::Chunk] {
            from.append(&big, &mut pool);
            to.append(b"y", &mut pool);
            let first = pump(&mut body, transform, &mut from, &mut to, &mut pool).expect("plain");
            assert_eq!(from.data().len() + first, big.len());
            assert_eq!(pump(&mut body, transform, &mut from, &mut to, &mut pool), Ok(0));
            assert!(!(transform == BodyTransform::Chunk) || !finish(transform, &mut to, &mut pool));
            from.clear(&mut pool);
            to.clear(&mut pool);
        }
    }

    #[test]
    fn a_malformed_body_is_reported() {
        let body = Body::Chunked(Chunked::new());
        assert_eq!(run(body, BodyTransform::Keep, b"x\r\n", 1), Err(ChunkedFault::Malformed));
    }
}
