//! `loadbalancer ctl`: lists the balancers that run, and gives one of them a command over its
//! control socket.

mod failure;
mod table;

use crate::cli::Ctl;
use crate::net::control::{self, Answer};
use crate::wire::command::Command;
use crate::wire::info::Info;
use crate::wire::name::Name;
pub use failure::Failure;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

/// Longest wait for an answer. A reload may take 10 s.
const LIMIT: Duration = Duration::from_secs(15);

/// The same for the list: it is answered from memory.
const INFO_LIMIT: Duration = Duration::from_secs(2);

/// Carries out what the command line asks for.
///
/// Errors: it was not done.
pub fn run(ctl: &Ctl) -> Result<(), Failure> {
    let user = control::user();
    let mut names = control::names();
    names.retain(|name| user == 0 || name.user == user);
    if names.is_empty() {
        return Err(Failure::NoneRuns);
    }
    if let Some(place) = &ctl.place {
        names.retain(|name| name.is_at(place));
        if names.is_empty() {
            return Err(Failure::NoneThere(place.clone()));
        }
    }
    names.retain(|name| !control::is_squatted(name));
    if names.is_empty() {
        return Err(Failure::NoneRuns);
    }
    match &ctl.command {
        None => print(&table::text(&names.iter().map(row).collect::<Vec<_>>())),
        Some(command) => {
            let name = only(names)?;
            match control::ask(&name, &command.to_string(), LIMIT) {
                Ok(Answer::Done(text)) => print(&format!("{text}\n")),
                Ok(Answer::Refused(text)) => Err(Failure::Refused(text)),
                Err(error) => Err(Failure::NoAnswer(name.place(), error)),
            }
        }
    }
}

/// The one that is meant. What has its process in its name may be about to end: it is meant if
/// there is no other.
fn only(mut names: Vec<Name>) -> Result<Name, Failure> {
    if names.iter().filter(|name| name.process.is_none()).count() == 1 {
        names.retain(|name| name.process.is_none());
    }
    match names.len() {
        1 => Ok(names.remove(0)),
        _ => Err(Failure::Several(names.iter().map(Name::place).collect())),
    }
}

/// An instance, and what it says of itself if it does.
fn row(name: &Name) -> (Name, Option<Info>) {
    let info = match control::ask(name, &Command::Info.to_string(), INFO_LIMIT) {
        Ok(Answer::Done(text)) => Info::read(&text),
        Ok(Answer::Refused(_)) | Err(_) => None,
    };
    (name.clone(), info)
}

/// To standard output; a reader that closes it early (`| head`) is not an error.
fn print(text: &str) -> Result<(), Failure> {
    let text: String = text.chars().filter(|char| *char == '\n' || !char.is_control()).collect();
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(listen: &str, process: Option<u32>) -> Name {
        Name { user: 0, listen: listen.to_owned(), process }
    }

    #[test]
    fn the_only_one_is_meant_beside_those_that_end() {
        let (one, other) = (name("127.0.0.1:80", None), name("127.0.0.1:81", None));
        let ending = name("127.0.0.1:80", Some(7));
        for (name, names, expected) in [
            ("one", vec![one.clone()], Some(&one)),
            ("one and its predecessor", vec![one.clone(), ending.clone()], Some(&one)),
            ("one that ends", vec![ending.clone()], Some(&ending)),
            ("two", vec![one.clone(), other], None),
            ("two that end", vec![ending.clone(), self::name("127.0.0.1:80", Some(8))], None),
        ] {
            assert_eq!(only(names).ok().as_ref(), expected, "{name}");
        }
    }
}
