//! The exit codes of the process, following `sysexits.h`.

use std::process::ExitCode;

/// An exit code and its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Success; also if the service is disabled.
    Clean = 0,
    /// A command failed; `spool verify`: the queue is damaged; `healthcheck`: the service is unhealthy or unreachable.
    Failed = 1,
    /// The command line is wrong.
    WrongCommandLine = 64,
    /// A file given to a command does not have the expected content.
    BadInput = 65,
    /// Redis is unreachable, for a command that needs it; the service itself waits.
    Unreachable = 69,
    /// Gave up after too many crashes.
    GaveUp = 70,
    /// The folder of the disk queue cannot be created, opened or locked.
    SpoolUnusable = 74,
    /// The feed refused the token.
    TokenRefused = 77,
    /// The settings are invalid.
    BadSettings = 78,
    /// A second signal ended the process immediately, or a signal ended a command that is process 1; the code that a
    /// shell reports for an interrupted process.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
