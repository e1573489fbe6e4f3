//! The examples of `help deploy`: what they are for happens, where the programs that they name are
//! installed.

#![cfg(target_os = "linux")]

mod common;

use common::{Backend, Balancer, Gate, Running, TempDir, binary, run, wait_until};
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The first example of the chapter that has `part` in it.
fn example(part: &str) -> String {
    let chapter = text("src/manual/deploy.md");
    let mut blocks = chapter.split("\n```").skip(1).step_by(2);
    let block = blocks.find(|block| block.contains(part));
    let block = block.unwrap_or_else(|| panic!("no example has {part}"));
    let (_language, lines) = block.split_once('\n').expect("a line");
    format!("{lines}\n")
}

/// What `command` did with `input`; none where it is not installed.
fn output(command: &mut Command, input: &str) -> Option<Output> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("skipped: {:?} is not installed", command.get_program());
            return None;
        }
        Err(error) => panic!("{command:?}: {error}"),
    };
    let mut stdin = child.stdin.take().expect("its standard input");
    // It may end without reading all.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    Some(child.wait_with_output().expect("its output"))
}

/// What a program printed to both outputs.
fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn is_installed(program: &str) -> bool {
    output(Command::new(program).arg("--version"), "").is_some()
}

/// The port of the admin listener.
fn admin_port(balancer: &Balancer) -> String {
    balancer.admin().port().to_string()
}

#[test]
fn the_script_restarts_a_server_once_its_last_request_is_answered() {
    if !["jq", "curl", "awk"].iter().all(|program| is_installed(program)) {
        return;
    }
    let gate = Gate::new();
    let (held, other) = (Backend::held(&gate), Backend::named("other"));
    let directory = TempDir::new();
    let before = format!("{} max=9   # drain\n{}\n", held.argument(), other.argument());
    let list = directory.file("servers", &before);
    let balancer =
        Balancer::start(&["127.0.0.1:0", "-f", &list, "-s", "first", "--admin", "0", "-c", "50ms"]);
    let mut client = balancer.ask("/held");
    held.wait_for_requests(1);
    let script = example("Usage: deploy.sh")
        .replace("/etc/loadbalancer/servers", &list)
        .replace("127.0.0.1:9000", &format!("127.0.0.1:{}", admin_port(&balancer)))
        .replace("sleep 1", "sleep 0.05");
    let script = directory.file("deploy.sh", script);
    let restarted = directory.path().join("restarted");
    let mut command = Command::new("sh");
    command.args([&script, &held.argument(), "touch"]).arg(&restarted);
    let mut deploy = Running::start(&mut command);
    balancer.stderr.wait_for("is draining (1 request left)");
    assert_eq!(balancer.get("/").text(), "other");
    assert!(!restarted.exists(), "a request is in flight");
    gate.open();
    assert_eq!(client.response().text(), "/held");
    let status = deploy.wait();
    assert_eq!(status.code(), Some(0), "{}", deploy.stderr.whole());
    assert!(restarted.exists());
    balancer.stderr.wait_for("is in rotation again");
    let after = fs::read_to_string(&list).expect("the list");
    let words = |list: &str| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&after), words(&before), "all that was in the list is in it again");
    balancer.stop();
}

#[test]
fn the_script_with_ctl_does_the_same_and_leaves_the_list_alone() {
    let gate = Gate::new();
    let (held, other) = (Backend::held(&gate), Backend::named("other"));
    let directory = TempDir::new();
    let before = format!("{}\n{}\n", held.argument(), other.argument());
    let list = directory.file("servers", &before);
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "-s", "first", "-c", "50ms"]);
    let mut client = balancer.ask("/held");
    held.wait_for_requests(1);
    let program = env!("CARGO_BIN_EXE_loadbalancer");
    let script = example("Usage: deploy-ctl.sh")
        .replace("loadbalancer ctl 8080", &format!("{program} ctl {}", balancer.address()))
        .replace("sleep 1", "sleep 0.05");
    assert!(script.contains(program), "{script}");
    let script = directory.file("deploy-ctl.sh", script);
    let restarted = directory.path().join("restarted");
    let start = |command: &[&str]| {
        let mut sh = Command::new("sh");
        sh.arg(&script).arg(held.argument()).args(command);
        Running::start(&mut sh)
    };
    let mut deploy = start(&["touch", restarted.to_str().expect("UTF-8")]);
    balancer.stderr.wait_for("is draining (1 request left)");
    assert_eq!(balancer.get("/").text(), "other");
    assert!(!restarted.exists(), "a request is in flight");
    gate.open();
    assert_eq!(client.response().text(), "/held");
    assert_eq!(deploy.wait().code(), Some(0), "{}", deploy.stderr.whole());
    assert!(restarted.exists());
    balancer.stderr.wait_for("is in rotation again");
    assert_eq!(fs::read_to_string(&list).expect("the list"), before);
    let mut failed = start(&["false"]);
    assert_eq!(failed.wait().code(), Some(1), "the status of the command");
    let status = run(&["ctl", &balancer.address().to_string(), "status"]).stdout;
    assert!(status.contains(&format!("backend {} drain ", held.argument())), "{status}");
    balancer.stop();
}

#[test]
fn the_package_rotates_logs_as_the_manual_says() {
    assert_eq!(example("postrotate"), text("src/packaging/logrotate"));
}

#[test]
fn logrotate_rotates_the_log_of_a_running_balancer() {
    let backend = Backend::named("a");
    let directory = TempDir::new();
    let log = directory.path().join("access.log");
    let balancer = Balancer::over(&[&backend], &["-l", log.to_str().expect("UTF-8")]);
    assert_eq!(balancer.get("/before").status(), 200);
    let has = |file: &str, line: &str| {
        fs::read_to_string(directory.path().join(file)).is_ok_and(|text| text.contains(line))
    };
    wait_until("the first line", || has("access.log", "/before"));
    let signal = format!("kill -USR1 {}", balancer.id());
    let rules = example("postrotate")
        .replace("/var/log/loadbalancer", directory.path().to_str().expect("UTF-8"))
        .replace("systemctl kill -s USR1 'loadbalancer*.service'", &signal);
    assert!(rules.contains(&signal), "{rules}");
    let rules = directory.file("rules", rules);
    let state = directory.path().join("state");
    let mut rotate = Command::new("logrotate");
    let Some(done) = output(rotate.args(["-f", "-s"]).arg(&state).arg(&rules), "") else { return };
    assert!(done.status.success() && done.stderr.is_empty(), "{}", shown(&done));
    balancer.stderr.wait_for("reopened the access log");
    assert_eq!(balancer.get("/after").status(), 200);
    wait_until("a line in the new log", || has("access.log", "/after"));
    assert!(has("access.log.1", "/before") && !has("access.log.1", "/after"));
    assert!(!has("access.log", "/before"));
    balancer.stop();
}

#[test]
fn keepalived_accepts_the_example() {
    // Its test of a configuration ends itself by a signal when the scripts run as another user
    // (2.2.7), and needs root and an interface that is there.
    let directory = TempDir::new();
    let program = env!("CARGO_BIN_EXE_loadbalancer");
    let rules = example("vrrp_instance")
        .replace("script_user nobody", "script_user root")
        .replace("/usr/bin/loadbalancer", program)
        .replace("interface eth0", "interface lo");
    let accepts = |name: &str, rules: &str| {
        let file = directory.file(name, rules);
        output(Command::new("keepalived").args(["-t", "-f", &file]).env("PATH", SBIN), "")
    };
    let Some(wrong) = accepts("wrong", &rules.replace("nopreempt", "nopreemptt")) else { return };
    if !shown(&wrong).contains("nopreemptt") {
        println!("skipped: keepalived does not test: {}", shown(&wrong));
        return;
    }
    let right = accepts("right", &rules).expect("it ran before");
    let complaints: Vec<String> = shown(&right)
        .lines()
        .filter(|line| line.contains("keyword") || line.contains("nvalid"))
        .map(str::to_owned)
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

const SBIN: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Values of the Deployment, one per line: the grace period, then the arguments.
const DEPLOYMENT: &str = r#"
import sys
try:
    import yaml
except ImportError:
    sys.exit("skipped: Python has no yaml")
config, deployment = yaml.safe_load_all(sys.stdin)
pod = deployment["spec"]["template"]
assert deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
spec, (container,) = pod["spec"], pod["spec"]["containers"]
(volume,), (mount,) = spec["volumes"], container["volumeMounts"]
assert volume["name"] == mount["name"] and volume["configMap"]["name"] == config["metadata"]["name"]
args = container["args"]
assert args[args.index("-f") + 1] in [f"{mount['mountPath']}/{key}" for key in config["data"]]
assert all(isinstance(word, str) for word in args), args
print(spec["terminationGracePeriodSeconds"])
print(*args, sep="\n")
for probe in ("readinessProbe", "livenessProbe"):
    print(*container[probe]["exec"]["command"])
sys.stdout.write(config["data"]["servers"])
"#;

#[test]
fn the_kubernetes_example_is_a_good_command_line_within_its_grace_period() {
    let mut python = Command::new("python3");
    let Some(done) = output(python.args(["-c", DEPLOYMENT]), &example("kind: Deployment")) else {
        return;
    };
    if shown(&done).contains("skipped") {
        println!("{}", shown(&done));
        return;
    }
    assert!(done.status.success(), "{}", shown(&done));
    let text = shown(&done);
    let lines: Vec<&str> = text.lines().collect();
    let probes = lines.iter().position(|line| line.starts_with("loadbalancer ")).expect("a probe");
    let (arguments, probes) = (&lines[1..probes], &lines[probes..]);
    let unit = run(&[&["--print-unit", "--"], arguments].concat());
    assert_eq!(unit.code, Some(0), "{}", unit.stderr);
    // What the unit's time is made of, without its margin of 5 s, is 2 s less than enough.
    let stop = unit.stdout.lines().find_map(|line| line.strip_prefix("TimeoutStopSec="));
    let stop: u32 = stop.and_then(|text| text.parse().ok()).expect("TimeoutStopSec");
    let grace: u32 = lines[0].parse().expect("a number of seconds");
    assert!(grace + 5 >= stop + 2, "{grace} s of grace, {stop} s in the unit");
    for (probe, path) in probes.iter().zip(["/ready", "/live"]) {
        assert!(probe.ends_with(path), "{probe}");
    }
    let directory = TempDir::new();
    let list = directory.file("servers", probes[2..].join("\n"));
    let checked = run(&["--print-config", "0", "-f", &list]);
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "a bad line is reported");
}

#[test]
fn a_list_in_a_config_map_is_followed() {
    // As the kubelet writes one: a link to a link to a directory, of which the second is replaced.
    let (first, second) = (Backend::named("a"), Backend::named("b"));
    let directory = TempDir::new();
    let within = |name: &str| directory.path().join(name);
    for (name, backend) in [("..1", &first), ("..2", &second)] {
        fs::create_dir(within(name)).expect("a directory");
        directory.file(&format!("{name}/servers"), format!("{}\n", backend.argument()));
    }
    symlink("..1", within("..data")).expect("a link");
    symlink("..data/servers", within("servers")).expect("a link");
    let list = within("servers").to_str().expect("UTF-8").to_owned();
    let balancer = Balancer::start(&["127.0.0.1:0", "-f", &list, "--health", "off"]);
    assert_eq!(balancer.get("/").text(), "a");
    symlink("..2", within("..new")).expect("a link");
    fs::rename(within("..new"), within("..data")).expect("another list");
    wait_until("an answer by b", || balancer.get("/").text() == "b");
    balancer.stop();
}

/// The words of the health check in the Containerfile.
fn health_check() -> Vec<String> {
    let file = text("src/packaging/Containerfile");
    let line = file.split("HEALTHCHECK").nth(1).and_then(|rest| rest.split("CMD [").nth(1));
    let words = line.and_then(|rest| rest.split(']').next()).expect("the words of a command");
    words.split(", ").map(|word| word.trim_matches('"').to_owned()).collect()
}

#[test]
fn the_health_check_of_the_container_is_what_ready_says() {
    let backend = Backend::named("a");
    let balancer =
        Balancer::probing(&[&backend], &["--admin", "0", "-c", "20ms", "--lame-duck", "1h"]);
    let words = health_check();
    assert_eq!(words[..2], ["loadbalancer", "get"]);
    let at = format!(":{}/", admin_port(&balancer));
    let words: Vec<String> = words[1..].iter().map(|word| word.replace(":9000/", &at)).collect();
    assert!(words.iter().any(|word| word.contains(&at)), "{words:?}");
    wait_until("ready", || run(&words).code == Some(0));
    let finished = run(&words);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""));
    balancer.signal("TERM");
    wait_until("not ready", || run(&words).code == Some(1));
}

#[test]
fn sigterm_to_process_1_of_a_container_finishes_what_is_in_flight() {
    let gate = Gate::new();
    let backend = Backend::held(&gate);
    let mut command = Command::new("unshare");
    // Root needs no namespace of users; others may be allowed to make one.
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child"]);
    if !output(Command::new("unshare").args(command.get_args()).arg("true"), "")
        .is_some_and(|done| done.status.success())
    {
        println!("skipped: no namespace of processes");
        return;
    }
    command.arg(binary().get_program());
    command.args(["127.0.0.1:0", &backend.argument(), "--health", "off"]);
    let mut balancer = Balancer::of(Running::start(&mut command));
    let mut client = balancer.ask("/held");
    backend.wait_for_requests(1);
    let children = format!("/proc/{0}/task/{0}/children", balancer.id());
    let child = fs::read_to_string(children).expect("the child of unshare");
    let child = child.trim();
    let status = fs::read_to_string(format!("/proc/{child}/status")).expect("the balancer");
    assert!(status.contains(&format!("NSpid:\t{child}\t1\n")), "{status}");
    let killed = Command::new("/bin/kill").args(["-TERM", child]).status().expect("kill");
    assert!(killed.success());
    balancer.stderr.wait_for("stopping: 1 in flight");
    gate.open();
    assert_eq!(client.response().text(), "/held");
    assert_eq!(balancer.wait().code(), Some(0));
}
