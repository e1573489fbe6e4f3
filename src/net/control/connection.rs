//! A connection to the control socket of another process.

use super::peer::{is_allowed, peer};
use super::place::address;
use crate::wire::name::Name;
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Longest answer that is read: 1,000 servers with the longest names take half of it.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// For a connection on which nothing is read or written.
const SQUATTER_LIMIT: Duration = Duration::from_secs(1);

/// Whether a process of another user than the one in the name listens under it: anybody can take an
/// abstract name. It is connected to.
pub fn is_squatted(name: &Name) -> bool {
    connect(name, SQUATTER_LIMIT)
        .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// When this span is over.
pub fn deadline(limit: Duration) -> Instant {
    Instant::now() + limit
}

/// Has the next read of `stream` end at `deadline`.
///
/// Errors: `TimedOut`, that is over; the system's.
pub fn read_until(stream: &UnixStream, deadline: Instant) -> io::Result<()> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => stream.set_read_timeout(Some(left)),
    }
}

/// Reads until the answer is whole, to the end or to [`ANSWER_BYTES_MAX`], all before `deadline`.
pub fn read_answer(
    stream: &mut UnixStream,
    deadline: Instant,
    is_whole: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    while answer.len() < ANSWER_BYTES_MAX && !is_whole(&answer) {
        read_until(stream, deadline)?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&part[..count]),
            // With bytes of ours that it did not read, its end is a reset.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

/// A blocking connection to the instance of this name. Each read and write may take `limit`.
///
/// Errors: `PermissionDenied`, its user is not the one in the name; the system's.
pub fn connect(name: &Name, limit: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // One with a full backlog does not accept: it is refused at once instead of waited for.
    socket.set_nonblocking(true)?;
    socket.connect(&address(name)?)?;
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(limit))?;
    socket.set_write_timeout(Some(limit))?;
    let stream = UnixStream::from(OwnedFd::from(socket));
    // Anybody can listen under an abstract name.
    match is_allowed(peer(stream.as_fd())?.user, name.user) {
        true => Ok(stream),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// What an instance answers to a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Done(String),
    Refused(String),
}

/// Sends a line, without its end, to the instance of this name; what it answers within `limit`, in
/// whole lines.
///
/// Errors: as [`connect`]; `InvalidData`, it answers with something else.
pub fn ask(name: &Name, line: &str, limit: Duration) -> io::Result<Answer> {
    let deadline = deadline(limit);
    let mut stream = connect(name, limit)?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let answer = read_answer(&mut stream, deadline, |_| false)?;
    let text = String::from_utf8_lossy(&answer);
    let text = text.strip_suffix('\n').ok_or(io::ErrorKind::UnexpectedEof)?;
    match (text.strip_prefix("ok "), text.strip_prefix("error ")) {
        (Some(text), _) => Ok(Answer::Done(text.to_owned())),
        (None, Some(text)) => Ok(Answer::Refused(text.to_owned())),
        (None, None) => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::control::{ControlSocket, Instances};

    #[test]
    fn an_answer_in_pieces_has_one_limit() {
        let listen = format!("{}.test:5", std::process::id());
        let socket = ControlSocket::open(&listen, Instances::One).expect("a free name");
        let name = socket.name().clone();
        let asked = std::thread::spawn(move || ask(&name, "status", Duration::from_millis(300)));
        let mut accepted = None;
        while accepted.is_none() {
            accepted = socket.accept().ok();
        }
        let mut stream = UnixStream::from(accepted.expect("a connection").0);
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let error = asked.join().expect("an outcome").expect_err("it never ends");
        let is_over = matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock);
        assert!(is_over, "{error}");
    }
}
