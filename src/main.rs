//! argv → command → run → exit code.

use loadbalancer::cli::{self, Command};
use loadbalancer::serve;
use std::io::Write;
use std::process::ExitCode;

/// Wrong use of the command line.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().collect()) {
        Ok(command) => run(command),
        Err(error) => {
            eprintln!("loadbalancer: {error}");
            ExitCode::from(USAGE)
        }
    }
}

fn run(command: Command) -> ExitCode {
    match command {
        Command::Help(text) => print(&text),
        Command::Version => print(&format!("{}\n", cli::VERSION)),
        Command::Balance(config) => match serve::run(config, |_| {}) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                eprintln!("loadbalancer: {failure}");
                ExitCode::FAILURE
            }
        },
        _ => ExitCode::FAILURE,
    }
}

/// To standard output; a reader that closed it early (`| head`) is no failure of ours.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
