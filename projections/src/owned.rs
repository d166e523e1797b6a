//! Documents of tenant-scoped resources: the five fields they all end with.

/// Defines a document that ends with visibility, tenant, creator and their two older spellings.
macro_rules! owned_doc {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            /// `private`, `tenant` or `global`.
            pub visibility: String,
            /// Its tenant.
            pub tenant_name: String,
            /// Its creator.
            pub created_by: String,
            /// Older name of `visibility`.
            pub resource_availability: String,
            /// Oldest form of `visibility`.
            pub private_resource: bool,
        }

        impl $name {
            /// Whose it is.
            pub fn owned_by(&self) -> $crate::view::Owner {
                $crate::views::owner(&self.tenant_name, &self.visibility, &self.created_by)
            }

            /// Sets the visibility in all its spellings.
            pub fn set_visibility(&mut self, visibility: &str) {
                self.visibility = visibility.to_owned();
                self.resource_availability = visibility.to_owned();
                self.private_resource = visibility == "private";
            }
        }
    };
}
pub(crate) use owned_doc;

/// A field of the reference that is always null and that some clients name in `_include`.
pub(crate) type Null = ();
