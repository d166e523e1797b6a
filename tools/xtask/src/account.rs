//! The accounts the databases run under. PostgreSQL refuses to run as root and RabbitMQ should
//! not, so root hands each to the system user its package made; anybody else runs them himself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::unistd::{Gid, Uid, User, chown};

use crate::workspace::DataDir;

/// Who runs a service.
#[derive(Debug, Clone)]
pub(crate) enum Account {
    /// The user who called us.
    Caller,
    /// Another one, whose id we take because we are root.
    System { uid: Uid, gid: Gid },
}

pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}

impl Account {
    /// The caller, or for root the system user `name`.
    pub(crate) fn for_service(name: &str) -> Result<Self> {
        if !is_root() {
            return Ok(Self::Caller);
        }
        match User::from_name(name).context("cannot read the list of users")? {
            Some(user) => Ok(Self::System {
                uid: user.uid,
                gid: user.gid,
            }),
            None => bail!(
                "there is no user `{name}`, and root must not run this service: \
                 create one with `useradd --system {name}`, or run this as another user"
            ),
        }
    }

    /// A command that will run under this account, in a directory it may be in.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        if let Self::System { uid, gid } = self {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command.current_dir("/");
        command
    }

    pub(crate) fn own(&self, path: &Path) -> Result<()> {
        if let Self::System { uid, gid } = self {
            chown(path, Some(*uid), Some(*gid))
                .with_context(|| format!("cannot give {} away", path.display()))?;
        }
        Ok(())
    }

    /// Makes a directory of this account's own, readable by nobody else.
    pub(crate) fn create_dir(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        self.own(path)
    }

    fn can_enter(&self, dir: &Path) -> bool {
        let mut test = self.command("/usr/bin/test");
        test.arg("-x").arg(dir);
        test.status().is_ok_and(|status| status.success())
    }
}

/// Where the services of `data` keep theirs: inside it, unless they run under accounts that
/// cannot get there (a checkout below /root); then below /var/lib.
pub(crate) fn service_home(data: &DataDir, accounts: &[&Account]) -> Result<PathBuf> {
    let inside = data.join("services");
    fs::create_dir_all(&inside).with_context(|| format!("cannot create {}", inside.display()))?;
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o711))?;
    if accounts.iter().all(|account| account.can_enter(&inside)) {
        return Ok(inside);
    }
    let outside = Path::new("/var/lib/stratalog-dev").join(name_of(data.path()));
    fs::create_dir_all(&outside).with_context(|| format!("cannot create {}", outside.display()))?;
    Ok(outside)
}

/// A path as one readable file name: `/root/work/.stratalog` is `root-work-.stratalog`.
fn name_of(path: &Path) -> String {
    path.to_string_lossy()
        .trim_start_matches('/')
        .replace('/', "-")
}
