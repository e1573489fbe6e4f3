//! Request methods as far as a gateway distinguishes them (RFC 9110 §9).

/// A request method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    /// Any other token. Methods are case-sensitive (RFC 9110 §9.1).
    Other,
}

impl Method {
    /// The method that `text` names.
    pub fn of(text: &[u8]) -> Method {
        match text {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            _ => Method::Other,
        }
    }

    /// Whether it asks for a representation and nothing else.
    pub fn is_get_or_head(self) -> bool {
        match self {
            Method::Get | Method::Head => true,
            Method::Post
            | Method::Put
            | Method::Delete
            | Method::Connect
            | Method::Options
            | Method::Trace
            | Method::Other => false,
        }
    }

    /// Whether the request may be repeated (RFC 9110 §9.2.2). Unknown methods may not.
    pub fn is_idempotent(self) -> bool {
        match self {
            Method::Get
            | Method::Head
            | Method::Put
            | Method::Delete
            | Method::Options
            | Method::Trace => true,
            Method::Post | Method::Connect | Method::Other => false,
        }
    }
}
