//! The version of the program, and the name of this process.

use std::sync::LazyLock;

/// The version, and in an image the revision from which it was built: `0.1.0 (36a4038)`.
pub static VERSION: LazyLock<String> =
    LazyLock::new(|| described(env!("CARGO_PKG_VERSION"), option_env!("UW_WEBSOCKET_REVISION")));

fn described(version: &str, revision: Option<&str>) -> String {
    match revision {
        None | Some("") => version.to_owned(),
        Some(revision) => format!("{version} ({revision})"),
    }
}

/// Returns a unique name for this process: containers may share a host name, and each has a process 1.
pub(crate) fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}-{:08x}", host.trim(), std::process::id(), fastrand::u32(..))
}

#[cfg(test)]
mod tests {
    use super::described;

    #[test]
    fn the_revision_is_shown_if_the_build_knew_it() {
        assert_eq!(described("0.1.0", Some("36a4038")), "0.1.0 (36a4038)");
        assert_eq!(described("0.1.0", None), "0.1.0");
        assert_eq!(described("0.1.0", Some("")), "0.1.0");
    }
}
