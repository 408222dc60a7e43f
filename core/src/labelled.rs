//! Enums whose values have labels, for logs, metrics, JSON and the command line.

/// An enum made by [`labelled!`](crate::labelled!).
pub trait Labelled: Copy + PartialEq + 'static {
    /// All values in declaration order.
    const ALL: &'static [Self];

    /// Returns the name used in logs, metrics, JSON and on the command line.
    fn label(self) -> &'static str;

    /// Returns the index in [`Labelled::ALL`].
    fn position(self) -> usize {
        Self::ALL.iter().position(|value| *value == self).unwrap_or_default()
    }
}

/// Declares a fieldless enum with `ALL`, `label()` and `Display`.
#[macro_export]
macro_rules! labelled {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All values in declaration order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// Returns the name used in logs, metrics, JSON and on the command line.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $($name::$variant => $label,)* }
            }
        }

        impl $crate::labelled::Labelled for $name {
            const ALL: &'static [$name] = $name::ALL;

            fn label(self) -> &'static str {
                $name::label(self)
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.label())
            }
        }
    };
}
