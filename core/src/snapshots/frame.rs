//! The members of a body besides `data`, preserved as they are.

use serde_json::value::RawValue;

use super::object::{Object, ObjectText};
use super::parts::UnreadableBody;

/// A body without its `data`.
#[derive(Debug, Default)]
pub(super) struct Frame {
    before: Box<str>,
    after: Box<str>,
}

/// Splits a body into its frame and its `data`.
pub(super) fn split(body: &str) -> Result<(Frame, &str), UnreadableBody> {
    let object = Object::parse(body).ok_or(UnreadableBody("it is not a JSON object"))?;
    let data = object.get("data").ok_or(UnreadableBody("it has no `data`"))?;
    if object.members().count() == 1 {
        return Ok((Frame::default(), data));
    }
    let mut sides = [ObjectText::new(), ObjectText::new()];
    let mut side = 0;
    for (name, value) in object.members() {
        if name == "data" {
            side = 1;
        } else {
            sides[side].raw(name, value);
        }
    }
    let [before, after] = sides.map(ObjectText::end);
    // without the braces
    let inner = |text: &str| -> Box<str> { text[1..text.len() - 1].into() };
    Ok((Frame { before: inner(&before), after: inner(&after) }, data))
}

/// Returns the rows of a `data` that is an array of objects.
pub(super) fn rows(data: &str) -> Result<Vec<&str>, UnreadableBody> {
    let rows: Vec<&RawValue> =
        serde_json::from_str(data).map_err(|_| UnreadableBody("its `data` is not an array"))?;
    Ok(rows.into_iter().map(RawValue::get).collect())
}

impl Frame {
    /// Builds a body with rows as `data`.
    pub(super) fn around_rows<'r>(&self, rows: impl Iterator<Item = &'r str>) -> String {
        let mut body = self.open();
        body.push('[');
        for (at, row) in rows.enumerate() {
            if at > 0 {
                body.push(',');
            }
            body.push_str(row);
        }
        body.push(']');
        self.close(body)
    }

    /// Builds a body with `data`.
    pub(super) fn around(&self, data: &str) -> String {
        let mut body = self.open();
        body.push_str(data);
        self.close(body)
    }

    fn open(&self) -> String {
        let comma = if self.before.is_empty() { "" } else { "," };
        format!("{{{}{comma}\"data\":", self.before)
    }

    fn close(&self, mut body: String) -> String {
        if !self.after.is_empty() {
            body.push(',');
            body.push_str(&self.after);
        }
        body.push('}');
        body
    }

    /// Returns heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.before.len() + self.after.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_members_stay_where_they_are() {
        for body in [
            r#"{"data":[{"a":1},{"b":"\u00e9"}]}"#,
            r#"{"date":"2025-10-03","data":[],"next":{"page":[1,2]},"x":null}"#,
        ] {
            let (frame, data) = split(body).unwrap();
            assert_eq!(frame.around(data), body);
            assert_eq!(frame.around_rows(rows(data).unwrap().into_iter()), body);
        }
    }

    #[test]
    fn other_shapes_are_told() {
        for body in ["", "[]", "null", "{}", r#"{"rows":[]}"#, r#"{"data":[]"#] {
            assert!(split(body).is_err(), "{body}");
        }
        for data in ["{}", "null", "3"] {
            assert!(rows(data).is_err(), "{data}");
        }
    }
}
