//! A request to the vendor's API.

use crate::channel::fill::{FillSource, FillSubject};

/// A request: a path and its parameters, without host and token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestQuery {
    /// The path.
    pub path: String,
    /// Names and values of the parameters.
    pub pairs: Vec<(&'static str, String)>,
}

impl RestQuery {
    /// Begins a request for the rows of a symbol.
    #[must_use]
    pub fn new(source: &FillSource, symbol: Option<&str>) -> RestQuery {
        let path = source.path.replace("{ticker}", symbol.unwrap_or_default());
        let mut query = RestQuery { path, pairs: Vec::new() };
        if let (FillSubject::Parameter { parameter, .. }, Some(symbol)) = (source.subject, symbol) {
            query.set(parameter, symbol);
        }
        if source.limit > 0 {
            query.set("limit", source.limit.to_string());
        }
        query
    }

    /// Adds a parameter.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.pairs.push((name, value.into()));
    }
}
