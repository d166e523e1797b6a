//! A virtual environment with a wagon's wheels or a source's package in it. The libraries of the
//! interpreter it is made with stay visible behind them (`agent.pth`), so that plugins find
//! `cloudify-common` unless they bring their own.
use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tokio::process::Command;

use super::python;
use crate::{
    files::archive::{Limits, unpack_to_directory},
    worker::environment::hide_settings,
};

/// What a message keeps of what a program printed.
const SHOWN_BYTES_MAX: usize = 2_000;
/// What an interpreter says about itself. It fails where the library is missing.
const ABOUT: &str = "
import importlib.util, json, sys, sysconfig
import cloudify.dispatch
paths = sysconfig.get_paths()
print(json.dumps({
    'version': 'py%d%d' % sys.version_info[:2],
    'libraries': sorted({paths['purelib'], paths['platlib']}),
    'has_pip': importlib.util.find_spec('pip') is not None,
    'can_build': all(importlib.util.find_spec(name) for name in ('setuptools', 'wheel')),
}))
";
const LIBRARY: &str = "import sysconfig; print(sysconfig.get_paths()['purelib'])";

/// What is to be built.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// The worker's own interpreter.
    pub(super) base: &'a Path,
    /// Those the plugin is for, as wheels name them; any when there are none.
    pub(super) pythons: &'a [String],
    pub(super) directory: &'a Path,
    pub(super) archive: &'a Path,
    pub(super) kind: Kind<'a>,
    /// For what is needed only now.
    pub(super) scratch: &'a Path,
}

/// What is in the archive.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'a> {
    /// Wheels, the plugin's and those of all that it needs.
    Wagon,
    /// A package to be built, with further arguments for pip.
    Source(&'a str),
}

#[derive(Debug, Deserialize)]
struct About {
    version: String,
    libraries: Vec<String>,
    has_pip: bool,
    /// Whether it needs nobody else to build packages that say nothing of how they are built.
    can_build: bool,
}

impl About {
    async fn of(python: &Path) -> anyhow::Result<Self> {
        let told = output(Command::new(python).args(["-c", ABOUT])).await?;
        Ok(serde_json::from_str(&told)?)
    }

    /// Whether wheels of one of these tags (`py311`, `cp311`, `py3`) run on it.
    fn fits(&self, tags: &[String]) -> bool {
        let digits = self.version.trim_start_matches("py");
        let major = digits.get(..1).unwrap_or_default();
        let is_fit = |tag: &String| {
            let tag = tag.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            tag == digits || tag == major
        };
        tags.is_empty() || tags.iter().any(is_fit)
    }
}

/// What a wagon says about itself.
#[derive(Debug, Deserialize)]
struct Package {
    package_name: String,
    package_version: String,
}

impl Plan<'_> {
    /// Builds it. What is left behind on failure is the caller's to remove.
    ///
    /// # Errors
    /// What does not work, with the end of what a program printed about it.
    pub(super) async fn build(&self) -> anyhow::Result<()> {
        let root = self.unpack().await?;
        let about = self.environment().await?;
        match self.kind {
            Kind::Wagon => self.install_wheels(&root).await,
            Kind::Source(arguments) => self.install_source(&root, (arguments, &about)).await,
        }
    }

    /// Makes the environment, which does not have the plugin yet. Gives what is known of the
    /// interpreter it was made with.
    async fn environment(&self) -> anyhow::Result<About> {
        let (base, about) = self.choose().await?;
        let mut venv = Command::new(&base);
        venv.args(["-m", "venv"]);
        if about.has_pip {
            // the base's does as well
            venv.arg("--without-pip");
        }
        output(venv.arg(self.directory))
            .await
            .context("no virtual environment can be made")?;
        let python = python(self.directory);
        let library = output(Command::new(&python).args(["-c", LIBRARY])).await?;
        let lines: Vec<String> = about
            .libraries
            .iter()
            .map(|path| {
                Ok(format!(
                    "import site; site.addsitedir({})\n",
                    literal(path)?
                ))
            })
            .collect::<anyhow::Result<_>>()?;
        tokio::fs::write(Path::new(library.trim()).join("agent.pth"), lines.concat()).await?;
        Ok(about)
    }

    fn pip(&self) -> Command {
        let mut pip = Command::new(python(self.directory));
        pip.args(["-m", "pip", "install", "--no-cache-dir", "--no-input"])
            .arg("--disable-pip-version-check");
        pip
    }

    async fn install_wheels(&self, root: &Path) -> anyhow::Result<()> {
        let package = tokio::fs::read(root.join("package.json")).await;
        let package = package.context("the wagon has no package.json")?;
        let package: Package = serde_json::from_slice(&package)?;
        let wanted = format!("{}=={}", package.package_name, package.package_version);
        let mut pip = self.pip();
        pip.args(["--no-index", "--find-links"])
            .arg(root.join("wheels"))
            .args(["--pre", &wanted])
            .env("PIP_CONFIG_FILE", "/dev/null");
        output(&mut pip)
            .await
            .with_context(|| format!("{wanted} cannot be installed"))?;
        Ok(())
    }

    /// What the package needs comes from where pip of this machine is told to look.
    async fn install_source(
        &self,
        root: &Path,
        (arguments, about): (&str, &About),
    ) -> anyhow::Result<()> {
        let mut pip = self.pip();
        if about.can_build && !tokio::fs::try_exists(root.join("pyproject.toml")).await? {
            // else pip fetches what is here already
            pip.arg("--no-build-isolation");
        }
        pip.args(arguments.split_whitespace()).arg(root);
        output(pip.current_dir(root))
            .await
            .context("pip cannot install it")?;
        Ok(())
    }

    /// Where the archive's content is now: the one directory in it, or all of it.
    async fn unpack(&self) -> anyhow::Result<PathBuf> {
        let unpacked = self.scratch.join("unpacked");
        let archive = tokio::fs::File::open(self.archive).await?.into_std().await;
        let summary = unpack_to_directory(archive, Limits::default(), &unpacked).await?;
        match (summary.single_directory(), self.kind) {
            (Ok(name), _) => Ok(unpacked.join(name)),
            (Err(_), Kind::Source(_)) => Ok(unpacked),
            (Err(error), Kind::Wagon) => Err(error.into()),
        }
    }

    /// The worker's own interpreter, or another one on this machine that the wagon is for and that
    /// has the library, too. A wagon that is for none of them has its chance with our own.
    async fn choose(&self) -> anyhow::Result<(PathBuf, About)> {
        let own = About::of(self.base).await?;
        if own.fits(self.pythons) {
            return Ok((self.base.to_owned(), own));
        }
        for tag in self.pythons {
            let digits = tag.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            let Some((major, minor)) = digits.split_at_checked(1).filter(|(_, m)| !m.is_empty())
            else {
                continue;
            };
            let other = PathBuf::from(format!("python{major}.{minor}"));
            if let Ok(about) = About::of(&other).await {
                return Ok((other, about));
            }
        }
        Ok((self.base.to_owned(), own))
    }
}

/// A text as Python writes it.
fn literal(text: &str) -> anyhow::Result<String> {
    Ok(serde_json::to_string(text)?)
}

/// What a program prints, if it ends well.
async fn output(command: &mut Command) -> anyhow::Result<String> {
    hide_settings(command);
    let ran = command
        .env("PYTHONNOUSERSITE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    let told = String::from_utf8_lossy(&ran.stderr);
    let mut from = told.len().saturating_sub(SHOWN_BYTES_MAX);
    while !told.is_char_boundary(from) {
        from += 1;
    }
    bail!(
        "{}: {}",
        ran.status,
        told.get(from..).unwrap_or_default().trim()
    );
}
