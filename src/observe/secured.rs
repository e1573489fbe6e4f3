//! What the logs say of a connection in TLS.

use super::line::{Escape, Line};
use std::fmt;

/// What the handshake came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecuredNotes {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// As IANA names it.
    pub cipher: &'static str,
    pub is_resumed: bool,
    /// The name that the client has asked for; empty if it has not.
    pub server_name: String,
    /// Whose certificate the client has shown; empty if it has not.
    pub subject: String,
}

impl SecuredNotes {
    /// Appends members to a JSON object that has some already.
    pub fn write_members(&self, line: &mut Line<'_>) {
        let texts = [
            ("tls", self.version),
            ("cipher", self.cipher),
            ("sni", &self.server_name),
            ("subject", &self.subject),
        ];
        for (name, value) in texts {
            line.text(",\"");
            line.text(name);
            line.text("\":\"");
            line.quoted(value.as_bytes(), Escape::Json);
            line.text("\"");
        }
        line.text(",\"resumed\":");
        line.text(if self.is_resumed { "true" } else { "false" });
    }
}

/// For `-v`.
impl fmt::Display for SecuredNotes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.version, self.cipher)?;
        if !self.server_name.is_empty() {
            write!(out, " for {}", self.server_name)?;
        }
        if !self.subject.is_empty() {
            write!(out, " with {}", self.subject)?;
        }
        if self.is_resumed {
            out.write_str(", resumed")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_say_what_was_agreed_on() {
        let mut notes = SecuredNotes {
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            is_resumed: true,
            server_name: "a.example".to_owned(),
            subject: "CN=a\\\"b".to_owned(),
        };
        let mut out = Vec::new();
        notes.write_members(&mut Line(&mut out));
        assert_eq!(
            String::from_utf8(out).expect("ASCII"),
            r#","tls":"TLSv1.3","cipher":"TLS_AES_128_GCM_SHA256","sni":"a.example","#.to_owned()
                + r#""subject":"CN=a\\\"b","resumed":true"#
        );
        let text = r#"TLSv1.3 TLS_AES_128_GCM_SHA256 for a.example with CN=a\"b, resumed"#;
        assert_eq!(notes.to_string(), text);
        (notes.server_name, notes.subject, notes.is_resumed) = Default::default();
        assert_eq!(notes.to_string(), "TLSv1.3 TLS_AES_128_GCM_SHA256");
    }
}
