//! The virtual environment of the Python client, made once in `target/bench/venv`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/throughput/requirements.txt");

/// Makes the environment unless it is there with the pinned versions; gives its interpreter, or why there is none.
pub(crate) fn interpreter(target: &Path) -> Result<PathBuf, String> {
    let venv = target.join("venv");
    let python = venv.join("bin/python");
    let installed = venv.join("installed.txt");
    let wanted = fs::read_to_string(REQUIREMENTS).map_err(|err| err.to_string())?;
    if fs::read_to_string(&installed).is_ok_and(|present| present == wanted) {
        return Ok(python);
    }
    succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let pip =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", REQUIREMENTS];
    succeed(Command::new(&python).args(pip))?;
    fs::write(&installed, wanted).map_err(|err| err.to_string())?;
    Ok(python)
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let Output { status, stderr, .. } = command.output().map_err(|err| format!("{command:?}: {err}"))?;
    let complaint = String::from_utf8_lossy(&stderr);
    let last_line = complaint.trim().lines().last().unwrap_or_default();
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}: {last_line}")) }
}
