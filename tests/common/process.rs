//! The binary as a process: start, read its output, signal, wait.

use super::{DEADLINE, Message, Peer, wait_until};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pub stderr: Lines,
    pub stdout: Lines,
}

impl Running {
    /// Starts `command`, reading what it prints.
    pub fn start(command: &mut Command) -> Running {
        Running::start_as_is(command.stdin(Stdio::null()))
    }

    /// Starts `command`, whose standard input is set, reading what it prints.
    pub fn start_as_is(command: &mut Command) -> Running {
        let command = usual_signals(command).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starting a process");
        let stdout = Lines::of(child.stdout.take().expect("its standard output"));
        let stderr = Lines::of(child.stderr.take().expect("its standard error"));
        Running { child, stderr, stdout }
    }

    /// Starts `command` with `stderr`, of which `reader` is the other end; `command` is gone then,
    /// as it would keep `stderr` open.
    pub fn start_with_stderr(
        mut command: Command,
        stderr: impl Into<Stdio>,
        reader: impl Read + Send + 'static,
    ) -> Running {
        usual_signals(&mut command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().expect("starting a process");
        let stdout = Lines::of(child.stdout.take().expect("its standard output"));
        Running { child, stderr: Lines::of(reader), stdout }
    }

    /// Where `--admin` answers.
    pub fn admin(&self) -> SocketAddr {
        let line = self.stderr.wait_for("admin on http://");
        let address = line.split("http://").nth(1).and_then(|rest| rest.strip_suffix('/'));
        address.and_then(|at| at.parse().ok()).unwrap_or_else(|| panic!("no address in {line}"))
    }

    /// The answer of `--admin` to a GET.
    pub fn ask_admin(&self, target: &str) -> Message {
        let mut peer = Peer::connect(self.admin());
        peer.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        peer.response()
    }

    /// Starts the binary under test.
    pub fn loadbalancer<A: AsRef<OsStr>>(arguments: &[A]) -> Running {
        Running::start(binary().args(arguments))
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let arguments = [format!("-{name}"), self.id().to_string()];
        let status = Command::new("/bin/kill").args(&arguments).status().expect("running kill");
        assert!(status.success(), "kill -{name}");
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("looking after a process").is_none()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("a process to end", || {
            status = self.child.try_wait().expect("looking after a process");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

/// Figures of a process from `/proc`.
#[cfg(target_os = "linux")]
impl Running {
    fn proc(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.id());
        std::fs::read_to_string(path).expect("a file about a live process")
    }

    /// The value of a line of `/proc/…/status`.
    fn status_of(&self, name: &str) -> String {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
    }

    /// Descriptors that are open.
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.id());
        std::fs::read_dir(path).expect("the descriptors of a live process").count()
    }

    /// Memory in use, in KiB.
    pub fn memory_kib(&self) -> usize {
        let value = self.status_of("VmRSS");
        value.trim_end_matches(" kB").parse().expect("a number")
    }

    /// CPU time, in ticks, usually of 10 ms.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = self.proc("stat");
        // After the name, which may contain anything: the 14th and the 15th value.
        let values = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
        values.map(|value| value.parse::<u64>().expect("a number")).sum()
    }

    /// Waits until it sleeps through a pause of this length.
    pub fn comes_to_rest(&self, pause: Duration) {
        let mut before = self.sleeps();
        wait_until("the process to rest", || {
            std::thread::sleep(pause);
            let now = self.sleeps();
            let rests = now == before && now.1;
            before = now;
            rests
        });
    }

    /// Whether it waits for something now.
    pub fn is_asleep(&self) -> bool {
        self.sleeps().1
    }

    /// How often it went to sleep so far, which is how often it was woken.
    pub fn wake_ups(&self) -> u64 {
        self.sleeps().0
    }

    /// How often it went to sleep so far, and whether it sleeps now.
    fn sleeps(&self) -> (u64, bool) {
        let count = self.status_of("voluntary_ctxt_switches").parse().expect("a number");
        (count, self.status_of("State").starts_with('S'))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary under test, about to be started.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadbalancer"));
    command.env_remove("NO_COLOR");
    usual_signals(&mut command);
    command
}

/// Has the process begin with the usual effects of signals: those that the test's own process
/// ignores, as under `nohup`, would be ignored by it as well.
#[allow(unsafe_code)]
fn usual_signals(command: &mut Command) -> &mut Command {
    let reset = || {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGPIPE] {
            // SAFETY: the call takes no pointer, and may be made between fork and exec (POSIX
            // signal-safety); the default effect needs no handler.
            if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: what runs in the child allocates nothing and takes no lock.
    unsafe { command.pre_exec(reset) }
}

/// Exit status and output of a process that has ended.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the binary to its end.
pub fn run<A: AsRef<OsStr>>(arguments: &[A]) -> Finished {
    let mut running = Running::loadbalancer(arguments);
    let status = running.wait();
    Finished { code: status.code(), stdout: running.stdout.whole(), stderr: running.stderr.whole() }
}

/// The lines of a stream, read by a thread.
#[derive(Clone, Debug)]
pub struct Lines(Arc<(Mutex<Heard>, Condvar)>);

/// What was read so far.
#[derive(Debug, Default)]
pub struct Heard {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Lines {
        let lines = Lines(Arc::default());
        let copy = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                copy.heard().lines.push(line);
                copy.0.1.notify_all();
            }
            copy.heard().ended = true;
            copy.0.1.notify_all();
        });
        lines
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pauses reading until this is dropped; one buffer may still be read.
    pub fn unread(&self) -> MutexGuard<'_, Heard> {
        self.heard()
    }

    /// All lines so far.
    pub fn so_far(&self) -> Vec<String> {
        self.heard().lines.clone()
    }

    /// The lines so far with `part` in them.
    pub fn with(&self, part: &str) -> Vec<String> {
        self.so_far().into_iter().filter(|line| line.contains(part)).collect()
    }

    /// Waits for a line with `part` in it.
    pub fn wait_for(&self, part: &str) -> String {
        self.wait_for_count(part, 1).remove(0)
    }

    /// Waits for so many lines with `part` in them.
    pub fn wait_for_count(&self, part: &str, count: usize) -> Vec<String> {
        let found = |read: &Heard| read.lines.iter().filter(|line| line.contains(part)).count();
        let read = self.wait_while(|read| found(read) < count && !read.ended);
        assert!(
            found(&read) >= count,
            "{count} lines with {part:?} in:\n{}",
            read.lines.join("\n")
        );
        let lines = read.lines.iter().filter(|line| line.contains(part));
        lines.cloned().collect()
    }

    /// Waits for the end; everything before it.
    pub fn whole(&self) -> String {
        let read = self.wait_while(|read| !read.ended);
        assert!(read.ended, "the stream stays open");
        read.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    fn wait_while(&self, waits: impl Fn(&Heard) -> bool) -> MutexGuard<'_, Heard> {
        let heard = self.heard();
        let wait = self.0.1.wait_timeout_while(heard, DEADLINE, |heard| waits(heard));
        wait.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The binary with `listener` as the descriptor 3, as systemd would start it.
pub fn with_socket(listener: impl Into<OwnedFd>, arguments: &[&str]) -> Command {
    let program = binary().get_program().to_owned();
    let script = "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" \"$@\" 3<&0 </dev/null";
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).arg(program).args(arguments);
    command.stdin(Stdio::from(listener.into()));
    command
}

/// The next datagram; fails the test if there is none. A wait with a time-out ends whenever the
/// process was stopped and goes on (signal(7)), which says nothing.
pub fn datagram(socket: &UnixDatagram, bytes: &mut [u8]) -> usize {
    loop {
        match socket.recv(bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            outcome => break outcome.expect("a datagram"),
        }
    }
}

/// A directory that is removed when this is dropped.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// A new, empty one.
    pub fn new() -> TempDir {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("loadbalancer-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("making a temporary directory");
        TempDir(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it; its path as an argument.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("writing a temporary file");
        path.to_str().expect("a path in UTF-8").to_owned()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
