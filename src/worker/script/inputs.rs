//! The inputs of `script_runner.tasks.run`, taken apart.
use std::path::Path;

use serde_json::{Map, Value};

use crate::worker::{environment, text};

/// Inputs that are not meant for the script's environment.
const OWN_INPUTS: [&str; 5] = [
    "script_path",
    "script_source",
    "process",
    "ssl_cert_content",
    "ctx",
];

/// Where the script comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::worker) enum Source {
    Path(String),
    Inline(String),
}

/// The inputs of `script_runner.tasks.run`, taken apart.
#[derive(Clone, Debug)]
pub(in crate::worker) struct Script {
    pub(in crate::worker) source: Source,
    process: Map<String, Value>,
    pub(super) env: Vec<(String, String)>,
    pub(super) ssl_cert_content: Option<String>,
}

impl Script {
    pub(in crate::worker) fn from_inputs(
        inputs: &Map<String, Value>,
    ) -> Result<Self, &'static str> {
        let text = |name: &str| {
            inputs
                .get(name)
                .filter(|value| !text::is_falsy(value))
                .map(text::str)
        };
        let source = match (text("script_path"), text("script_source")) {
            (Some(path), None) => Source::Path(path),
            (None, Some(source)) => Source::Inline(source),
            (None, None) => {
                return Err("Either script_path or script_source must be provided");
            }
            (Some(_), Some(_)) => {
                return Err("Only provide script_path or script_source, not both");
            }
        };
        let process = inputs
            .get("process")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let own = |name: &str| OWN_INPUTS.contains(&name);
        let overrides = process.get("env").and_then(Value::as_object);
        let env = inputs
            .iter()
            .filter(|(name, _)| !own(name))
            .chain(overrides.into_iter().flatten())
            .map(|(name, value)| (name.clone(), variable(value)))
            .collect();
        Ok(Self {
            source,
            process,
            env,
            ssl_cert_content: text("ssl_cert_content"),
        })
    }

    /// What the inputs say about running it as Python; `None` leaves it to the script.
    pub(in crate::worker) fn eval_python(&self) -> Option<bool> {
        self.process.get("eval_python").and_then(Value::as_bool)
    }

    fn option(&self, name: &str) -> Option<&Value> {
        self.process.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        self.option(name)
            .map_or(default, |value| !text::is_falsy(value))
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.option(name)
            .map(text::str)
            .filter(|text| !text.is_empty())
    }

    /// Whether the shell would do no more than start the file.
    pub(super) fn is_plain(&self, file: &Path) -> bool {
        let has_more = ["command_prefix", "args"].map(|name| self.option(name).is_some());
        let is_shell = file
            .extension()
            .is_none_or(|extension| !extension.eq_ignore_ascii_case("ps1"));
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
        let is_word = file.to_str().is_some_and(|path| path.chars().all(is_name));
        has_more == [false, false] && is_shell && is_word && file.is_absolute()
    }

    /// The shell's command line.
    pub(super) fn command(&self, file: &Path) -> String {
        let prefix = self.text("command_prefix").or_else(|| {
            let extension = file.extension()?;
            let is_powershell = extension.eq_ignore_ascii_case("ps1");
            is_powershell.then(|| powershell(environment::has_program).to_owned())
        });
        let mut words = Vec::from_iter(prefix);
        words.push(file.display().to_string());
        let args = self
            .option("args")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        words.extend(args.map(text::str));
        words.join(" ")
    }
}

/// What runs scripts of PowerShell: the program of its first name, unless this machine has the one
/// of its later name only.
fn powershell(has_program: impl Fn(&str) -> bool) -> &'static str {
    match !has_program("powershell") && has_program("pwsh") {
        true => "pwsh",
        false => "powershell",
    }
}

/// An input as the value of an environment variable.
fn variable(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) | Value::Bool(_) => text::json(value),
        other => text::str(other),
    }
}

/// Removes the indentation that all lines share.
pub(in crate::worker) fn dedent(source: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let shared = source
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.get(..indent(line)).unwrap_or_default())
        .reduce(common_prefix)
        .unwrap_or_default()
        .len();
    let cut = |line: &str| line.get(shared..).unwrap_or_default().to_owned();
    let mut out = source.lines().map(cut).collect::<Vec<_>>().join("\n");
    if source.ends_with('\n') {
        out.push('\n');
    }
    out
}

fn common_prefix<'a>(left: &'a str, right: &str) -> &'a str {
    let same = left
        .bytes()
        .zip(right.bytes())
        .take_while(|(left, right)| left == right)
        .count();
    left.get(..same).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn powershell_runs_its_scripts_by_whichever_name_it_has() {
        assert_eq!(powershell(|_| true), "powershell");
        assert_eq!(powershell(|name| name == "pwsh"), "pwsh");
        assert_eq!(powershell(|_| false), "powershell");
    }

    #[test]
    fn what_runs_a_script_follows_from_its_inputs_or_its_name() {
        let command = |process: Value, file: &str| {
            let inputs = json!({"script_path": file, "process": process});
            let script = Script::from_inputs(inputs.as_object().unwrap()).unwrap();
            script.command(Path::new(file))
        };
        let powershell = powershell(environment::has_program);
        assert_eq!(command(json!({}), "/s.PS1"), format!("{powershell} /s.PS1"));
        let prefix = json!({"command_prefix": "pwsh -NoProfile", "args": ["-x", 1]});
        assert_eq!(command(prefix, "/s.ps1"), "pwsh -NoProfile /s.ps1 -x 1");
        assert_eq!(command(json!({}), "/s.sh"), "/s.sh");
        let prefix = json!({"command_prefix": "nice"});
        assert_eq!(command(prefix, "/s.sh"), "nice /s.sh");
    }

    #[test]
    fn a_shell_is_spared_where_it_has_nothing_to_do() {
        let is_plain = |process: Value, file: &str| {
            let inputs = json!({"script_path": file, "process": process});
            let script = Script::from_inputs(inputs.as_object().unwrap()).unwrap();
            script.is_plain(Path::new(file))
        };
        assert!(is_plain(json!({}), "/tmp/AB3/some-script_1.sh"));
        assert!(is_plain(json!({"cwd": "/", "args": null}), "/s"));
        assert!(!is_plain(json!({"args": ["-x"]}), "/s.sh"));
        assert!(!is_plain(json!({"command_prefix": "nice"}), "/s.sh"));
        assert!(!is_plain(json!({}), "/s.ps1"));
        for path in ["/a b.sh", "/$HOME/s.sh", "/s;t", "s.sh"] {
            assert!(!is_plain(json!({}), path), "{path}");
        }
    }
}
