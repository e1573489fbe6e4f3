//! The oracle's own reader of HTTP/1.1: strict, simple, and independent of the program's.

/// Streams from here on are those of tunnels, below lie requests (even) and answers (odd).
pub const TUNNELS: u64 = 1 << 32;

/// Bodies that are messages themselves: a parser that loses count of bytes takes them for one.
const DECOYS: [&[u8]; 2] = [
    b"GET /smuggled HTTP/1.1\r\nHost: here\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 Smuggled\r\nX-Ans: 0\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
];

/// A byte of stream `stream` at `offset`: any mix-up of streams or offsets shows.
pub fn byte(stream: u64, offset: u64) -> u8 {
    if stream < TUNNELS && stream / 2 % 6 == 5 {
        let decoy = DECOYS[(stream % 2) as usize];
        return decoy[(offset % decoy.len() as u64) as usize];
    }
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
    pub first: [String; 3],
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

    /// A field of decimal digits and nothing else.
    pub fn number(&self, name: &str) -> Option<u64> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        self.one(name).map(|text| match text.parse() {
            Ok(number) if digits(text) => number,
            _ => panic!("{name}: {text:?}"),
        })
    }
}

/// The head at the start of `bytes` and its length; none while it is not complete. `seen` is how
/// much was searched before.
pub fn head(bytes: &[u8], seen: &mut usize) -> Option<(Head, usize)> {
    let from = seen.saturating_sub(3);
    *seen = bytes.len();
    let end = from + bytes[from..].windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    *seen = 0;
    // As Latin-1: obs-text is allowed in values and nowhere else.
    let text: String = bytes[..end - 4].iter().map(|&byte| char::from(byte)).collect();
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let mut words = first.splitn(3, ' ').map(str::to_string);
    let first = [(); 3].map(|()| words.next().unwrap_or_else(|| panic!("start line {first:?}")));
    assert!(first.iter().all(|word| word.bytes().all(is_text)), "start line {first:?}");
    let fields = lines.map(|line| field(line).unwrap_or_else(|| panic!("field line {line:?}")));
    Some((Head { first, fields: fields.collect() }, end))
}

/// Name in lower case and value of one field line (RFC 9112 §5).
fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let well_formed = !name.is_empty() && name.bytes().all(token) && value.chars().all(is_content);
    well_formed.then(|| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_string()))
}

fn is_text(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

/// Field content: no control character but the tab, so no line end of any kind either.
fn is_content(character: char) -> bool {
    character == '\t' || character == ' ' || !character.is_control() || character >= '\u{80}'
}

/// The state of a body.
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
        let known = coding.is_none_or(|coding| coding.eq_ignore_ascii_case("chunked"));
        assert!(known, "coding {coding:?}");
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
        let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
            assert!(input.len() <= LINE_MAX, "an endless line");
            return;
        };
        let line: String = input.drain(..=end).map(char::from).collect();
        let line = line.strip_suffix("\r\n").unwrap_or_else(|| panic!("a bare LF: {line:?}"));
        *self = match self {
            Body::ChunkLine => match chunk_size(line) {
                0 => Body::Trailers,
                size => Body::ChunkData(size),
            },
            Body::ChunkEnd => {
                assert!(line.is_empty(), "behind a chunk: {line:?}");
                Body::ChunkLine
            }
            _ if line.is_empty() => Body::Done,
            _ => {
                let (name, value) = field(line).unwrap_or_else(|| panic!("trailer {line:?}"));
                trailers.push(format!("{name}: {value}"));
                Body::Trailers
            }
        };
    }
}

/// Longest line of framing that a reader may have to read.
const LINE_MAX: usize = 5_000;

/// `1*HEXDIG`, perhaps with extensions (RFC 9112 §7.1).
fn chunk_size(line: &str) -> u64 {
    let digits: String = line.chars().take_while(char::is_ascii_hexdigit).collect();
    let rest = line[digits.len()..].trim_start_matches([' ', '\t']);
    let well_formed = rest.is_empty() || rest.starts_with(';') && rest.chars().all(is_content);
    assert!(well_formed && digits.len() <= 15, "chunk line {line:?}");
    u64::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("chunk line {line:?}"))
}

fn take_data(left: u64, input: &mut Vec<u8>, content: &mut Vec<u8>) -> u64 {
    let count = (input.len() as u64).min(left);
    content.extend(input.drain(..count as usize));
    count
}
