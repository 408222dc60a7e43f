//! The `uw-websocket` program.

use std::process::ExitCode;

use uw_websocket_actors::tls;

fn main() -> ExitCode {
    tls::install_crypto();
    uw_websocket::cli::main(std::env::args_os()).into()
}
