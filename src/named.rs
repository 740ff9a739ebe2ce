//! Enums whose values have names, as label values of metrics or as keys of stored counters.

/// An enum whose values have names. Declared with [`named!`].
pub(crate) trait Named: Copy + 'static {
    /// Every value, in the order of [`Named::index`].
    const VALUES: &'static [Self];

    fn name(self) -> &'static str;

    fn index(self) -> usize;
}

/// Declares an enum with a name for each value.
macro_rules! named {
    (
        $(#[$about:meta])*
        $visibility:vis enum $named:ident { $($(#[$doc:meta])* $value:ident = $name:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $named {
            $($(#[$doc])* $value,)+
        }

        impl $named {
            /// Every value, in the order in which a scrape has them.
            $visibility const ALL: [Self; [$($name),+].len()] = [$(Self::$value),+];

            /// The name.
            #[must_use]
            $visibility const fn name(self) -> &'static str {
                match self { $(Self::$value => $name,)+ }
            }
        }

        impl $crate::named::Named for $named {
            const VALUES: &'static [Self] = &Self::ALL;

            fn name(self) -> &'static str {
                self.name()
            }

            #[inline]
            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

pub(crate) use named;
