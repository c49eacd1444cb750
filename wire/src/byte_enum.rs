//! Enums that travel as one byte: bincode would spend four, and a stranger's client wants to read one.

/// Declares a field-less enum that is a `u8` on the wire; an unknown byte is refused, never guessed.
macro_rules! byte_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $value:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(into = "u8", try_from = "u8")]
        #[repr(u8)]
        $vis enum $name { $($(#[$doc])* $variant = $value),+ }

        impl $name {
            /// Every variant, in the order of their bytes.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }

        impl From<$name> for u8 {
            fn from(value: $name) -> Self { value as Self }
        }

        impl TryFrom<u8> for $name {
            type Error = $crate::codec::UnknownByte;
            fn try_from(byte: u8) -> Result<Self, Self::Error> {
                match byte {
                    $($value => Ok(Self::$variant),)+
                    _ => Err($crate::codec::UnknownByte { what: stringify!($name), byte }),
                }
            }
        }
    };
}
pub(crate) use byte_enum;
