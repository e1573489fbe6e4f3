//! The contents that are produced piece by piece, as the client takes them: where each stands.

use super::response::Content;
use super::route::Subject;
use super::view::View;
use crate::http::writer::{Overflow, Writer};
use crate::net::Net;
use crate::net::process::ProcessFigures;
use crate::observe::families::FAMILIES;
use crate::observe::prometheus::Source;
use crate::observe::snapshot::{Backend, Program};
use crate::observe::{page, status, status_text};

/// What is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// For Prometheus.
    Metrics,
    /// For programs.
    Json {
        /// Requests of the last minute at all backends.
        picks: u64,
    },
    /// For a terminal.
    Text {
        picks: u64,
        /// Columns of the names.
        columns: usize,
    },
    /// For a browser.
    Html { picks: u64 },
}

/// The parts of a report, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// What comes before the first backend. Of metrics, this is for each family.
    Start {
        family: usize,
    },
    Backend {
        family: usize,
        index: usize,
        order: Order,
    },
    End,
    Done,
}

/// Whether a separator goes before an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    First,
    Later,
}

/// A report that is being produced.
#[derive(Debug)]
pub struct Report {
    kind: Kind,
    part: Part,
    /// What the system said of this process when it was asked for.
    pub process: ProcessFigures,
}

impl Report {
    /// A report at its beginning.
    pub fn new(subject: Subject, process: ProcessFigures) -> Report {
        let kind = match subject {
            Subject::Html => Kind::Html { picks: 0 },
            Subject::Metrics => Kind::Metrics,
            Subject::Json => Kind::Json { picks: 0 },
            Subject::Text => Kind::Text { picks: 0, columns: 0 },
        };
        Report { kind, part: Part::Start { family: 0 }, process }
    }

    /// What it is.
    pub fn content(&self) -> Content {
        match self.kind {
            Kind::Metrics => Content::Prometheus,
            Kind::Json { .. } => Content::Json,
            Kind::Text { .. } => Content::Text,
            Kind::Html { .. } => Content::Html,
        }
    }

    /// Whether all of it was written.
    pub fn is_done(&self) -> bool {
        self.part == Part::Done
    }

    /// Appends the next parts, as many as fit.
    ///
    /// Errors: not even one does. They are small compared to a buffer.
    pub fn write<N: Net>(
        &mut self,
        view: &View<'_, N>,
        out: &mut Writer<'_>,
    ) -> Result<(), Overflow> {
        let before = out.len();
        let program = view.program();
        while self.part != Part::Done {
            let (kind, part, fitted) = (self.kind, self.part, out.len());
            self.part = match part {
                Part::Start { family } => self.start(family, view, &program, out),
                Part::Backend { family, index, order } => match view.backend(index) {
                    _ if index >= view.len() => self.after_backends(family),
                    None => Part::Backend { family, index: index + 1, order },
                    Some(backend) => {
                        self.backend(family, order, &backend, program.second, out);
                        Part::Backend { family, index: index + 1, order: Order::Later }
                    }
                },
                Part::End | Part::Done => {
                    self.end(out);
                    Part::Done
                }
            };
            if out.has_overflowed() {
                out.truncate(fitted);
                (self.kind, self.part) = (kind, part);
                return if fitted > before { Ok(()) } else { Err(Overflow) };
            }
        }
        Ok(())
    }

    fn start<N: Net>(
        &mut self,
        family: usize,
        view: &View<'_, N>,
        program: &Program<'_>,
        out: &mut Writer<'_>,
    ) -> Part {
        match &mut self.kind {
            Kind::Metrics => {
                let Some(of) = FAMILIES.get(family) else { return Part::Done };
                of.begin(out);
                of.program(program, out);
                if matches!(of.source, Source::Program(_)) {
                    return Part::Start { family: family + 1 };
                }
            }
            Kind::Json { picks } => {
                let (program, all) = view.whole_program();
                *picks = all;
                status::begin(&program, out);
            }
            Kind::Text { picks, columns } => {
                let (program, all) = view.whole_program();
                let backends = (0..view.len()).filter_map(|index| view.backend(index));
                *columns = status_text::name_columns(backends.map(|backend| backend.name));
                *picks = all;
                status_text::begin(&program, *columns, out);
            }
            Kind::Html { picks } => {
                let (program, all) = view.whole_program();
                *picks = all;
                page::begin(&program, out);
            }
        }
        Part::Backend { family, index: 0, order: Order::First }
    }

    fn backend(
        &self,
        family: usize,
        order: Order,
        backend: &Backend<'_>,
        second: u32,
        out: &mut Writer<'_>,
    ) {
        match self.kind {
            Kind::Metrics => FAMILIES[family].backend(backend, out),
            Kind::Json { picks } => {
                if order == Order::Later {
                    out.append(b",");
                }
                status::backend(backend, second, picks, out);
            }
            Kind::Text { picks, columns } => {
                status_text::backend(backend, second, picks, columns, out);
            }
            Kind::Html { picks } => page::backend(backend, second, picks, out),
        }
    }

    fn after_backends(&self, family: usize) -> Part {
        match self.kind {
            Kind::Metrics => Part::Start { family: family + 1 },
            Kind::Json { .. } | Kind::Text { .. } | Kind::Html { .. } => Part::End,
        }
    }

    fn end(&self, out: &mut Writer<'_>) {
        match self.kind {
            Kind::Metrics | Kind::Text { .. } => {}
            Kind::Json { .. } => status::end(out),
            Kind::Html { .. } => page::end(out),
        }
    }
}
