//! How the process ends, in the terms of `sysexits.h`.

use std::process::ExitCode;

/// An exit code and its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// A clean end; also when the service is disabled.
    Clean = 0,
    /// A tool could not do its work; `spool verify`: there is damage; `healthcheck`: the service is not healthy, or cannot be asked.
    Failed = 1,
    /// The command line is wrong.
    WrongCommandLine = 64,
    /// Redis is not reachable, for a command that needs it; the service itself waits.
    Unreachable = 69,
    /// Gave up after too many crashes.
    GaveUp = 70,
    /// The folder of the disk queue cannot be made, opened or locked.
    SpoolUnusable = 74,
    /// The feed refuses the token.
    TokenRefused = 77,
    /// The settings are wrong.
    BadSettings = 78,
    /// A second signal ended the process at once, or a signal a command that is process 1; as a shell shows an
    /// interrupted one.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
