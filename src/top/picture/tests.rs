//! Pictures at several widths and heights.

use super::*;

/// A balancer of three servers: one fine, one failing at its limit, one down.
const STATUS: &str = "loadbalancer 0.1.0 status 1\n\
    state running\n\
    ready_reason 2 of 3 servers up\n\
    mode http\n\
    strategy rr\n\
    listen 0.0.0.0:8080\n\
    uptime_seconds 11540\n\
    requests_per_second 1234.2\n\
    in_flight 41\n\
    in_flight_max 512\n\
    queued 2\n\
    clients 84\n\
    clients_idle 61\n\
    last_minute.p50_seconds 0.0042\n\
    last_minute.p95_seconds 0.061\n\
    last_minute.p99_seconds 0.226\n\
    local_responses_total.destination_unavailable 14\n\
    local_responses_total.http_response_timeout 0\n\
    \n\
    name state since_seconds in_flight max waiting requests_per_second errors_per_second \
    retries_per_second p50_seconds p95_seconds p99_seconds share weight reason\n\
    10.0.0.1:80 up 11540 12 - 0 1000.5 0 0 0.004 0.016 0.036 0.66 3 -\n\
    app-3.internal.example.com:8080 up 75 20 20 2 233.7 0.4 0.05 0.24 0.96 2.16 0.34 1 -\n\
    10.0.0.3:80 down 12 0 - 0 0 0 0 - - - 0 1 connection refused\n";

fn drawn(status: &str, columns: usize, rows: Option<usize>) -> Vec<Line> {
    draw(&Snapshot::read(status).expect("a status"), columns, rows)
}

fn texts(columns: usize, rows: Option<usize>) -> Vec<String> {
    drawn(STATUS, columns, rows).into_iter().map(|line| line.text).collect()
}

#[test]
fn at_40_columns_what_matters_most_is_shown_and_reasons_have_their_own_lines() {
    let expected = [
        "loadbalancer 0.1.0   2 of 3 servers up",
        "http, rr   on 0.0.0.0:8080   for 3h 12m",
        "requests/s 1,234   in flight 41 of 512",
        "queue 2   clients 84 (61 idle)",
        "p50 4.20 ms   p95 61.0 ms   p99 226 ms",
        "refused 14   destination unavailable 14",
        "",
        "SERVER            STATE  REQ/S  5XX/S",
        "10.0.0.1:80       up     1,000      0",
        "app-3.i..om:8080  up       234    0.4",
        "10.0.0.3:80       down       0      0",
        "  connection refused",
    ];
    assert_eq!(texts(40, None), expected);
}

#[test]
fn at_80_columns_there_are_more_of_them() {
    let expected = [
        "loadbalancer 0.1.0   2 of 3 servers up   http, rr   on 0.0.0.0:8080   for 3h 12m",
        "requests/s 1,234   in flight 41 of 512   queue 2   clients 84 (61 idle)",
        "p50 4.20 ms   p95 61.0 ms   p99 226 ms",
        "refused 14   destination unavailable 14",
        "",
        "SERVER                           STATE   SINCE  IN FLIGHT  REQ/S  5XX/S  P99 MS",
        "10.0.0.1:80                      up     3h 12m         12  1,000      0    36.0",
        "app-3.internal.example.com:8080  up     1m 15s      20/20    234    0.4   2,160",
        "10.0.0.3:80                      down      12s          0      0      0       -",
        "  connection refused",
    ];
    assert_eq!(texts(80, None), expected);
}

#[test]
fn at_200_columns_everything_is_shown() {
    let expected = [
        "SERVER                           STATE   SINCE  IN FLIGHT  WAITING  REQ/S  5XX/S  P50 MS  P95 MS  \
         P99 MS  RETRY/MIN  SHARE  WEIGHT  WHY",
        "10.0.0.1:80                      up     3h 12m         12        0  1,000      0    4.00    16.0    \
         36.0          0    66%       3",
        "app-3.internal.example.com:8080  up     1m 15s      20/20        2    234    0.4     240     960   \
         2,160          3    34%       1",
        "10.0.0.3:80                      down      12s          0        0      0      0       -       -       \
         -          0     0%       1  connection refused",
    ];
    assert_eq!(texts(200, None)[4..], expected);
}

#[test]
fn no_line_is_wider_than_the_terminal_and_none_is_too_many() {
    let long = STATUS.replace("refused", &"refused ".repeat(40));
    for columns in 0..220 {
        for rows in (0..20).map(Some).chain([None]) {
            let lines = drawn(&long, columns, rows);
            assert!(rows.is_none_or(|rows| lines.len() <= rows), "{columns}x{rows:?}");
            for line in lines {
                // The name of the first column is as short as that can be.
                let limit = columns.max("SERVER".len());
                assert!(width(&line.text) <= limit, "{columns}: {:?}", line.text);
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_counted_and_trouble_comes_first() {
    let table = |rows| texts(200, Some(rows))[5..].to_vec();
    let first = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
    let names = |rows| table(rows).iter().map(first).collect::<Vec<String>>();
    let [fine, full, down] = ["10.0.0.1:80", "app-3.internal.example.com:8080", "10.0.0.3:80"];
    assert_eq!(names(8), [fine, full, down], "all, in their order");
    assert_eq!(names(7), [full, "..."]);
    assert_eq!(table(7)[1], "... 2 more; the window is too low");
    assert_eq!(names(6), ["..."]);
    assert_eq!(names(5), Vec::<String>::new());
}

#[test]
fn trouble_has_its_tone_beside_its_word() {
    let lines = drawn(STATUS, 200, None);
    let tones: Vec<Tone> = lines[3..].iter().map(|line| line.tone).collect();
    assert_eq!(tones, [Tone::Plain, Tone::Head, Tone::Plain, Tone::Trouble, Tone::Down]);
    let draining = STATUS.replace("10.0.0.1:80 up", "10.0.0.1:80 drain");
    let line = &drawn(&draining, 200, None)[5];
    assert_eq!(line.tone, Tone::Trouble);
    assert!(line.text.contains(" draining "), "{}", line.text);
}

#[test]
fn answers_that_are_no_errors_are_not_refusals() {
    let answered = STATUS.replace("http_response_timeout 0", "proxy_internal_response 9");
    let text = &drawn(&answered, 200, None)[2].text;
    assert_eq!(text, "refused 14   destination unavailable 14");
    let none = STATUS.replace("unavailable 14", "unavailable 0");
    assert_eq!(drawn(&none, 200, None)[2].text, "refused 0");
}

#[test]
fn an_empty_status_is_drawn_with_what_is_not_known() {
    let lines = drawn("loadbalancer 9 status 2\n\nname\n", 200, None);
    assert!(lines[1].text.starts_with("requests/s -   in flight - of -"), "{:?}", lines[1]);
}
