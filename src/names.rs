//! Addresses of hosts by name, asked for without the C library. Agents are linked statically, and
//! a C library within would load modules made for the host's own one to answer this.
use std::{
    fmt::Display,
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use hickory_resolver::{
    Hosts, TokioResolver,
    config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::runtime::TokioRuntimeProvider,
    proto::{
        op::Query,
        rr::{Name, RecordType},
    },
    system_conf::read_system_conf,
};
use reqwest::dns::{Addrs, Resolve, Resolving};
use tokio::task::spawn_blocking;

const SERVERS: &str = "/etc/resolv.conf";

/// Where a host is, by this machine's `/etc/hosts` or else the servers of `/etc/resolv.conf`. Both
/// are read each time: who lives for months sees them change.
///
/// # Errors
/// Names that nobody knows, and name servers that do not answer.
pub async fn addresses(host: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let failed = |why: &dyn Display| io::Error::other(format!("{host}: {why}"));
    let name = Name::from_utf8(host).map_err(|error| failed(&error))?;
    let asked = name.clone();
    let noted = spawn_blocking(move || noted(&asked)).await?;
    // what stands there of one family is all there is
    if !noted.is_empty() {
        return Ok(noted);
    }
    let resolver = spawn_blocking(resolver).await?;
    let resolver = resolver.map_err(|error| failed(&error))?;
    let found = resolver.lookup_ip(name).await;
    let found = found.map_err(|error| failed(&error))?;
    Ok(found.iter().collect())
}

/// What `/etc/hosts` says of a name. Without the file, nothing.
fn noted(name: &Name) -> Vec<IpAddr> {
    let hosts = Hosts::from_system().unwrap_or_default();
    let families = [RecordType::A, RecordType::AAAA].into_iter();
    let of_families =
        families.filter_map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), kind)));
    let addresses = |found: Lookup| -> Vec<IpAddr> {
        let records = found.answers().iter();
        records.filter_map(|record| record.data.ip_addr()).collect()
    };
    of_families.flat_map(addresses).collect()
}

fn resolver() -> io::Result<TokioResolver> {
    let (config, mut options) = match read_system_conf() {
        Ok(settings) => settings,
        Err(_) if names_nobody(SERVERS) => nobody_else(),
        Err(error) => return Err(io::Error::other(format!("{SERVERS}: {error}"))),
    };
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .map_err(io::Error::other)
}

/// Whether a file of servers is not there, or tells of none.
fn names_nobody(path: &str) -> bool {
    match fs::read_to_string(path) {
        Ok(text) => !text.lines().any(|line| line.starts_with("nameserver")),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Whom `resolv.conf(5)` has asked where it names no server.
fn nobody_else() -> (ResolverConfig, ResolverOpts) {
    let here = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![here]);
    (config, ResolverOpts::default())
}

/// The same for HTTP clients.
#[derive(Clone, Copy, Debug)]
pub struct Names;

impl Resolve for Names {
    fn resolve(&self, name: reqwest::dns::Name) -> Resolving {
        Box::pin(async move {
            let found = addresses(name.as_str()).await?;
            // the port comes from the URL
            let found = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(found) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn addresses_need_no_looking_up_and_this_machine_knows_itself() {
        assert_eq!(
            addresses("192.0.2.7").await.unwrap(),
            ["192.0.2.7".parse::<IpAddr>().unwrap()]
        );
        assert_eq!(
            addresses("2001:db8::7").await.unwrap(),
            ["2001:db8::7".parse::<IpAddr>().unwrap()]
        );
        let own = addresses("localhost").await.unwrap();
        assert!(
            !own.is_empty() && own.iter().all(IpAddr::is_loopback),
            "{own:?}"
        );
        let error = addresses("a..b").await.unwrap_err().to_string();
        assert!(error.starts_with("a..b: "), "{error}");
    }

    #[test]
    fn a_file_without_servers_is_as_good_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let path = directory.path().join("resolv.conf");
            fs::write(&path, text).unwrap();
            names_nobody(path.to_str().unwrap())
        };
        assert!(file("search example.com\n# nameserver 192.0.2.1\n"));
        assert!(!file("search ..\nnameserver 192.0.2.1\n"));
        assert!(names_nobody("/nonexistent/resolv.conf"));
    }
}
