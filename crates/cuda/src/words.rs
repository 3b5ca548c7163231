//! Structs of words, as the kernels have them.

/// A struct whose fields are words or arrays of words, which the kernels know in the same order.
macro_rules! words {
    ($(#[$of_struct:meta])* $visibility:vis struct $name:ident {
        $($(#[$of_field:meta])* $field:ident: $type:ty,)*
    }) => {
        $(#[$of_struct])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility struct $name {
            $($(#[$of_field])* pub $field: $type,)*
        }

        impl $name {
            /// The words.
            pub fn words(&self) -> Vec<u32> {
                let fields: &[&[u32]] = &[$(bytemuck::cast_slice(bytemuck::bytes_of(&self.$field))),*];
                fields.concat()
            }
        }
    };
}

pub(crate) use words;
