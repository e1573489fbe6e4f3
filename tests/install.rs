//! What is printed for an installation: the man page, completions for shells, systemd units; and
//! the Debian package.

mod common;

use common::{TempDir, run};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

/// What a good call prints.
fn printed(arguments: &[&str]) -> String {
    let finished = run(arguments);
    assert_eq!(finished.code, Some(0), "{arguments:?}: {}", finished.stderr);
    assert_eq!(finished.stderr, "", "{arguments:?}");
    finished.stdout
}

/// What a program prints to both outputs, and whether it succeeded; none where it is not installed.
fn tool(program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let mut command = Command::new(program);
    let command = command.args(arguments).env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80");
    match command.output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: {program} is not installed");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

/// The long names of the options of a command, from its `--help`.
fn options(command: &[&str]) -> Vec<String> {
    let help = printed(&[command, &["--help"]].concat());
    let entries = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let names: Vec<String> = entries
        .filter_map(|entry| {
            let mut words = entry.split("  ").next()?.split([' ', '=', '[']);
            words.find(|word| word.starts_with("--")).map(str::to_owned)
        })
        .collect();
    assert!(names.len() >= 2, "{command:?}: {names:?}");
    names
}

const COMMANDS: [&[&str]; 7] =
    [&[], &["demo"], &["httpserver"], &["get"], &["top"], &["ctl"], &["replay"]];

#[test]
fn the_man_page_has_every_option_and_every_chapter() {
    let page = printed(&["--man"]);
    for command in COMMANDS {
        for option in options(command) {
            let name = option.replace('-', "\\-");
            let has = page.contains(&format!("{name}\\fR")) || page.contains(&format!("{name}["));
            assert!(has, "{command:?}: {option}");
        }
    }
    for topic in loadbalancer::manual::TOPICS {
        assert!(page.contains(&format!("loadbalancer help {}\\fR", topic.name)), "{}", topic.name);
        let heading = topic.text.lines().next().expect("a heading").trim_start_matches("# ");
        let heading = heading.to_uppercase().replace('-', "\\-").replace('`', "");
        assert!(page.contains(&heading), "{heading}");
    }
}

#[test]
fn man_formats_the_page_without_warnings() {
    let directory = TempDir::new();
    let file = directory.path().join("loadbalancer.1");
    fs::write(&file, printed(&["--man"])).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let Some((done, shown)) = tool("man", &["--warnings", "-l", file]) else { return };
    assert!(done, "{shown}");
    let warns = |line: &str| line.contains("roff:") && line.contains("warning");
    assert!(!shown.lines().any(warns), "{shown}");
    assert!(shown.contains("--drain-timeout TIME"), "{shown}");
}

#[test]
fn completions_have_every_option_and_every_strategy() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["--completions", shell]);
        assert_eq!(printed(&[&format!("--completions={shell}")]), script);
        for command in COMMANDS {
            for option in options(command) {
                let name = option.trim_start_matches('-');
                let has = match shell {
                    "fish" => script.contains(&format!(" -l {name} ")),
                    _ => script.contains(&option),
                };
                assert!(has, "{shell}: {command:?}: {option}");
            }
        }
        for row in &loadbalancer::balance::NAMES {
            assert!(script.contains(row.name), "{shell}: {}", row.name);
        }
        for topic in loadbalancer::manual::TOPICS {
            assert!(script.contains(topic.name), "{shell}: {}", topic.name);
        }
    }
}

/// Command lines up to the cursor, and words that must and must not be proposed.
const COMPLETED: [(&str, &[&str], &[&str]); 9] = [
    ("loadbalancer ", &["demo", "get", "version"], &["rr", "--mode"]),
    ("loadbalancer --str", &["--strategy", "--stream-requests"], &["--mode"]),
    ("loadbalancer 80 1234 -s le", &["least-conn", "least-time"], &["rr", "demo"]),
    ("loadbalancer 80 1234 -m ", &["http", "tcp", "redirect"], &["demo"]),
    ("loadbalancer get --", &["--output", "--quiet"], &["--mode"]),
    ("loadbalancer replay x -s ra", &["rand", "rank"], &["rr"]),
    ("loadbalancer help l", &["limits", "logs"], &["health"]),
    ("loadbalancer --print-unit -- 80 --lam", &["--lame-duck"], &["--log"]),
    ("loadbalancer --completions ", &["bash", "zsh", "fish"], &["demo"]),
];

/// Asks a shell for completions of a command line.
fn completed(shell: &str, ask: impl Fn(&str, &str) -> String) {
    let directory = TempDir::new();
    let file = directory.path().join("completions");
    fs::write(&file, printed(&["--completions", shell])).expect("a file");
    let file = file.to_str().expect("UTF-8");
    for (line, expected, others) in COMPLETED {
        if shell == "fish" && line.contains(" -- ") {
            // It completes no options behind `--`.
            continue;
        }
        let Some((done, shown)) = tool(shell, &["-c", &ask(file, line)]) else { return };
        assert!(done, "{shell}: {line}: {shown}");
        let first = |line: &str| line.split('\t').next().map(str::to_owned);
        let words: Vec<String> = shown.lines().filter_map(first).collect();
        for word in expected {
            assert!(words.iter().any(|it| it == word), "{shell}: {line}: no {word} in {words:?}");
        }
        for word in others {
            assert!(words.iter().all(|it| it != word), "{shell}: {line}: {word} in {words:?}");
        }
    }
}

#[test]
fn bash_completes() {
    completed("bash", |file, line| {
        let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
        format!(
            "source {file}; COMP_WORDS=({}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _loadbalancer; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" ")
        )
    });
}

#[test]
fn fish_completes() {
    completed("fish", |file, line| format!("source {file}; complete -C'{line}'"));
}

#[test]
fn zsh_reads_its_completions() {
    let directory = TempDir::new();
    let file = directory.path().join("_loadbalancer");
    fs::write(&file, printed(&["--completions", "zsh"])).expect("a file");
    let file = file.to_str().expect("UTF-8");
    // As a function of completion it is loaded by its name; `compdef` is of compinit.
    let script = format!("compdef() {{ print $1 for $2; }}; zsh -n {file} && source {file}");
    let Some((done, shown)) = tool("zsh", &["-f", "-c", &script]) else { return };
    assert!(done, "{shown}");
    assert_eq!(shown, "_loadbalancer for loadbalancer\n");
}

/// The lines of the unit for a command line.
fn unit(words: &[&str]) -> Vec<String> {
    let unit = printed(&[&["--print-unit", "--"], words].concat());
    unit.lines().map(str::to_owned).collect()
}

#[test]
fn a_unit_fits_its_command_line() {
    let log = "/var/log/loadbalancer/access.log";
    let socket = "unix:/run/loadbalancer/lb.sock";
    let table: [(&[&str], &[&str], &[&str]); 18] = [
        (
            &["8080", "1234"],
            &[
                "Type=notify",
                "DynamicUser=yes",
                "ProtectSystem=strict",
                "CapabilityBoundingSet=",
                "ExecReload=kill -HUP $MAINPID",
                "WatchdogSec=10",
                "TimeoutStopSec=35",
                "LimitNOFILE=65536",
                "ProtectHome=yes",
            ],
            &["AmbientCapabilities", "LogsDirectory", "ReadWritePaths", "User="],
        ),
        (&["80", "1234"], &["AmbientCapabilities=CAP_NET_BIND_SERVICE"], &[]),
        (&["-b", "1234"], &["CapabilityBoundingSet=CAP_NET_BIND_SERVICE"], &[]),
        (&["1024", "1234"], &[], &["AmbientCapabilities"]),
        (&["0", "1234"], &[], &["AmbientCapabilities"]),
        (&["8080", "1234", "--admin", "900"], &["AmbientCapabilities=CAP_NET_BIND_SERVICE"], &[]),
        (
            &["8080", "1234", "--lame-duck", "5s", "--drain-timeout", "1500ms"],
            &["TimeoutStopSec=12"],
            &[],
        ),
        (&["8080", "1234", "-N", "40000"], &["LimitNOFILE=160000"], &[]),
        (&["8080", "1234", "-l", log], &["LogsDirectory=loadbalancer"], &["ReadWritePaths"]),
        (
            &["8080", "1234", "-l", "/srv/my logs/a%b"],
            &["ReadWritePaths=\"/srv/my logs\"", "User=loadbalancer"],
            &["LogsDirectory"],
        ),
        (&["8080", "1234", "-l", "-"], &[], &["LogsDirectory", "ReadWritePaths"]),
        (&["8080", "-f", "/home/me/servers"], &["ProtectHome=read-only"], &["ProtectHome=yes"]),
        (
            &[socket, "1234", "--socket-mode", "666", "-l", log],
            &["RuntimeDirectory=loadbalancer", "LogsDirectory=loadbalancer"],
            &["ReadWritePaths", "AmbientCapabilities"],
        ),
        (
            &["unix:/srv/lb/lb.sock", "1234", "--socket-mode", "660", "-l", "/srv/log/a"],
            &["ReadWritePaths=/srv/log /srv/lb", "User=loadbalancer"],
            &["RuntimeDirectory"],
        ),
        (
            &["unix:/run/lb.sock", "1234"],
            &["# ListenStream=/run/lb.sock."],
            &["RuntimeDirectory", "ReadWritePaths"],
        ),
        (&["unix:@lb", "1234"], &["DynamicUser=yes"], &["RuntimeDirectory", "ListenStream"]),
        (
            &["8443", "1234", "--cert", "/etc/lb/a.pem", "--redirect-http", "80"],
            &["AmbientCapabilities=CAP_NET_BIND_SERVICE"],
            &[],
        ),
        (
            &["8443", "1234", "--cert", "/root/a.pem"],
            &["ProtectHome=read-only"],
            &["ProtectHome=yes"],
        ),
    ];
    for (words, lines, not) in table {
        let unit = unit(words);
        for line in lines {
            assert!(unit.iter().any(|it| it == line), "{words:?}: no {line}: {unit:#?}");
        }
        for start in not {
            assert!(!unit.iter().any(|it| it.starts_with(start)), "{words:?}: {start}: {unit:#?}");
        }
    }
}

#[test]
fn the_unit_runs_the_program_that_printed_it_with_quoted_arguments() {
    let unit =
        unit(&["8080", "[fe80::1%eth0]:80", "--health-path", "/a$b%c", "-f", "/etc/my list"]);
    let start = unit.iter().find_map(|line| line.strip_prefix("ExecStart=")).expect("ExecStart");
    let (program, arguments) = start.split_once(' ').expect("arguments");
    assert_eq!(program, env!("CARGO_BIN_EXE_loadbalancer"));
    let expected = "8080 [fe80::1%%eth0]:80 --health-path /a$$b%%c -f \"/etc/my list\"";
    assert_eq!(arguments, expected);
}

#[test]
fn systemd_takes_the_unit() {
    let directory = TempDir::new();
    let lines: [&[&str]; 3] = [
        &["80", "1234", "-l", "/var/log/loadbalancer/access.log", "--lame-duck", "5s"],
        &["8080", "[fe80::1%eth0]:80", "--health-path", "/a$b%c", "-l", "/srv/my logs/a%b"],
        &["8080", "-f", "/etc/my\tlist;'\"\\"],
    ];
    for words in lines {
        let file = directory.path().join("loadbalancer.service");
        fs::write(&file, unit(words).join("\n")).expect("a file");
        let file = file.to_str().expect("UTF-8");
        let Some((done, shown)) = tool("systemd-analyze", &["verify", file]) else { return };
        assert!(done && shown.is_empty(), "{words:?}: {shown}");
    }
}

#[test]
fn the_packaged_units_have_what_a_printed_one_has() {
    let of_its_own = ["Description=", "ExecStart="];
    let printed = unit(&["80", "1234", "-l", "/var/log/loadbalancer/access.log"]);
    for name in ["loadbalancer.service", "loadbalancer@.service"] {
        let file = format!("{}/src/packaging/{name}", env!("CARGO_MANIFEST_DIR"));
        let packaged = fs::read_to_string(&file).expect("a unit");
        for line in &printed {
            let is_own = of_its_own.iter().any(|start| line.starts_with(start));
            assert!(is_own || packaged.lines().any(|it| it == line), "{name}: no {line}");
        }
        assert_eq!(packaged.contains(" --reuse-port $OPTIONS"), name.contains('@'), "{name}");
    }
}

/// The Debian package of the binary under test, in a directory; none where dpkg-deb is missing.
fn package(directory: &TempDir) -> Option<String> {
    tool("dpkg-deb", &["--version"])?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/packaging/deb.sh");
    let to = directory.path().to_str().expect("UTF-8");
    let (done, shown) = tool("bash", &[script, env!("CARGO_BIN_EXE_loadbalancer"), to])?;
    assert!(done, "{shown}");
    Some(shown.trim_end().to_owned())
}

/// Every file and link below `directory`, without the database of dpkg, by its path there.
fn files_below(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).expect("a directory") {
            let path = entry.expect("an entry").path();
            let below = path.strip_prefix(directory).expect("a path below").to_owned();
            if path.is_dir() && !path.is_symlink() {
                left.push(path);
            } else if !below.starts_with("var/lib/dpkg") {
                found.insert(below.to_str().expect("UTF-8").to_owned());
            }
        }
    }
    found
}

#[test]
fn the_package_installs_what_belongs_to_the_program_and_removes_it() {
    let directory = TempDir::new();
    let Some(package) = package(&directory) else { return };
    if !fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0) {
        println!("skipped: only root can install a package");
        return;
    }
    let root = directory.path().join("root");
    for below in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log/loadbalancer"] {
        fs::create_dir_all(root.join(below)).expect("a directory");
    }
    fs::write(root.join("var/lib/dpkg/status"), "").expect("a file");
    let dpkg = |action: &[&str]| {
        let to = format!("--root={}", root.display());
        let force = "--force-not-root,depends,script-chrootless,bad-path";
        let (done, shown) = tool("dpkg", &[&[&to, force, "--log=/dev/null"], action].concat())
            .expect("it comes with dpkg-deb");
        assert!(done, "{action:?}: {shown}");
    };
    dpkg(&["--install", &package]);
    let expected = [
        "etc/default/loadbalancer",
        "etc/logrotate.d/loadbalancer",
        "lib/systemd/system/loadbalancer.service",
        "lib/systemd/system/loadbalancer@.service",
        "usr/bin/loadbalancer",
        "usr/share/bash-completion/completions/loadbalancer",
        "usr/share/doc/loadbalancer/changelog.gz",
        "usr/share/doc/loadbalancer/copyright",
        "usr/share/fish/vendor_completions.d/loadbalancer.fish",
        "usr/share/man/man1/loadbalancer.1.gz",
        "usr/share/zsh/vendor-completions/_loadbalancer",
    ];
    assert_eq!(files_below(&root), expected.map(str::to_owned).into());
    let installed = Command::new(root.join("usr/bin/loadbalancer")).arg("-V").output();
    let version = installed.expect("the installed program").stdout;
    assert_eq!(String::from_utf8_lossy(&version), printed(&["-V"]));

    // What `systemctl enable` would make, for our unit and for one of the administrator's own.
    let wanted = root.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wanted).expect("a directory");
    for (name, of) in [
        ("loadbalancer.service", "/lib/systemd/system/loadbalancer.service"),
        ("loadbalancer@2.service", "/lib/systemd/system/loadbalancer@.service"),
        ("loadbalancer@own.service", "/etc/systemd/system/loadbalancer@.service"),
    ] {
        symlink(of, wanted.join(name)).expect("a link");
    }
    dpkg(&["--remove", "loadbalancer"]);
    let own = "etc/systemd/system/multi-user.target.wants/loadbalancer@own.service";
    let kept = ["etc/default/loadbalancer", "etc/logrotate.d/loadbalancer", own];
    assert_eq!(files_below(&root), kept.map(str::to_owned).into());
    assert!(root.join("var/log/loadbalancer").exists(), "logs stay");
    dpkg(&["--purge", "loadbalancer"]);
    assert_eq!(files_below(&root), [own.to_owned()].into());
    assert!(!root.join("var/log/loadbalancer").exists());
}

#[test]
fn lintian_finds_no_error_in_the_package() {
    let directory = TempDir::new();
    let Some(package) = package(&directory) else { return };
    let Some((_, shown)) = tool("lintian", &["--allow-root", &package]) else { return };
    let errors: Vec<&str> = shown.lines().filter(|line| line.starts_with("E:")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn the_default_command_line_of_the_package_is_a_good_one() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/packaging/default");
    let text = fs::read_to_string(file).expect("the file");
    let lines: Vec<&str> =
        text.lines().filter_map(|line| line.split("OPTIONS=\"").nth(1)).collect();
    assert_eq!(lines.len(), 2, "the default and the example: {lines:?}");
    for line in lines {
        let words: Vec<&str> = line.trim_end_matches('"').split(' ').collect();
        let unit = unit(&words);
        assert!(unit.iter().any(|line| line == "DynamicUser=yes"), "{words:?}: {unit:#?}");
    }
}

#[test]
fn what_cannot_be_printed_is_one_line_and_exit_status_2() {
    for (line, value) in [
        ("--man x", "`x`"),
        ("--man=x", "--man"),
        ("8080 1234 --man", "must come first"),
        ("--completions", "SHELL"),
        ("--completions csh", "`csh`"),
        ("--completions bash x", "`x`"),
        ("--print-unit", "--print-unit -- 80"),
        ("--print-unit 8080 1234", "--print-unit -- 80"),
        ("8080 1234 --print-unit", "must come first"),
        ("--print-unit --", "no backend"),
        ("--print-unit -- 8080 1234 --bogus", "`--bogus`"),
        ("--print-unit -- 8080 1234 -N 0", "`0`"),
        ("--print-unit -- 8080 1234 --man", "must come first"),
        ("--print-unit -- demo", "`demo`"),
        ("--print-unit -- 8080 -f servers", "`servers`"),
        ("--print-unit -- 8080 -f /etc/../servers", ".."),
        ("--print-unit -- 8080 1234 --error-page 503=busy.html", "`busy.html`"),
        ("--print-unit -- 8080 1234 -l /tmp/log", "/tmp"),
        ("--print-unit -- unix:/tmp/lb.sock 1234 --socket-mode 666", "/tmp"),
        ("--print-unit -- unix:/run/lb/lb.sock 1234", "add --socket-mode 666"),
        ("--print-unit -- 8443 1234 --cert a.pem", "`a.pem`"),
        ("--print-unit -- 8080 1234 --check", "--check"),
        ("--print-unit -- 8080 1234 --print-config", "--print-config"),
        ("--print-unit -- 8080 1234 --user nobody", "--user"),
        ("--print-unit -- 8080 1234 --record /var/lib/x/record", "--record"),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let finished = run(&arguments);
        assert_eq!(finished.code, Some(2), "{line}: {}", finished.stderr);
        assert_eq!(finished.stdout, "", "{line}");
        assert_eq!(finished.stderr.lines().count(), 1, "{line}: {}", finished.stderr);
        assert!(finished.stderr.contains(value), "{line}: {}", finished.stderr);
    }
}
