//! What comes over a control socket: any split of a line or of the message of a takeover gives the
//! same result as the whole, and what was read is the same after it is written and read again.

use super::splits;
use loadbalancer::wire::command::Command;
use loadbalancer::wire::handover::Handover;
use loadbalancer::wire::info::Info;
use loadbalancer::wire::line::{LINE_BYTES_MAX, Line, line};
use loadbalancer::wire::name::{Name, listed};

pub fn run(data: &[u8]) {
    lines(data);
    handover(data);
    let text = String::from_utf8_lossy(data);
    for name in listed(&text) {
        assert_eq!(Name::read(&name.to_string()), Some(name.clone()));
        assert!(name.is_at(&name.place()), "{name:?}");
    }
    if let Some(info) = Info::read(&text) {
        assert_eq!(Info::read(&info.to_string()), Some(info));
    }
}

fn lines(data: &[u8]) {
    let whole = line(data);
    for end in splits(data.len()) {
        match line(&data[..end]) {
            Line::Partial => assert!(end < LINE_BYTES_MAX),
            early => assert_eq!(early, whole, "after {end} bytes"),
        }
    }
    let Line::Whole(text, bytes) = whole else { return };
    assert!(bytes <= LINE_BYTES_MAX && text.len() < bytes);
    match Command::read(text) {
        Ok(command) => assert_eq!(Command::read(&command.to_string()), Ok(command)),
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    }
}

fn handover(data: &[u8]) {
    let whole = Handover::read(data);
    for end in splits(data.len()) {
        match Handover::read(&data[..end]) {
            Ok(None) => {}
            early => assert_eq!(early, whole, "after {end} bytes"),
        }
    }
    if let Ok(Some(handover)) = whole {
        let written = handover.write();
        assert_eq!(Handover::read(&written), Ok(Some(handover)));
    }
}
