//! libFuzzer's driver for one of the targets in `tests/fuzz/targets`, the one named by FUZZ_TARGET.
#![no_main]

#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

use std::sync::LazyLock;

static TARGET: LazyLock<targets::Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target: see fuzz.sh");
    let found = targets::TARGETS.iter().find(|(target, _)| *target == name);
    found.expect("FUZZ_TARGET is one of the targets of tests/fuzz").1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
