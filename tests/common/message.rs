//! An HTTP message as a peer read it.

/// A head and its body.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The head as received, with the empty line.
    pub head: String,
    /// The content, decoded.
    pub body: Vec<u8>,
    /// The body as received, with its transfer coding.
    pub coded: Vec<u8>,
    /// Trailer lines of a chunked body, as they came.
    pub trailers: String,
}

impl Message {
    /// Request line or status line.
    pub fn start_line(&self) -> &str {
        self.head.split("\r\n").next().unwrap_or_default()
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        let code = self.start_line().split(' ').nth(1).unwrap_or_default();
        code.parse().unwrap_or_else(|_| panic!("no status in {:?}", self.head))
    }

    /// The target of a request.
    pub fn target(&self) -> &str {
        self.start_line().split(' ').nth(1).unwrap_or_default()
    }

    /// The values of every line of this field.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        let ours = lines.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        ours.map(|(_, value)| value.trim()).collect()
    }

    /// The value of a field that may occur once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = self.fields(name);
        assert!(values.len() <= 1, "{name} more than once in {:?}", self.head);
        values.first().copied()
    }

    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the sender closes the connection after it.
    pub fn closes(&self) -> bool {
        self.fields("connection").iter().any(|value| value.eq_ignore_ascii_case("close"))
    }
}
