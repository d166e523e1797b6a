//! `cargo xtask ci`: every check of the house. Goes on after a failure, so that one run tells all.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cli::TestArgs;
use crate::signals::Interrupt;
use crate::{layers, test, tidy, workspace};

#[derive(Debug)]
struct Report {
    step: &'static str,
    time: Duration,
    error: Option<anyhow::Error>,
}

/// The cheap checks first. Nothing is built for release, so everything shares what is compiled.
pub(crate) fn run() -> Result<ExitCode> {
    let interrupt = Interrupt::install()?;
    let steps: [(&'static str, &dyn Fn() -> Result<()>); 7] = [
        ("format", &|| {
            cargo(&interrupt, &["fmt", "--all", "--check"])
        }),
        ("tidy", &tidy::run),
        ("layers", &layers::run),
        ("clippy", &|| {
            let lint = ["clippy", "--workspace", "--all-targets", "--quiet", "--"];
            cargo(&interrupt, &[&lint[..], &["-D", "warnings"]].concat())
        }),
        ("deny", &|| deny(&interrupt)),
        ("documentation", &|| documentation(&interrupt)),
        ("tests", &|| tests(&interrupt)),
    ];
    let mut reports = Vec::new();
    for (step, check) in steps {
        if interrupt.asked() {
            break;
        }
        println!("==> {step}");
        let begin = Instant::now();
        let error = check().err();
        if let Some(error) = &error {
            println!("{error:#}");
        }
        reports.push(Report {
            step,
            time: begin.elapsed(),
            error,
        });
    }
    println!("==> summary");
    for report in &reports {
        let verdict = if report.error.is_some() {
            "FAILED"
        } else {
            "ok"
        };
        println!(
            "{:<14} {verdict:<7} {:>6.1} s",
            report.step,
            report.time.as_secs_f32()
        );
    }
    let passed = !interrupt.asked() && reports.iter().all(|report| report.error.is_none());
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn cargo(interrupt: &Interrupt, arguments: &[&str]) -> Result<()> {
    checked(interrupt, workspace::cargo().args(arguments))
}

fn checked(interrupt: &Interrupt, command: &mut Command) -> Result<()> {
    if interrupt.run(command)? {
        Ok(())
    } else {
        bail!("failed: {command:?}")
    }
}

fn documentation(interrupt: &Interrupt) -> Result<()> {
    let mut doc = workspace::cargo();
    doc.args(["doc", "--workspace", "--no-deps", "--quiet"])
        .env("RUSTDOCFLAGS", "-D warnings");
    checked(interrupt, &mut doc)
}

/// Licences, sources and known holes, where the tool is installed; it takes too long to build it.
fn deny(interrupt: &Interrupt) -> Result<()> {
    let mut version = workspace::cargo();
    version
        .args(["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        println!("skipped: cargo-deny is not installed");
        return Ok(());
    }
    cargo(interrupt, &["deny", "check", "--config", ".deny.toml"])
}

fn tests(interrupt: &Interrupt) -> Result<()> {
    let args = TestArgs {
        oracle: false,
        // clippy has compiled them; running them in the debug profile tells nothing
        benches: false,
        data: None,
        arguments: vec!["--profile".into(), "ci".into()],
    };
    if test::run_all(&args, interrupt)? {
        Ok(())
    } else {
        bail!("tests failed")
    }
}
