//! argv → command → run → exit code.

use loadbalancer::base::reason::reason;
use loadbalancer::cli::{self, Command, Config, Demo};
use loadbalancer::config::{BackendSpec, CertificateFile, Purpose};
use loadbalancer::demo::Identity;
use loadbalancer::http::date::generalized_time;
use loadbalancer::net::kernel::unix_ms;
use loadbalancer::net::terminal;
use loadbalancer::net::tls::SelfSigned;
use loadbalancer::serve::RunError;
use loadbalancer::{ctl, demo, get, httpserver, replay, serve, top};
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::process::{self, ExitCode, Stdio};

/// Exit status for a wrong command line.
const USAGE: u8 = 2;

/// How long the certificate of the demo is valid, before and after its start.
const DEMO_CERTIFICATE_SECONDS: u64 = 7 * 86_400;

/// Servers the demo starts.
const DEMO_BACKENDS: usize = 3;

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    let program = cli::program(&argv);
    match cli::parse(argv) {
        Ok(command) => run(command),
        Err(error) => fail(program, &error, USAGE),
    }
}

fn run(command: Command) -> ExitCode {
    match command {
        Command::Help(text) => print(&text(columns())),
        Command::Topic(text) => page(text),
        // The unit runs what printed it.
        Command::Unit(unit) => match std::env::current_exe() {
            Ok(program) => print(&unit.text(&program)),
            Err(error) => fail("loadbalancer", &error, 1),
        },
        Command::Version => print(&format!("{}\n", cli::VERSION)),
        Command::Balance(config) => balance(config),
        Command::PrintConfig(config, options) => {
            match serve::print_config(&config, &options, &mut std::io::stdout()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => fail("loadbalancer", &failure, 1),
            }
        }
        Command::Demo(demo) => demonstrate(demo),
        Command::HttpServer(options) => match httpserver::run(&options) {
            Err(error) => fail("httpserver", &error, 1),
        },
        Command::Replay(options) => match replay::run(&options, std::io::stdout()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => fail("replay", &failure, 1),
        },
        Command::Get(options) => match get::run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => fail("get", &failure, failure.exit_code()),
        },
        Command::Ctl(options) => match ctl::run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => fail("ctl", &failure, 1),
        },
        Command::Top(options) => match top::run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => fail("top", &failure, 1),
        },
    }
}

fn balance(config: Config) -> ExitCode {
    let outcome = match config.purpose {
        Purpose::Serve => serve::run(config, |_, _| {}).map(|()| true),
        Purpose::Check(reach) => {
            serve::check(config, reach, &mut std::io::stdout()).map_err(RunError::System)
        }
        Purpose::Print => Ok(true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(RunError::Usage(failure)) => fail("loadbalancer", &failure, USAGE),
        Err(RunError::System(failure)) => fail("loadbalancer", &failure, 1),
    }
}

/// Balances over three servers of its own. They end when `backends` is dropped, or with this
/// process, however it ends.
fn demonstrate(Demo { mut config }: Demo) -> ExitCode {
    let backends = match demo::Backends::start(DEMO_BACKENDS) {
        Ok(backends) => backends,
        Err(error) => return fail("demo", &error, 1),
    };
    config.backends = backends.addresses().iter().copied().map(BackendSpec::new).collect();
    let identity = match config.self_signed.then(identity).transpose() {
        Ok(identity) => identity,
        Err(failure) => return fail("demo", &failure, 1),
    };
    if let Some(Identity { certificate, key, .. }) = &identity {
        let (chain, key) = (certificate.clone(), Some(key.clone()));
        config.certificates.push(CertificateFile { chain, key });
    }
    // Like `fail` without `eprintln`, which panics when standard error is closed.
    let advise = |listen, admin| {
        let advice = demo::advice(listen, admin, &backends, identity.as_ref());
        let _ = std::io::stderr().write_all(advice.as_bytes());
    };
    match serve::run(config, advise) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail("demo", &failure, 1),
    }
}

/// A certificate for this machine's names for itself, in files.
///
/// Errors: why there is none, in words.
fn identity() -> Result<Identity, String> {
    let now = unix_ms() / 1000;
    // Also for a client whose clock is behind.
    let valid = [now - DEMO_CERTIFICATE_SECONDS, now + DEMO_CERTIFICATE_SECONDS];
    let [from, until] = valid.map(generalized_time);
    let made = SelfSigned::new(&["localhost", "127.0.0.1", "::1"], [&from, &until])?;
    Identity::write(&made.certificate, &made.key)
        .map_err(|error| format!("cannot write the certificate: {}", reason(&error)))
}

fn fail(program: &str, error: &dyn Display, code: u8) -> ExitCode {
    let _ = std::io::stderr().write_all(format!("{program}: {error}\n").as_bytes());
    ExitCode::from(code)
}

/// Through `$PAGER` on a terminal; else, or if that cannot be started, to standard output.
fn page(text: &str) -> ExitCode {
    let pager = std::env::var_os("PAGER").filter(|pager| !pager.is_empty());
    let Some(pager) = pager.filter(|_| std::io::stdout().is_terminal()) else { return print(text) };
    // By a shell, as man and git do: PAGER may have options.
    let mut command = process::Command::new("/bin/sh");
    let command = command.arg("-c").arg(pager).stdin(Stdio::piped());
    let Ok(mut child) = command.spawn() else { return print(text) };
    if let Some(mut input) = child.stdin.take() {
        // A pager that is quit early has read enough.
        let _ = input.write_all(text.as_bytes());
    }
    match child.wait() {
        // What a shell says of a command that is not there.
        Ok(status) if status.code() == Some(127) => print(text),
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Columns of the terminal that standard output is; a usual number where it is none.
fn columns() -> usize {
    terminal::size(&std::io::stdout()).map_or(cli::COLUMNS, |size| size.columns)
}

/// To standard output; a reader that closes it early (`| head`) is not an error.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
