//! The scripts that hosts run: they install an agent, stop it, start it again, or remove it. Plain
//! shell, so that they run everywhere.
use std::fmt::Write as _;

use super::{Config, host::Managers};

/// Path of the agents' packages on every manager; fetched without credentials.
const PACKAGES: &str = "resources/cloudify_agent";

/// Where agents are, each in a directory of its own.
pub(super) const BASE: &str = "/opt/stratalog-agent";

/// What an installing script says.
#[derive(Debug)]
pub(super) struct Installing<'a> {
    pub(super) config: &'a Config,
    pub(super) name: &'a str,
    pub(super) tenant: &'a str,
    pub(super) managers: &'a Managers,
    pub(super) rest_port: u16,
    /// Of the execution; it is worth nothing once that has ended.
    pub(super) token: &'a str,
}

/// Where an agent keeps its files.
pub(super) fn directory(config: &Config, name: &str) -> String {
    let given = ["agent_dir", "install_dir"].map(|key| config.text(key));
    if let Some(given) = given.into_iter().flatten().next() {
        return given.to_owned();
    }
    let base = config.text("basedir").unwrap_or(BASE);
    format!("{}/{name}", base.trim_end_matches('/'))
}

/// What all scripts begin with: where the agent is and how its service is called.
fn head(config: &Config, name: &str) -> String {
    let directory = quoted(&directory(config, name));
    let unit = quoted(&format!("cloudify-worker-{name}"));
    format!(
        "#!/bin/sh\n\
         set -eu\n\
         umask 077\n\
         dir={directory}\n\
         unit={unit}\n\
         has_systemd() {{ [ -d /run/systemd/system ] && [ \"$(id -u)\" = 0 ]; }}\n"
    )
}

/// The script that installs an agent and starts it.
pub(super) fn installing(about: &Installing<'_>) -> String {
    let config = about.config;
    let mut text = head(config, about.name);
    let hosts = about.managers.hosts.join(",");
    let port = about.rest_port;
    let urls: Vec<String> = about
        .managers
        .hosts
        .iter()
        .map(|host| url(host, port))
        .collect();
    let authorities = about.managers.authorities.trim_end();
    let workers = config.number("max_workers").unwrap_or(5);
    let python = config.text("system_python").unwrap_or("python3");
    let arguments = [
        ("name", about.name),
        ("tenant-name", about.tenant),
        ("rest-hosts", &hosts),
        ("rest-port", &port.to_string()),
        ("network", config.network()),
        ("max-workers", &workers.to_string()),
        ("python", python),
    ];
    // a name that begins with a dash is no flag
    let arguments = arguments.map(|(flag, value)| format!("--{flag}={}", quoted(value)));
    let urls = urls.join(" ");
    let (arguments, token) = (arguments.join(" "), quoted(about.token));
    let written = write!(
        text,
        "mkdir -p \"$dir\"\n\
         cd \"$dir\"\n\
         cat > given_ca.pem <<'PEM'\n{authorities}\nPEM\n\
         fetch() {{\n\
         \x20 if command -v curl > /dev/null; then\n\
         \x20   curl -fsS --connect-timeout 20 --cacert given_ca.pem -o \"$2\" \"$1\"\n\
         \x20 else\n\
         \x20   wget -q --ca-certificate=given_ca.pem -O \"$2\" \"$1\"\n\
         \x20 fi\n\
         }}\n\
         package={PACKAGES}/stratalog-agent-$(uname -m).tar.gz\n\
         for manager in {urls}; do\n\
         \x20 if fetch \"$manager/$package\" package.tar.gz; then break; fi\n\
         done\n\
         tar -xzf package.tar.gz\n\
         rm -f package.tar.gz\n\
         STRATALOG_AGENT_TOKEN={token} ./stratalogd agent setup {arguments} \\\n\
         \x20 --rest-ca-path=given_ca.pem --agent-dir=\"$dir\"\n\
         rm -f given_ca.pem\n"
    );
    debug_assert!(written.is_ok(), "texts take everything");
    text.push_str(&environment(config));
    text.push_str(RUN);
    text.push_str(if config.is_detached() {
        "has_systemd() { false; }\n"
    } else {
        ""
    });
    text.push_str(SERVICE);
    text
}

/// Variables for the agent's operations.
fn environment(config: &Config) -> String {
    let given = config.get("env").and_then(|env| env.as_object());
    let mut text = String::from(": > environment\n");
    for (name, value) in given.into_iter().flatten() {
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_plain || name.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let line = quoted(&format!("export {name}={}", quoted(&value)));
        let written = writeln!(text, "printf '%s\\n' {line} >> environment");
        debug_assert!(written.is_ok(), "texts take everything");
    }
    text
}

/// What runs the agent until it was asked to end.
const RUN: &str = r#"cat > run.sh <<'RUN'
#!/bin/sh
cd "$(dirname "$0")"
. ./environment
echo $$ > run.pid
child=
trap 'kill -TERM $child; wait $child; exit 0' TERM INT
while :; do
  ./stratalogd agent --config "$PWD/agent.json" &
  child=$!
  wait $child && exit 0
  sleep 2
done
RUN
chmod 700 run.sh
"#;

const SERVICE: &str = r#"if has_systemd; then
  cat > "/etc/systemd/system/$unit.service" <<UNIT
[Unit]
Description=Agent of this host
After=network-online.target
Wants=network-online.target
[Service]
ExecStart=$dir/run.sh
Restart=on-failure
RestartSec=2
TimeoutStopSec=660
[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl enable "$unit" > /dev/null 2>&1
  systemctl restart "$unit"
else
  if [ -f run.pid ]; then kill -TERM "$(cat run.pid)" 2> /dev/null || :; fi
  setsid nohup ./run.sh < /dev/null >> agent.log 2>&1 &
fi
"#;

/// Waits until the agent has ended, as systemd does, but not for ever: it may have much to do.
const STOP: &str = r#"if has_systemd && [ -f "/etc/systemd/system/$unit.service" ]; then
  systemctl stop "$unit"
elif [ -f "$dir/run.pid" ]; then
  pid=$(cat "$dir/run.pid")
  kill -TERM "$pid" 2> /dev/null || :
  left=60
  while [ $left -gt 0 ] && kill -0 "$pid" 2> /dev/null; do
    left=$((left - 1))
    sleep 1
  done
  rm -f "$dir/run.pid"
fi
"#;

/// The script that stops an agent.
pub(super) fn stopping(config: &Config, name: &str) -> String {
    format!("{}{STOP}", head(config, name))
}

/// The script that stops an agent and starts it.
pub(super) fn restarting(config: &Config, name: &str) -> String {
    format!(
        "{}{STOP}cd \"$dir\"\n\
         if has_systemd && [ -f \"/etc/systemd/system/$unit.service\" ]; then\n\
         \x20 systemctl start \"$unit\"\n\
         else\n\
         \x20 setsid nohup ./run.sh < /dev/null >> agent.log 2>&1 &\n\
         fi\n",
        head(config, name)
    )
}

/// The script that removes what is left of an agent.
pub(super) fn removing(config: &Config, name: &str) -> String {
    format!(
        "{}{STOP}if has_systemd && [ -f \"/etc/systemd/system/$unit.service\" ]; then\n\
         \x20 systemctl disable \"$unit\" > /dev/null 2>&1 || :\n\
         \x20 rm -f \"/etc/systemd/system/$unit.service\"\n\
         \x20 systemctl daemon-reload\n\
         fi\n\
         rm -rf \"$dir\"\n",
        head(config, name)
    )
}

fn url(host: &str, port: u16) -> String {
    let host = match host.parse::<std::net::Ipv6Addr>() {
        Ok(_) => format!("[{host}]"),
        Err(_) => host.to_owned(),
    };
    quoted(&format!("https://{host}:{port}"))
}

/// A word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::process::Command;

    use serde_json::json;

    use super::*;

    fn config() -> Config {
        Config::default().with(Some(&json!({
            "max_workers": 3, "basedir": "/tmp/it's here",
            "env": {"GREETING": "it's me", "no good": 1, "NUMBER": 7},
        })))
    }

    #[test]
    fn scripts_are_shell_whatever_they_are_told() {
        let config = config();
        let managers = Managers {
            hosts: vec!["10.0.0.1".to_owned(), "fd00::1".to_owned()],
            authorities: "-----BEGIN CERTIFICATE-----\n".to_owned(),
        };
        let name = "a'; touch /tmp/evil; '";
        let text = installing(&Installing {
            config: &config,
            name,
            tenant: "t1",
            managers: &managers,
            rest_port: 53333,
            token: "0123",
        });
        assert!(text.contains("'https://10.0.0.1:53333' 'https://[fd00::1]:53333'"));
        assert!(text.contains("--max-workers='3'"));
        for text in [
            text,
            stopping(&config, name),
            restarting(&config, name),
            removing(&config, name),
        ] {
            let checked = Command::new("sh").args(["-n", "-c", &text]).status();
            assert!(checked.unwrap().success(), "{text}");
        }
    }

    #[test]
    fn the_environment_is_what_was_given() {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "{}. ./environment\nprintf '%s %s' \"$GREETING\" \"$NUMBER\"\n",
            environment(&config())
        );
        let run = Command::new("sh")
            .args(["-c", &text])
            .current_dir(&directory)
            .output();
        assert_eq!(String::from_utf8(run.unwrap().stdout).unwrap(), "it's me 7");
    }
}
