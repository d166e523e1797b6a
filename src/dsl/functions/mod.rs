//! Intrinsic functions: recognising, checking and evaluating them.

/// Whether a map key names an intrinsic function.
pub fn is_name(name: &str) -> bool {
    matches!(
        name,
        "concat"
            | "get_attribute"
            | "get_attributes_dict"
            | "get_attributes_list"
            | "get_capability"
            | "get_consumers"
            | "get_environment_capability"
            | "get_group_capability"
            | "get_input"
            | "get_label"
            | "get_property"
            | "get_secret"
            | "get_sys"
            | "merge"
            | "string_find"
            | "string_lower"
            | "string_replace"
            | "string_split"
            | "string_upper"
    )
}
