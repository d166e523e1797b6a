//! A private SSH server, into which the user who runs the tests can log in with one key.

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::processes::free_ports;

const PROGRAM: &str = "/usr/sbin/sshd";
/// What the server insists on under root.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";
const PAUSE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; it ends with this.
#[derive(Debug)]
pub(crate) struct Sshd {
    child: Child,
    directory: tempfile::TempDir,
    port: u16,
}

impl Sshd {
    pub(crate) fn start() -> Self {
        let [port] = free_ports();
        Self::on(port)
    }

    /// One with a new identity in the place of this one.
    pub(crate) fn replaced(mut self) -> Self {
        self.end();
        Self::on(self.port)
    }

    fn on(port: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["host", "user", "stranger"] {
            make_key(&path(name));
        }
        fs::copy(path("user.pub"), path("authorized_keys")).unwrap();
        let shown = directory.path().display();
        let config = format!(
            "ListenAddress 127.0.0.1\n\
             Port {port}\n\
             HostKey {shown}/host\n\
             AuthorizedKeysFile {shown}/authorized_keys\n\
             PidFile none\n\
             StrictModes no\n\
             UsePAM no\n\
             PasswordAuthentication no\n\
             KbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\n\
             LogLevel VERBOSE\n"
        );
        fs::write(path("config"), config).unwrap();
        if nix::unistd::geteuid().is_root() {
            fs::create_dir_all(PRIVILEGE_SEPARATION).unwrap();
            fs::set_permissions(PRIVILEGE_SEPARATION, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let child = Command::new(PROGRAM)
            .args(["-D", "-e", "-f"])
            .arg(path("config"))
            .stdin(Stdio::null())
            .stderr(fs::File::create(path("log")).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{PROGRAM} (of openssh-server): {error}"));
        let sshd = Self {
            child,
            directory,
            port,
        };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "{}", sshd.log());
            std::thread::sleep(PAUSE);
        }
        sshd
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The one who may log in.
    pub(crate) fn user() -> String {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
        user.unwrap().unwrap().name
    }

    /// The file with the key that opens.
    pub(crate) fn key(&self) -> PathBuf {
        self.directory.path().join("user")
    }

    /// The file with one that does not.
    pub(crate) fn wrong_key(&self) -> PathBuf {
        self.directory.path().join("stranger")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    fn end(&mut self) {
        // it may have ended by itself
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("the SSH server's log:\n{}", self.log());
        }
    }
}

fn make_key(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
}
