//! The chunked coding: any split gives the same result as the whole, and what is accepted is read
//! in the same way by the strict reader.

use super::reader::{self, Read};
use super::{pumped, splits};
use loadbalancer::http::body::Body;
use loadbalancer::http::chunked::{
    Chunked, ChunkedFault, LINE_BYTES_MAX, Piece, TRAILER_BYTES_MAX,
};
use loadbalancer::http::forward::BodyTransform;

/// A decoded body: content, bytes of the input used, and whether it ended.
type Decoded = Result<(Vec<u8>, usize, bool), ChunkedFault>;

/// Decodes `data`, which comes in two parts.
fn decode(data: &[u8], cut: usize) -> Decoded {
    let mut body = Body::Chunked(Chunked::new());
    let (mut content, mut used) = (Vec::new(), 0);
    for end in [cut, data.len()] {
        while used < end && !body.is_ended() {
            let length = match body.next(&data[used..end])? {
                Piece::Data(length) => {
                    content.extend_from_slice(&data[used..used + length]);
                    length
                }
                Piece::Framing(length) | Piece::Extension(length) => length,
            };
            assert!(length > 0 && used + length <= end, "a piece of {length} bytes");
            used += length;
        }
    }
    Ok((content, used, body.is_ended()))
}

pub fn run(data: &[u8]) {
    let whole = decode(data, data.len());
    for cut in splits(data.len()) {
        assert_eq!(decode(data, cut), whole, "cut at {cut}");
    }
    match (whole, reader::chunked(data)) {
        (Ok((content, used, true)), strict) => {
            let mut body = Body::Chunked(Chunked::new());
            let (out, moved) =
                pumped(&mut body, BodyTransform::Keep, data, false).expect("well-formed");
            assert!(body.is_ended() && moved == used, "{moved} of {used} bytes were forwarded");
            assert_eq!(reader::chunked(&out), Read::Whole(content.clone(), out.len()));
            assert_eq!(strict, Read::Whole(content, used));
        }
        (Ok((_, used, false)), strict) => {
            assert_eq!(used, data.len(), "it stopped before the end");
            assert_eq!(strict, Read::Unfinished);
        }
        // Refused early, perhaps before a line is complete; or past a limit, of which the strict
        // reader has none.
        (Err(_), Read::Refused(_) | Read::Unfinished) => {}
        (Err(_), Read::Whole(..)) => assert!(is_past_a_limit(data), "refused for nothing"),
    }
}

/// Long enough for a limit to have been passed: of a line, of the trailer section, or of digits.
fn is_past_a_limit(data: &[u8]) -> bool {
    let limit = usize::from(LINE_BYTES_MAX.min(TRAILER_BYTES_MAX));
    let is_long_number = |digits: &[u8]| digits.len() > 15;
    let mut numbers = data.split(|byte| !byte.is_ascii_hexdigit());
    data.len() > limit || numbers.any(is_long_number)
}
