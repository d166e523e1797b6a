//! What commands share towards the person at the terminal: output, progress, exit codes.
use std::io::{IsTerminal as _, Write as _};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Something wrong was found.
pub(crate) const FOUND_WRONG: u8 = 1;
/// It could not be done.
pub(crate) const COULD_NOT: u8 = 3;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

/// Prints one JSON document and a line end.
pub(crate) fn print_json(value: &serde_json::Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// Prints text and a line end.
pub(crate) fn print_text(text: impl std::fmt::Display) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// A table with these headings.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_BORDERS_ONLY)
        .set_header(headings);
    table
}

fn target() -> ProgressDrawTarget {
    match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    }
}

/// A bar over positions on stderr; draws nothing where that is no terminal.
pub(crate) fn bar(what: &'static str) -> ProgressBar {
    let template = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}";
    styled(what, template)
}

/// A counter of bytes on stderr; draws nothing where that is no terminal.
pub(crate) fn bytes_bar(what: &'static str) -> ProgressBar {
    styled(what, "{msg} {bytes} {bytes_per_sec} {elapsed}")
}

fn styled(what: &'static str, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, target());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}

/// A sign of life on stderr for work whose end is not known.
pub(crate) fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, target());
    spinner.set_message(what);
    spinner
}
