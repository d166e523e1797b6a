//! Conditions and fields in SQL.
use super::{Condition, Param, Sql};
use crate::{
    Error,
    view::{Field, Kind, View},
};

/// Booleans as texts.
const FLAGS: [&str; 2] = ["true", "false"];

/// How a field is written in SQL, and its type there.
pub(super) fn expression(view: View, name: &str) -> Result<(String, Kind), Error> {
    let def = view.def();
    if let Some(field) = def.field(name).filter(|field| field.is_filterable()) {
        return Ok((field_sql(field), field.kind));
    }
    match def.columns.iter().find(|column| column.name == name) {
        Some(column) => Ok((format!("v.\"{name}\""), column.kind)),
        None => Err(Error::UnknownField(name.to_owned())),
    }
}

/// A field of a document. PostgreSQL refuses documents with an escaped NUL, whichever field is
/// asked for, so it is shown another character.
fn field_sql(field: &Field) -> String {
    let of_document = format!(
        "(replace(v.doc, '\\u0000', '\\ufffd')::json ->> '{}')",
        field.name
    );
    match (field.column, field.kind) {
        (Some(column), _) => format!("v.\"{column}\""),
        (None, Kind::Int) => format!("{of_document}::bigint"),
        (None, Kind::Bool) => format!("{of_document}::boolean"),
        (None, _) => of_document,
    }
}

pub(super) fn text_of(view: View, name: &str) -> Result<String, Error> {
    Ok(as_text(expression(view, name)?))
}

fn as_text((sql, kind): (String, Kind)) -> String {
    match kind {
        Kind::Text => sql,
        _ => format!("({sql})::text"),
    }
}

/// `%` and `_` of what a client searches are no wildcards.
fn like_escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}

fn like_any(sql: &mut Sql, field: &str, patterns: Vec<String>) -> String {
    format!("{field} ILIKE ANY({})", sql.bind(Param::Texts(patterns)))
}

fn keyed(sql: &mut Sql, how: &str, keys: &[String]) -> String {
    format!("v.key {how}({})", sql.bind(Param::Texts(keys.to_vec())))
}

fn any_of(sql: &mut Sql, (view, field): (View, &str), values: &[String]) -> Result<String, Error> {
    let (of, kind) = expression(view, field)?;
    if values.is_empty() {
        return Ok(format!("{of} IS NULL"));
    }
    if kind == Kind::Bool {
        // as a text it would be estimated to be rare
        let known = values
            .iter()
            .filter(|value| FLAGS.contains(&value.as_str()));
        let known = sql.bind(Param::Texts(known.cloned().collect()));
        return Ok(format!("{of} = ANY({known}::boolean[])"));
    }
    let of = as_text((of, kind));
    let values = sql.bind(Param::Texts(values.to_vec()));
    Ok(format!("{of} = ANY({values})"))
}

/// A condition in SQL.
pub(super) fn condition(sql: &mut Sql, view: View, condition: &Condition) -> Result<String, Error> {
    let pattern = |texts: &[String], before: &str, after: &str| -> Vec<String> {
        texts
            .iter()
            .map(|text| format!("{before}{}{after}", like_escaped(text)))
            .collect()
    };
    Ok(match condition {
        Condition::AnyOf(field, values) => any_of(sql, (view, field), values)?,
        Condition::NotAnyOf(field, values) => {
            let field = text_of(view, field)?;
            format!("{field} <> ALL({})", sql.bind(Param::Texts(values.clone())))
        }
        Condition::Search(field, text) => {
            let field = text_of(view, field)?;
            like_any(sql, &field, pattern(std::slice::from_ref(text), "%", "%"))
        }
        Condition::Or(conditions) => {
            let parts = conditions
                .iter()
                .map(|part| self::condition(sql, view, part));
            let parts: Vec<String> = parts.collect::<Result<_, _>>()?;
            format!("({})", parts.join(" OR "))
        }
        Condition::StartsWith(field, texts) => {
            let field = text_of(view, field)?;
            like_any(sql, &field, pattern(texts, "", "%"))
        }
        Condition::EndsWith(field, texts) => {
            let field = text_of(view, field)?;
            like_any(sql, &field, pattern(texts, "%", ""))
        }
        Condition::Contains(field, texts) => {
            let field = text_of(view, field)?;
            like_any(sql, &field, pattern(texts, "%", "%"))
        }
        Condition::NotContains(field, texts) => {
            let field = text_of(view, field)?;
            format!("NOT ({})", like_any(sql, &field, pattern(texts, "%", "%")))
        }
        Condition::NotEmpty(field) => format!("coalesce({}, '') <> ''", text_of(view, field)?),
        Condition::Has(field, values) => {
            let field = expression(view, field)?.0;
            format!("{field} && {}", sql.bind(Param::Texts(values.clone())))
        }
        Condition::HasNone(field, values) => {
            let field = expression(view, field)?.0;
            format!("NOT {field} && {}", sql.bind(Param::Texts(values.clone())))
        }
        Condition::HasOther(field, start, values) => {
            let field = expression(view, field)?.0;
            let start = sql.bind(Param::Text(format!("{}%", like_escaped(start))));
            let values = sql.bind(Param::Texts(values.clone()));
            format!(
                "EXISTS (SELECT FROM unnest({field}) AS e(t) WHERE t LIKE {start} \
                 AND t <> ALL({values}))"
            )
        }
        Condition::Keys(keys) => keyed(sql, "= ANY", keys),
        Condition::NotKeys(keys) => keyed(sql, "<> ALL", keys),
        Condition::Below(field, limit) => {
            let field = expression(view, field)?.0;
            format!("{field} < {}", sql.bind(Param::Int(*limit)))
        }
    })
}
