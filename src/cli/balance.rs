//! The commands that balance: which arguments are backends, where to listen, and which options go
//! together. The options themselves are in [`options`](super::options).

use super::command::{COMMANDS, Command, Demo};
use super::effective;
use super::error::UsageError;
use super::pages;
use super::rules::settle;
use super::scan::{Argument, Scan, scan};
use super::suggest::nearest;
use crate::config::list::{self, Line};
use crate::config::{AddressError, BACKENDS_MAX, BackendSpec, Config, Endpoint, HostPort};
use crate::config::{Mode, Purpose, quote};
use std::ffi::OsString;

/// Longest backend that a hint repeats.
const EXAMPLE_BYTES_MAX: usize = 60;

/// Reads the words of `loadbalancer` itself.
pub fn balance(words: Vec<OsString>) -> Result<Command, UsageError> {
    let rows = pages::balance_options();
    let mut config = Config::default();
    let mut given = match scan(&rows, words, "loadbalancer", &mut config)? {
        Scan::Summary => return Ok(Command::Help(pages::balance_summary)),
        Scan::Help => return Ok(Command::Help(pages::balance_help)),
        Scan::Version => return Ok(Command::Version),
        Scan::Run(given) => given,
    };
    let is_positional = |argument: &Argument| argument.option.is_none();
    let count = given.arguments.len();
    if !given.has("listen")
        && let Some(first) = given.arguments.iter().position(is_positional)
    {
        config.listen = address(&given.arguments.remove(first), Endpoint::listener)?;
    }
    let mut positional = given.arguments.iter().filter(|argument| argument.option.is_none());
    if given.has("listen")
        && let Some(first) = positional.next()
        && let Ok(Endpoint::Tcp(HostPort { host: None, port })) = Endpoint::listener(&first.text)
    {
        let (argument, listen) = (first.text.clone(), config.listen);
        return Err(UsageError::UnclearPort { argument, port, listen });
    }
    for argument in &given.arguments {
        let spec = backend(argument, config.backends.last(), config.mode)?;
        add(&mut config, spec)?;
    }
    if config.backends.is_empty() && config.list_file.is_none() {
        return Err(UsageError::NoBackend);
    }
    settle(&mut config, &rows, &given)?;
    match config.purpose {
        Purpose::Serve | Purpose::Check(_) => Ok(Command::Balance(config)),
        Purpose::Print => {
            let listens = given.arguments.len() < count;
            let lines = effective::lines(&rows, &config, |long| match long {
                "listen" => listens || given.has(long),
                "backend" => !config.backends.is_empty(),
                _ => given.has(long),
            });
            Ok(Command::PrintConfig(config, lines))
        }
    }
}

/// Reads the words after `loadbalancer demo`.
pub fn demo(words: Vec<OsString>) -> Result<Command, UsageError> {
    let rows = pages::demo_options();
    let mut config = Demo::default().config;
    let given = match scan(&rows, words, "loadbalancer demo", &mut config)? {
        Scan::Summary => return Ok(Command::Help(pages::demo_summary)),
        Scan::Help => return Ok(Command::Help(pages::demo_help)),
        Scan::Version => return Ok(Command::Version),
        Scan::Run(given) => given,
    };
    let mut arguments = given.arguments.iter();
    if !given.has("listen")
        && let Some(argument) = arguments.next()
    {
        config.listen = address(argument, HostPort::listener)?.into();
    }
    if let Some(argument) = arguments.next() {
        let hint = "the demo takes one address and brings its own backends";
        return Err(UsageError::UnexpectedArgument { argument: argument.text.clone(), hint });
    }
    match &mut config.listen {
        // The demo must not open a port to the network unless asked to.
        Endpoint::Tcp(at) => {
            at.host.get_or_insert_with(|| "127.0.0.1".to_owned());
        }
        Endpoint::Unix(name) => {
            return Err(UsageError::BadValue {
                spelled: "-p/--listen".to_owned(),
                reason: AddressError::UnixHere(name.to_string()).to_string(),
            });
        }
    }
    settle(&mut config, &rows, &given)?;
    Ok(Command::Demo(Demo { config }))
}

/// Reads one address; an argument that is nearly a command gets that hint instead.
fn address<A>(
    argument: &Argument,
    read: fn(&str) -> Result<A, AddressError>,
) -> Result<A, UsageError> {
    let Argument { text, option } = argument;
    read(text).map_err(|error| {
        if let Some(spelled) = option.clone() {
            return UsageError::BadValue { spelled, reason: error.to_string() };
        }
        let is_name = text.bytes().all(|b| b.is_ascii_alphabetic());
        match nearest(text, COMMANDS.into_iter()) {
            Some(command) if command == text => UsageError::CommandNotFirst(command),
            Some(near) if is_name => UsageError::UnknownCommand { word: text.clone(), near },
            Some(_) | None => UsageError::BadArgument(error.to_string()),
        }
    })
}

/// Reads a backend: a line of a list file as one argument. `before` is the one before it.
fn backend(
    argument: &Argument,
    before: Option<&BackendSpec>,
    mode: Mode,
) -> Result<BackendSpec, UsageError> {
    let Argument { text, option } = argument;
    let wrong = |reason: String| match option.clone() {
        Some(spelled) => UsageError::BadValue { spelled, reason },
        None => UsageError::BadArgument(reason),
    };
    if list::is_word(text) {
        let line = before.map(|spec| Line(spec).to_string());
        let line = line.filter(|line| line.len() <= EXAMPLE_BYTES_MAX);
        let example = line.unwrap_or("HOST:PORT".to_owned());
        let hint = format!("put it into one argument with the address: '{example} {text}'");
        return Err(wrong(format!("{} is a word of a backend: {hint}", quote(text))));
    }
    let mut words = text.split_ascii_whitespace();
    let first = words.next().unwrap_or_default().to_owned();
    let first = Argument { text: first, option: option.clone() };
    list::with_words(address(&first, BackendSpec::parse)?, words, mode)
        .map_err(|reason| wrong(format!("the backend {}: {reason}", quote(text))))
}

fn add(config: &mut Config, spec: BackendSpec) -> Result<(), UsageError> {
    let backend = &spec.endpoint;
    if config.backends.iter().any(|other| other.endpoint.is_same_backend(backend)) {
        return Err(UsageError::RepeatedBackend(spec.endpoint));
    }
    if backend.reaches(&config.listen) {
        return Err(UsageError::Loop(spec.endpoint));
    }
    if config.backends.len() == BACKENDS_MAX {
        return Err(UsageError::TooManyBackends);
    }
    config.backends.push(spec);
    Ok(())
}
