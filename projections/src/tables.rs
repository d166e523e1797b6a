//! Tables of the views: their SQL comes from the definitions, never from anything a client said.
use tokio_postgres::GenericClient;

use crate::{
    Error, sets,
    view::{Column, Kind, View},
};

/// Schema the live views are in.
pub const LIVE: &str = "view";

/// Version of what this module makes of definitions: tables and indexes.
const LAYOUT: i32 = 3;

/// What has to be stored of a view for its table to be trusted.
pub(crate) fn version(view: View) -> i32 {
    LAYOUT * 1_000 + view.def().version
}

/// SQL type of a column.
fn sql_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Json => "text",
        Kind::Int => "bigint",
        Kind::Bool => "boolean",
        Kind::Texts => "text[]",
    }
}

/// `CREATE TABLE` of a view in a schema.
pub fn create_table(schema: &str, view: View) -> String {
    let def = view.def();
    let typed: String = def
        .columns
        .iter()
        .map(|column| format!(", \"{}\" {}", column.name, sql_type(column.kind)))
        .collect();
    format!(
        "CREATE TABLE {schema}.{name} (\
           key text NOT NULL, valid_from bigint NOT NULL, valid_to bigint NOT NULL, \
           born bigint NOT NULL, tenant text, visibility text, created_by text, \
           doc text NOT NULL, hidden text{typed})",
        name = def.name
    )
}

/// Whether there is a list of all rows. Operations are listed by execution or graph only, and they
/// change so often that what an index costs is felt.
fn is_listed_whole(view: View) -> bool {
    view != View::Operations
}

/// Indexes of a view's table; built after bulk loading.
pub fn create_indexes(schema: &str, view: View) -> String {
    let def = view.def();
    let name = def.name;
    let current = "WHERE valid_to = 9223372036854775807";
    let mut sql = format!(
        "CREATE UNIQUE INDEX {name}_current ON {schema}.{name} (key) {current}; \
         CREATE UNIQUE INDEX {name}_history ON {schema}.{name} (key, valid_from);"
    );
    // the order of lists, with what decides who may see a row: pages end early, and totals are
    // counted without the rows, of those with a flag, too
    let ties = match def.column("created_at") {
        Some(_) => "created_at, born",
        None => "born",
    };
    let flags = def
        .columns
        .iter()
        .filter(|column| column.kind == Kind::Bool);
    let flags: String = flags.map(|flag| format!(", \"{}\"", flag.name)).collect();
    if is_listed_whole(view) {
        sql += &format!(
            "CREATE INDEX {name}_order ON {schema}.{name} ({ties}, key) \
             INCLUDE (tenant, visibility, created_by{flags}) {current};"
        );
    }
    // one that is global is looked for by its id, in whatever tenant it is
    let by_value = |column: &&Column| column.linked || column.name == "id";
    for column in def.columns.iter().filter(by_value) {
        sql += &format!(
            "CREATE INDEX {name}_{column} ON {schema}.{name} (\"{column}\") {current};",
            column = column.name
        );
    }
    // many rows may be equal: ties are broken within the index
    for column in def.columns.iter().filter(|column| column.sorted) {
        sql += &format!(
            "CREATE INDEX {name}_{column} ON {schema}.{name} (\"{column}\", {ties}) {current};",
            column = column.name
        );
    }
    for column in def
        .columns
        .iter()
        .filter(|column| column.kind == Kind::Texts)
    {
        sql += &format!(
            "CREATE INDEX {name}_{column} ON {schema}.{name} USING gin (\"{column}\") {current};",
            column = column.name
        );
    }
    if sets::are_kept(view) {
        // what has changed since a position
        sql += &format!(
            "CREATE INDEX {name}_since ON {schema}.{name} (valid_from) {current}; \
             CREATE INDEX {name}_until ON {schema}.{name} (valid_to) \
             WHERE valid_to <> 9223372036854775807;"
        );
    }
    sql
}

/// Creates the bookkeeping of views.
pub(crate) const CREATE_STATE: &str = "\
CREATE SCHEMA IF NOT EXISTS view; \
CREATE TABLE IF NOT EXISTS view.state (\
  view text PRIMARY KEY, version integer NOT NULL, built_from bigint NOT NULL)";

/// What has to be rebuilt before the views can be trusted.
///
/// # Errors
/// Database errors.
pub async fn outdated(client: &impl GenericClient) -> Result<Vec<View>, Error> {
    client.batch_execute(CREATE_STATE).await?;
    let rows = client
        .query("SELECT view, version FROM view.state", &[])
        .await?;
    let mut stored = std::collections::HashMap::new();
    for row in rows {
        stored.insert(row.get::<_, String>(0), row.get::<_, i32>(1));
    }
    let mut outdated = Vec::new();
    for view in View::ALL {
        let exists: bool = client
            .query_one(
                "SELECT to_regclass($1) IS NOT NULL",
                &[&format!("{LIVE}.{}", view.name())],
            )
            .await?
            .get(0);
        if !exists || stored.get(view.name()) != Some(&version(view)) {
            outdated.push(view);
        }
    }
    Ok(outdated)
}
