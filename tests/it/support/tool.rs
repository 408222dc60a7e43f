//! A command of the binary that is no service: what it prints, and how it ends.

use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::RedisServer;
use super::logs::Lines;
use super::redis::PASSWORD;
use super::wait::{SOON, wait_for};

/// A running command, in an empty folder, with this Redis in its environment; killed with the value.
pub(crate) struct Tool {
    _folder: TempDir,
    child: Child,
    stdout: Lines,
    stderr: Lines,
    readers: Vec<JoinHandle<()>>,
}

impl Tool {
    /// The command, to be started by hand.
    pub(crate) fn command(args: &[&str], redis: &RedisServer) -> (TempDir, Command) {
        Tool::command_at(args, &redis.url())
    }

    /// The same, with a Redis of any kind.
    fn command_at(args: &[&str], redis_url: &str) -> (TempDir, Command) {
        let folder = tempfile::Builder::new().prefix("uw-tool-").tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_uw-websocket"));
        command.args(args).env_clear().env("REDIS_URL", redis_url).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        (folder, command)
    }

    /// Starts a command.
    pub(crate) fn start(args: &[&str], redis: &RedisServer) -> Tool {
        let (folder, command) = Tool::command(args, redis);
        Tool::spawn(folder, command)
    }

    /// Starts a command with the Redis of a URL.
    pub(crate) fn start_at(args: &[&str], redis_url: &str) -> Tool {
        let (folder, command) = Tool::command_at(args, redis_url);
        Tool::spawn(folder, command)
    }

    /// Starts a program of any kind, whose output is piped; the folder lives as long as the value.
    pub(crate) fn spawn(folder: TempDir, mut command: Command) -> Tool {
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (Lines::default(), Lines::default());
        let readers =
            vec![stdout.collect(child.stdout.take().unwrap()), stderr.collect(child.stderr.take().unwrap())];
        Tool { _folder: folder, child, stdout, stderr, readers }
    }

    /// Runs a command that ends by itself with 0, and returns its lines.
    #[track_caller]
    pub(crate) fn lines(args: &[&str], redis: &RedisServer) -> Vec<String> {
        let mut tool = Tool::start(args, redis);
        assert_eq!(tool.wait_for_exit(), Some(0), "{:?}", tool.stderr());
        tool.stdout()
    }

    /// The lines of stdout so far.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.stdout.all()
    }

    /// What stderr has so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.all().join("\n")
    }

    /// Waits until stdout has so many lines, and returns them.
    #[track_caller]
    pub(crate) fn wait_for_lines(&self, count: usize) -> Vec<String> {
        wait_for(&format!("{count} lines are printed"), SOON, || {
            let lines = self.stdout();
            if lines.len() >= count { Ok(lines) } else { Err(format!("{lines:?}; {}", self.stderr())) }
        })
    }

    /// Waits until stderr has a text.
    #[track_caller]
    pub(crate) fn wait_for_word(&self, text: &str) {
        wait_for(&format!("`{text}` is said"), SOON, || {
            let stderr = self.stderr();
            if stderr.contains(text) { Ok(()) } else { Err(stderr) }
        });
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; the exit code is `None` after a signal.
    #[track_caller]
    pub(crate) fn wait_for_exit(&mut self) -> Option<i32> {
        let status = wait_for("the command ends", SOON, || {
            self.child.try_wait().unwrap().ok_or_else(|| self.stderr())
        });
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        assert!(!(self.stdout().concat() + &self.stderr()).contains(PASSWORD), "a secret was printed");
        status.code()
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        for reader in self.readers.drain(..) {
            drop(reader.join());
        }
    }
}
