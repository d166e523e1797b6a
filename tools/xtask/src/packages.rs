//! Debian packages: installed when missing and we may, named when not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::account;
use crate::process;
use crate::workspace;

/// A package and the file that shows that what we need of it is there, however it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    present: fn() -> bool,
}

pub(crate) const POSTGRESQL: Package = Package {
    name: "postgresql",
    present: || crate::services::postgres::bin_dir(None).is_some(),
};
pub(crate) const RABBITMQ: Package = Package {
    name: "rabbitmq-server",
    present: || crate::services::rabbitmq::program().is_some(),
};
pub(crate) const PYTHON_VENV: Package = Package {
    name: "python3-venv",
    present: || works("python3", &["-c", "import venv, ensurepip"]),
};

/// Tests make networks of hosts of their own.
pub(crate) const IPROUTE: Package = Package {
    name: "iproute2",
    present: || works("ip", &["-V"]),
};
/// Tests have people log in who are in a directory.
pub(crate) const SLAPD: Package = Package {
    name: "slapd",
    present: || Path::new("/usr/sbin/slapd").exists(),
};
/// Tests log in to a server of their own.
pub(crate) const OPENSSH: Package = Package {
    name: "openssh-server",
    present: || process::first_file([PathBuf::from("/usr/sbin/sshd")]).is_some(),
};
pub(crate) const ZSTD: Package = Package {
    name: "zstd",
    present: || works("zstd", &["--version"]),
};

fn works(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Makes sure that all `packages` are there.
pub(crate) fn ensure(packages: &[Package]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|package| !(package.present)())
        .map(|package| package.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "missing: {list}. This is not a Debian system: install PostgreSQL 15 or later, \
             RabbitMQ 3.10 or later and Python 3 with venv by its own means (`postgres`, \
             `rabbitmq-server` and `python3` on the PATH), then run this again"
        );
    }
    let sudo = !account::is_root();
    if sudo && !works("sudo", &["-n", "true"]) {
        bail!(
            "missing Debian packages: {list}. Install them with\n    \
             sudo apt-get update && sudo apt-get install --no-install-recommends {list}\n\
             then run this again"
        );
    }
    println!("installing Debian packages: {list}");
    apt_get(sudo, &["update", "-q"], &[])?;
    apt_get(
        sudo,
        &["install", "-y", "-q", "--no-install-recommends"],
        &missing,
    )?;
    for package in packages {
        if !(package.present)() {
            bail!("{} is installed, but does not work here", package.name);
        }
    }
    Ok(())
}

fn apt_get(sudo: bool, arguments: &[&str], packages: &[&str]) -> Result<()> {
    let mut command = if sudo {
        Command::new("sudo")
    } else {
        Command::new("env")
    };
    if sudo {
        command.args(["-n", "env"]);
    }
    // RUNLEVEL: the packages must not start services of their own on this machine.
    command.args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"]);
    workspace::run(command.args(arguments).args(packages))
}
