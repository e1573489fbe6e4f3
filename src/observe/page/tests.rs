//! What the page says without script, and what its policy lets it do.

use super::*;
use crate::observe::counters::BackendCounters;
use crate::observe::sample;

/// The page and its policy are one response, and a slow line should have it at once.
const BYTES_MAX: usize = 20_000;

/// Part of the page between the tags of this element.
fn element(name: &str) -> &'static str {
    let [open, close] = [format!("<{name}>"), format!("</{name}>")];
    let (_, rest) = PAGE.split_once(&open).expect("the element");
    let (inner, after) = rest.split_once(&close).expect("its end");
    assert!(!after.contains(&open), "one {name} only: the policy has one hash");
    inner
}

#[test]
fn the_policy_has_the_hashes_of_script_and_style() {
    for name in ["script", "style"] {
        let expected =
            format!("{name}-src 'sha256-{}';", base64(&sha256(element(name).as_bytes())));
        assert!(POLICY.contains(&expected), "write into POLICY: {expected}");
    }
}

#[test]
fn the_page_is_small_and_needs_no_other_file() {
    assert!(PAGE.len() <= BYTES_MAX, "{} bytes, {BYTES_MAX} at most", PAGE.len());
    let allowed = ["http://www.w3.org/2000/svg"];
    let rest = allowed.iter().fold(PAGE.to_owned(), |page, url| page.replace(url, ""));
    for foreign in ["://", "src=", "@import", "url(", "style=\"", " on", "eval(", "innerHTML"] {
        let count = match foreign {
            // Handlers in attributes; those of the script are properties.
            " on" => rest.matches(" onclick=").count() + rest.matches(" onload=").count(),
            _ => rest.matches(foreign).count(),
        };
        assert_eq!(count, 0, "{foreign:?} in the page");
    }
    let links: Vec<&str> = rest.split("href=").skip(1).collect();
    assert!(links.iter().all(|link| link.starts_with("\"data:")), "{links:?}");
    assert_eq!(PAGE.matches("fetch(").count(), 1);
    assert!(PAGE.contains("fetch(\"/status\""));
}

fn written(write: impl Fn(&mut Writer<'_>)) -> String {
    let mut out = vec![0; 32 << 10];
    let mut writer = Writer::new(&mut out);
    write(&mut writer);
    let length = writer.finish().expect("it fits");
    String::from_utf8_lossy(&out[..length]).into_owned()
}

#[test]
fn the_table_can_be_read_without_script() {
    let (busy, idle) = (sample::backend_counters(), BackendCounters::default());
    let table = [
        (
            sample::up(&busy),
            "up|127.0.0.1:1234|up|1m 15s|by hand, backup|3 / 1,000|4|2.0||1.0|ms|ms|ms|12|100%|2",
        ),
        (
            sample::down(&idle),
            "down|h:1|down|12s|status &lt;500&gt; &amp; &quot;more&quot;|0|0|0||0|–|–|–|0|0%|2",
        ),
    ];
    for (server, expected) in table {
        let row = written(|out| backend(&server, sample::SECOND, 10, out));
        let (class, cells) = row.split_once("\">").expect("a row");
        let mut shown: Vec<String> = vec![class.replace("<tr class=\"", "")];
        for (at, cell) in cells.trim_end().split("<td data-label=\"").skip(1).enumerate() {
            let (_, text) = cell.split_once("\">").expect("a cell");
            // How exact a time is, is a matter of the histogram.
            let is_time = (9..12).contains(&at) && text.parse::<f64>().is_ok();
            shown.push(if is_time { "ms".to_owned() } else { text.to_owned() });
        }
        assert_eq!(shown.join("|"), expected);
    }
}

#[test]
fn each_cell_has_the_name_of_its_column() {
    let counters = BackendCounters::default();
    let server = sample::up(&counters);
    let row = written(|out| backend(&server, sample::SECOND, 10, out));
    let labels = row.split("data-label=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let labels: Vec<&str> = labels.collect();
    let head = PAGE.split("<thead>").nth(1).and_then(|rest| rest.split("<tbody>").next());
    let titles: Vec<&str> = head.expect("a head").split("<th>").skip(1).map(str::trim).collect();
    assert_eq!(labels, titles);
}

#[test]
fn the_figures_are_written_into_the_page_and_nothing_else_changes() {
    let counters = sample::counters();
    let program = sample::program(&counters);
    let page = written(|out| begin(&program, out)) + ROWS + &written(end);
    let pairs = [
        ("ready_class", ""),
        ("ready", "1 of 2 servers up"),
        ("about", "http, rr, listening on 127.0.0.1:8080, running for 5s"),
        ("time", "at 00:00:05 UTC"),
        ("rps", "2.0"),
        ("in_flight", "3"),
        ("in_flight_max", "of 2,048"),
        ("queued", "7"),
        ("clients", "9"),
        ("clients_idle", "4 idle"),
        ("p50", "–"),
        ("p95", "–"),
        ("p99", "–"),
        ("refused", "2"),
        ("causes", "destination unavailable 2"),
    ];
    let mut expected = PAGE.to_owned();
    for (name, value) in pairs {
        let place = format!("<!--={name}-->");
        assert_eq!(expected.matches(&place).count(), 1, "{name}");
        expected = expected.replace(&place, value);
    }
    assert_eq!(page, expected);
}

/// SHA-256 (FIPS 180-4), so that the test needs no dependency.
fn sha256(bytes: &[u8]) -> Vec<u8> {
    let primes: Vec<u32> =
        (2..312).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0)).collect();
    assert_eq!(primes.len(), 64);
    let fraction = |root: f64| ((root - root.floor()) * 4_294_967_296.0) as u32;
    let rounds: Vec<u32> = primes.iter().map(|&p| fraction(f64::from(p).cbrt())).collect();
    let mut state: Vec<u32> = primes[..8].iter().map(|&p| fraction(f64::from(p).sqrt())).collect();
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if bytes.len() % 64 > 55 {
        padded.resize(padded.len() + 64, 0);
    }
    let length = padded.len();
    padded[length - 8..].copy_from_slice(&(bytes.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let word = |four: &[u8]| u32::from_be_bytes([four[0], four[1], four[2], four[3]]);
        let mut words: Vec<u32> = block.chunks(4).map(word).collect();
        for at in 16..64 {
            let (early, late) = (words[at - 15], words[at - 2]);
            let early = early.rotate_right(7) ^ early.rotate_right(18) ^ (early >> 3);
            let late = late.rotate_right(17) ^ late.rotate_right(19) ^ (late >> 10);
            let sum = words[at - 16].wrapping_add(early).wrapping_add(words[at - 7]);
            words.push(sum.wrapping_add(late));
        }
        let mut turn = state.clone();
        for (round, word) in rounds.iter().zip(words) {
            let [a, b, c, d, e, f, g, h] = turn[..] else { unreachable!() };
            let high = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let one = h.wrapping_add(high).wrapping_add((e & f) ^ (!e & g));
            let one = one.wrapping_add(*round).wrapping_add(word);
            let low = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let two = low.wrapping_add((a & b) ^ (a & c) ^ (b & c));
            turn = vec![one.wrapping_add(two), a, b, c, d.wrapping_add(one), e, f, g];
        }
        state.iter_mut().zip(turn).for_each(|(sum, one)| *sum = sum.wrapping_add(one));
    }
    state.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Base64 (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let [a, b, c] = std::array::from_fn(|at| u32::from(*three.get(at).unwrap_or(&0)));
        let value = a << 16 | b << 8 | c;
        for at in 0..4 {
            let digit = DIGITS[(value >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[test]
fn the_hash_of_the_tests_is_sha256() {
    // FIPS 180-4, RFC 6234 §8.5.
    assert_eq!(base64(&sha256(b"abc")), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    assert_eq!(base64(&sha256(b"")), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    assert_eq!(base64(&sha256(&[b'a'; 56])), "s1Q5pKxvCUi21vnjxq8PX1kM4g8b3nCQ73lwaG7Gc4o=");
}
