//! What managers tell agents of changes of the cluster.
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tracing::{info, warn};

use super::write_secret;
use crate::{
    tls,
    worker::{Role, Worker},
};

/// Arguments of `cluster-update` and `replace-ca-certs`; what is absent stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct News {
    brokers: Option<Vec<String>>,
    managers: Option<Vec<String>>,
    #[serde(alias = "new_broker_ca")]
    broker_ca: Option<String>,
    #[serde(alias = "new_manager_ca")]
    manager_ca: Option<String>,
}

/// Writes the changes into the agent's settings, with which it starts again once its operations
/// have ended.
pub(in crate::worker) async fn renew(worker: &Worker, kwargs: Map<String, Value>) {
    let Role::Agent {
        settings: Some(path),
        ..
    } = &worker.options.role
    else {
        return warn!("an agent without a file of settings keeps the ones it has");
    };
    let news: News = match serde_json::from_value(Value::Object(kwargs)) {
        Ok(news) => news,
        Err(error) => return warn!(%error, "news of the cluster cannot be understood"),
    };
    match take(path, news).await {
        Ok(()) => {
            info!("the cluster has changed");
            worker.renew.cancel();
        }
        Err(error) => {
            let error = format!("{error:#}");
            warn!(error, "news of the cluster are not kept");
        }
    }
}

async fn take(path: &Path, news: News) -> anyhow::Result<()> {
    let written = tokio::fs::read(path).await;
    let written = written.with_context(|| format!("cannot read {}", path.display()))?;
    let mut settings: Map<String, Value> = serde_json::from_slice(&written)?;
    let lists = [
        ("broker_hosts", news.brokers),
        ("rest_hosts", news.managers),
    ];
    for (name, hosts) in lists {
        if let Some(hosts) = hosts.filter(|hosts| !hosts.is_empty()) {
            settings.insert(name.to_owned(), json!(hosts));
        }
    }
    let files = [
        ("broker_ca_file", "broker_ca.pem", news.broker_ca),
        ("rest_ca_file", "manager_ca.pem", news.manager_ca),
    ];
    for (name, file, pem) in files {
        let Some(pem) = pem.filter(|pem| !pem.is_empty()) else {
            continue;
        };
        anyhow::ensure!(
            tls::holds_certificates(&pem),
            "what is to become {name} is no certificate"
        );
        let file = path.with_file_name(file);
        write_secret(&file, pem.as_bytes()).await?;
        settings.insert(name.to_owned(), json!(file));
    }
    write_secret(path, serde_json::to_string_pretty(&settings)?.as_bytes()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn what_is_new_is_kept_and_the_rest_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.json");
        let before = json!({"name": "a1", "rest_hosts": ["m1"], "broker_hosts": ["b1"]});
        std::fs::write(&path, before.to_string()).unwrap();
        let authority = rcgen::generate_simple_self_signed(vec!["m2".to_owned()]).unwrap();
        let news = json!({"managers": ["m1", "m2"], "manager_ca": authority.cert.pem()});
        take(&path, serde_json::from_value(news).unwrap())
            .await
            .unwrap();
        let after: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(after["rest_hosts"], json!(["m1", "m2"]));
        assert_eq!(after["broker_hosts"], json!(["b1"]));
        let file = after["rest_ca_file"].as_str().unwrap();
        assert_eq!(std::fs::read_to_string(file).unwrap(), authority.cert.pem());
        let odd = json!({"new_broker_ca": "no certificate"});
        let refused = take(&path, serde_json::from_value(odd).unwrap()).await;
        assert!(refused.is_err());
    }
}
