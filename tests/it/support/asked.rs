//! What `make` passes to a test in the environment.

use std::str::FromStr;

/// A number from the environment.
pub(crate) fn asked<T: FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var_os(variable)?.into_string().ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}
