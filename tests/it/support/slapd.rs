//! An LDAP server of a test's own, with a few people and groups.
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use stratalog::{
    clock,
    tls::{CA_CERT_FILE, CERT_FILE, KEY_FILE, Tls},
};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::processes::free_ports;

const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// `ann` is in the group `ops`, which is in `all`; `bob` is in `others`.
const ENTRIES: &str = "\
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: Example

dn: cn=reader,dc=example,dc=com
objectClass: organizationalRole
objectClass: simpleSecurityObject
userPassword: the reader's secret

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit

dn: uid=ann,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
cn: Ann
sn: Example
userPassword: ann's password

dn: uid=bob,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
cn: Bob
sn: Example
userPassword: bob's password

dn: uid=admin,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
cn: boss
sn: Example
userPassword: boss's password

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit

dn: cn=ops,ou=groups,dc=example,dc=com
objectClass: groupOfNames
member: uid=ann,ou=people,dc=example,dc=com

dn: cn=all,ou=groups,dc=example,dc=com
objectClass: groupOfNames
member: cn=ops,ou=groups,dc=example,dc=com

dn: cn=others,ou=groups,dc=example,dc=com
objectClass: groupOfNames
member: uid=bob,ou=people,dc=example,dc=com
";

/// A running server. It ends when it is dropped.
pub(crate) struct Slapd {
    child: Child,
    /// Its address without TLS.
    pub(crate) url: String,
    /// Its address with TLS.
    pub(crate) tls_url: String,
    /// Who signed its certificate, in PEM.
    pub(crate) ca: String,
    _directory: TempDir,
}

fn configuration(directory: &Path) -> String {
    let at = directory.display();
    format!(
        "include /etc/ldap/schema/core.schema\n\
         include /etc/ldap/schema/cosine.schema\n\
         include /etc/ldap/schema/inetorgperson.schema\n\
         modulepath /usr/lib/ldap\n\
         moduleload back_mdb\n\
         TLSCACertificateFile {at}/tls/{CA_CERT_FILE}\n\
         TLSCertificateFile {at}/tls/{CERT_FILE}\n\
         TLSCertificateKeyFile {at}/tls/{KEY_FILE}\n\
         access to attrs=userPassword by anonymous auth by * none\n\
         access to * by users read by * none\n\
         database mdb\n\
         suffix \"dc=example,dc=com\"\n\
         directory {at}/data\n"
    )
}

impl Slapd {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let tls = at.join("tls");
        Tls::load_or_create(&tls, ["localhost".to_owned()], clock::now()).unwrap();
        fs::create_dir(at.join("data")).unwrap();
        fs::write(at.join("slapd.conf"), configuration(at)).unwrap();
        fs::write(at.join("entries.ldif"), ENTRIES).unwrap();
        let filled = Command::new("/usr/sbin/slapadd")
            .arg("-f")
            .arg(at.join("slapd.conf"))
            .arg("-l")
            .arg(at.join("entries.ldif"))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&filled.stderr);
        assert!(filled.status.success(), "{told}");
        let [port, tls_port] = free_ports();
        let url = format!("ldap://127.0.0.1:{port}");
        let tls_url = format!("ldaps://localhost:{tls_port}");
        let child = Command::new("/usr/sbin/slapd")
            .arg("-f")
            .arg(at.join("slapd.conf"))
            .args(["-h", &format!("{url} {tls_url}"), "-d", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let slapd = Self {
            child,
            url,
            tls_url,
            ca: fs::read_to_string(tls.join(CA_CERT_FILE)).unwrap(),
            _directory: directory,
        };
        let there = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(PATIENCE, there).await.unwrap();
        slapd
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        // it may have ended by itself
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
