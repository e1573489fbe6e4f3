//! `/metrics`: the text format of Prometheus, version 0.0.4. Labels are `backend`, as configured,
//! and closed sets; nothing of a client is in them.

use super::histogram::{BOUNDS, Histogram};
use super::snapshot::{Backend, Program};
use crate::http::writer::Writer;
use std::fmt::Write;
use std::time::Duration;

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Where the samples of a family come from.
#[derive(Clone, Copy)]
pub enum Source {
    /// The program as a whole.
    Program(fn(&Program<'_>, &mut Samples<'_, '_>)),
    /// Each backend.
    Backends(fn(&Backend<'_>, &mut Samples<'_, '_>)),
}

/// A metric family.
#[derive(Clone, Copy)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    /// One sentence without a backslash or a line end.
    pub help: &'static str,
    pub source: Source,
}

impl Family {
    /// The lines before the samples.
    pub fn begin(&self, out: &mut Writer<'_>) {
        let name = self.name.as_bytes();
        out.append_all(&[b"# HELP ", name, b" ", self.help.as_bytes(), b"\n# TYPE ", name]);
        out.append_all(&[b" ", self.kind.name().as_bytes(), b"\n"]);
    }

    /// The samples of the program.
    pub fn program(&self, program: &Program<'_>, out: &mut Writer<'_>) {
        if let Source::Program(write) = self.source {
            write(program, &mut Samples { out, name: self.name, backend: None });
        }
    }

    /// The samples of a backend.
    pub fn backend(&self, backend: &Backend<'_>, out: &mut Writer<'_>) {
        if let Source::Backends(write) = self.source {
            write(backend, &mut Samples { out, name: self.name, backend: Some(backend.name) });
        }
    }
}

/// The samples of one family, of the program or of one backend.
#[derive(Debug)]
pub struct Samples<'w, 'o> {
    out: &'w mut Writer<'o>,
    name: &'static str,
    backend: Option<&'w str>,
}

impl Samples<'_, '_> {
    /// Writes the name with `suffix` and the labels.
    fn begin(&mut self, suffix: &str, label: Option<(&str, &str)>) {
        self.out.append_all(&[self.name.as_bytes(), suffix.as_bytes()]);
        let mut before: &[u8] = b"{";
        if let Some(backend) = self.backend {
            self.out.append(b"{backend=\"");
            append_escaped(self.out, backend);
            self.out.append(b"\"");
            before = b",";
        }
        if let Some((name, value)) = label {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            self.out.append_all(&[before, name, b"=\"", value, b"\""]);
        }
        let is_bare = self.backend.is_none() && label.is_none();
        self.out.append(if is_bare { b" " } else { b"} " });
    }

    /// A whole number.
    pub fn value(&mut self, value: u64) {
        self.begin("", None);
        self.end(value);
    }

    /// A whole number with one more label, whose value is one of a closed set.
    pub fn labelled(&mut self, label: &str, value: &str, number: u64) {
        self.begin("", Some((label, value)));
        self.end(number);
    }

    fn end(&mut self, number: u64) {
        self.out.append_decimal(number);
        self.out.append(b"\n");
    }

    /// Seconds.
    pub fn seconds(&mut self, duration: Duration) {
        self.begin("", None);
        self.end_seconds(duration);
    }

    fn end_seconds(&mut self, duration: Duration) {
        // A writer never fails: it remembers what does not fit.
        let _ = writeln!(self.out, "{}.{:06}", duration.as_secs(), duration.subsec_micros());
    }

    /// Every line of a histogram.
    pub fn histogram(&mut self, histogram: &Histogram) {
        for (bound, count) in BOUNDS.iter().zip(histogram.cumulative()) {
            self.begin("_bucket", Some(("le", bound)));
            self.end(count);
        }
        self.begin("_sum", None);
        self.end_seconds(Duration::from_micros(histogram.sum_us()));
        self.begin("_count", None);
        self.end(histogram.count());
    }
}

/// A label value: `\`, `"` and line ends are escaped.
fn append_escaped(out: &mut Writer<'_>, value: &str) {
    let bytes = value.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        return out.append(bytes);
    }
    for &byte in bytes {
        match byte {
            b'\n' => out.append(b"\\n"),
            b'\\' | b'"' => out.append(&[b'\\', byte]),
            _ => out.append(&[byte]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(backend: Option<&str>, write: impl Fn(&mut Samples<'_, '_>)) -> String {
        let mut bytes = [0; 8192];
        let mut out = Writer::new(&mut bytes);
        write(&mut Samples { out: &mut out, name: "m", backend });
        let length = out.finish().expect("it fits");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn a_sample_has_its_labels_and_they_are_escaped() {
        for (backend, label, expected) in [
            (None, None, "m 7\n"),
            (None, Some(("class", "2xx")), "m{class=\"2xx\"} 7\n"),
            (Some("b:1"), None, "m{backend=\"b:1\"} 7\n"),
            (Some("b:1"), Some(("kind", "x")), "m{backend=\"b:1\",kind=\"x\"} 7\n"),
            (Some("a\\b\"c\nd"), None, "m{backend=\"a\\\\b\\\"c\\nd\"} 7\n"),
            (Some("[::1]:80"), None, "m{backend=\"[::1]:80\"} 7\n"),
        ] {
            let text = written(backend, |samples| match label {
                Some((name, value)) => samples.labelled(name, value, 7),
                None => samples.value(7),
            });
            assert_eq!(text, expected);
        }
        let text = written(None, |samples| samples.seconds(Duration::from_micros(1_000_020)));
        assert_eq!(text, "m 1.000020\n");
    }

    #[test]
    fn a_histogram_is_cumulative_and_ends_in_sum_and_count() {
        let mut histogram = Histogram::default();
        for micros in [900, 1_000, 1_001, 20_000_000] {
            histogram.observe(micros);
        }
        let text = written(Some("b"), |samples| samples.histogram(&histogram));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), BOUNDS.len() + 2);
        for (line, expected) in [
            (lines[0], "m_bucket{backend=\"b\",le=\"0.001\"} 2"),
            (lines[1], "m_bucket{backend=\"b\",le=\"0.0025\"} 3"),
            (lines[12], "m_bucket{backend=\"b\",le=\"10\"} 3"),
            (lines[13], "m_bucket{backend=\"b\",le=\"+Inf\"} 4"),
            (lines[14], "m_sum{backend=\"b\"} 20.002901"),
            (lines[15], "m_count{backend=\"b\"} 4"),
        ] {
            assert_eq!(line, expected);
        }
    }
}
