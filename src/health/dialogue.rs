//! What a probe of TCP mode says to a server, and what it waits for. Pure.

use super::event::{Page, ProbeFault};

/// Bytes of an answer that are looked at. A greeting has far fewer.
pub const ANSWER_BYTES_MAX: usize = 4096;

/// Longest text that is sent or expected, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;

/// What is sent once connected, and what the answer has to contain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialogue {
    /// Nothing: the server speaks first.
    pub send: Vec<u8>,
    /// At least one byte.
    pub expect: Vec<u8>,
}

impl Dialogue {
    /// The outcome by what has come so far; none: more may come. `has_ended`: nothing will.
    pub fn judge(&self, answer: &[u8], has_ended: bool) -> Option<Result<Page, ProbeFault>> {
        let looked_at = &answer[..answer.len().min(ANSWER_BYTES_MAX)];
        let length = self.expect.len().max(1);
        if looked_at.windows(length).any(|part| part == self.expect) {
            return Some(Ok(Page::Found));
        }
        let is_whole = has_ended || answer.len() >= ANSWER_BYTES_MAX;
        is_whole.then_some(Err(match answer.is_empty() {
            true => ProbeFault::Broken,
            false => ProbeFault::Unexpected,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_what_it_contains() {
        let dialogue = Dialogue { send: Vec::new(), expect: b"PONG".to_vec() };
        let (found, unexpected) = (Some(Ok(Page::Found)), Some(Err(ProbeFault::Unexpected)));
        let most = ANSWER_BYTES_MAX;
        let at = |at: usize| [vec![b'x'; at], b"PONG".to_vec()].concat();
        for (name, answer, has_ended, expected) in [
            ("nothing yet", vec![], false, None),
            ("nothing, ended", vec![], true, Some(Err(ProbeFault::Broken))),
            ("a part", b"+PO".to_vec(), false, None),
            ("a part, ended", b"+PO".to_vec(), true, unexpected),
            ("all", b"+PONG\r\n".to_vec(), false, found),
            ("all, ended", b"+PONG\r\n".to_vec(), true, found),
            ("another case", b"+pong\r\n".to_vec(), true, unexpected),
            ("up to the limit", at(most - 4), false, found),
            ("past the limit", at(most - 3), false, unexpected),
            ("one less", vec![b'x'; most - 1], false, None),
        ] {
            assert_eq!(dialogue.judge(&answer, has_ended), expected, "{name}");
        }
    }

    #[test]
    fn every_part_of_an_answer_waits_for_the_rest() {
        let dialogue = Dialogue { send: Vec::new(), expect: b"220 ".to_vec() };
        let banner = b"\xFF220 mail.test ESMTP\r\n";
        for end in 0..banner.len() {
            let expected = (end >= 5).then_some(Ok(Page::Found));
            assert_eq!(dialogue.judge(&banner[..end], false), expected, "{end} bytes");
        }
    }
}
