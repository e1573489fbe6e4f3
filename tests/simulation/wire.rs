//! The oracle's own reader of HTTP/1.1: strict, simple, and independent of the program's.

/// A byte of stream `stream` at `offset`: any mix-up of streams or offsets shows.
pub fn byte(stream: u64, offset: u64) -> u8 {
    let mixed = (stream + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ (offset + 1).wrapping_mul(0xD1B5_4A32_D192_ED03);
    (mixed >> 40) as u8
}

/// The first `count` bytes of `stream`.
pub fn bytes(stream: u64, count: u64) -> Vec<u8> {
    (0..count).map(|offset| byte(stream, offset)).collect()
}

/// Asserts that `data` is what `stream` has from `offset` on.
pub fn compare(stream: u64, offset: u64, data: &[u8], what: &str) {
    for (at, &found) in data.iter().enumerate() {
        let at = offset + at as u64;
        assert!(found == byte(stream, at), "{what}: byte {at} of stream {stream} is wrong");
    }
}

/// A start line and its fields, names in lower case.
#[derive(Debug, Default)]
pub struct Head {
    pub first: Vec<String>,
    pub fields: Vec<(String, String)>,
}

impl Head {
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(found, _)| found == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} more than once in {self:?}");
        all.first().copied()
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.one(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
    }
}

/// The head at the start of `bytes` and its length; none while it is not complete.
pub fn head(bytes: &[u8]) -> Option<(Head, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..end - 4]).expect("a head is ASCII here");
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "stray line ends in {text:?}");
    let mut head =
        Head { first: first.splitn(3, ' ').map(str::to_string).collect(), ..Head::default() };
    assert!(head.first.len() == 3, "start line {first:?}");
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("field line {line:?}"));
        let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        assert!(!name.is_empty() && name.bytes().all(token), "field name {name:?}");
        head.fields.push((name.to_ascii_lowercase(), value.trim().to_string()));
    }
    Some((head, end))
}

/// Where a body stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Length(u64),
    ChunkLine,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    Done,
}

impl Body {
    /// How a message that has a body is framed.
    pub fn of(head: &Head) -> Option<Body> {
        let (length, coding) = (head.number("content-length"), head.one("transfer-encoding"));
        assert!(length.is_none() || coding.is_none(), "two framings in {head:?}");
        assert!(coding.is_none_or(|coding| coding == "chunked"), "coding {coding:?}");
        match (length, coding) {
            (_, Some(_)) => Some(Body::ChunkLine),
            (Some(0), None) => Some(Body::Done),
            (Some(length), None) => Some(Body::Length(length)),
            (None, None) => None,
        }
    }

    /// Takes what belongs to the body from the front of `input`: content to `content`, trailer
    /// lines to `trailers`.
    pub fn take(&mut self, input: &mut Vec<u8>, content: &mut Vec<u8>, trailers: &mut Vec<String>) {
        while !input.is_empty() {
            let before = input.len();
            match self.clone() {
                Body::Length(left) => {
                    let left = left - take_data(left, input, content);
                    *self = if left == 0 { Body::Done } else { Body::Length(left) };
                }
                Body::ChunkData(left) => {
                    let left = left - take_data(left, input, content);
                    *self = if left == 0 { Body::ChunkEnd } else { Body::ChunkData(left) };
                }
                Body::UntilClose => content.append(input),
                Body::ChunkLine | Body::ChunkEnd | Body::Trailers => {
                    self.take_line(input, trailers)
                }
                Body::Done => return,
            }
            if input.len() == before && *self != Body::Done {
                return;
            }
        }
    }

    fn take_line(&mut self, input: &mut Vec<u8>, trailers: &mut Vec<String>) {
        let Some(end) = input.windows(2).position(|two| two == b"\r\n") else { return };
        let line: Vec<u8> = input.drain(..end + 2).take(end).collect();
        let line = String::from_utf8(line).expect("framing is ASCII");
        *self = match self {
            Body::ChunkLine => {
                let digits = line.split(';').next().unwrap_or_default();
                let size = u64::from_str_radix(digits, 16);
                match size.unwrap_or_else(|_| panic!("chunk size {line:?}")) {
                    0 => Body::Trailers,
                    size => Body::ChunkData(size),
                }
            }
            Body::ChunkEnd => {
                assert!(line.is_empty(), "behind a chunk: {line:?}");
                Body::ChunkLine
            }
            _ if line.is_empty() => Body::Done,
            _ => {
                trailers.push(line);
                Body::Trailers
            }
        };
    }
}

fn take_data(left: u64, input: &mut Vec<u8>, content: &mut Vec<u8>) -> u64 {
    let count = (input.len() as u64).min(left);
    content.extend(input.drain(..count as usize));
    count
}
