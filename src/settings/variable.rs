//! The variables, and the expansion of their table.

/// One setting.
#[derive(Debug)]
pub struct Variable {
    /// The name in the environment.
    pub name: &'static str,
    /// The default.
    pub preset: Preset,
    /// Whether the value may be shown.
    pub secrecy: Secrecy,
    /// The description, in Markdown, on one line.
    pub summary: &'static str,
}

/// The default of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This text, as if it had been set.
    Value(&'static str),
    /// No value; the text describes what that means.
    Unset(&'static str),
}

/// Whether a value may be shown. Both kinds of secret can also be read from the file named by `<name>_FILE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// Shown unchanged.
    Plain,
    /// A URL not meant to contain a secret, shown without possible secrets: the query may contain a key.
    Url,
    /// Never shown.
    Secret,
    /// A URL, shown without its password.
    SecretUrl,
}

impl Variable {
    /// Returns `<name>_FILE` for secrets.
    #[must_use]
    pub fn file_twin(&self) -> Option<String> {
        matches!(self.secrecy, Secrecy::Secret | Secrecy::SecretUrl).then(|| format!("{}_FILE", self.name))
    }
}

/// Expands each row, `field: type = "NAME", default, secrecy, parser`, to an entry of `VARIABLES`, whose summary is the
/// doc comment; to the text that envy reads; and to the value. A parser's error states the valid form. `needs` names a
/// check against other variables, with their fields.
macro_rules! variables {
    ($(
        $(#[doc = $summary:literal])+
        $field:ident: $type:ty = $name:literal, $preset:ident($text:literal), $secrecy:ident, $parse:expr
            $(, needs $needs:ident($($other:ident),*))?;
    )*) => {
        /// Every setting, in the order of the documentation.
        pub const VARIABLES: &[Variable] = &[$(Variable {
            name: $name,
            preset: Preset::$preset($text),
            secrecy: Secrecy::$secrecy,
            summary: concat!($($summary),+).trim_ascii(),
        },)*];

        /// The text of every variable, given or default.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct VariableTexts {
            $(pub $field: Option<String>,)*
        }

        /// The value of every variable; `None` after an error that was noted, or without a value.
        pub(super) struct VariableValues {
            $(pub $field: Option<$type>,)*
        }

        impl VariableValues {
            /// Parses every variable, then checks them against each other.
            pub(super) fn read(texts: &VariableTexts, checks: &mut Checks) -> VariableValues {
                let values = VariableValues {
                    $($field: checks.read($name, Secrecy::$secrecy, texts.$field.as_deref(), $parse),)*
                };
                $($(needs::$needs(values.$field.as_ref(), $(values.$other.as_ref(),)* checks);)?)*
                values
            }
        }
    };
}

pub(super) use variables;
