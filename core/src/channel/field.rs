//! A documented field of a payload: its JSON form and its meaning.

/// A documented field of a payload.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The member's name in the payload.
    pub name: &'static str,
    /// The JSON form.
    pub kind: FieldKind,
    /// Whether it may be absent or `null`.
    pub is_optional: bool,
    /// Meaning and unit.
    pub meaning: &'static str,
}

/// The JSON form of a field, which decides whether a sum in a data frame adds or concatenates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Any string.
    Text,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// An array of strings.
    Texts,
    /// A decimal number as a string of any length; `""` and `null` mean missing.
    Decimal,
    /// A number, possibly with a fraction (`106`, `11571.0`).
    Number,
    /// A non-negative integer.
    Count,
    /// An integer of either sign.
    Integer,
    /// Unix milliseconds, an integer.
    Millis,
    /// `true` or `false`.
    Flag,
    /// An object.
    Object,
    /// An array of objects.
    Objects,
    /// A string that identifies the user of the token; logs do not quote it.
    Account,
}

impl FieldKind {
    /// Returns the type's name in `docs/feed.md`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            FieldKind::Text | FieldKind::OneOf(_) | FieldKind::Account => "text",
            FieldKind::Texts => "list of text",
            FieldKind::Decimal => "decimal text",
            FieldKind::Number => "number",
            FieldKind::Count | FieldKind::Integer | FieldKind::Millis => "integer",
            FieldKind::Flag => "boolean",
            FieldKind::Object => "object",
            FieldKind::Objects => "list of objects",
        }
    }
}

impl Field {
    /// Returns the field as one that may be absent or `null`.
    pub(super) const fn optional(self) -> Field {
        Field { is_optional: true, ..self }
    }
}

const fn field(name: &'static str, kind: FieldKind, meaning: &'static str) -> Field {
    Field { name, kind, is_optional: false, meaning }
}

pub(super) const fn text(name: &'static str, meaning: &'static str) -> Field {
    field(name, FieldKind::Text, meaning)
}

pub(super) const fn texts(name: &'static str, meaning: &'static str) -> Field {
    field(name, FieldKind::Texts, meaning)
}

pub(super) const fn objects(name: &'static str, meaning: &'static str) -> Field {
    field(name, FieldKind::Objects, meaning)
}

pub(super) const fn decimal(name: &'static str, meaning: &'static str) -> Field {
    field(name, FieldKind::Decimal, meaning)
}

pub(super) const fn number(name: &'static str, meaning: &'static str) -> Field {
    field(name, FieldKind::Number, meaning)
}

pub(super) const fn count(name: &'static str, meaning: &'static str) -> Field {
    field(name, FieldKind::Count, meaning)
}

pub(super) const fn integer(name: &'static str, meaning: &'static str) -> Field {
    field(name, FieldKind::Integer, meaning)
}

pub(super) const fn account(name: &'static str, meaning: &'static str) -> Field {
    field(name, FieldKind::Account, meaning)
}

pub(super) const fn object(name: &'static str, meaning: &'static str) -> Field {
    field(name, FieldKind::Object, meaning)
}

pub(super) const fn millis(name: &'static str, meaning: &'static str) -> Field {
    field(name, FieldKind::Millis, meaning)
}

pub(super) const fn flag(name: &'static str, meaning: &'static str) -> Field {
    field(name, FieldKind::Flag, meaning)
}

pub(super) const fn one_of(
    name: &'static str,
    values: &'static [&'static str],
    meaning: &'static str,
) -> Field {
    field(name, FieldKind::OneOf(values), meaning)
}
