//! Checks the addresses of the HTTP server by binding them for a moment, as the start does.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use super::redis::Owner;
use super::report::{Finding, Report};
use crate::exit::Exit;
use crate::http::{self, HttpError};
use crate::logging::ErrorChain;
use crate::settings::HttpSettings;

const SUBJECT: &str = "address";
const ADVICE: &str = "end the other process, or choose other ports: HTTP_ADDR, PROBE_ADDR";

/// Runs the checks and reports the findings. `is_running` tells whether a running service has the disk queue, if known:
/// that service has the addresses too.
pub(super) fn look(
    settings: &HttpSettings,
    is_running: Option<bool>,
    owner: &Owner,
    report: &mut Report<impl Write>,
) {
    report.section("HTTP", "");
    let tried = http::try_addresses(settings);
    if tried.is_empty() {
        report.add(&Finding::fine(SUBJECT, "off"));
    }
    for (addr, bound) in tried {
        report.add(&match bound {
            Ok(()) => Finding::fine(SUBJECT, format!("{addr} is free")),
            Err(error) => finding(addr, &error, is_running, owner),
        });
    }
}

fn finding(addr: impl Display, error: &HttpError, is_running: Option<bool>, owner: &Owner) -> Finding {
    let is_taken = matches!(error, HttpError::Bind { source, .. } if source.kind() == ErrorKind::AddrInUse);
    let text = ErrorChain::new(error).to_string();
    match (is_taken, is_running, owner) {
        (true, Some(true), _) => Finding::fine(
            SUBJECT,
            format!("{addr} is in use by the running service; a second one needs another"),
        ),
        // without a disk queue only the lease shows that a service is running, perhaps elsewhere
        (true, None, Owner::Instance(owner)) => {
            Finding::doubt(SUBJECT, format!("{text}: perhaps by {owner}, which is running"), ADVICE)
        }
        _ => Finding::failed(Exit::BadSettings, SUBJECT, text, ADVICE),
    }
}
