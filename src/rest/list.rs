//! Lists: paging, order, filters and search from the query, and the envelope around stored
//! documents.
use std::{
    fmt::{self, Write},
    mem,
};

use serde_json::{Value, json};
use stratalog_projections::{
    Condition, Kind, ListQuery, Listed, Scope, Sort, StoredRow, View, views::scoped,
};

use super::{
    Answer, Include, Query, Request, counted, cursor, query::shown, remembered::remembered,
};
use crate::{
    auth::Permission,
    commands::{deployment_groups, deployments, filters, inter_deployment_dependencies},
    error::Error,
    store::View as Reader,
};

mod few;

pub use few::{of_texts, of_values, slice};

/// Names a group whose members are wanted.
const GROUP: &str = "_group_id";

/// A list as asked for.
#[derive(Debug)]
pub struct Listing {
    /// What is looked for. Conditions may be added.
    pub query: ListQuery,
    /// Fields wanted.
    pub include: Option<Include>,
    /// Size of a page, as the metadata tell it.
    pub size: i64,
    /// Rows skipped.
    pub offset: i64,
    /// Whether the answer tells where the next page begins.
    pub has_cursor: bool,
}

/// A page of a list.
#[derive(Debug)]
pub struct Found {
    /// Its rows.
    pub rows: Vec<StoredRow>,
    /// How many there are in all.
    pub total: i64,
    /// Where the next page begins, unless this is the last one.
    next: Option<String>,
}

/// What an envelope tells beside the documents.
#[derive(Debug)]
pub struct Told<'a> {
    total: i64,
    next: Option<&'a str>,
}

impl From<i64> for Told<'_> {
    fn from(total: i64) -> Self {
        Self { total, next: None }
    }
}

impl<'a> From<&'a Found> for Told<'a> {
    fn from(found: &'a Found) -> Self {
        Self {
            total: found.total,
            next: found.next.as_deref(),
        }
    }
}

/// The list of a view's rows that the caller may see.
///
/// # Errors
/// 400 for a query that makes no sense, 403 without the permission or a tenant.
pub async fn answer<B: fmt::Debug>(
    req: &Request<B>,
    view: View,
    permission: Permission,
) -> Result<Answer, Error> {
    answer_where(req, view, permission, Vec::new()).await
}

/// As [`answer`], with further conditions.
///
/// # Errors
/// As [`answer`].
pub async fn answer_where<B: fmt::Debug>(
    req: &Request<B>,
    view: View,
    permission: Permission,
    conditions: Vec<Condition>,
) -> Result<Answer, Error> {
    let make = async {
        let scope = req.caller.scope(req.all_tenants()?, permission)?;
        let mut listing = Listing::parse(req, view, scope)?;
        listing.query.conditions.extend(conditions);
        listing.read(req).await
    };
    remembered(req, &[view], make).await
}

impl Listing {
    /// Takes it from a request's query.
    ///
    /// # Errors
    /// 400 for fields that do not exist and numbers that are none.
    pub fn parse<B>(req: &Request<B>, view: View, scope: Scope) -> Result<Self, Error> {
        Self::parse_for(req, (view, req.include(view)?), scope)
    }

    /// As [`Listing::parse`], for what is shown in another form than the view's documents.
    ///
    /// # Errors
    /// As [`Listing::parse`].
    pub fn parse_for<B>(
        req: &Request<B>,
        (view, include): (View, Option<Include>),
        scope: Scope,
    ) -> Result<Self, Error> {
        let field = search_field(view).unwrap_or_default();
        let mut listing = Self::of(req, (view, include), scope, field)?;
        let mut conditions = filters(req.query(), view)?;
        conditions.append(&mut listing.query.conditions);
        listing.query.conditions = conditions;
        Ok(listing)
    }

    /// As [`Listing::parse`], without filters on fields: a search says in its body what it wants.
    ///
    /// # Errors
    /// As [`Listing::parse`].
    pub fn search<B>(req: &Request<B>, view: View, scope: Scope) -> Result<Self, Error> {
        let field = search_field(view).unwrap_or_default();
        Self::search_by(req, view, scope, field)
    }

    /// As [`Listing::search`], with `_search` looking into another field.
    ///
    /// # Errors
    /// As [`Listing::parse`].
    pub fn search_by<B>(
        req: &Request<B>,
        view: View,
        scope: Scope,
        field: &str,
    ) -> Result<Self, Error> {
        Self::of(req, (view, req.include(view)?), scope, field)
    }

    fn of<B>(
        req: &Request<B>,
        (view, include): (View, Option<Include>),
        scope: Scope,
        field: &str,
    ) -> Result<Self, Error> {
        let query = req.query();
        let (size, offset) = paging(req)?;
        let all = query.flag("_get_all_results")?;
        let conditions = search(query, view, field).into_iter().collect();
        let sort = sort(query, view)?;
        Ok(Self {
            query: ListQuery {
                view,
                scope,
                conditions,
                after: cursor::place(query, view, &sort)?,
                sort,
                offset: if all { 0 } else { offset },
                size: (!all).then_some(size),
            },
            include,
            size,
            offset,
            has_cursor: cursor::is_asked(query),
        })
    }

    /// Narrows the list by filter rules, those of the stored filter in `_filter_id` included. Gives
    /// how many rows there were before, if there is any rule to count by.
    ///
    /// # Errors
    /// 400 for a rule that is none, 404 for a filter that does not exist; database errors.
    pub async fn narrow<B>(
        &mut self,
        req: &Request<B>,
        view: &Reader,
        rules: Option<&[Value]>,
    ) -> Result<Option<i64>, Error> {
        if self.query.view == View::Deployments {
            self.of_group(req, view).await?;
            self.of_dependencies(req, view).await?;
        }
        let stored = match (
            req.query().get("_filter_id"),
            filters::Kind::of(self.query.view),
        ) {
            (Some(id), Some(kind)) => Some(filters::rules(view, &req.caller, kind, id).await?),
            _ => None,
        };
        if stored.is_none() && rules.is_none() {
            return Ok(None);
        }
        let rules = [rules.unwrap_or_default(), &stored.unwrap_or_default()].concat();
        let all = ListQuery::all(self.query.view, self.query.scope.clone());
        let wanted = filters::conditions(self.query.view, &rules)?;
        self.query.conditions.extend(wanted);
        counted::count(req, view, &all).await.map(Some)
    }

    /// Only deployments of the group that the query names.
    async fn of_group<B>(&mut self, req: &Request<B>, view: &Reader) -> Result<(), Error> {
        for name in [GROUP, "deployment_group_id"] {
            let Some(id) = req.query().get(name) else {
                continue;
            };
            let row = req.caller.get(view, deployment_groups::MODEL, id).await?;
            let tenant = row.owner.tenant.unwrap_or_default();
            let ids = deployment_groups::member_ids(view, (&tenant, id)).await?;
            let keys = ids.iter().map(|id| scoped(&tenant, id)).collect();
            self.query.conditions.push(Condition::Keys(keys));
        }
        Ok(())
    }

    /// Only what the deployment that the query names depends on, and only what is no component,
    /// where that is asked for.
    async fn of_dependencies<B>(&mut self, req: &Request<B>, view: &Reader) -> Result<(), Error> {
        if let Some(id) = req.query().get("_dependencies_of") {
            let row = req.caller.get(view, deployments::MODEL, id).await?;
            let tenant = row.owner.tenant.unwrap_or_default();
            let ids = inter_deployment_dependencies::dependencies_of(view, (&tenant, id)).await?;
            let keys = ids.iter().map(|id| scoped(&tenant, id)).collect();
            self.query.conditions.push(Condition::Keys(keys));
        }
        if req
            .query()
            .get("_environments_only")
            .is_some_and(|text| !text.is_empty())
        {
            let keys = inter_deployment_dependencies::components(view).await?;
            self.query.conditions.push(Condition::NotKeys(keys));
        }
        Ok(())
    }

    /// Makes it the list of all rows, for what is not a page of them; the page that is asked for:
    /// how many are skipped, and how many at most.
    ///
    /// # Errors
    /// 400 when cursors are asked for.
    pub fn whole(&mut self) -> Result<(i64, Option<i64>), Error> {
        if self.has_cursor {
            return Err(cursor::unavailable());
        }
        Ok((mem::take(&mut self.query.offset), self.query.size.take()))
    }

    /// The rows of the page, and how many there are in all.
    ///
    /// # Errors
    /// Database errors.
    pub async fn find<B>(&self, req: &Request<B>, view: &Reader) -> Result<Found, Error> {
        let Listed { rows, total } = counted::list(req, view, &self.query).await?;
        let is_full = i64::try_from(rows.len()).is_ok_and(|rows| rows == self.size);
        let last = rows.last().filter(|_| self.has_cursor && is_full);
        let place = match last {
            Some(row) => view.place(&self.query, &row.key).await?,
            None => None,
        };
        let next = place.map(|place| cursor::token(&self.query, place));
        Ok(Found {
            next: next.transpose()?,
            rows,
            total,
        })
    }

    /// Reads the page and answers with the stored documents as they are.
    ///
    /// # Errors
    /// Database errors.
    pub async fn read<B>(&self, req: &Request<B>) -> Result<Answer, Error> {
        let reader = req.view().await?;
        let found = self.find(req, &reader).await?;
        let position = reader.position();
        drop(reader.finish().await?);
        let documents = found.rows.iter().map(|row| row.doc.as_str());
        Ok(self.envelope(documents, &found)?.at(position))
    }

    /// The envelope around documents.
    ///
    /// # Errors
    /// `Internal` for a document that is none.
    pub fn envelope<'a>(
        &self,
        documents: impl Iterator<Item = &'a str>,
        told: impl Into<Told<'a>>,
    ) -> Result<Answer, Error> {
        self.filtered_envelope(documents, told, None)
    }

    /// As [`Listing::envelope`], with how many rows filter rules left out.
    ///
    /// # Errors
    /// As [`Listing::envelope`].
    pub fn filtered_envelope<'a>(
        &self,
        documents: impl Iterator<Item = &'a str>,
        told: impl Into<Told<'a>>,
        filtered: Option<i64>,
    ) -> Result<Answer, Error> {
        let envelope = Envelope {
            include: self.include.as_ref(),
            size: self.size,
            offset: self.offset,
            has_cursor: self.has_cursor,
            filtered,
        };
        envelope.around(documents, &told.into())
    }
}

struct Envelope<'a> {
    include: Option<&'a Include>,
    size: i64,
    offset: i64,
    has_cursor: bool,
    filtered: Option<i64>,
}

impl Envelope<'_> {
    fn around<'a>(
        &self,
        documents: impl Iterator<Item = &'a str>,
        told: &Told<'_>,
    ) -> Result<Answer, Error> {
        let mut items = String::from(r#"{"items":["#);
        for (i, document) in documents.enumerate() {
            if i > 0 {
                items.push(',');
            }
            match self.include {
                Some(include) => items.push_str(&include.project(document)?),
                None => items.push_str(document),
            }
        }
        let mut pagination = json!({"total": told.total, "size": self.size, "offset": self.offset});
        if self.has_cursor {
            pagination["next"] = told.next.into();
        }
        let metadata = json!({"pagination": pagination, "filtered": self.filtered});
        write!(items, r#"],"metadata":{metadata}}}"#).map_err(Error::internal)?;
        Ok(Answer::text(items))
    }
}

fn paging<B>(req: &Request<B>) -> Result<(i64, i64), Error> {
    let size_default = req.ctx.directory.load().page_size;
    let size = req.query().number("_size")?.unwrap_or(size_default);
    Ok((size, req.query().number("_offset")?.unwrap_or(0)))
}

/// Keys that do not begin with `_` are fields; repeated ones are alternatives.
fn filters(query: &Query, view: View) -> Result<Vec<Condition>, Error> {
    let mut conditions: Vec<Condition> = Vec::new();
    for (key, value) in query.iter().filter(|(key, _)| !key.starts_with('_')) {
        if view == View::Deployments && key == "deployment_group_id" {
            continue;
        }
        let field = view.def().field(key).filter(|field| field.is_filterable());
        let Some(field) = field else {
            return Err(unknown("Filter", key, view));
        };
        let value = match field.kind {
            Kind::Bool => value.to_ascii_lowercase(),
            _ => value.to_owned(),
        };
        let known = conditions.iter_mut().find_map(|condition| match condition {
            Condition::AnyOf(name, values) if name == key => Some(values),
            _ => None,
        });
        match known {
            Some(values) => values.push(value),
            None => conditions.push(Condition::AnyOf(key.to_owned(), vec![value])),
        }
    }
    Ok(conditions)
}

/// The field that `_search` looks into.
fn search_field(view: View) -> Option<&'static str> {
    match view {
        View::Executions | View::DeploymentGroups | View::ExecutionGroups => None,
        View::Users => Some("username"),
        View::Tenants | View::Agents | View::Sites | View::UserGroups => Some("name"),
        View::Secrets => Some("key"),
        View::Plugins => Some("package_name"),
        _ => Some("id"),
    }
}

fn search(query: &Query, view: View, field: &str) -> Option<Condition> {
    let mut parts = Vec::new();
    let mut look = |key: &str, field: Option<&str>| {
        let field = field.filter(|field| view.def().field(field).is_some());
        if let (Some(text), Some(field)) = (query.get(key), field) {
            let text: String = unicode_normalization::UnicodeNormalization::nfkc(text).collect();
            parts.push(Condition::Search(field.to_owned(), text));
        }
    };
    look("_search", Some(field));
    look("_search_name", Some("display_name"));
    match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => Some(Condition::Or(parts)),
    }
}

fn sort(query: &Query, view: View) -> Result<Vec<Sort>, Error> {
    query
        .all("_sort")
        .map(|text| {
            let (name, descending) = match text.strip_prefix('-') {
                Some(name) => (name, true),
                // a plus sign that was not escaped arrives as a space
                None => (text.trim_start_matches(['+', ' ']), false),
            };
            let field = view.def().field(name).filter(|field| field.is_filterable());
            let field = field.ok_or_else(|| unknown("Sort", name, view))?;
            Ok(Sort {
                field: field.name.to_owned(),
                descending,
            })
        })
        .collect()
}

fn unknown(what: &str, key: &str, view: View) -> Error {
    let fields = view
        .def()
        .fields
        .iter()
        .filter(|field| field.is_filterable());
    let names: Vec<String> = fields.map(|field| format!("'{}'", field.name)).collect();
    Error::bad_parameters(format!(
        "{what} keys '['{}']' do not exist. Allowed keys are: [{}]",
        shown(key),
        names.join(", ")
    ))
}
