//! A second parser of HTTP/1.1, written from the grammar alone (RFC 9112), without code of the
//! program: for whole messages, without limits, strict. It must read everything that the program
//! accepts or sends in the same way.

/// Why this parser rejects a message.
pub type Refused = &'static str;

/// The result of parsing a prefix.
#[derive(Debug, PartialEq, Eq)]
pub enum Read<T> {
    /// The element, and its length in bytes.
    Whole(T, usize),
    /// The bytes end inside it.
    Unfinished,
    Refused(Refused),
}

/// A start line in its three parts and the field lines, names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub start: [Vec<u8>; 3],
    pub fields: Vec<(String, Vec<u8>)>,
}

/// Where a message's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Nothing,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Head {
    /// The values of every line of this field.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        let named = self.fields.iter().filter(|(found, _)| found == name);
        named.map(|(_, value)| value.as_slice()).collect()
    }

    /// Whether `field`, a list, names `member`.
    pub fn lists(&self, field: &str, member: &str) -> bool {
        let mut members = self.all(field).into_iter().flat_map(|value| value.split(is_comma));
        members.any(|found| found.trim_ascii().eq_ignore_ascii_case(member.as_bytes()))
    }

    /// The one length or coding, where there is either (RFC 9112 §6.3).
    fn framing(&self, version: &[u8]) -> Result<Option<Framing>, Refused> {
        match (&self.all("transfer-encoding")[..], &self.all("content-length")[..]) {
            ([], []) => Ok(None),
            ([], [digits]) => length(digits).map(|bytes| Some(Framing::Length(bytes))),
            ([coding], []) if version == b"HTTP/1.1" => {
                // Empty members mean nothing (RFC 9110 §5.6.1.2).
                let mut members = coding.split(is_comma).map(<[u8]>::trim_ascii);
                let is_known = |text: &[u8]| text.eq_ignore_ascii_case(b"chunked");
                let known = members.clone().filter(|member| is_known(member)).count();
                let is_chunked = known == 1 && members.all(|it| it.is_empty() || is_known(it));
                is_chunked.then_some(Some(Framing::Chunked)).ok_or("a coding other than chunked")
            }
            _ => Err("two framings, or a coding in HTTP/1.0"),
        }
    }

    /// How the body of this request is framed.
    pub fn request_framing(&self) -> Result<Framing, Refused> {
        Ok(self.framing(&self.start[2])?.unwrap_or(Framing::Nothing))
    }

    /// How the body of this final response is framed; `to_head`: it answers a HEAD request.
    pub fn response_framing(&self, to_head: bool) -> Result<Framing, Refused> {
        let framing = self.framing(&self.start[0])?;
        let is_bare = to_head || matches!(&self.start[1][..], b"204" | b"304");
        Ok(if is_bare { Framing::Nothing } else { framing.unwrap_or(Framing::UntilClose) })
    }
}

fn is_comma(byte: &u8) -> bool {
    *byte == b','
}

fn length(digits: &[u8]) -> Result<u64, Refused> {
    let text = std::str::from_utf8(digits).map_err(|_| "a length that is no number")?;
    match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().map_err(|_| "a length that is no number"),
        false => Err("a length that is no number"),
    }
}

fn is_token(text: &[u8]) -> bool {
    let is_mark = |byte: &u8| b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
}

fn is_value(text: &[u8]) -> bool {
    text.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

/// The line at the start of `bytes`, without its CRLF; none when it does not end in them.
fn line(bytes: &[u8]) -> Read<&[u8]> {
    match bytes.iter().position(|&byte| byte == b'\n') {
        None => Read::Unfinished,
        Some(at) => match bytes[..at].strip_suffix(b"\r") {
            Some(text) => Read::Whole(text, at + 1),
            None => Read::Refused("a bare LF"),
        },
    }
}

/// The field line `text`.
fn field(text: &[u8]) -> Result<(String, Vec<u8>), Refused> {
    let colon = text.iter().position(|&byte| byte == b':').ok_or("a field line without a colon")?;
    let (name, value) = (&text[..colon], text[colon + 1..].trim_ascii());
    if !is_token(name) {
        return Err("a field name that is no token");
    }
    if !is_value(&text[colon + 1..]) {
        return Err("a control character in a field value");
    }
    Ok((String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec()))
}

/// Field lines up to and including the empty line.
pub fn fields(bytes: &[u8]) -> Read<Vec<(String, Vec<u8>)>> {
    let (mut found, mut at) = (Vec::new(), 0);
    loop {
        match line(&bytes[at..]) {
            Read::Whole(b"", length) => return Read::Whole(found, at + length),
            Read::Whole(text, length) => match field(text) {
                Ok(field) => {
                    found.push(field);
                    at += length;
                }
                Err(why) => return Read::Refused(why),
            },
            Read::Unfinished => return Read::Unfinished,
            Read::Refused(why) => return Read::Refused(why),
        }
    }
}

/// A head whose start line `split` takes apart.
fn head(bytes: &[u8], split: fn(&[u8]) -> Option<[Vec<u8>; 3]>) -> Read<Head> {
    let (text, at) = match line(bytes) {
        Read::Whole(text, length) => (text, length),
        Read::Unfinished => return Read::Unfinished,
        Read::Refused(why) => return Read::Refused(why),
    };
    let Some(start) = split(text) else { return Read::Refused("the start line") };
    match fields(&bytes[at..]) {
        Read::Whole(fields, length) => Read::Whole(Head { start, fields }, at + length),
        Read::Unfinished => Read::Unfinished,
        Read::Refused(why) => Read::Refused(why),
    }
}

/// A request head: method, target and version (RFC 9112 §3).
pub fn request(bytes: &[u8]) -> Read<Head> {
    head(bytes, |text| {
        let words: Vec<&[u8]> = text.split(|&byte| byte == b' ').collect();
        let [method, target, version] = words[..] else { return None };
        let is_target = |byte: &u8| *byte > b' ' && *byte != 0x7f;
        let is_whole = is_token(method)
            && !target.is_empty()
            && target.iter().all(is_target)
            && matches!(version, b"HTTP/1.0" | b"HTTP/1.1");
        is_whole.then(|| [method.to_vec(), target.to_vec(), version.to_vec()])
    })
}

/// A response head: version, status and reason (RFC 9112 §4).
pub fn response(bytes: &[u8]) -> Read<Head> {
    head(bytes, |text| {
        let mut words = text.splitn(3, |&byte| byte == b' ');
        let (version, status, reason) = (words.next()?, words.next()?, words.next());
        let is_status = status.len() == 3 && status[0] != b'0';
        let is_whole = matches!(version, b"HTTP/1.0" | b"HTTP/1.1")
            && is_status
            && status.iter().all(u8::is_ascii_digit)
            && reason.is_none_or(is_value);
        let reason = reason.unwrap_or_default();
        is_whole.then(|| [version.to_vec(), status.to_vec(), reason.to_vec()])
    })
}

/// A chunked body: its content (RFC 9112 §7.1). White space after the size is accepted, as some
/// servers pad their sizes and every proxy accepts that.
pub fn chunked(bytes: &[u8]) -> Read<Vec<u8>> {
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        let (size, length) = match line(&bytes[at..]) {
            Read::Whole(text, length) => match chunk_size(text) {
                Ok(size) => (size, length),
                Err(why) => return Read::Refused(why),
            },
            Read::Unfinished => return Read::Unfinished,
            Read::Refused(why) => return Read::Refused(why),
        };
        at += length;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        match bytes[at..].split_at_checked(size) {
            Some((data, rest)) if rest.starts_with(b"\r\n") => content.extend_from_slice(data),
            Some((_, b"" | b"\r")) | None => return Read::Unfinished,
            Some(_) => return Read::Refused("data longer than its chunk"),
        }
        at += size + 2;
    }
    match fields(&bytes[at..]) {
        Read::Whole(_, length) => Read::Whole(content, at + length),
        Read::Unfinished => Read::Unfinished,
        Read::Refused(why) => Read::Refused(why),
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, Refused> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, rest) = line.split_at(end);
    let extension = rest.trim_ascii_start();
    if !is_value(rest) || !(extension.is_empty() || extension.starts_with(b";")) {
        return Err("bytes after a chunk size");
    }
    let digits = std::str::from_utf8(digits).map_err(|_| "a chunk size")?;
    u64::from_str_radix(digits, 16).map_err(|_| "a chunk size")
}

/// The body at the start of `bytes`: its content.
pub fn body(framing: Framing, bytes: &[u8]) -> Read<Vec<u8>> {
    match framing {
        Framing::Nothing => Read::Whole(Vec::new(), 0),
        Framing::UntilClose => Read::Whole(bytes.to_vec(), bytes.len()),
        Framing::Chunked => chunked(bytes),
        Framing::Length(length) => {
            let data = usize::try_from(length).ok().and_then(|length| bytes.get(..length));
            data.map_or(Read::Unfinished, |data| Read::Whole(data.to_vec(), data.len()))
        }
    }
}

/// Tests of this parser itself.
#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &str) -> Vec<u8> {
        format!("POST /a HTTP/1.1\r\nHost: x\r\n{lines}\r\n").into_bytes()
    }

    #[test]
    fn a_request_is_read_in_its_parts() {
        let text = b"POST /a HTTP/1.1\r\nHost:  x \r\nContent-Length: 3\r\n\r\nabcd";
        let Read::Whole(head, length) = request(text) else { panic!("a whole head") };
        assert_eq!(head.start.map(|part| part.len()), [4, 2, 8]);
        assert_eq!((head.fields.len(), &head.fields[0].1[..]), (2, &b"x"[..]));
        let framing = Framing::Length(3);
        assert_eq!(body(framing, &text[length..]), Read::Whole(b"abc".to_vec(), 3));
        for cut in 0..length {
            assert_eq!(request(&text[..cut]), Read::Unfinished, "cut at {cut}");
        }
    }

    #[test]
    fn heads_that_are_not_to_the_letter_are_refused() {
        for lines in
            ["A : b\r\n", " A: b\r\n", "A: b\n", "A: b\rC: d\r\n", "A: \0\r\n", "A\r\n", ":\r\n"]
        {
            assert!(matches!(request(&fields(lines)), Read::Refused(_)), "{lines:?}");
        }
        for line in
            ["GET  / HTTP/1.1", "GET / HTTP/1.2", "GET /", "G/T / HTTP/1.1", "GET /\u{7f} HTTP/1.1"]
        {
            let text = format!("{line}\r\n\r\n");
            assert!(matches!(request(text.as_bytes()), Read::Refused(_)), "{line:?}");
        }
        for line in ["HTTP/1.1 20 OK", "HTTP/2 200 OK", "HTTP/1.1 099 OK", "HTTP/1.1 200 O\u{7f}"] {
            let text = format!("{line}\r\n\r\n");
            assert!(matches!(response(text.as_bytes()), Read::Refused(_)), "{line:?}");
        }
    }

    #[test]
    fn framing_is_one_length_or_chunked() {
        for (lines, expected) in [
            ("", Ok(Framing::Nothing)),
            ("Content-Length: 07\r\n", Ok(Framing::Length(7))),
            ("Transfer-Encoding: , Chunked\r\n", Ok(Framing::Chunked)),
            ("Content-Length: +7\r\n", Err(())),
            ("Content-Length: 7, 7\r\n", Err(())),
            ("Content-Length:\r\n", Err(())),
            ("Content-Length: 7\r\nContent-Length: 7\r\n", Err(())),
            ("Content-Length: 7\r\nTransfer-Encoding: chunked\r\n", Err(())),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(())),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(())),
            ("Transfer-Encoding: chunked, chunked\r\n", Err(())),
        ] {
            let Read::Whole(head, _) = request(&fields(lines)) else { panic!("{lines:?}") };
            assert_eq!(head.request_framing().map_err(|_| ()), expected, "{lines:?}");
        }
    }

    #[test]
    fn chunked_bodies_are_read_to_the_letter() {
        let whole = b"3;x=\"y\"\r\nabc\r\n1 \r\nd\r\n0\r\nT: u\r\n\r\n";
        assert_eq!(chunked(whole), Read::Whole(b"abcd".to_vec(), whole.len()));
        for cut in 0..whole.len() {
            assert_eq!(chunked(&whole[..cut]), Read::Unfinished, "cut at {cut}");
        }
        for text in [
            "1\na\n0\n\n",
            "0x1\r\n",
            "-1\r\n",
            "1\r\nab\r\n",
            "1 1\r\n",
            "0\r\n: t\r\n\r\n",
            "\r\n",
        ] {
            assert!(matches!(chunked(text.as_bytes()), Read::Refused(_)), "{text:?}");
        }
    }
}
