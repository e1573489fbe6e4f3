//! The live page in a real browser: headless Chromium, driven over its debugging pipe (messages of
//! the DevTools protocol, each ended by a NUL). Skipped with a message where there is none.

mod common;

use common::{AtMax, Balancer, DEADLINE, Peer, Running, TempDir, timed, wait_until};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Names of the browser, in the order they are looked for.
const BROWSERS: [&str; 4] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Longest wait for the browser to close itself.
const CLOSE: Duration = Duration::from_secs(5);

/// Polls of the page until a server that was killed is shown as down: it polls once a second.
const POLLS_MAX: usize = 3;

/// A browser with one page. Ends when this is dropped.
struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<String>,
    /// What the page reported on its own: errors, and the URLs it asked for.
    reports: Arc<Mutex<Vec<String>>>,
    session: String,
    sent: usize,
    _profile: TempDir,
}

impl Browser {
    /// None where no browser is installed.
    fn open(url: &str) -> Option<Browser> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut names = BROWSERS.into_iter();
        let is_there =
            |name: &&str| std::env::split_paths(&path).any(|dir| dir.join(name).exists());
        let Some(program) = names.find(is_there) else {
            eprintln!("skipped: none of {BROWSERS:?} is installed");
            return None;
        };
        let profile = TempDir::new();
        // The browser reads from descriptor 3 and writes to 4.
        let mut child = Command::new("/bin/sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh", program])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .env("TMPDIR", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starting a browser");
        let input = child.stdin.take().expect("its input");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, messages) = mpsc::channel();
        let reports = Arc::new(Mutex::new(Vec::new()));
        let copy = Arc::clone(&reports);
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(&message).into_owned();
                message.clear();
                match text.starts_with("{\"id\":") {
                    true => drop(sender.send(text)),
                    false => copy.lock().expect("the reports").push(text),
                }
            }
        });
        let (session, sent) = (String::new(), 0);
        let mut browser =
            Browser { child, input, messages, reports, session, sent, _profile: profile };
        let targets = browser.call("Target.getTargets", "{}");
        let page = targets.split('{').find(|target| target.contains("\"type\":\"page\""));
        let target = value(page.expect("a page"), "targetId").to_owned();
        let attach = format!("{{\"targetId\":\"{target}\",\"flatten\":true}}");
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = value(&attached, "sessionId").to_owned();
        for domain in ["Runtime", "Log", "Network", "Page"] {
            browser.call(&format!("{domain}.enable"), "{}");
        }
        browser.call("Page.navigate", &format!("{{\"url\":\"{url}\"}}"));
        browser.wait_for("the page", "last !== undefined");
        Some(browser)
    }

    /// Calls a method of the protocol and waits for its answer.
    fn call(&mut self, method: &str, parameters: &str) -> String {
        self.sent += 1;
        let session = match self.session.as_str() {
            "" => String::new(),
            session => format!(",\"sessionId\":\"{session}\""),
        };
        let id = self.sent;
        let message =
            format!("{{\"id\":{id},\"method\":\"{method}\",\"params\":{parameters}{session}}}\0");
        self.input.write_all(message.as_bytes()).expect("writing to the browser");
        let start = format!("{{\"id\":{id},");
        loop {
            let answer = self.messages.recv_timeout(DEADLINE).expect("an answer of the browser");
            if answer.starts_with(&start) {
                assert!(!answer.contains("\"error\":{"), "{method}: {answer}");
                return answer;
            }
        }
    }

    /// The value of a JavaScript expression as text; empty when it fails, as before the page is
    /// there.
    fn value(&mut self, expression: &str) -> String {
        let escaped = expression.replace('\\', "\\\\").replace('"', "\\\"");
        // Letters, digits and percent signs only: nothing to unescape but those.
        let parameters = format!("{{\"expression\":\"encodeURIComponent({escaped})\"}}");
        let answer = self.call("Runtime.evaluate", &parameters);
        if answer.contains("\"exceptionDetails\"") {
            return String::new();
        }
        decode(value(&answer, "value"))
    }

    fn wait_for(&mut self, what: &str, expression: &str) {
        wait_until(what, || self.value(expression) == "true");
    }

    /// The text of the first element that matches.
    fn text(&mut self, selector: &str) -> String {
        self.value(&format!("document.querySelector('{selector}').textContent"))
    }

    fn reports(&self) -> Vec<String> {
        self.reports.lock().expect("the reports").clone()
    }

    /// Errors of the script, of the policy and of the network.
    fn errors(&self) -> Vec<String> {
        let is_error = |report: &String| {
            report.contains("\"method\":\"Runtime.exceptionThrown\"")
                || report.contains("\"level\":\"error\"")
                || (report.contains("\"method\":\"Runtime.consoleAPICalled\"")
                    && report.contains("\"type\":\"error\""))
        };
        self.reports().into_iter().filter(is_error).collect()
    }
}

impl Drop for Browser {
    /// Its other processes end with it; those of one that is killed may still write files.
    fn drop(&mut self) {
        let _ = self.input.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let start = Instant::now();
        while start.elapsed() < CLOSE && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The string with this name in a JSON text.
fn value<'a>(json: &'a str, name: &str) -> &'a str {
    let (_, rest) = json.split_once(&format!("\"{name}\":\"")).unwrap_or_default();
    rest.split('"').next().unwrap_or_default()
}

/// Undoes `encodeURIComponent`.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                out.push(u8::from_str_radix(&text[at + 1..at + 3], 16).expect("two digits"));
                at += 3;
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).expect("UTF-8")
}

/// A balancer over two servers that are processes, its admin address, and requests without a pause.
struct Stage {
    balancer: Balancer,
    admin: SocketAddr,
    servers: Vec<(Running, String)>,
    is_over: Arc<AtomicBool>,
    load: Option<JoinHandle<()>>,
}

impl Stage {
    fn new() -> Stage {
        let server = || {
            let process = Running::loadbalancer(&["httpserver", "127.0.0.1:0"]);
            let line = process.stderr.wait_for("listening on http://");
            let (_, rest) = line.split_once("http://").expect("an address");
            let address = rest.split([',', ' ', '/']).next().unwrap_or_default().to_owned();
            (process, address)
        };
        let servers = vec![server(), server()];
        let [one, two] = [&servers[0].1, &servers[1].1];
        let options = ["127.0.0.1:0", one, two, "--admin", "127.0.0.1:0", "--health", "tcp"];
        let balancer = Balancer::start(&options);
        let admin = balancer.admin();
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, address) = (Arc::clone(&is_over), balancer.address());
        let load = std::thread::spawn(move || {
            let mut client = Peer::connect(address);
            while !over.load(SeqCst) {
                client.get("/");
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Stage { balancer, admin, servers, is_over, load: Some(load) }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.admin)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        if let Some(load) = self.load.take() {
            let _ = load.join();
        }
    }
}

#[test]
fn values_follow_the_load_and_a_killed_server_turns_red_with_its_reason() {
    timed(|| {
        let stage = Stage::new();
        let Some(mut browser) = Browser::open(&stage.url()) else { return };
        let [one, two] = [0, 1].map(|at| stage.servers[at].1.clone());
        assert_eq!(browser.text("tbody tr td"), one);
        browser.wait_for("requests", "parseFloat(document.querySelector('#rps').textContent) > 1");
        browser.wait_for("a time", "parseFloat(document.querySelector('#p99').textContent) > 0");
        let total = browser.value("last.requests_total");
        browser.wait_for("more requests", &format!("last.requests_total > {total}"));
        browser
            .wait_for("a line", "document.querySelector('#flow path + path').getTotalLength() > 0");
        let state = "document.querySelector('tbody tr:last-child td:nth-child(2)')";
        assert_eq!(browser.value(&format!("{state}.textContent")), "up");
        assert_eq!(browser.text("#ready"), "2 of 2 servers up");

        let polls = browser.value("turns").parse::<usize>().expect("a count");
        let killed = Instant::now();
        stage.servers[1].0.signal("KILL");
        browser.wait_for("the server to be down", &format!("{state}.textContent === 'down'"));
        let took = browser.value("turns").parse::<usize>().expect("a count") - polls;
        eprintln!("shown after {:?}, {took} polls", killed.elapsed());
        assert!(took <= POLLS_MAX, "after {took} polls");
        let color = browser.value(&format!("getComputedStyle({state}).color"));
        assert!(["rgb(192, 40, 45)", "rgb(255, 123, 120)"].contains(&color.as_str()), "{color}");
        let why = browser.text("tbody tr:last-child td:nth-child(4)");
        assert!(why.to_lowercase().contains("refused"), "{why:?}");
        assert_eq!(browser.text("tbody tr:last-child td"), two);
        assert_eq!(browser.text("#ready"), "1 of 2 servers up");
        assert_eq!(browser.value("document.title"), "1 down · loadbalancer");

        // After a restart the chart goes on where it was.
        browser.value("(restarted = { ...last.program }, restarted.start_time_seconds += 2, 0)");
        browser.value("(show({ ...last, program: restarted }), 0)");
        let points = "document.querySelector('#flow path').getAttribute('d').match(/[ML][\\d.]+/g)";
        let right = format!("Math.max(...{points}.map((point) => Number(point.slice(1)))) <= 300");
        assert_eq!(browser.value(&right), "true");

        assert_eq!(browser.errors(), Vec::<String>::new());
        let asked: Vec<String> = browser
            .reports()
            .iter()
            .filter(|report| report.contains("\"method\":\"Network.requestWillBeSent\""))
            .filter_map(|report| {
                Some(value(report.split_once("\"request\":")?.1, "url").to_owned())
            })
            .collect();
        let status = format!("{}status", stage.url());
        assert!(asked.contains(&status), "{asked:?}");
        let foreign: Vec<&String> =
            asked.iter().filter(|url| **url != stage.url() && **url != status).collect();
        let foreign: Vec<&&String> =
            foreign.iter().filter(|url| !url.starts_with("data:")).collect();
        assert!(foreign.is_empty(), "{foreign:?}");

        stage.balancer.signal("KILL");
        browser.wait_for("its end", "document.body.className === 'lost'");
        let link = browser.text("#link");
        assert!(link.starts_with("no answer since "), "{link:?}");
    });
}

#[test]
fn the_table_is_sorted_and_filtered_by_keyboard_at_any_width_and_in_both_schemes() {
    let stage = Stage::new();
    let Some(mut browser) = Browser::open(&stage.url()) else { return };
    let first = |browser: &mut Browser| browser.text("tbody tr:not([hidden]) td");
    let mut names = [stage.servers[0].1.clone(), stage.servers[1].1.clone()];
    let listed = names[0].clone();
    names.sort();
    let enter = |browser: &mut Browser| {
        for kind in ["keyDown", "keyUp"] {
            let key = "\"key\":\"Enter\",\"code\":\"Enter\",\"windowsVirtualKeyCode\":13";
            let text = if kind == "keyDown" { ",\"text\":\"\\r\"" } else { "" };
            let parameters = format!("{{\"type\":\"{kind}\",{key}{text}}}");
            browser.call("Input.dispatchKeyEvent", &parameters);
        }
    };
    browser.value("document.querySelector('th button').focus()");
    for (sort, name) in [("ascending", &names[0]), ("descending", &names[1]), ("null", &listed)] {
        enter(&mut browser);
        assert_eq!(browser.value("document.querySelector('th').getAttribute('aria-sort')"), sort);
        assert_eq!(first(&mut browser), *name, "{sort}");
    }
    browser.value("document.querySelector('#only').click()");
    let count = browser.text("#count");
    let shown = browser.value("document.querySelectorAll('tbody tr:not([hidden])').length");
    assert_eq!((count.as_str(), shown.as_str()), ("(0)", "0"));
    assert_eq!(browser.value("document.querySelector('#none').hidden"), "false");

    for width in [360, 800, 1280] {
        let parameters = format!(
            "{{\"width\":{width},\"height\":800,\"deviceScaleFactor\":1,\"mobile\":false}}"
        );
        browser.call("Emulation.setDeviceMetricsOverride", &parameters);
        let wide = browser.value("document.documentElement.scrollWidth").parse::<u32>();
        assert!(wide.is_ok_and(|wide| wide <= width), "{width}: scrolls sideways");
    }
    let backs = ["light", "dark"].map(|scheme| {
        let feature = format!("{{\"name\":\"prefers-color-scheme\",\"value\":\"{scheme}\"}}");
        let parameters = format!("{{\"features\":[{feature}]}}");
        browser.call("Emulation.setEmulatedMedia", &parameters);
        browser.value("getComputedStyle(document.body).backgroundColor")
    });
    assert_eq!(backs, ["rgb(245, 246, 248)", "rgb(17, 20, 24)"]);
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[test]
fn one_request_is_under_way_at_a_time_and_none_while_the_page_is_hidden() {
    let stage = Stage::new();
    let Some(mut browser) = Browser::open(&stage.url()) else { return };
    // Answers never, so that what the page asks for can be counted.
    browser.wait_for("a pause", "!busy");
    browser.value("(asked = 0, fetch = () => { asked++; return new Promise(() => {}); }, 0)");
    browser.value("(poll(), poll(), poll(), 0)");
    browser.wait_for("the request", "busy");
    assert_eq!(browser.value("asked"), "1");
    let hide = "Object.defineProperty(document, 'hidden', { value: true })";
    browser.value(&format!("({hide}, busy = false, asked = 0, 0)"));
    browser.value("(document.dispatchEvent(new Event('visibilitychange')), poll(), 0)");
    assert_eq!(browser.value("[busy, asked].join()"), "false,0");
}

#[test]
fn requests_that_wait_for_a_server_at_its_limit_are_counted_in_its_row() {
    let AtMax { balancer, gate, clients, .. } = &mut AtMax::with_waiting(2);
    let Some(mut browser) = Browser::open(&format!("http://{}/", balancer.admin())) else { return };
    let cell = |column: &str| format!("tbody td[data-label=\"{column}\"]");
    let waiting = format!("document.querySelector('{}')", cell("Waiting"));
    browser.wait_for("two that wait", &format!("{waiting}.textContent === '2'"));
    assert_eq!(browser.text(&cell("In flight")), "1");
    assert_eq!(browser.value(&format!("{waiting}.className")), "some");
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.response().status(), 200));
    browser.wait_for("none that waits", &format!("{waiting}.textContent === '0'"));
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[test]
fn the_page_without_script_has_a_row_for_each_server() {
    let stage = Stage::new();
    let mut client = Peer::connect(stage.admin);
    // Only addresses and localhost are answered (`--admin-host`).
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let page = client.response();
    assert_eq!(page.status(), 200);
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.field("content-security-policy").expect("a policy");
    assert!(!policy.contains("unsafe"), "{policy}");
    let text = page.text();
    assert!(!text.contains("<!--="), "a value is missing");
    for (_, name) in &stage.servers {
        let row = format!("<tr class=\"up\"><td data-label=\"Server\">{name}<td");
        assert_eq!(text.matches(&row).count(), 1, "{name}");
    }
}
