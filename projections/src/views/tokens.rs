//! Access tokens `ctok-<id>-<secret>`; only a hash of the secret is kept.
use serde::{Deserialize, Serialize};
use stratalog_schema::{Event, time::wire};

use crate::{
    Error,
    rows::{Needs, Rows},
    view::{Col, Column, Def, Field, Kind, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "tokens",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::linked("username"),
    ],
    fields: &[
        Field::doc("id", Kind::Text),
        Field::col("username", Kind::Text, "username"),
        Field::doc("value", Kind::Json),
        Field::doc("role", Kind::Json),
        Field::doc("expiration_date", Kind::Text),
        Field::doc("last_used", Kind::Text),
        Field::doc("description", Kind::Text),
    ],
};

/// An access token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    /// Ten characters.
    pub id: String,
    /// Its owner.
    pub username: String,
    /// The token with its secret masked.
    pub value: String,
    /// End of validity, if any.
    pub expiration_date: Option<String>,
    /// Latest use, exact to a minute.
    pub last_used: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What is never served.
    #[serde(skip)]
    pub secret: Secret,
}

/// What of a token is never served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Secret {
    /// sha256 hex of the secret part.
    pub secret_hash: String,
    /// End of validity; milliseconds since the epoch.
    pub expires_at_ms: Option<i64>,
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
}

impl Resource for Token {
    const VIEW: View = View::Tokens;

    fn key(&self) -> String {
        self.id.clone()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.secret.created_at_ms)),
            Col::from(self.username.as_str()),
        ]
    }

    fn hidden(&self) -> Result<Option<String>, serde_json::Error> {
        serde_json::to_string(&self.secret).map(Some)
    }

    fn restore_hidden(&mut self, hidden: &str) -> Result<(), serde_json::Error> {
        self.secret = serde_json::from_str(hidden)?;
        Ok(())
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    match event {
        Event::TokenCreated(e) => needs.key(View::Tokens, &e.id),
        Event::TokenUsed(e) => needs.key(View::Tokens, &e.id),
        Event::TokenDeleted(e) => needs.key(View::Tokens, &e.id),
        Event::UserDeleted(e) => needs.link(View::Tokens, "username", &e.username),
        _ => {}
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::TokenCreated(e) => rows.put(&Token {
            id: e.id.clone(),
            username: e.username.clone(),
            value: format!("ctok-{}-********", e.id),
            expiration_date: e.expires_at_ms.map(wire),
            last_used: None,
            description: e.description.clone(),
            secret: Secret {
                secret_hash: e.secret_hash.clone(),
                expires_at_ms: e.expires_at_ms,
                created_at_ms: e.created_at_ms,
            },
        }),
        Event::TokenUsed(e) => {
            let mut token: Token = rows.expect(&e.id)?;
            token.last_used = Some(wire(e.at_ms));
            rows.put(&token)
        }
        Event::TokenDeleted(e) => {
            rows.remove(View::Tokens, &e.id);
            Ok(())
        }
        Event::UserDeleted(e) => {
            for key in rows.find(View::Tokens, "username", &e.username) {
                rows.remove(View::Tokens, &key);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
