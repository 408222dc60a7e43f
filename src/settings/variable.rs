//! What a variable is, and what its row in the table makes.

/// One setting.
#[derive(Debug)]
pub struct Variable {
    /// The name in the environment.
    pub name: &'static str,
    /// What holds when it is not set.
    pub preset: Preset,
    /// Whether its value may be shown.
    pub secrecy: Secrecy,
    /// What it means, in Markdown, on one line.
    pub summary: &'static str,
}

/// What holds when a variable is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This text, as if it had been set.
    Value(&'static str),
    /// No value; the text says what that means.
    Unset(&'static str),
}

/// Whether a value may be shown. Both kinds of secret can also be read from the file that `<name>_FILE` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// Shown as it is.
    Plain,
    /// A URL without a secret of its own, shown without what may be one: a key may stand in its query.
    Url,
    /// Never shown.
    Secret,
    /// A URL, shown without its password.
    SecretUrl,
}

impl Variable {
    /// `<name>_FILE`, for the secrets.
    #[must_use]
    pub fn file_twin(&self) -> Option<String> {
        matches!(self.secrecy, Secrecy::Secret | Secrecy::SecretUrl).then(|| format!("{}_FILE", self.name))
    }
}

/// Makes of each row, `field: type = "NAME", what holds when it is not set, secrecy, parser`, the entry of `VARIABLES`, whose
/// summary is the doc comment; the text that envy reads; and the value. A parser fails with what would be valid. `needs` names
/// a check against other variables, with their fields.
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

        /// Every variable as the text that was given, or that holds in its place.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct VariableTexts {
            $(pub $field: Option<String>,)*
        }

        /// Every variable as it was read; `None` is a mistake that was noted, or a variable that has no value.
        pub(super) struct VariableValues {
            $(pub $field: Option<$type>,)*
        }

        impl VariableValues {
            /// Reads every variable, then checks them against each other.
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
