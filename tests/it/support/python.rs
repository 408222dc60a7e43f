//! Python for the tests that play a program of somebody else.

use std::process::Command;

/// An interpreter that has redis-py. The first Python of the path may be another one than that of the system's packages.
pub(crate) fn interpreter() -> String {
    let asked = std::env::var_os("PYTHON").and_then(|python| python.into_string().ok());
    let candidates = asked.into_iter().chain(["python3".to_owned(), "/usr/bin/python3".to_owned()]);
    let has_redis = |python: &String| {
        let output = Command::new(python).args(["-B", "-c", "import redis"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let missing = "this test runs Python and needs python3 with the package `redis`: run \
                   config/install-tools.sh python3-redis, or name an interpreter that has it by PYTHON";
    candidates.into_iter().find(has_redis).expect(missing)
}
