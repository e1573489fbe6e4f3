//! The messages of hostile peers: tables of malformed messages, each a small change to a valid one.

use super::kernel::Dice;
use loadbalancer::base::rng::Rng;
use loadbalancer::http::head::{FIELDS_MAX, HEAD_BYTES_MAX};

/// A change to a message, and the statuses that its sender may get.
type Spoiler = (&'static str, &'static str, &'static [u16]);

/// Both framings mean the same body: five bytes, or a last chunk. What follows is the request that
/// must not be taken for one.
const SMUGGLER: &str = "POST /r/ID/x HTTP/1.1\r\nContent-Length: 5\r\nHost: here\r\nX-Req: ID\r\n\
     \r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: here\r\n\r\n";

const REQUESTS: &[Spoiler] = &[
    // The request line.
    ("POST /", "POST  /", &[400]),
    ("POST /", " POST /", &[400]),
    ("POST /", "POST\t/", &[400]),
    ("POST /", "PO(T /", &[400]),
    ("POST /", "PO\0T /", &[400]),
    ("POST /r", "POST r", &[400]),
    ("POST /r", "POST *", &[400]),
    ("POST /r", "POST http:///r", &[400]),
    ("POST /r", "POST http://me@here/r", &[400]),
    ("POST /r", "POST ftp://here/r", &[400]),
    ("POST /r/ID/x", "CONNECT here:80", &[400, 501]),
    ("/x HTTP", "/x#y HTTP", &[400]),
    ("/x HTTP", "/x y HTTP", &[400]),
    ("/x HTTP", "/x\x7f HTTP", &[400]),
    ("/x HTTP", "/x\x01 HTTP", &[400]),
    ("/x HTTP", "/x\r HTTP", &[400]),
    ("/x HTTP/1.1", "/x", &[400]),
    ("/x HTTP/1.1", "/x ", &[400]),
    ("HTTP/1.1", "HTTP/1.1 ", &[400]),
    ("HTTP/1.1", "http/1.1", &[400]),
    ("HTTP/1.1", "HTTP/1.10", &[400, 505]),
    ("HTTP/1.1", "HTTP/2.0", &[400, 505]),
    ("HTTP/1.1", "HTTP/0.9", &[400, 505]),
    ("HTTP/1.1", "HTCPCP/1.1", &[400]),
    ("/x HTTP", "/LONG HTTP", &[414, 431]),
    // Line ends.
    ("HTTP/1.1\r\n", "HTTP/1.1\n", &[400]),
    ("HTTP/1.1\r\n", "HTTP/1.1\r", &[400]),
    ("HTTP/1.1\r\n", "HTTP/1.1\r\r\n", &[400]),
    ("Host: here\r\n", "Host: here\n", &[400]),
    ("Host: here\r\n", "Host: here\r", &[400]),
    ("Content-Length: 5\r\n", "Content-Length: 5\n", &[400]),
    ("X-Req: ID\r\n\r\n", "X-Req: ID\r\n\n", &[400]),
    ("X-Req: ID\r\n\r\n", "X-Req: ID\n\n", &[400]),
    // Field lines.
    ("Host: here", "Host : here", &[400]),
    ("Content-Length: 5", "Content-Length : 5", &[400]),
    ("Content-Length: 5", " Content-Length: 5", &[400]),
    ("Content-Length: 5", "X: y\r\n z\r\nContent-Length: 5", &[400]),
    ("Content-Length: 5", "X: y\r\n\tz\r\nContent-Length: 5", &[400]),
    ("Content-Length: 5", "X: y\rContent-Length: 5", &[400]),
    ("Content-Length: 5", "X: y\0\r\nContent-Length: 5", &[400]),
    ("Content-Length: 5", "X: y\x07\r\nContent-Length: 5", &[400]),
    ("Content-Length: 5", "X: y\x7f\r\nContent-Length: 5", &[400]),
    ("Content-Length: 5", ": y\r\nContent-Length: 5", &[400]),
    ("Content-Length: 5", "y\r\nContent-Length: 5", &[400]),
    ("Content-Length: 5", "(X): y\r\nContent-Length: 5", &[400]),
    ("Content-Length: 5", "X\u{e4}: y\r\nContent-Length: 5", &[400]),
    ("Content-Length: 5", "Content\0-Length: 5", &[400]),
    ("Content-Length: 5", "MANY\r\nContent-Length: 5", &[431]),
    ("Content-Length: 5", "X: LONG\r\nContent-Length: 5", &[431]),
    // `Host`.
    ("Host: here\r\n", "", &[400]),
    ("Host: here\r\n", "Host: here\r\nHost: here\r\n", &[400]),
    ("Host: here\r\n", "Host: here\r\nhOST: there\r\n", &[400]),
    ("Host: here\r\n", "Host: here, there\r\n", &[400]),
    ("Host: here\r\n", "Host: me@here\r\n", &[400]),
    ("Host: here\r\n", "Host: here/x\r\n", &[400]),
    ("Host: here\r\n", "Host: here:port\r\n", &[400]),
    // Framing.
    ("Content-Length: 5", "Content-Length: 5\r\nTransfer-Encoding: chunked", &[400]),
    ("Content-Length: 5", "Transfer-Encoding: chunked\r\nContent-Length: 5", &[400]),
    ("Content-Length: 5", "Content-Length: 5\r\nTransfer-Encoding: identity", &[400, 501]),
    ("Content-Length: 5", "Content-Length: 5\r\nTransfer-Encoding : chunked", &[400]),
    ("Content-Length: 5", "Content-Length: 5\r\nTransfer-Encoding:\r\n chunked", &[400]),
    ("Content-Length: 5", "Content-Length: 5\r\nTransfer-Encoding:\x0bchunked", &[400]),
    ("Content-Length: 5", "Content-Length: 5\r\nTransfer-Encoding: xchunked", &[400, 501]),
    ("Content-Length: 5", "Content-Length: 5\nTransfer-Encoding: chunked", &[400]),
    ("Content-Length: 5", "Content-Length: x\r\nTransfer-Encoding: chunked", &[400]),
    ("Content-Length: 5", "Transfer-Encoding: chunked, chunked", &[400]),
    ("Content-Length: 5", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", &[400]),
    ("Content-Length: 5", "Transfer-Encoding: chunked, gzip", &[400, 501]),
    ("Content-Length: 5", "Transfer-Encoding: gzip, chunked", &[400, 501]),
    ("Content-Length: 5", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", &[400, 501]),
    ("Content-Length: 5", "Transfer-Encoding: chunked;q=1", &[400, 501]),
    ("Content-Length: 5", "Transfer-Encoding: \"chunked\"", &[400, 501]),
    ("Content-Length: 5", "Transfer-Encoding:", &[400]),
    ("Content-Length: 5", "Transfer-Encoding: ,", &[400]),
    (" HTTP/1.1\r\nContent-Length: 5", " HTTP/1.0\r\nTransfer-Encoding: chunked", &[400]),
    ("Content-Length: 5", "Content-Length: 5\r\nContent-Length: 5", &[400]),
    ("Content-Length: 5", "Content-Length: 5\r\nContent-Length: 6", &[400]),
    ("Content-Length: 5", "Content-Length: 0\r\ncontent-length: 5", &[400]),
    ("Content-Length: 5", "Content-Length: 5, 5", &[400]),
    ("Content-Length: 5", "Content-Length: 5,", &[400]),
    ("Content-Length: 5", "Content-Length: 5 5", &[400]),
    ("Content-Length: 5", "Content-Length: +5", &[400]),
    ("Content-Length: 5", "Content-Length: -5", &[400]),
    ("Content-Length: 5", "Content-Length: 0x5", &[400]),
    ("Content-Length: 5", "Content-Length: 5.0", &[400]),
    ("Content-Length: 5", "Content-Length: 5;", &[400]),
    ("Content-Length: 5", "Content-Length: \"5\"", &[400]),
    ("Content-Length: 5", "Content-Length:", &[400]),
    ("Content-Length: 5", "Content-Length: 18446744073709551621", &[400]),
    ("Content-Length: 5", "Content-Length: 9223372036854775813", &[400]),
    // Others.
    ("Content-Length: 5", "Expect: the-unexpected\r\nContent-Length: 5", &[417]),
    ("POST /", "\x16\x03\x01\x02 /", &[400]),
    ("POST /r/ID/x HTTP/1.1", "SSH-2.0-OpenSSH_9.6", &[400]),
    ("POST /r/ID/x HTTP/1.1", "PRI * HTTP/2.0", &[400, 505]),
    ("POST /r/ID/x HTTP/1.1", "EHLO here", &[400]),
];

/// The bytes of a request that must be refused, and what with.
pub fn request(id: usize, short: bool, rng: &mut Rng) -> (Vec<u8>, &'static [u16]) {
    loop {
        let (from, to, statuses) = REQUESTS[rng.below(REQUESTS.len() as u64) as usize];
        if short && (to.contains("LONG") || to.contains("MANY")) {
            continue;
        }
        return (spoil(SMUGGLER, from, to, id).into_bytes(), statuses);
    }
}

fn spoil(text: &str, from: &str, to: &str, id: usize) -> String {
    assert!(text.contains(from), "nothing to spoil: {from:?}");
    let text = text.replacen(from, to, 1).replace("ID", &id.to_string());
    let long = "l".repeat(HEAD_BYTES_MAX + 1);
    text.replace("LONG", &long).replace("MANY", &["X: y"; FIELDS_MAX + 1].join("\r\n"))
}

/// Errors of the chunked coding, after any number of valid chunks.
const CHUNKS: &[&str] = &[
    "zz\r\n",
    "\r\n",
    " 5\r\nhello\r\n",
    "+5\r\nhello\r\n",
    "-5\r\nhello\r\n",
    "0x5\r\nhello\r\n",
    "5 5\r\nhello\r\n",
    "5,5\r\nhello\r\n",
    "5\nhello\r\n",
    "5\rhello\r\n",
    "5\r\r\nhello\r\n",
    "5;x\nhello\r\n",
    "5;x\rhello\r\n",
    "5;\0\r\nhello\r\n",
    "5;\x7f\r\nhello\r\n",
    "fffffffffffffffff\r\nhello",
    "10000000000000005\r\nhello\r\n",
    "0\r\n \r\n\r\n",
    "0\r\nX\r\n\r\n",
    "0\r\n: x\r\n\r\n",
    "0\r\nX : y\r\n\r\n",
    "0\r\nX: y\r\n z\r\n\r\n",
    "0\r\nX: y\nZ: 1\r\n\r\n",
    "0\r\nX: \0\r\n\r\n",
    "0\r\nX: y\r\n\rz",
    "0\r\n\n",
    "0\r\n\rx",
    "0\nGET",
];

/// What to append to some valid chunks, and the status for that.
pub fn chunks(rng: &mut Rng) -> (Vec<u8>, &'static [u16]) {
    let (mut bad, statuses): (String, &[u16]) = match rng.below(CHUNKS.len() as u64 + 2) as usize {
        at if at < CHUNKS.len() => (CHUNKS[at].to_string(), &[400]),
        at if at == CHUNKS.len() => (format!("5;{}\r\nhello\r\n", "x".repeat(4_100)), &[400]),
        _ => (format!("0\r\nX: {}\r\n\r\n", "y".repeat(4_100)), &[431]),
    };
    bad += "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: here\r\n\r\n";
    (bad.into_bytes(), statuses)
}

/// A valid response before the change: both framings mean the same body.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Ans: ID\r\n\r\n0\r\n\r\n";

/// Of such a response nothing is forwarded: 502.
const ANSWERS: &[(&str, &str)] = &[
    ("HTTP/1.1", "HTTP/2.0"),
    ("HTTP/1.1", "http/1.1"),
    ("HTTP/1.1", "HTP/1.1"),
    ("HTTP/1.1", " HTTP/1.1"),
    ("HTTP/1.1", "ICY"),
    (" 200", "  200"),
    (" 200", "\t200"),
    (" 200", " 20"),
    (" 200", " 2000"),
    (" 200", " 099"),
    (" 200", " 2x0"),
    (" 200", " -20"),
    (" 200", ""),
    UNOFFERED,
    ("OK\r\n", "O\0K\r\n"),
    ("OK\r\n", "OK\r"),
    ("Content-Length: 5\r\n", "Content-Length: 5\r"),
    ("Content-Length: 5", "X: y\r\n z\r\nContent-Length: 5"),
    ("Content-Length: 5", " Content-Length: 5"),
    ("Content-Length: 5", "Content-Length : 5"),
    ("Content-Length: 5", "X: \0\r\nContent-Length: 5"),
    ("Content-Length: 5", "X: y\rz\r\nContent-Length: 5"),
    ("Content-Length: 5", ": y\r\nContent-Length: 5"),
    ("Content-Length: 5", "no field\r\nContent-Length: 5"),
    ("Content-Length: 5", "MANY\r\nContent-Length: 5"),
    ("Content-Length: 5", "X: LONG\r\nContent-Length: 5"),
    ("Content-Length: 5", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
    ("Content-Length: 5", "Transfer-Encoding: chunked\r\nContent-Length: 5"),
    ("Content-Length: 5", "Content-Length: 5\r\nTransfer-Encoding: gzip"),
    ("Content-Length: 5", "Transfer-Encoding: gzip, chunked"),
    ("Content-Length: 5", "Transfer-Encoding: chunked, chunked"),
    ("Content-Length: 5", "Transfer-Encoding: chunked, gzip"),
    ("Content-Length: 5", "Transfer-Encoding: "),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked"),
    ("Content-Length: 5", "Content-Length: 5\r\nContent-Length: 6"),
    ("Content-Length: 5", "Content-Length: 5, 6"),
    ("Content-Length: 5", "Content-Length: +5"),
    ("Content-Length: 5", "Content-Length: -5"),
    ("Content-Length: 5", "Content-Length: 0x5"),
    ("Content-Length: 5", "Content-Length:"),
    ("Content-Length: 5", "Content-Length: 18446744073709551621"),
];

/// A switch to a protocol that was not offered.
const UNOFFERED: (&str, &str) =
    (" 200 OK\r\nContent-Length: 5", " 101 X\r\nConnection: upgrade\r\nUpgrade: other");

/// A response that must not reach a client.
pub fn answer(number: usize, short: bool, rng: &mut Rng) -> Vec<u8> {
    if rng.chance(50) {
        // No HTTP at all, from the first byte on.
        return (0..1 + rng.below(300)).map(|_| 0x80 | rng.bits() as u8).collect();
    }
    loop {
        let (from, to) = ANSWERS[rng.below(ANSWERS.len() as u64) as usize];
        let long = to.contains("LONG") || to.contains("MANY");
        if !(short && long) {
            return spoil(ANSWER, from, to, number).into_bytes();
        }
    }
}

/// The same, to a client that offers to switch protocols.
pub fn switch(number: usize) -> Vec<u8> {
    spoil(ANSWER, UNOFFERED.0, UNOFFERED.1, number).into_bytes()
}

/// An unsolicited response: complete, or cut off anywhere.
pub fn unasked(number: usize, rng: &mut Rng) -> Vec<u8> {
    match rng.below(4) {
        0 => answer(number, true, rng),
        1 => {
            let mut bytes = spoil(ANSWER, "OK", "OK", number).into_bytes();
            bytes.truncate(1 + rng.below(bytes.len() as u64) as usize);
            bytes
        }
        _ => spoil(ANSWER, "OK", "OK", number).into_bytes(),
    }
}
