//! Writing JSON into a fixed buffer.

use crate::http::writer::Writer;
use std::fmt::{self, Display, Write};
use std::time::Duration;

/// An object that is being written. Names are ours, so they need no escapes.
#[derive(Debug)]
pub struct Object<'w, 'o> {
    out: &'w mut Writer<'o>,
    is_empty: bool,
}

impl<'w, 'o> Object<'w, 'o> {
    /// Writes the opening brace.
    pub fn open(out: &'w mut Writer<'o>) -> Object<'w, 'o> {
        out.append(b"{");
        Object { out, is_empty: true }
    }

    /// Writes the closing brace.
    pub fn close(self) {
        self.out.append(b"}");
    }

    /// Writes a name; its value is to follow.
    pub fn name(&mut self, name: &str) -> &mut Writer<'o> {
        if !std::mem::take(&mut self.is_empty) {
            self.out.append(b",");
        }
        self.out.append_all(&[b"\"", name.as_bytes(), b"\":"]);
        self.out
    }

    /// A member that is an object.
    pub fn object(&mut self, name: &str) -> Object<'_, 'o> {
        Object::open(self.name(name))
    }

    pub fn number(&mut self, name: &str, value: u64) {
        self.name(name).append_decimal(value);
    }

    pub fn boolean(&mut self, name: &str, value: bool) {
        self.name(name).append(if value { b"true" } else { b"false" });
    }

    pub fn text(&mut self, name: &str, value: impl Display) {
        string(self.name(name), value);
    }

    /// In seconds.
    pub fn duration(&mut self, name: &str, value: Duration) {
        let out = self.name(name);
        // A writer never fails: it remembers what does not fit.
        let _ = write!(out, "{}.{:06}", value.as_secs(), value.subsec_micros());
    }

    /// A number with three decimals.
    pub fn rate(&mut self, name: &str, value: f64) {
        let _ = write!(self.name(name), "{value:.3}");
    }

    pub fn null(&mut self, name: &str) {
        self.name(name).append(b"null");
    }

    /// An object of counts.
    pub fn counts<'n>(&mut self, name: &str, counts: impl Iterator<Item = (&'n str, u64)>) {
        let mut object = self.object(name);
        counts.for_each(|(name, count)| object.number(name, count));
        object.close();
    }

    /// An array of counts.
    pub fn array(&mut self, name: &str, counts: &[u32]) {
        let out = self.name(name);
        for (at, count) in counts.iter().enumerate() {
            out.append(if at == 0 { b"[" } else { b"," });
            out.append_decimal(u64::from(*count));
        }
        out.append(if counts.is_empty() { b"[]" } else { b"]" });
    }
}

/// Writes `value` as a string.
pub fn string(out: &mut Writer<'_>, value: impl Display) {
    out.append(b"\"");
    let _ = write!(Escaped(out), "{value}");
    out.append(b"\"");
}

/// Escapes what cannot be in a string as it is (RFC 8259 §7).
struct Escaped<'w, 'o>(&'w mut Writer<'o>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => self.0.append(&[b'\\', byte]),
                0..b' ' | 0x7f => write!(self.0, "\\u{byte:04x}")?,
                _ => self.0.append(&[byte]),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Writer<'_>)) -> String {
        let mut out = [0; 1024];
        let mut writer = Writer::new(&mut out);
        write(&mut writer);
        let length = writer.finish().expect("it fits");
        String::from_utf8_lossy(&out[..length]).into_owned()
    }

    #[test]
    fn strings_are_escaped() {
        for (text, expected) in [
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("\"\\\n\u{7f}\u{0}", "\"\\\"\\\\\\u000a\\u007f\\u0000\""),
            ("é\u{2028}", "\"é\u{2028}\""),
        ] {
            assert_eq!(written(|out| string(out, text)), expected);
        }
    }

    #[test]
    fn members_are_separated_by_commas_at_every_depth() {
        let text = written(|out| {
            let mut object = Object::open(out);
            object.number("a", 1);
            let mut inner = object.object("b");
            inner.null("c");
            inner.boolean("d", false);
            inner.close();
            object.object("e").close();
            object.array("f", &[]);
            object.array("g", &[1, 2]);
            object.duration("h", Duration::from_millis(1_500));
            object.rate("i", 0.5);
            object.counts("j", [("k", 1), ("l", 2)].into_iter());
            object.text("m", 3);
            object.close();
        });
        let expected = concat!(
            r#"{"a":1,"b":{"c":null,"d":false},"e":{},"f":[],"g":[1,2],"h":1.500000,"#,
            r#""i":0.500,"j":{"k":1,"l":2},"m":"3"}"#
        );
        assert_eq!(text, expected);
    }
}
