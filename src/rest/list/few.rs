//! Lists of what no view holds: values and texts that are all there.
use serde_json::Value;

use super::{Envelope, paging};
use crate::{
    error::Error,
    rest::{Answer, Include, Request, cursor, query::shown},
};

/// The list of a few values that no view holds; `fields` are those it can be filtered by and
/// reduced to. They were the same at any moment, but a moment that never was is refused.
///
/// # Errors
/// 400 for a query that makes no sense; `Unavailable` when the database is down.
pub async fn of_values(req: &Request, values: &[Value], fields: &[&str]) -> Result<Answer, Error> {
    let view = req.view().await?;
    let position = view.position();
    drop(view.finish().await?);
    let query = req.query();
    for (key, _) in query.iter().filter(|(key, _)| !key.starts_with('_')) {
        if !fields.contains(&key) {
            return Err(Error::bad_parameters(format!(
                "Filter keys '['{}']' do not exist. Allowed keys are: {fields:?}",
                shown(key)
            )));
        }
    }
    let admits = |value: &&Value| {
        query
            .iter()
            .filter(|(key, _)| !key.starts_with('_'))
            .all(|(key, _)| {
                let has = value.get(key).and_then(Value::as_str);
                query.all(key).any(|wanted| has == Some(wanted))
            })
    };
    let found: Vec<String> = values.iter().filter(admits).map(Value::to_string).collect();
    let include = Include::parse(query, |name| fields.contains(&name))?;
    Ok(page_of(req, &found, include.as_ref())?.at(position))
}

/// A page of values that are all there (how many are skipped, and how many at most), and how many
/// there are.
pub fn slice(values: Vec<Value>, (offset, size): (i64, Option<i64>)) -> (Vec<Value>, usize) {
    let bound = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let total = values.len();
    let values = values.into_iter().skip(bound(offset));
    (values.take(size.map_or(usize::MAX, bound)).collect(), total)
}

/// The list of a few texts, those that `_search` finds.
///
/// # Errors
/// 400 for a query that makes no sense.
pub fn of_texts<B>(req: &Request<B>, texts: &[String]) -> Result<Answer, Error> {
    let wanted = req.query().get("_search").map(str::to_lowercase);
    let admits = |text: &&String| {
        let wanted = wanted.as_deref();
        wanted.is_none_or(|wanted| text.to_lowercase().contains(wanted))
    };
    let texts = texts.iter().filter(admits);
    let found: Vec<String> = texts
        .map(|text| Value::from(text.as_str()).to_string())
        .collect();
    page_of(req, &found, None)
}

/// The page asked for of documents that are all there.
fn page_of<B>(
    req: &Request<B>,
    found: &[String],
    include: Option<&Include>,
) -> Result<Answer, Error> {
    cursor::refuse(req.query())?;
    let (size, offset) = paging(req)?;
    let envelope = Envelope {
        include,
        size,
        offset,
        has_cursor: false,
        filtered: None,
    };
    let all = req.query().flag("_get_all_results")?;
    let count = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let page = found
        .iter()
        .skip(if all { 0 } else { count(offset) })
        .take(if all { usize::MAX } else { count(size) });
    let total = i64::try_from(found.len()).map_err(Error::internal)?;
    envelope.around(page.map(String::as_str), &total.into())
}
