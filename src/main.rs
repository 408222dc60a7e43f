//! The `uw-websocket` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // rustls has no provider of its own choice; without one the first TLS connection would panic. It is an error only if
    // there is one already.
    rustls::crypto::ring::default_provider().install_default().ok();
    uw_websocket::cli::main(std::env::args_os()).into()
}
