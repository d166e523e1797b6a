//! The registered functions: and their names.

/// An intrinsic function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Concat,
    GetAttribute,
    GetAttributesDict,
    GetAttributesList,
    GetCapability,
    GetConsumers,
    GetEnvironmentCapability,
    GetGroupCapability,
    GetInput,
    GetLabel,
    GetProperty,
    GetSecret,
    GetSys,
    Merge,
    StringFind,
    StringLower,
    StringReplace,
    StringSplit,
    StringUpper,
}

impl Kind {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "concat" => Self::Concat,
            "get_attribute" => Self::GetAttribute,
            "get_attributes_dict" => Self::GetAttributesDict,
            "get_attributes_list" => Self::GetAttributesList,
            "get_capability" => Self::GetCapability,
            "get_consumers" => Self::GetConsumers,
            "get_environment_capability" => Self::GetEnvironmentCapability,
            "get_group_capability" => Self::GetGroupCapability,
            "get_input" => Self::GetInput,
            "get_label" => Self::GetLabel,
            "get_property" => Self::GetProperty,
            "get_secret" => Self::GetSecret,
            "get_sys" => Self::GetSys,
            "merge" => Self::Merge,
            "string_find" => Self::StringFind,
            "string_lower" => Self::StringLower,
            "string_replace" => Self::StringReplace,
            "string_split" => Self::StringSplit,
            "string_upper" => Self::StringUpper,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Concat => "concat",
            Self::GetAttribute => "get_attribute",
            Self::GetAttributesDict => "get_attributes_dict",
            Self::GetAttributesList => "get_attributes_list",
            Self::GetCapability => "get_capability",
            Self::GetConsumers => "get_consumers",
            Self::GetEnvironmentCapability => "get_environment_capability",
            Self::GetGroupCapability => "get_group_capability",
            Self::GetInput => "get_input",
            Self::GetLabel => "get_label",
            Self::GetProperty => "get_property",
            Self::GetSecret => "get_secret",
            Self::GetSys => "get_sys",
            Self::Merge => "merge",
            Self::StringFind => "string_find",
            Self::StringLower => "string_lower",
            Self::StringReplace => "string_replace",
            Self::StringSplit => "string_split",
            Self::StringUpper => "string_upper",
        }
    }
}
