//! The real binary as a process of its own: what it is given, what it writes, how it ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::Value;
use tempfile::TempDir;

use super::logs::{Lines, LogRecord};
use super::metrics::Metrics;
use super::redis::PASSWORD;
use super::wait::{SOON, wait_for};
use super::{Feed, RedisServer, stretched};

/// The token of every test; it may appear in nothing that the service writes.
pub(crate) const TOKEN: &str = "a-token+that/nobody=may&see";

/// Longest wait for an answer over HTTP.
const HTTP_TIMEOUT: Duration = Duration::from_secs(5);

/// What the service is given, before it starts. A clone starts another life in the same folder.
#[derive(Clone)]
pub(crate) struct Setup {
    variables: BTreeMap<String, String>,
    folder: Arc<TempDir>,
    /// What a shell does before it becomes the service.
    shell: Option<String>,
    program: PathBuf,
}

impl Setup {
    /// The settings that every test needs: this feed, this Redis, quick reconnects, JSON on stdout, any HTTP port.
    pub(crate) fn new(feed: &Feed, redis: &RedisServer) -> Setup {
        let folder = tempfile::Builder::new().prefix("uw-service-").tempdir().unwrap();
        let (folder, program) = (Arc::new(folder), PathBuf::from(env!("CARGO_BIN_EXE_uw-websocket")));
        Setup { variables: BTreeMap::new(), folder, shell: None, program }
            .set("UNUSUAL_WHALES_API_TOKEN", TOKEN)
            .set("ENABLE_WEBSOCKET", "true")
            .set("UNUSUAL_WHALES_WEBSOCKET_URL", &feed.url())
            .set("REDIS_URL", &redis.url())
            .set("TARGET_SYMBOLS", "SPY,QQQ")
            .set("WEBSOCKET_RECONNECT_SECONDS", "100ms")
            .set("WEBSOCKET_RECONNECT_MAX_SECONDS", "1s")
            .set("RATE_LIMIT_REQUESTS_PER_MINUTE", "1000")
            .set("HTTP_ADDR", "127.0.0.1:0")
            .set("PROBE_ADDR", "127.0.0.1:0")
            .set("LOG_FORMAT", "json")
    }

    /// Sets a variable.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Setup {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts the process under this umask, in place of that of the tests.
    pub(crate) fn under_umask(mut self, umask: &'static str) -> Setup {
        self.shell = Some(format!("umask {umask}"));
        self
    }

    /// Starts the process with SIGHUP ignored, as `nohup` does.
    pub(crate) fn ignoring_hangup(mut self) -> Setup {
        self.shell = Some("trap '' HUP".to_owned());
        self
    }

    /// Starts a copy of the program, which a build meanwhile does not replace.
    pub(crate) fn running_a_copy(mut self) -> Setup {
        let copy = self.folder().join("uw-websocket");
        std::fs::copy(&self.program, &copy).unwrap();
        self.program = copy;
        self
    }

    /// Leaves a variable out.
    pub(crate) fn unset(mut self, name: &str) -> Setup {
        self.variables.remove(name);
        self
    }

    /// The working directory of the process.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the process and waits until it is ready.
    #[track_caller]
    pub(crate) fn start_ready(self) -> Service {
        let service = self.start();
        service.wait_until_ready();
        service
    }

    /// Runs another command of the program to its end: exit code and standard output. Neither that nor what it complains of
    /// holds a secret.
    #[track_caller]
    pub(crate) fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let (code, stdout, stderr) = self.output(arguments);
        eprintln!("{arguments:?}: {stderr}\n{stdout}");
        (code, stdout)
    }

    /// The same, with standard error and without repeating either.
    #[track_caller]
    pub(crate) fn output(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut program = Command::new(&self.program);
        program
            .args(arguments)
            .env_clear()
            .envs(&self.variables)
            .current_dir(self.folder())
            .stdin(Stdio::null());
        let output = program.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert_no_secret(&(stdout.clone() + &stderr));
        (output.status.code(), stdout, stderr)
    }

    /// Starts the process.
    pub(crate) fn start(self) -> Service {
        Service::spawn(&self, Arc::clone(&self.folder))
    }
}

impl Service {
    fn spawn(setup: &Setup, folder: Arc<TempDir>) -> Service {
        let mut command = match &setup.shell {
            None => Command::new(&setup.program),
            Some(before) => {
                // only a process itself can change these: the shell does, and becomes the service
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("{before} && exec $0")]).arg(&setup.program);
                shell
            }
        };
        let mut child = command
            .env_clear()
            .envs(&setup.variables)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) = (Lines::default(), Lines::default());
        let readers =
            vec![stdout.collect(child.stdout.take().unwrap()), stderr.collect(child.stderr.take().unwrap())];
        Service { folder, child, stdout, stderr, readers }
    }

    /// Starts the next process in the folder of this one, which has ended, with the settings of `setup`.
    pub(crate) fn start_again(mut self, setup: &Setup) -> Service {
        assert!(!self.is_running(), "it has ended");
        Service::spawn(setup, Arc::clone(&self.folder))
    }
}

/// The running process; killed with the value. Its output is shown when the test fails.
pub(crate) struct Service {
    folder: Arc<TempDir>,
    child: Child,
    stdout: Lines,
    stderr: Lines,
    readers: Vec<JoinHandle<()>>,
}

impl Service {
    /// Starts the service with the usual settings and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(feed: &Feed, redis: &RedisServer) -> Service {
        Setup::new(feed, redis).start_ready()
    }

    /// The working directory.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// All log records so far, of stdout and stderr.
    pub(crate) fn records(&self) -> Vec<LogRecord> {
        [self.stdout.records(), self.stderr.records()].concat()
    }

    /// The lines of stdout so far.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.stdout.all()
    }

    /// Everything written so far.
    pub(crate) fn output(&self) -> String {
        [self.stdout.all(), self.stderr.all()].concat().join("\n")
    }

    /// Waits for a log record.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, what: &str, predicate: impl Fn(&LogRecord) -> bool) -> LogRecord {
        wait_for(&format!("the log has: {what}"), SOON, || {
            self.records().into_iter().find(&predicate).ok_or_else(|| "no such record".to_owned())
        })
    }

    /// Log records with this text so far.
    pub(crate) fn count_logs(&self, msg: &str) -> usize {
        self.records().iter().filter(|record| record.msg == msg).count()
    }

    /// `http://<address>`, as the service itself logs it.
    #[track_caller]
    pub(crate) fn http(&self) -> String {
        let record = self.wait_for_log("`http listening`", |record| record.msg == "http listening");
        format!("http://{}", record.text("addr"))
    }

    /// The code and body of `/healthz` at the address of the probes.
    #[track_caller]
    pub(crate) fn probe_health(&self) -> (u16, String) {
        let record = self.wait_for_log("`probes listening`", |record| record.msg == "probes listening");
        let url = format!("http://{}/healthz", record.text("addr"));
        get(&url).unwrap_or_else(|error| panic!("GET {url}: {error}"))
    }

    /// The code and body that the path answers with.
    pub(crate) fn try_get(&self, path: &str) -> Result<(u16, String), String> {
        get(&format!("{}{path}", self.http()))
    }

    /// A look from outside that outlives this value; `None` before the service listens.
    pub(crate) fn probe(&self) -> Option<Probe> {
        let records = self.records();
        let listening = records.iter().find(|record| record.msg == "http listening")?;
        Some(Probe { http: format!("http://{}", listening.text("addr")), pid: self.child.id() })
    }

    /// The code and body of a path that must answer.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// `/api/status`.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.get("/api/status").1).unwrap()
    }

    /// The part of `/api/status` about the connection.
    #[track_caller]
    pub(crate) fn connection(&self, name: &str) -> Value {
        let status = self.status();
        let connections = status["connections"].as_array().unwrap();
        connections.iter().find(|connection| connection["name"] == name).cloned().unwrap_or(Value::Null)
    }

    /// Waits until some writer says that Redis failed it for a reason with this word in it.
    #[track_caller]
    pub(crate) fn wait_for_redis_error(&self, word: &str) {
        wait_for(&format!("a writer has met {word}"), SOON, || {
            let writers = self.status()["writers"].clone();
            let errors: Vec<_> =
                writers.as_array().unwrap().iter().map(|writer| &writer["last_error"]).collect();
            let found =
                errors.iter().any(|error| error.to_string().to_lowercase().contains(&word.to_lowercase()));
            if found { Ok(()) } else { Err(format!("{errors:?}")) }
        });
    }

    /// `/metrics`.
    #[track_caller]
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::parse(&self.get("/metrics").1)
    }

    /// Waits until the sum of a metric is at least this.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, name: &str, labels: &[(&str, &str)], at_least: u64) {
        wait_for(&format!("{name}{labels:?} is at least {at_least}"), SOON, || {
            let value = self.metrics().sum(name, labels);
            if value >= at_least { Ok(()) } else { Err(value.to_string()) }
        });
    }

    /// `/readyz`: `Ok`, or the body with the reasons.
    pub(crate) fn ready(&self) -> Result<(), String> {
        match self.try_get("/readyz")? {
            (200, _) => Ok(()),
            (code, body) => Err(format!("{code}: {body}")),
        }
    }

    /// Waits until the service is ready.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self) {
        wait_for("the service is ready", SOON, || self.ready());
    }

    /// Waits until the service is not ready, and returns the reasons.
    #[track_caller]
    pub(crate) fn wait_until_not_ready(&self) -> String {
        wait_for("the service is not ready", SOON, || self.ready().err().ok_or_else(|| "ready".to_owned()))
    }

    /// Waits until nothing is pending and the books balance.
    #[track_caller]
    pub(crate) fn wait_until_settled(&self) -> Metrics {
        wait_for("nothing is pending", SOON, || {
            let metrics = self.metrics();
            metrics.check_conservation()?;
            let pending = metrics.sum("uw_ws_events_pending", &[]);
            if pending == 0 { Ok(metrics) } else { Err(format!("{pending} events are pending")) }
        })
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The exit code, once there is one.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap()?.code()
    }

    /// Resident memory of the process, as the kernel has it.
    pub(crate) fn resident_bytes(&self) -> u64 {
        memory_bytes(self.child.id(), "VmRSS:").expect("the process runs")
    }

    /// The most that [`Self::resident_bytes`] has been.
    pub(crate) fn peak_resident_bytes(&self) -> u64 {
        memory_bytes(self.child.id(), "VmHWM:").expect("the process runs")
    }

    /// Begins anew with [`Self::peak_private_bytes`].
    pub(crate) fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    /// The most that the process has had resident without mapped files, since the last [`Self::forget_peak`].
    pub(crate) fn peak_private_bytes(&self) -> u64 {
        self.peak_resident_bytes() - memory_bytes(self.child.id(), "RssFile:").expect("the process runs")
    }

    /// Grants the process no more private memory than this: the allocation that would exceed it fails.
    pub(crate) fn limit_data(&self, bytes: u64) {
        let limit = Rlimit { current: Some(bytes), ..getrlimit(Resource::Data) };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Data, limit).unwrap();
    }

    /// CPU time that the process has used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // after the name, which is in brackets: user and system time are the 12th and 13th field
        let fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())
    }

    /// Ends the process as a crash of the machine would, and waits for its end.
    pub(crate) fn kill9(&mut self) {
        self.signal(Signal::KILL);
        assert_eq!(self.wait_for_exit(SOON), None, "the process was killed");
    }

    /// Leaves the process so many file descriptors more than it has open.
    pub(crate) fn leave_files(&self, more: u64) {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count() as u64;
        let limit = Rlimit { current: Some(open + more), ..getrlimit(Resource::Nofile) };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end of the process and of its output; the exit code is `None` after a signal.
    #[track_caller]
    pub(crate) fn wait_for_exit(&mut self, limit: Duration) -> Option<i32> {
        let status: ExitStatus = wait_for("the process ends", limit, || {
            self.child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned())
        });
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        if let Some(imbalance) = self.imbalance() {
            panic!("{imbalance}");
        }
        status.code()
    }

    /// What the log says of books that do not balance: of its auditor, and in the sums of its last record.
    fn imbalance(&self) -> Option<String> {
        if let Some(line) = self.output().lines().find(|line| line.contains("books do not balance")) {
            return Some(line.to_owned());
        }
        let last = self.records().into_iter().rfind(|record| record.msg == "stopped")?;
        let sum = |keys: &[&str]| keys.iter().map(|key| last.keys[*key].as_u64().unwrap()).sum::<u64>();
        let came = sum(&["received", "recovered"]);
        let went = sum(&["stored", "duplicate", "filtered", "quarantined", "dropped", "pending"]);
        (came != went).then(|| format!("{came} came, {went} went: {last:?}"))
    }

    /// Asks the process to end and returns its exit code.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait_for_exit(SOON)
    }

    /// How every test ends: the books balance, the process drains and exits with 0, and no secret has come out.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        self.wait_until_settled();
        assert_eq!(self.terminate(), Some(0), "the exit code");
        self.assert_no_secret();
    }

    /// Whatever was written holds neither the token, raw or encoded, nor the Redis password.
    #[track_caller]
    pub(crate) fn assert_no_secret(&self) {
        assert_no_secret(&self.output());
    }
}

#[track_caller]
fn assert_no_secret(output: &str) {
    for secret in [TOKEN, "a-token", "nobody%3Dmay", PASSWORD] {
        assert!(!output.contains(secret), "`{secret}` was written");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        for reader in self.readers.drain(..) {
            drop(reader.join());
        }
        let imbalance = self.imbalance();
        if std::thread::panicking() || imbalance.is_some() {
            eprintln!("--- service ---\n{}", self.output());
        }
        // also of a service that the test did not let end by itself
        if let Some(imbalance) = imbalance.filter(|_| !std::thread::panicking()) {
            panic!("{imbalance}");
        }
    }
}

/// What can be seen of a process from outside while its owner does other things with it.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    http: String,
    pid: u32,
}

impl Probe {
    /// `/metrics`.
    pub(crate) fn metrics(&self) -> Result<Metrics, String> {
        match get(&format!("{}/metrics", self.http))? {
            (200, text) => Ok(Metrics::parse(&text)),
            (code, text) => Err(format!("{code}: {text}")),
        }
    }

    /// Whether `/readyz` says so.
    pub(crate) fn is_ready(&self) -> bool {
        get(&format!("{}/readyz", self.http)).is_ok_and(|(code, _)| code == 200)
    }

    /// The most memory that was resident; `None` when the process is gone.
    pub(crate) fn peak_resident_bytes(&self) -> Option<u64> {
        memory_bytes(self.pid, "VmHWM:")
    }
}

fn get(url: &str) -> Result<(u16, String), String> {
    let request = ureq::get(url).config().http_status_as_error(false);
    let request = request.timeout_global(Some(stretched(HTTP_TIMEOUT))).build();
    let mut response = request.call().map_err(|error| error.to_string())?;
    let body = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
    Ok((response.status().as_u16(), body))
}

/// A line of the kernel's account of a process.
fn memory_bytes(pid: u32, line: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kibibytes = status.lines().find_map(|text| text.strip_prefix(line)?.trim().strip_suffix(" kB"))?;
    Some(kibibytes.trim().parse::<u64>().ok()? * 1024)
}
