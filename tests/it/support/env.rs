//! The private services tests run against, as `cargo xtask test` describes them in the environment.

use std::env;
use std::path::{Path, PathBuf};

/// Reads one variable of the test environment; says how to get it when it is not there.
fn required(name: &str) -> String {
    env::var(name).unwrap_or_else(|_missing| {
        panic!(
            "{name} is not set: run `cargo xtask test`, or for single tests \
             `cargo xtask services start` and eval \"$(cargo xtask services env)\""
        )
    })
}

/// A superuser's way into the PostgreSQL cluster. Tests take a database of their own instead:
/// [`super::database::TestDatabase`].
pub(crate) fn database_url() -> String {
    required("STRATALOG_TEST_DATABASE_URL")
}

/// The way into RabbitMQ's default virtual host. Tests take one of their own instead:
/// [`super::broker::TestBroker`].
pub(crate) fn amqp_url() -> String {
    required("STRATALOG_TEST_AMQP_URL")
}

/// RabbitMQ with TLS.
pub(crate) fn amqps_url() -> String {
    required("STRATALOG_TEST_AMQPS_URL")
}

/// Who signed RabbitMQ's certificate.
pub(crate) fn amqp_ca_file() -> PathBuf {
    PathBuf::from(required("STRATALOG_TEST_AMQP_CA_FILE"))
}

/// RabbitMQ's management interface.
pub(crate) fn amqp_management_url() -> String {
    required("STRATALOG_TEST_AMQP_MANAGEMENT_URL")
}

/// A Python that has the clients' and plugins' libraries.
pub(crate) fn python() -> PathBuf {
    PathBuf::from(required("STRATALOG_TEST_PYTHON"))
}

/// The real command-line client.
pub(crate) fn cfy() -> PathBuf {
    PathBuf::from(required("STRATALOG_TEST_CFY"))
}

#[test]
fn the_test_python_has_the_libraries() {
    let status = std::process::Command::new(python())
        .args(["-c", "import cloudify, cloudify_rest_client, schemathesis"])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn the_client_is_the_version_we_promise_to_serve() {
    let output = std::process::Command::new(cfy())
        .arg("--version")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("7.0.5"), "{text}");
}

/// What is given to the project and not part of it: beside the checkout, or where
/// `STRATALOG_SHARED` says.
pub(crate) fn shared() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    env::var_os("STRATALOG_SHARED").map_or_else(beside, PathBuf::from)
}
