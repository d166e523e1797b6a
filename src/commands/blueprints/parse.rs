//! Parsing the files of a blueprint.
use stratalog_projections::views::blueprints::Blueprint;
use stratalog_schema::events::File;

use super::{resolver::ArchiveFiles, tree};
use crate::{
    auth::Caller,
    commands::{plugins::Library, plugins_updates::Choice},
    context::Context,
    dsl::{self, DslError, Plan, Source},
    error::{Error, ErrorCode},
    files::path::ResourcePath,
};

/// The plan that a main file makes; nothing when there is no such file.
pub(super) async fn parse(
    resolver: ArchiveFiles,
    main_file: &str,
) -> Result<Option<Result<Plan, DslError>>, Error> {
    let name = main_file.to_owned();
    let parsed = tokio::task::spawn_blocking(move || {
        let text = resolver.text(&name)?;
        let source = Source {
            name: name.as_str().into(),
            text,
            location: Some(name.as_str().into()),
        };
        Some(dsl::parse(
            &source,
            &resolver,
            &dsl::ParseOptions::default(),
        ))
    });
    parsed.await.map_err(Error::internal)
}

/// The files of a blueprint, and the plan they make with chosen versions of plugins.
///
/// # Errors
/// 400 when they make none.
pub(crate) async fn parsed_anew(
    ctx: &Context,
    caller: &Caller,
    (blueprint, choice): (&Blueprint, Choice),
) -> Result<(Vec<(String, File)>, Plan), Error> {
    let tenant = blueprint.tenant_name.as_str();
    let files = stored_files(ctx, &tree(tenant, &blueprint.id))?;
    let library = Library::new(ctx, caller.in_tenant(tenant));
    let resolver = ArchiveFiles::new(ctx, library, tenant, &files).choosing(choice);
    let main_file = blueprint.main_file_name.as_deref();
    let main_file = main_file.unwrap_or("blueprint.yaml");
    let refused = |reason: String| {
        Error::refused(
            ErrorCode::InvalidBlueprint,
            format!("Blueprint {}: {reason}", blueprint.id),
        )
    };
    match parse(resolver, main_file).await? {
        Some(Ok(plan)) => Ok((files, plan)),
        Some(Err(error)) => Err(refused(error.to_string())),
        None => Err(refused(format!("{main_file} does not exist"))),
    }
}

/// What is in a tree of the resource directory, paths relative to it.
fn stored_files(ctx: &Context, tree: &str) -> Result<Vec<(String, File)>, Error> {
    let directory = ResourcePath::parse(tree).map_err(Error::internal)?;
    let current = ctx.files.load();
    let files = current.manifest.below(&directory);
    let stored = files.filter_map(|(path, entry)| {
        let path = path.below(&directory)?.to_owned();
        let file = File {
            path: path.clone(),
            digest: entry.digest.as_bytes().to_vec(),
            size_bytes: i64::try_from(entry.size_bytes).unwrap_or(i64::MAX),
            mode: entry.mode,
            modified_at_ms: entry.mtime_us / 1000,
        };
        Some((path, file))
    });
    Ok(stored.collect())
}
