//! The requests to the balancer, by a thread of their own: whatever the balancer does with one, keys
//! are read meanwhile.

use super::failure::Failure;
use super::snapshot::Snapshot;
use crate::config::HostPort;
use crate::get::{self, Url, fetch};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Longest wait for a connection or a byte. The balancer answers from memory.
pub const TIMEOUT: Duration = Duration::from_secs(3);

/// Longest status text: more than 4,096 servers need.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// One request after the other.
#[derive(Debug)]
pub struct Requests {
    asked: SyncSender<()>,
    answers: Receiver<Result<Snapshot, Failure>>,
}

impl Requests {
    /// To this admin address. The thread ends with the value, or with the process.
    ///
    /// Errors: the system has no room for a thread.
    pub fn new(admin: HostPort) -> io::Result<Requests> {
        let (asked, questions) = sync_channel(1);
        let (replies, answers) = sync_channel(1);
        thread::Builder::new().name("requests".to_owned()).spawn(move || {
            while let Ok(()) = questions.recv() {
                if replies.send(request(&admin)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Requests { asked, answers })
    }

    /// Begins a request once the one before has its answer; one more is not remembered.
    pub fn ask(&self) {
        let _ = self.asked.try_send(());
    }

    /// The next answer, once it is there. Does not wait.
    pub fn answer(&self) -> Option<Result<Snapshot, Failure>> {
        self.answers.try_recv().ok()
    }
}

/// The state of the balancer with this admin address.
pub fn request(admin: &HostPort) -> Result<Snapshot, Failure> {
    let not_admin = || Failure::NotAdmin(admin.clone());
    let url = Url::read(&format!("http://{admin}/status?text"));
    let url = url.map_err(|error| Failure::Request(get::Failure::WrongUrl(error)))?;
    let mut response = fetch::open(&url, TIMEOUT).map_err(|failure| match failure {
        get::Failure::Connect(_, error) => Failure::Connect(admin.clone(), error),
        get::Failure::Response(..) => not_admin(),
        other => Failure::Request(other),
    })?;
    if response.status != 200 {
        return Err(not_admin());
    }
    let mut text = Vec::new();
    loop {
        let count = match response.content() {
            Ok(0) => break,
            Ok(count) if text.len() + count <= TEXT_BYTES_MAX => count,
            Ok(_) | Err(_) => return Err(not_admin()),
        };
        text.extend_from_slice(&response.unread()[..count]);
        response.consume(count);
    }
    Snapshot::read(&String::from_utf8_lossy(&text)).ok_or_else(not_admin)
}
