//! `loadbalancer replay`: reads a record of choices (`--record`) and makes them again, or says what
//! another strategy would have made of the same requests. Contacts nobody, reads no clock, and holds
//! no more of a record than one line, however long it is.

mod choices;
mod comparison;
mod header;
mod histogram;
mod lines;
mod model;

pub use choices::print_choices;
pub use comparison::compare;
pub use lines::Problem;

use crate::base::reason::reason;
use crate::cli::Replay;
use crate::config::quote;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

/// Why there is no whole result: one line for standard error.
#[derive(Debug)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Prints to `out` what `options` ask for.
///
/// Errors: the record cannot be read, or is not what one should be, with file and line.
pub fn run(options: &Replay, out: impl Write) -> Result<(), Failure> {
    let file = &options.file;
    let mut out = BufWriter::new(out);
    let outcome = match options.strategy {
        None => open(file).and_then(|record| {
            print_choices(record, &mut out).map_err(|problem| located(file, &problem))
        }),
        Some(strategy) => compare(|| open_again(file), strategy).and_then(|comparison| {
            comparison
                .map_err(|problem| located(file, &problem))
                .and_then(|it| write!(out, "{it}").map_err(|error| unwritten(&error)))
        }),
    };
    // What is known is printed before what is wrong.
    let written = out.flush();
    match (outcome, written) {
        (Err(failure), _) => Err(failure),
        // A reader that closes it early (`| head`) has seen enough.
        (Ok(()), Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        (Ok(()), Err(error)) => Err(unwritten(&error)),
        (Ok(()), Ok(())) => Ok(()),
    }
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    let cannot = |error: &io::Error| {
        let name = quote(&path.display().to_string());
        let reason = reason(error);
        Failure(format!("cannot read the record {name}: {reason}; name a file made with --record"))
    };
    let file = File::open(path).map_err(|error| cannot(&error))?;
    match file.metadata() {
        Ok(data) if data.is_dir() => Err(cannot(&io::ErrorKind::IsADirectory.into())),
        Ok(_) => Ok(BufReader::new(file)),
        Err(error) => Err(cannot(&error)),
    }
}

/// Opens a file that is read more than once.
fn open_again(path: &Path) -> Result<BufReader<File>, Failure> {
    let record = open(path)?;
    match record.get_ref().metadata().is_ok_and(|data| data.is_file()) {
        true => Ok(record),
        false => Err(Failure(format!(
            "{} is no regular file: -s reads the record twice, save it as a file first",
            quote(&path.display().to_string())
        ))),
    }
}

fn located(file: &Path, problem: &Problem) -> Failure {
    Failure(format!("{}:{}: {}", file.display(), problem.line, problem.text))
}

fn unwritten(error: &io::Error) -> Failure {
    Failure(format!("cannot write the result: {}", reason(error)))
}
