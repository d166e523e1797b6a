//! Where the audit log is read: a running manager over REST, or its database.
use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use serde::Deserialize;
use stratalog::log::audit::{self, Entry, Question};
use tokio_postgres::Client;

use crate::database;

/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Flags that say where.
#[derive(Debug, Args)]
pub(crate) struct Where {
    /// A running manager, as http://localhost:8080; without it the database is read.
    #[arg(long, env = "STRATALOG_URL")]
    url: Option<url::Url>,
    /// Who asks the running manager; must be an administrator of it.
    #[arg(long, env = "STRATALOG_USERNAME", default_value = "admin")]
    username: String,
    /// Their password.
    #[arg(long, env = "STRATALOG_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Certificate of the authority that the running manager is trusted by.
    #[arg(long, env = "STRATALOG_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The manager's database, as postgres://user:password@host:port/name.
    #[arg(long, env = "STRATALOG_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

/// An opened audit log.
pub(crate) enum Source {
    Database(Client),
    Manager(Manager),
}

/// A running manager.
pub(crate) struct Manager {
    client: reqwest::Client,
    events: url::Url,
    username: String,
    password: Option<String>,
}

impl Where {
    pub(crate) async fn open(self) -> anyhow::Result<Source> {
        let Some(url) = self.url else {
            let url = self.database_url.context(
                "nothing to read: --url names a running manager, --database-url its database",
            )?;
            return Ok(Source::Database(database::connect(&url).await?));
        };
        // fails only when a provider was chosen already
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = reqwest::Client::builder().timeout(TIMEOUT);
        if let Some(file) = &self.ca_file {
            let pem =
                std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            client = client.add_root_certificate(reqwest::Certificate::from_pem(&pem)?);
        }
        Ok(Source::Manager(Manager {
            client: client.build()?,
            events: url.join("api/v3.1/audit/events")?,
            username: self.username,
            password: self.password,
        }))
    }
}

#[derive(Deserialize)]
struct Reply {
    items: Vec<Entry>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    next: Option<i64>,
}

impl Source {
    /// A page, and where the next one begins.
    pub(crate) async fn page(
        &self,
        question: &Question,
    ) -> anyhow::Result<(Vec<Entry>, Option<i64>)> {
        match self {
            Self::Database(client) => {
                let page = audit::page(client, question).await?;
                Ok((page.entries, page.next))
            }
            Self::Manager(manager) => manager.page(question).await,
        }
    }
}

impl Manager {
    async fn page(&self, question: &Question) -> anyhow::Result<(Vec<Entry>, Option<i64>)> {
        let mut url = self.events.clone();
        url.query_pairs_mut().extend_pairs(question.pairs());
        let request = self.client.get(url);
        let request = request.basic_auth(&self.username, self.password.as_ref());
        let reply = request
            .send()
            .await
            .context("the manager does not answer")?;
        let status = reply.status();
        if !status.is_success() {
            let body: serde_json::Value = reply.json().await.unwrap_or_default();
            let message = body.get("message").and_then(serde_json::Value::as_str);
            anyhow::bail!("{status}: {}", message.unwrap_or("the manager refused"));
        }
        let reply: Reply = reply.json().await.context("this is no manager's answer")?;
        Ok((reply.items, reply.metadata.next))
    }
}
