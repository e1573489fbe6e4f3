//! argv → command → run → exit code.

fn main() {}
