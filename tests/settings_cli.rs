//! The program from the outside: exit codes, what it prints where, and that no secret is ever printed.
#![cfg(test)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use tempfile::TempDir;
use uw_websocket::escape::controls;

const TOKEN: &str = "t0ken-of-tests";

/// The program in an empty folder and environment.
struct Program {
    folder: TempDir,
    command: Command,
}

fn program(args: &[&str]) -> Program {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_uw-websocket"));
    command.args(args).env_clear().current_dir(folder.path()).stdin(Stdio::null());
    Program { folder, command }
}

impl Program {
    fn env(mut self, pairs: &[(&str, &str)]) -> Program {
        self.command.envs(pairs.iter().copied());
        self
    }

    fn dotenv(self, text: &str) -> Program {
        fs::write(self.folder.path().join(".env"), text).unwrap();
        self
    }

    /// Runs it to its end: exit code, stdout, stderr.
    #[track_caller]
    fn run(mut self) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().expect("ended by itself"), text(stdout), text(stderr))
    }
}

#[test]
fn help_and_version_are_answers() {
    for args in [
        &["--help"][..],
        &["help"],
        &["run", "--help"],
        &["gaps", "--help"],
        &["tail", "--help"],
        &["replay", "--help"],
        &["completions", "--help"],
        &["check", "--help"],
        &["probe", "--help"],
        &["settings", "--help"],
        &["healthcheck", "--help"],
    ] {
        let (code, stdout, stderr) = program(args).run();
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        assert!(stdout.contains("Example: "), "{args:?}: {stdout}");
    }
    let (code, stdout, _) = program(&["--version"]).run();
    assert_eq!((code, stdout), (0, format!("uw-websocket {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_wrong_command_line_is_64() {
    for args in [&["fly"][..], &["--fly"], &["run", "now"], &["--log-level", "loud"], &["--log-level"]] {
        let (code, stdout, stderr) = program(args).run();
        assert_eq!((code, stdout.as_str()), (64, ""), "{args:?}");
        assert!(stderr.starts_with("error: "), "{args:?}: {stderr}");
    }
}

#[test]
fn shells_get_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, stdout, stderr) = program(&["completions", shell]).run();
        assert_eq!((code, stderr.as_str()), (0, ""), "{shell}");
        assert!(stdout.contains("replay") && stdout.contains("wait-joins"), "{shell}");
    }
    assert_eq!(program(&["completions", "command.com"]).run().0, 64);
}

#[test]
fn a_disabled_service_says_so_and_ends_cleanly() {
    for args in [&[][..], &["run"]] {
        let (code, stdout, stderr) = program(args).run();
        assert_eq!((code, stderr.as_str()), (0, ""));
        let line: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!((&line["level"], &line["environment"]), (&"warning".into(), &"development".into()));
        assert!(line["msg"].as_str().unwrap().contains("ENABLE_WEBSOCKET"), "{line}");
    }
}

#[test]
fn bad_settings_are_78_with_one_line_each_for_every_command() {
    for command in ["run", "check", "settings", "healthcheck", "tail", "gaps", "replay"] {
        let bad = [("ENABLE_WEBSOCKET", "true"), ("WEBSOCKET_MAX_CONNECTIONS", "50"), ("HTTP_ADDR", "here")];
        let (code, stdout, stderr) = program(&[command]).env(&bad).run();
        assert_eq!((code, stdout.as_str()), (78, ""));
        let mut lines: Vec<&str> = stderr.lines().collect();
        if ["run", "check", "settings"].contains(&command) {
            assert!(
                lines.remove(0).starts_with("uw-websocket: UNUSUAL_WHALES_API_TOKEN: is required"),
                "{stderr}"
            );
        }
        let [connections, address] = lines[..] else { panic!("{command}: {stderr}") };
        assert_eq!(
            connections,
            "uw-websocket: WEBSOCKET_MAX_CONNECTIONS=50: must be a whole number from 1 to 10"
        );
        assert!(
            address.starts_with("uw-websocket: HTTP_ADDR=here: must be an IP address with a port"),
            "{stderr}"
        );
    }
}

#[test]
fn commands_that_do_not_ask_the_feed_want_no_token() {
    let tokens = [
        ("UNUSUAL_WHALES_API_TOKEN", ""),
        ("UNUSUAL_WHALES_API_TOKEN", "not a token"),
        ("UNUSUAL_WHALES_API_TOKEN_FILE", "/nonexistent/token"),
    ];
    for token in tokens {
        let with_token = [("ENABLE_WEBSOCKET", "true"), token];
        // nobody listens on port 1: each command comes as far as that
        for (args, expected) in [
            (&["tail"][..], 69),
            (&["gaps"], 69),
            (&["replay"], 69),
            (&["healthcheck"], 1),
            (&["spool", "inspect"], 1),
        ] {
            let (code, stdout, stderr) = program(args)
                .env(&with_token)
                .env(&[("REDIS_URL", "redis://127.0.0.1:1/0"), ("HTTP_ADDR", "127.0.0.1:1")])
                .run();
            assert_eq!((code, stdout.as_str()), (expected, ""), "{args:?} {token:?}: {stderr}");
            assert!(!stderr.contains("TOKEN"), "{args:?} {token:?}: {stderr}");
        }
        for command in ["run", "check", "settings"] {
            let (code, _, stderr) = program(&[command]).env(&with_token).run();
            assert_eq!(code, 78, "{command} {token:?}");
            assert!(stderr.contains("UNUSUAL_WHALES_API_TOKEN"), "{command} {token:?}: {stderr}");
        }
    }
}

#[test]
fn a_bad_line_of_the_dotenv_file_is_78_without_its_value() {
    let (code, _, stderr) = program(&[]).dotenv("# ours\nUNUSUAL_WHALES_API_TOKEN=\"hid den\n").run();
    assert_eq!(code, 78);
    assert!(stderr.starts_with("uw-websocket: .env line 2 (UNUSUAL_WHALES_API_TOKEN): "), "{stderr}");
    assert!(!stderr.contains("den\n") && !stderr.contains("hid"), "{stderr}");
}

#[test]
fn settings_are_printed_in_order_with_their_origin_and_without_secrets() {
    let (code, stdout, stderr) = program(&["--log-level", "debug", "settings"])
        .env(&[("UNUSUAL_WHALES_API_TOKEN", TOKEN), ("ENVIRONMENT", TOKEN)])
        .dotenv("REDIS_URL=rediss://user:hidden-pw@redis.example:1/2\nTARGET_SYMBOLS=spy,TSLA\n")
        .run();
    assert_eq!((code, stderr.as_str()), (0, ""));
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], "UNUSUAL_WHALES_API_TOKEN=*** # environment");
    for line in [
        "REDIS_URL=rediss://user:***@redis.example:1/2 # .env",
        "TARGET_SYMBOLS=spy,TSLA # .env",
        "LOG_LEVEL=debug # command line",
        "WRITER_SHARDS=2 # default",
        "REDIS_STREAM_MAXLEN= # default: per channel",
        "ENVIRONMENT=*** # environment",
    ] {
        assert!(lines.contains(&line), "{line}\n{stdout}");
    }
    let names: Vec<&str> =
        lines.iter().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let table: Vec<&str> = uw_websocket::settings::VARIABLES.iter().map(|variable| variable.name).collect();
    assert_eq!(names, table);
}

#[test]
fn a_misspelt_variable_is_a_warning() {
    let (code, _, stderr) =
        program(&["settings"]).env(&[("TARGET_SYMBOL", "SPY"), ("POSTGRES_DSN", "x")]).run();
    assert_eq!(code, 0);
    assert_eq!(
        stderr,
        "uw-websocket: TARGET_SYMBOL: not a setting and ignored; the nearest is TARGET_SYMBOLS\n"
    );
    let (code, stdout, _) = program(&["run"]).env(&[("TARGET_SYMBOL", "SPY")]).run();
    assert_eq!(code, 0);
    assert!(stdout.lines().next().unwrap().contains(r#""msg":"doubtful setting""#), "{stdout}");
}

#[test]
fn the_log_goes_to_a_file_as_well() {
    let program = program(&[]).env(&[("LOG_DIR", "logs/here"), ("LOG_FORMAT", "term")]);
    let dir = program.folder.path().join("logs/here");
    let keep = program.folder.path().to_owned();
    let Program { folder, mut command } = program;
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{keep:?}");
    let name = files[0].file_name().unwrap().to_str().unwrap();
    assert!(
        name.starts_with("uw_websocket_20") && Path::new(name).extension().is_some_and(|e| e == "log"),
        "{name}"
    );
    assert!(fs::read_to_string(&files[0]).unwrap().contains("WARN disabled: set ENABLE_WEBSOCKET"));
    drop(folder);
}

#[test]
fn a_log_folder_that_cannot_be_created_is_78() {
    let (code, _, stderr) = program(&[]).env(&[("LOG_DIR", "/proc/none/logs")]).run();
    assert_eq!(code, 78);
    assert!(
        stderr.starts_with("uw-websocket: LOG_DIR=/proc/none/logs: no log file can be created there"),
        "{stderr}"
    );
}

#[test]
fn a_closed_pipe_is_no_panic() {
    for args in [&["settings"][..], &["--help"], &["run"]] {
        let mut program = program(args);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = program.command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

/// Answers one request with `answer` and gives the request's first line.
fn answer_once(answer: impl AsRef<[u8]> + Send + 'static) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        stream.write_all(answer.as_ref()).unwrap();
        String::from_utf8(request).unwrap().lines().next().unwrap().to_owned()
    });
    (addr, server)
}

#[test]
fn the_healthcheck_is_0_only_if_the_service_says_200() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 0),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", 1),
        ("SSH-2.0-x 200\r\n", 1),
        ("", 1),
    ] {
        let (addr, server) = answer_once(answer);
        let (code, _, stderr) = program(&["healthcheck"]).env(&[("PROBE_ADDR", &addr)]).run();
        assert_eq!(code, expected, "{answer}: {stderr}");
        assert_eq!(stderr.is_empty(), expected == 0, "{stderr}");
        assert_eq!(server.join().unwrap(), "GET /healthz HTTP/1.1");
    }
}

#[test]
fn the_healthcheck_asks_over_the_loopback_where_the_service_listens_on_all_addresses() {
    let (addr, server) = answer_once("HTTP/1.1 200 OK\r\n\r\n");
    let everywhere = addr.replace("127.0.0.1", "0.0.0.0");
    assert_eq!(
        program(&["healthcheck"]).env(&[("PROBE_ADDR", "off"), ("HTTP_ADDR", &everywhere)]).run().0,
        0
    );
    server.join().unwrap();
}

#[test]
fn the_healthcheck_is_1_where_nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, _, stderr) = program(&["healthcheck"]).env(&[("PROBE_ADDR", &free)]).run();
    assert_eq!(code, 1);
    assert!(stderr.contains("does not answer"), "{stderr}");
    let (code, _, stderr) =
        program(&["healthcheck"]).env(&[("HTTP_ADDR", "off"), ("PROBE_ADDR", "off")]).run();
    assert_eq!(
        (code, stderr.as_str()),
        (1, "uw-websocket: PROBE_ADDR and HTTP_ADDR are off: nobody can be asked\n")
    );
}

#[test]
fn a_secret_where_a_path_belongs_is_refused_without_being_shown() {
    for (name, value) in [
        ("REDIS_URL_FILE", "redis://user:hidden@redis.example:6379/0"),
        ("UNUSUAL_WHALES_API_TOKEN_FILE", "hidden-token"),
        ("UNUSUAL_WHALES_API_TOKEN_FILE", "/hidden+token"),
        ("UNUSUAL_WHALES_API_TOKEN_FILE", "hidden/token="),
    ] {
        for command in ["settings", "run", "check", "healthcheck"] {
            let (code, stdout, stderr) = program(&[command]).env(&[(name, value)]).run();
            // one that asks the service alone wants no token
            if command != "healthcheck" || name != "UNUSUAL_WHALES_API_TOKEN_FILE" {
                assert_eq!((code, stdout.as_str()), (78, ""), "{stderr}");
                assert!(stderr.starts_with(&format!("uw-websocket: {name}: ")), "{stderr}");
            }
            assert!(!stderr.contains("hidden") && !stderr.contains("token="), "{stderr}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").display().to_string();
    let (_, _, stderr) = program(&["settings"]).env(&[("REDIS_URL_FILE", &path)]).run();
    assert!(stderr.contains(&path), "the path of a folder that exists is shown: {stderr}");
}

#[test]
fn settings_show_of_a_url_what_cannot_be_a_secret() {
    let secret = "s3cr3t-of-redis";
    for (url, expected) in [
        (format!("redis://{secret}@redis.example:1/2"), 0),
        (format!("redis://{secret}:@redis.example"), 0),
        (format!("redis://user:{secret}@redis.example?password={secret}"), 0),
        (format!("redis://user:{secret}@redis.example?sslkey={secret}"), 78),
        (format!("unix:///tmp/s?db=1&auth={secret}"), 78),
        (format!("unix:///tmp/s?{secret}"), 78),
    ] {
        let (code, stdout, stderr) = program(&["settings"]).env(&[("REDIS_URL", &url)]).run();
        assert_eq!(code, expected, "{stderr}");
        let output = stdout + &stderr;
        assert!(output.contains("REDIS_URL=") && !output.contains(secret), "{url}");
    }
    let feed = format!("wss://feed.example/socket?api_key={secret}");
    let (_, stdout, _) = program(&["settings"]).env(&[("UNUSUAL_WHALES_WEBSOCKET_URL", &feed)]).run();
    assert!(stdout.contains("wss://feed.example/socket?api_key=*** # env"), "{stdout}");
}

#[test]
fn a_password_over_an_unencrypted_network_is_a_warning() {
    let warning = |url: &str| {
        let (code, _, stderr) = program(&["settings"]).env(&[("REDIS_URL", url)]).run();
        assert_eq!(code, 0, "{stderr}");
        stderr
    };
    for url in ["redis://u:secret@redis.example", "redis://:secret@10.0.0.1", "redis://secret@[fd00::1]"] {
        assert!(warning(url).starts_with("uw-websocket: REDIS_URL: redis:// sends the password"), "{url}");
    }
    for url in [
        "redis://redis.example",
        "rediss://u:secret@redis.example",
        "redis://u:secret@localhost",
        "redis://u:secret@127.0.0.1:1",
        "redis://u:secret@[::1]",
        "unix:///tmp/s?pass=secret",
    ] {
        assert_eq!(warning(url), "", "{url}");
    }
}

/// A clear screen, a title, a colour by C1, another line, text that runs backwards.
const HOSTILE: &str = "\u{1b}[2J\u{7}\u{9b}31m\r\u{202e}\u{2066}\u{200f}\u{61c}\u{7f}";

#[track_caller]
fn assert_harmless(text: &str) {
    assert!(!text.lines().any(|line| line.contains(controls)), "{text:?}");
}

#[test]
fn no_peer_and_no_file_controls_the_terminal() {
    let (addr, server) = answer_once(format!("HTTP/1.1 500 {HOSTILE}\r\n\r\n"));
    let (code, _, stderr) = program(&["healthcheck"]).env(&[("PROBE_ADDR", &addr)]).run();
    assert_eq!(code, 1);
    assert_harmless(&stderr);
    assert!(stderr.contains("\\u{1b}[2J"), "{stderr}");
    server.join().unwrap();

    let (_, stdout, stderr) =
        program(&["settings"]).env(&[("LOG_DIR", HOSTILE), ("SPOOL_DIR", HOSTILE)]).run();
    assert_harmless(&(stdout + &stderr));
    let (_, stdout, stderr) = program(&["settings"]).env(&[("TARGET_SYMBOLS", HOSTILE)]).run();
    assert_harmless(&(stdout + &stderr));

    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join(HOSTILE);
    fs::create_dir_all(&dir).unwrap();
    let line = serde_json::json!({ "quarantined_at": HOSTILE, "reason": HOSTILE, "channel": HOSTILE });
    fs::write(dir.join("quarantine.jsonl"), line.to_string()).unwrap();
    for command in ["inspect", "verify", "export"] {
        let dir = dir.to_str().unwrap();
        let (code, stdout, stderr) = program(&["spool", command, "--dir", dir]).run();
        assert_eq!(code, 0, "{stderr}");
        assert_harmless(&(stdout + &stderr));
    }
    let (_, _, stderr) = program(&["spool", "inspect", "--dir", HOSTILE]).run();
    assert_harmless(&stderr);
}
