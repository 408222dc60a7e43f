//! Values that have a name outside of the code: in logs, metrics and JSON, or on the command line.

/// An enum made by [`labelled!`](crate::labelled!).
pub trait Labelled: Copy + PartialEq + 'static {
    /// Every value, in the order of declaration.
    const ALL: &'static [Self];

    /// The value's name outside of the code.
    fn label(self) -> &'static str;

    /// Where the value stands in [`Labelled::ALL`].
    fn position(self) -> usize {
        Self::ALL.iter().position(|value| *value == self).unwrap_or_default()
    }
}

/// An enum without fields whose values each have a label: `ALL`, `label()` and `Display` besides the enum itself.
#[macro_export]
macro_rules! labelled {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The value's name outside of the code.
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
