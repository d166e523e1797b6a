//! `_include`: only some fields of a document.
use std::{collections::HashSet, fmt};

use serde::{
    Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::Query;
use crate::error::{Error, ErrorCode};

/// The fields asked for.
#[derive(Debug, Clone)]
pub struct Include(HashSet<String>);

impl Include {
    /// These fields.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(str::to_owned).collect())
    }

    /// Takes it from a query; `None` when all fields are wanted. `is_known` says which fields there
    /// are.
    ///
    /// # Errors
    /// 400 for a field that does not exist.
    pub fn parse(query: &Query, is_known: impl Fn(&str) -> bool) -> Result<Option<Self>, Error> {
        let Some(text) = query.get("_include") else {
            return Ok(None);
        };
        let names: HashSet<String> = text
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        let mut unknown: Vec<&String> = names.iter().filter(|name| !is_known(name)).collect();
        unknown.sort_unstable();
        match unknown.first() {
            None if names.is_empty() => Ok(None),
            None => Ok(Some(Self(names))),
            Some(name) => Err(Error::refused(
                ErrorCode::NoSuchIncludeField,
                format!("Illegal param in `_include`: {name}"),
            )),
        }
    }

    /// Whether a field was asked for by name.
    pub fn names(&self, field: &str) -> bool {
        self.0.contains(field)
    }

    /// The document with those fields only.
    ///
    /// # Errors
    /// `Internal` when the document is none.
    pub fn project(&self, document: &str) -> Result<String, Error> {
        let mut out = String::with_capacity(document.len() / 2);
        serde_json::Deserializer::from_str(document)
            .deserialize_map(Projection {
                include: self,
                out: &mut out,
            })
            .map_err(Error::internal)?;
        Ok(out)
    }
}

struct Projection<'a> {
    include: &'a Include,
    out: &'a mut String,
}

impl<'de> Visitor<'de> for Projection<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.out.push('{');
        let mut is_first = true;
        while let Some(key) = map.next_key::<&str>()? {
            if !self.include.names(key) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: &RawValue = map.next_value()?;
            if !is_first {
                self.out.push(',');
            }
            is_first = false;
            // field names are ours and need no escapes
            self.out.push('"');
            self.out.push_str(key);
            self.out.push_str("\":");
            self.out.push_str(value.get());
        }
        self.out.push('}');
        Ok(())
    }
}
