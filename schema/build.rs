//! Compiles `proto/*.proto` with protox, so that no protoc is needed on the machine.
use std::{env, error::Error, fs, path::PathBuf};

use prost_types::FileDescriptorSet;

/// Fields whose value is shown to nobody.
const SECRETS: [&str; 14] = [
    ".stratalog.AgentCreated.rabbitmq_password_sealed",
    ".stratalog.UserCreated.password_hash",
    ".stratalog.UserPasswordChanged.password_hash",
    ".stratalog.TokenCreated.secret_hash",
    ".stratalog.ExecutionTokenIssued.token_sha256",
    ".stratalog.TenantBrokerPasswordSet.rabbitmq_password_sealed",
    ".stratalog.ExecutionTokenIssued.sealed",
    ".stratalog.TenantCreated.rabbitmq_password_sealed",
    ".stratalog.SecretCreated.value_sealed",
    ".stratalog.SecretCreated.provider_options_sealed",
    ".stratalog.SecretChanged.value_sealed",
    ".stratalog.SecretChanged.provider_options_sealed",
    ".stratalog.SecretsProviderCreated.connection_parameters_sealed",
    ".stratalog.SecretsProviderChanged.connection_parameters_sealed",
];

/// Fields shown as hexadecimal text.
const BYTES: [&str; 9] = [
    ".stratalog.Envelope.causation_id",
    ".stratalog.Envelope.correlation_id",
    ".stratalog.File.digest",
    ".stratalog.LogBundleStatusChanged.archive_digest",
    ".stratalog.LogRestored.chain",
    ".stratalog.SnapshotCreated.archive_digest",
    ".stratalog.SnapshotStatusChanged.archive_digest",
    ".stratalog.SnapshotStatusChanged.manifest_digest",
    ".stratalog.TelemetryRecord.event_id",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");
    let mut files: Vec<PathBuf> = fs::read_dir("proto")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let descriptors = protox::compile(&files, ["proto"])?;
    let mut config = prost_build::Config::new();
    config
        .enable_type_names()
        .type_attribute(".stratalog", "#[derive(::serde::Serialize)]")
        .type_attribute(
            ".stratalog.Payload.event",
            "#[serde(rename_all = \"snake_case\")]",
        );
    for secret in SECRETS {
        config.field_attribute(
            secret,
            "#[serde(serialize_with = \"crate::shown::masked\")]",
        );
    }
    for bytes in BYTES {
        config.field_attribute(bytes, "#[serde(serialize_with = \"crate::shown::hex\")]");
    }
    let types = types(&descriptors);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("types.rs"), types)?;
    config.compile_fds(descriptors)?;
    Ok(())
}

/// Names of event types with their stored numbers, as a table.
fn types(descriptors: &FileDescriptorSet) -> String {
    let messages = descriptors.file.iter().flat_map(|file| &file.message_type);
    let payload = messages.filter(|message| message.name() == "Payload");
    let rows: String = payload
        .flat_map(|message| &message.field)
        .map(|field| format!("    ({:?}, {}),\n", field.name(), field.number()))
        .collect();
    format!(
        "/// Types of events with their stored numbers.\npub const TYPES: &[(&str, i16)] = &[\n{rows}];\n"
    )
}
