//! The backend list file: its bytes as backends with line numbers and located warnings.
//! Reads no file; a bad line never spoils the others.

use super::Mode;
use super::address::HostPort;
use super::backend::{BACKENDS_MAX, BackendSpec, Naming};
use super::endpoint::Endpoint;
use super::number;
use super::quote::quote;
use super::server_tls::{HTTPS, HTTPS_PORT, ServerTls, Trust};
use crate::balance::AdminState;
use crate::wire::proxy_protocol::Version;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

/// Longest line, in bytes without its end.
pub const LINE_BYTES_MAX: usize = 1_024;

/// Most of a file that is read: every allowed backend on a line of the longest kind.
pub const FILE_BYTES_MAX: usize = BACKENDS_MAX * (LINE_BYTES_MAX + 2);

/// Most warnings about one file; the rest is summed up in one more.
pub const WARNINGS_MAX: usize = 50;

/// Heaviest weight.
pub const WEIGHT_MAX: u32 = 1_000;

/// Highest `max=`, the same bound as for all pairs together.
pub const PAIRS_MAX: u32 = 1_000_000;

/// What a list file says: the backends of its good lines and a warning for each bad one.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// Backends in the order of the file, none of them twice.
    pub backends: Vec<Listed>,
    /// What was skipped and why, in the order of the file.
    pub warnings: Vec<Warning>,
}

/// A backend and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Line in the file, from 1.
    pub line: usize,
    /// What the line says.
    pub spec: BackendSpec,
}

/// A line that was skipped. Displays as `file:line: what was expected`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file as named on the command line.
    pub file: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// What was found there and what was expected instead.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

impl List {
    /// Reads `bytes`, the content of `file`. Backends already `given` (on the command line) are
    /// not taken a second time and count towards [`BACKENDS_MAX`]. Words without an effect in `mode`
    /// are refused.
    pub fn parse(file: &str, bytes: &[u8], given: &[BackendSpec], mode: Mode) -> List {
        let mut reader = Reader {
            file,
            mode,
            places: given.iter().map(|spec| (spec.endpoint.backend_key(), None)).collect(),
            room: BACKENDS_MAX.saturating_sub(given.len()),
            list: List::default(),
            unshown: 0,
        };
        // Editors on Windows put a byte order mark first; it is no part of the first host.
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let looked_at = &bytes[..bytes.len().min(FILE_BYTES_MAX)];
        let mut line = 0;
        for text in looked_at.split(|&b| b == b'\n') {
            line += 1;
            reader.line(line, text.strip_suffix(b"\r").unwrap_or(text));
        }
        if bytes.len() > FILE_BYTES_MAX {
            reader.warn(line, format!("expected the file to end within {FILE_BYTES_MAX} bytes"));
        }
        reader.finish(line)
    }
}

/// Reading in progress.
struct Reader<'a> {
    file: &'a str,
    mode: Mode,
    /// Where each backend was first named: a line, or none for the command line.
    places: HashMap<Endpoint, Option<usize>>,
    room: usize,
    list: List,
    unshown: usize,
}

impl Reader<'_> {
    fn line(&mut self, line: usize, bytes: &[u8]) {
        match spec(bytes, self.mode) {
            Ok(None) => {}
            Ok(Some(spec)) => self.take(line, spec),
            Err(text) => self.warn(line, text),
        }
    }

    fn take(&mut self, line: usize, spec: BackendSpec) {
        let key = spec.endpoint.backend_key();
        if let Some(place) = self.places.get(&key) {
            let place = place.map_or("the command line".to_owned(), |line| format!("line {line}"));
            let shown = quote(&spec.endpoint.to_string());
            self.warn(line, format!("expected each backend once, {shown} is also on {place}"));
        } else if self.list.backends.len() == self.room {
            self.warn(line, format!("expected at most {BACKENDS_MAX} backends"));
        } else {
            self.places.insert(key, Some(line));
            self.list.backends.push(Listed { line, spec });
        }
    }

    fn warn(&mut self, line: usize, text: String) {
        if self.list.warnings.len() < WARNINGS_MAX {
            self.list.warnings.push(Warning { file: self.file.to_owned(), line, text });
        } else {
            self.unshown += 1;
        }
    }

    fn finish(mut self, line: usize) -> List {
        if self.unshown > 0 {
            let text = format!("and {} more bad lines up to here", self.unshown);
            self.list.warnings.push(Warning { file: self.file.to_owned(), line, text });
        }
        self.list
    }
}

/// What one line says; nothing for a blank or comment line.
fn spec(bytes: &[u8], mode: Mode) -> Result<Option<BackendSpec>, String> {
    if bytes.len() > LINE_BYTES_MAX {
        return Err(format!("expected at most {LINE_BYTES_MAX} bytes on a line"));
    }
    // A comment may be in any encoding; only what is read must be text.
    let content = bytes.split(|&b| b == b'#').next().unwrap_or_default();
    let content = str::from_utf8(content).map_err(|error| {
        let column = error.valid_up_to() + 1;
        format!("expected UTF-8 text, byte {column} of the line is not")
    })?;
    let mut words = content.split_ascii_whitespace();
    let Some(address) = words.next() else {
        return Ok(None);
    };
    let spec =
        BackendSpec::parse(address).map_err(|error| format!("expected host:port, {error}"))?;
    if mode == Mode::Redirect && spec.endpoint.unix_name().is_some() {
        return Err(String::from(
            "expected host:port, as clients are not redirected to unix sockets",
        ));
    }
    with_words(spec, words, mode).map(Some)
}

/// A backend with the words that follow its address.
///
/// Errors: what was expected instead of one of them, and why.
pub fn with_words<'a>(
    mut spec: BackendSpec,
    words: impl Iterator<Item = &'a str>,
    mode: Mode,
) -> Result<BackendSpec, String> {
    let mut seen = Vec::new();
    for word in words {
        let name = word.split('=').next().unwrap_or_default();
        if seen.contains(&name) {
            return Err(format!("expected {name} once"));
        }
        seen.push(name);
        setting(&mut spec, word, mode)?;
    }
    Ok(spec)
}

/// Whether it is a word that follows an address, in any mode.
pub fn is_word(text: &str) -> bool {
    let plain = BackendSpec::new(HostPort::on("name", 80));
    let secured = BackendSpec { tls: Some(ServerTls::default()), ..plain.clone() };
    let takes =
        |spec: &BackendSpec, mode| with_words(spec.clone(), [text].into_iter(), mode).is_ok();
    let is_word = |mode| takes(&plain, mode) || takes(&secured, mode);
    [Mode::Http, Mode::Tcp].into_iter().any(is_word)
}

/// A backend as a line has it, without the words for what is the default.
pub struct Line<'a>(pub &'a BackendSpec);

impl fmt::Display for Line<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BackendSpec { weight, backup, pairs_max, send_proxy, naming, admin, tls, .. } = self.0;
        write!(out, "{}{}", self.0.scheme(), self.0.endpoint)?;
        if *weight != 1 {
            write!(out, " weight={weight}")?;
        }
        if let Some(max) = pairs_max {
            write!(out, " max={max}")?;
        }
        if *backup {
            out.write_str(" backup")?;
        }
        if *naming == Naming::Each {
            out.write_str(" each")?;
        }
        if let Some(version) = send_proxy {
            write!(out, " {}", version.word())?;
        }
        if let Some(tls) = tls {
            write!(out, "{tls}")?;
        }
        match admin.word() {
            "" => Ok(()),
            word => write!(out, " {word}"),
        }
    }
}

/// Applies one word after the address.
fn setting(spec: &mut BackendSpec, word: &str, mode: Mode) -> Result<(), String> {
    match word.split_once('=') {
        Some(("weight", value)) => spec.weight = whole("weight", value, WEIGHT_MAX)?,
        Some(("max", value)) => spec.pairs_max = Some(whole("max", value, PAIRS_MAX)?),
        Some(("ca", value)) => {
            set_trust(spec, "ca=", Trust::File(path("ca", value)?))?;
        }
        Some(("sni", value)) => set_name(spec, value)?,
        None if word == "insecure" => set_trust(spec, word, Trust::Nobody)?,
        None if word == "backup" => spec.backup = true,
        None if word == Version::V1.word() => set_header(spec, Version::V1, mode)?,
        None if word == Version::V2.word() => set_header(spec, Version::V2, mode)?,
        None if word == "each" => set_each(spec)?,
        None if word == "drain" => set_admin(spec, AdminState::Drain)?,
        None if word == "down" => set_admin(spec, AdminState::Down)?,
        None if BackendSpec::parse(word).is_ok() => {
            return Err(format!(
                "expected one server, got {} as well: give each its own line or argument",
                quote(word)
            ));
        }
        Some(_) | None => {
            return Err(format!(
                "expected weight=N, max=N, backup, each, send-proxy, send-proxy-v1, drain, down, \
                 ca=FILE, sni=NAME or insecure, got {}{}",
                quote(word),
                word_instead(word)
            ));
        }
    }
    Ok(())
}

/// What to write for a word of HAProxy or nginx, as the rest of a sentence.
fn word_instead(word: &str) -> &'static str {
    match word.split('=').next().unwrap_or_default() {
        "weight" => ": write weight=N",
        "max" | "maxconn" | "max_conns" => ": write max=N",
        "send-proxy-v2" => ": write send-proxy, which is version 2",
        "resolve" | "resolvers" => ": names are looked up again without a word",
        "check" => ": servers are checked without a word",
        "disabled" => ": write down",
        "ssl" => ": write https:// before the address",
        "verify" => ": servers are verified unless insecure is written",
        "ca-file" => ": write ca=FILE",
        _ => "",
    }
}

fn set_each(spec: &mut BackendSpec) -> Result<(), String> {
    if spec.endpoint.host_name().is_none() {
        let shown = quote(&spec.endpoint.to_string());
        return Err(format!("expected each after a host name, {shown} is one backend"));
    }
    spec.naming = Naming::Each;
    Ok(())
}

/// The settings of TLS, of a backend that has them.
fn tls<'a>(spec: &'a mut BackendSpec, word: &str) -> Result<&'a mut ServerTls, String> {
    let shown = quote(&format!("{HTTPS}{}", spec.endpoint));
    let why = match spec.endpoint.unix_name() {
        Some(_) => format!("expected {word} after https:// only, and a unix socket has no TLS"),
        None => format!("expected {word} after https:// only; write {shown}"),
    };
    spec.tls.as_mut().ok_or(why)
}

fn set_trust(spec: &mut BackendSpec, word: &str, trust: Trust) -> Result<(), String> {
    let tls = tls(spec, word)?;
    if tls.trust != Trust::System {
        return Err(String::from(
            "expected either ca= or insecure, as insecure verifies no certificate",
        ));
    }
    tls.trust = trust;
    Ok(())
}

fn set_name(spec: &mut BackendSpec, value: &str) -> Result<(), String> {
    let tls = tls(spec, "sni=")?;
    let endpoint = Endpoint::backend(&format!("{value}:{HTTPS_PORT}"));
    let name = endpoint.ok().and_then(|endpoint| endpoint.host_name().map(str::to_owned));
    tls.name = Some(name.ok_or_else(|| {
        format!("expected sni= a host name, got {}; an address is verified as it is", quote(value))
    })?);
    Ok(())
}

fn path(name: &str, value: &str) -> Result<PathBuf, String> {
    match value.is_empty() {
        true => Err(format!("expected {name}= the name of a file in PEM")),
        false => Ok(PathBuf::from(value)),
    }
}

fn set_header(spec: &mut BackendSpec, version: Version, mode: Mode) -> Result<(), String> {
    let word = version.word();
    if mode != Mode::Tcp {
        return Err(format!(
            "expected {word} in TCP mode only, as other connections carry the requests of several \
             clients; add -m tcp, or leave it out: X-Forwarded-For names the client"
        ));
    }
    if spec.send_proxy.is_some() {
        return Err(String::from("expected either send-proxy or send-proxy-v1"));
    }
    spec.send_proxy = Some(version);
    Ok(())
}

fn set_admin(spec: &mut BackendSpec, admin: AdminState) -> Result<(), String> {
    if spec.admin != AdminState::Ready {
        return Err(String::from("expected either drain or down"));
    }
    spec.admin = admin;
    Ok(())
}

/// A whole number from 1 to `most`.
fn whole(name: &str, value: &str, most: u32) -> Result<u32, String> {
    number::whole(value, 1..=most).ok_or_else(|| {
        format!("expected {name}= a whole number from 1 to {most}, got {}", quote(value))
    })
}

#[cfg(test)]
mod tests;
