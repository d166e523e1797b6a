//! `stratalog snapshot`: the whole manager as one file.
use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::json;
use stratalog::{
    files::blobs::BlobStore,
    log::transfer::Restored,
    snapshot::{
        Done, Progress,
        container::{Limits, Metadata, Reader},
        export::export,
        import::{Import, Imported, Place, import},
    },
    store,
};

use crate::{
    console::{self, Output},
    database::{Target, block_on},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write everything up to the log's head into a new file. The manager may run meanwhile.
    Export {
        file: PathBuf,
        #[command(flatten)]
        manager: Manager,
    },
    /// Compare every part of a snapshot with its digest.
    Verify {
        file: PathBuf,
        /// How the result is printed.
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Restore a snapshot into an empty database, on which a manager may be started then.
    Restore {
        file: PathBuf,
        #[command(flatten)]
        manager: Manager,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Manager {
    #[command(flatten)]
    target: Target,
    /// Where the manager keeps its files.
    #[arg(
        long,
        env = "STRATALOG_DATA_DIR",
        value_name = "DIR",
        default_value = "/var/lib/stratalog"
    )]
    data_dir: PathBuf,
    /// Where file contents are kept, if not below the data directory: a directory or
    /// s3://bucket/prefix.
    #[arg(long, env = "STRATALOG_BLOB_STORE", value_name = "ADDRESS")]
    blob_store: Option<String>,
}

impl Manager {
    fn blobs(&self) -> anyhow::Result<BlobStore> {
        let local = || self.data_dir.join("blobs").display().to_string();
        let address = self.blob_store.clone().unwrap_or_else(local);
        BlobStore::open_url(&address, &self.data_dir)
            .with_context(|| format!("cannot open the blob store {address}"))
    }
}

pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Export { file, manager } => block_on(write(file, manager)),
        Command::Verify { file, output } => check(&file, output),
        Command::Restore { file, manager } => block_on(bring_back(file, manager)),
    }
}

/// Moves a bar over bytes; after them it names the step that goes on.
fn progress(bar: &ProgressBar) -> Progress {
    let bar = bar.clone();
    Box::new(move |done| match done {
        Done::Bytes(bytes) => bar.inc(bytes),
        Done::Verified(position) => bar.set_message(format!("verified up to {position}")),
        Done::Rebuilt(position) => bar.set_message(format!("rebuilt up to {position}")),
    })
}

async fn write(file: PathBuf, manager: Manager) -> anyhow::Result<ExitCode> {
    let database = manager.target.database()?;
    drop(manager.target.connect().await?);
    let blobs = manager.blobs()?;
    let out = File::create_new(&file).with_context(|| format!("cannot make {}", file.display()))?;
    let bar = console::bytes_bar("exporting");
    let target = (BufWriter::new(out), None);
    let exported = export(&database, &blobs, target, progress(&bar)).await;
    bar.finish_and_clear();
    let written = exported.map_err(anyhow::Error::from).and_then(|exported| {
        exported.out.into_inner()?.sync_all()?;
        Ok(exported.metadata)
    });
    match written {
        Ok(metadata) => print(&file, &metadata, manager.target.output, "written"),
        Err(error) => {
            // half a snapshot is none
            std::fs::remove_file(&file)
                .with_context(|| format!("cannot remove {}", file.display()))?;
            Err(error)
        }
    }
}

fn check(file: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let source = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let bar = console::bytes_bar("verifying");
    let verified = Reader::open(source, &Limits::default()).and_then(|mut reader| {
        bar.set_length(reader.metadata().content_bytes());
        reader.verify(&mut |bytes| bar.inc(bytes))?;
        Ok(reader.metadata().clone())
    });
    bar.finish_and_clear();
    match verified {
        Ok(metadata) => print(file, &metadata, output, "intact"),
        Err(error) => {
            match output {
                Output::Json => {
                    console::print_json(&json!({"ok": false, "reason": error.to_string()}))?;
                }
                Output::Table => console::print_text(error)?,
            }
            Ok(ExitCode::from(console::FOUND_WRONG))
        }
    }
}

async fn bring_back(file: PathBuf, manager: Manager) -> anyhow::Result<ExitCode> {
    let source = File::open(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let database = manager.target.database()?;
    store::prepare(&database).await?;
    let bar = console::bytes_bar("restoring");
    let restore = Import {
        source,
        place: Place::EmptyLog,
        note: Restored::default(),
    };
    let restored = import(&database, &manager.blobs()?, restore, progress(&bar)).await;
    bar.finish_and_clear();
    report(&restored?, manager.target.output)
}

fn report(restored: &Imported, output: Output) -> anyhow::Result<ExitCode> {
    let position = restored.position;
    match output {
        Output::Json => {
            let views: serde_json::Map<_, _> = restored
                .views
                .iter()
                .map(|(view, digest)| (view.name().to_owned(), digest.clone().into()))
                .collect();
            console::print_json(&json!({"ok": true, "position": position, "views": views}))?;
        }
        Output::Table => {
            let mut table = console::table(&["view", "digest"]);
            for (view, digest) in &restored.views {
                table.add_row([view.name(), digest.as_str()]);
            }
            console::print_text(table)?;
            console::print_text(format!("Restored up to position {position}."))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(file: &Path, metadata: &Metadata, output: Output, word: &str) -> anyhow::Result<ExitCode> {
    let header = metadata.header();
    match output {
        Output::Json => console::print_json(&json!({
            "ok": true,
            "position": header.position,
            "chain": header.chain.to_string(),
            "product_version": header.product_version,
            "segments": metadata.segments(),
            "blobs": metadata.blobs().count(),
            "content_bytes": metadata.content_bytes(),
        }))?,
        Output::Table => console::print_text(format!(
            "{} is {word}: the manager up to position {}, {} contents, {} log segments.\nchain {}",
            file.display(),
            header.position,
            metadata.blobs().count(),
            metadata.segments(),
            header.chain
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}
