//! The record of choices (`--record`): the same choices are made again from it, and other strategies
//! account for every request.

use loadbalancer::balance::NAMES;
use loadbalancer::base::rng::Rng;
use loadbalancer::replay::{compare, print_choices};
use std::collections::HashMap;
use std::fmt::Write;

/// The choices as the record has them, in the form of `loadbalancer replay`.
fn recorded(record: &str) -> (u64, String) {
    let (mut count, mut at, mut text) = (0, 0_u64, String::new());
    let mut names: HashMap<&str, &str> = HashMap::new();
    for line in record.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["at", time] => at = time.parse().expect("a time"),
            ["add", id, name, ..] => {
                names.insert(id, name);
            }
            ["pick", "-", ..] => {}
            ["pick", id, ..] => {
                count += 1;
                let (seconds, micros) = (at / 1_000_000, at % 1_000_000);
                writeln!(text, "{count} {seconds}.{micros:06} {}", names[id]).expect("a string");
            }
            _ => {}
        }
    }
    (count, text)
}

/// Checks the record of a whole run; how many choices it has.
pub fn check(record: &[u8], rng: &mut Rng) -> u64 {
    let (count, expected) = recorded(str::from_utf8(record).expect("lines of text"));
    let mut again = Vec::new();
    let problem = print_choices(record, &mut again).expect_err("the run was not stopped in order");
    assert!(problem.text.starts_with("the record ends here without `stopped`"), "{problem}");
    assert_eq!(String::from_utf8_lossy(&again), expected, "the choices are the same");
    let other = NAMES[rng.below(NAMES.len() as u64) as usize].strategy;
    // It asserts that each request is accounted for.
    let compared = compare(|| Ok::<_, ()>(record), other).expect("it is opened");
    compared.unwrap_or_else(|problem| panic!("{}: {problem}", other.name()));
    // A record that was cut off, or changed, is refused, and never more than that.
    let cut = rng.below(record.len() as u64) as usize;
    let mut spoilt = record[..cut].to_vec();
    print_choices(&spoilt[..], &mut Vec::new()).expect_err("it was cut off");
    for _ in 0..3.min(cut) {
        let at = rng.below(cut as u64) as usize;
        spoilt[at] = [b'0', b'9', b' ', b'\n', rng.bits() as u8][rng.below(5) as usize];
    }
    spoilt.push(b'\n');
    let _ = print_choices(&spoilt[..], &mut Vec::new());
    let _ = compare(|| Ok::<_, ()>(&spoilt[..]), other);
    count
}
