//! The `uw-websocket` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // rustls has no provider of its own choice; without one the first TLS connection would panic
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("uw-websocket: another TLS provider is in use");
    }
    uw_websocket::cli::main(std::env::args_os()).into()
}
