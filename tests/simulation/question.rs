//! What visitors ask: of the admin listener, and of the listener of `--redirect-http`.

use loadbalancer::base::rng::Rng;

/// A request, and what a right answer looks like.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub line: &'static str,
    pub host: &'static str,
    pub status: u64,
    pub is_report: bool,
}

/// What the clients of the admin listener ask.
const QUESTIONS: [Question; 14] = [
    report("GET /metrics"),
    report("GET /metrics"),
    report("GET /status"),
    report("GET /status?text"),
    report("GET /"),
    report("HEAD /metrics"),
    short("GET /ready", 200),
    short("GET /ready", 200),
    short("HEAD /ready", 200),
    short("GET /live", 200),
    short("GET /nothing", 404),
    short("GET /metrics/../r/0/", 404),
    short("POST /status", 405),
    Question { host: "evil.example", ..short("GET /metrics", 403) },
];

/// What the clients of `--redirect-http` ask.
const CALLS: [Question; 10] = [
    short("GET /a/b?c=d", 308),
    short("GET /a/b?c=d", 308),
    short("HEAD /", 308),
    short("POST /.well-known/acme-challenge/there", 308),
    short("GET /.well-known/acme-challenge/there/", 308),
    short("GET /.well-known/acme-challenge/there", 200),
    short("HEAD /.well-known/acme-challenge/there", 200),
    short("GET /.well-known/acme-challenge/missing", 404),
    short("GET /.well-known/acme-challenge/broken", 500),
    Question { line: "GET /", host: "", status: 400, is_report: false },
];

/// Longest target of theirs.
pub const TARGET_MAX: usize = 50;

const fn report(line: &'static str) -> Question {
    Question { line, host: "localhost", status: 200, is_report: true }
}

const fn short(line: &'static str, status: u64) -> Question {
    Question { line, host: "localhost", status, is_report: false }
}

impl Question {
    /// One for the admin listener; reports only where they are to be had.
    pub fn draw(takes_reports: bool, rng: &mut Rng) -> Question {
        loop {
            let question = QUESTIONS[rng.below(QUESTIONS.len() as u64) as usize];
            if takes_reports || !question.is_report || question.line.starts_with("HEAD") {
                return question;
            }
        }
    }

    /// One for the listener of `--redirect-http`.
    pub fn draw_call(rng: &mut Rng) -> Question {
        CALLS[rng.below(CALLS.len() as u64) as usize]
    }

    pub fn target(&self) -> &'static str {
        self.line.split_once(' ').map_or("", |(_, target)| target)
    }

    pub fn bytes(&self) -> Vec<u8> {
        format!("{} HTTP/1.1\r\nHost: {}\r\n\r\n", self.line, self.host).into_bytes()
    }
}
