//! What is asked of the audit log, and how a question travels in a query string.
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use stratalog_schema::Category;

use super::Entry;
use crate::error::Error;

/// Entries on a page at most.
const SIZE_MAX: usize = 1_000;

/// Which events are asked for; what is absent does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Who did it.
    pub actor: Option<String>,
    /// Tenant of the request.
    pub tenant: Option<String>,
    /// Execution on whose behalf it was done.
    pub execution: Option<String>,
    /// Kind of thing it was done to.
    pub category: Option<Category>,
    /// Key of the stream: `tenant/id` for what belongs to a tenant.
    pub stream: Option<String>,
    /// What happened, as `deployment_created`.
    pub event_type: Option<String>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// Not after.
    pub until: Option<DateTime<Utc>>,
    /// Not before this position.
    pub from: Option<i64>,
    /// Not after this position.
    pub upto: Option<i64>,
}

/// A page that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Which events.
    pub filter: Filter,
    /// From the newest to the oldest, or the other way.
    pub newest_first: bool,
    /// Goes on beyond this position, as the page before said.
    pub beyond: Option<i64>,
    /// Entries on the page.
    pub size: usize,
}

impl Filter {
    pub(super) fn wants(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is(&self.actor, &entry.actor)
            && is(&self.tenant, &entry.tenant)
            && is(&self.execution, &entry.execution_id)
            && is(&self.event_type, &entry.kind)
    }
}

impl Question {
    /// The first page.
    pub fn new(filter: Filter, newest_first: bool, size: usize) -> Self {
        Self {
            filter,
            newest_first,
            beyond: None,
            size: size.clamp(1, SIZE_MAX),
        }
    }

    /// Names and values of a query string.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let filter = &self.filter;
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let category = filter.category.map(|category| category.name().to_owned());
        let all = [
            ("actor", filter.actor.clone()),
            ("tenant", filter.tenant.clone()),
            ("execution_id", filter.execution.clone()),
            ("category", category),
            ("stream", filter.stream.clone()),
            ("type", filter.event_type.clone()),
            ("since", filter.since.map(time)),
            ("until", filter.until.map(time)),
            ("from", filter.from.map(|position| position.to_string())),
            ("upto", filter.upto.map(|position| position.to_string())),
            ("newest_first", Some(self.newest_first.to_string())),
            ("beyond", self.beyond.map(|position| position.to_string())),
            ("size", Some(self.size.to_string())),
        ];
        all.into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// From the values of a query string.
    ///
    /// # Errors
    /// 400 for a value that makes no sense.
    pub fn from_query<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Error> {
        let text = |name: &str| get(name).map(str::to_owned);
        let category = get("category").map(|name| {
            let mut known = Category::ALL.into_iter();
            let found = known.find(|category| category.name() == name);
            found.ok_or_else(|| bad("category", name))
        });
        let filter = Filter {
            actor: text("actor"),
            tenant: text("tenant"),
            execution: text("execution_id"),
            category: category.transpose()?,
            stream: text("stream"),
            event_type: text("type"),
            since: parsed("since", get("since"))?,
            until: parsed("until", get("until"))?,
            from: parsed("from", get("from"))?,
            upto: parsed("upto", get("upto"))?,
        };
        let newest_first = parsed("newest_first", get("newest_first"))?;
        let size = parsed("size", get("size"))?;
        let mut question = Self::new(filter, newest_first.unwrap_or(false), size.unwrap_or(100));
        question.beyond = parsed("beyond", get("beyond"))?;
        Ok(question)
    }
}

fn parsed<T: FromStr>(name: &str, text: Option<&str>) -> Result<Option<T>, Error> {
    // an unescaped plus sign of a time zone arrives as a space
    let parse = |text: &str| text.replace(' ', "+").parse().map_err(|_| bad(name, text));
    text.map(parse).transpose()
}

fn bad(name: &str, text: &str) -> Error {
    Error::bad_parameters(format!("`{text}` is no value of `{name}`"))
}

#[cfg(test)]
mod tests {
    //! Questions survive their way through a query string.
    use super::*;

    #[test]
    fn a_question_arrives_as_it_was_sent() {
        let filter = Filter {
            actor: Some("ann".to_owned()),
            tenant: Some("green".to_owned()),
            execution: Some("e1".to_owned()),
            category: Some(Category::Deployment),
            stream: Some("green/d1".to_owned()),
            event_type: Some("deployment_created".to_owned()),
            since: "2026-01-02T03:04:05.000006Z".parse().ok(),
            until: "2026-01-02T03:04:06Z".parse().ok(),
            from: Some(3),
            upto: Some(9),
        };
        let mut question = Question::new(filter, true, 7);
        question.beyond = Some(8);
        let pairs = question.pairs();
        assert_eq!(pairs.len(), 13);
        let get = |name: &str| pairs.iter().find(|p| p.0 == name).map(|p| p.1.as_str());
        assert_eq!(Question::from_query(get).unwrap(), question);
    }

    #[test]
    fn nonsense_is_refused() {
        for (name, value) in [
            ("since", "yesterday"),
            ("from", "one"),
            ("category", "cat"),
            ("size", "-1"),
            ("newest_first", "yes"),
        ] {
            let get = |asked: &str| (asked == name).then_some(value);
            assert_eq!(
                Question::from_query(get).unwrap_err().status(),
                400,
                "{name}"
            );
        }
    }
}
