//! The `ctx` command that scripts call. It runs once for every call, so it starts no runtime and
//! reads no configuration: one request over one connection, and the answer printed.
use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    process::ExitCode,
    time::Duration,
};

use serde_json::{Value, json};

use super::text;

const SOCKET_URL: &str = "CTX_SOCKET_URL";
const USAGE: &str =
    "usage: ctx [-t TIMEOUT] [--socket-url URL] [--json-arg-prefix PREFIX] [-j] [args ...]";
/// As argparse, for a wrong command line.
const EXIT_USAGE: u8 = 2;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) timeout_s: u64,
    pub(super) socket_url: Option<String>,
    pub(super) json_prefix: String,
    pub(super) json_output: bool,
    pub(super) args: Vec<String>,
}

/// What the call ended with, apart from a result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{USAGE}\nctx: error: {0}")]
    Usage(String),
    #[error("Missing CTX_SOCKET_URL environment variable or socket_url command line argument")]
    NoSocket,
    #[error("cannot reach the operation's context at {0}: {1}")]
    Unreachable(String, String),
    #[error("{kind}: {message}")]
    Refused { kind: String, message: String },
    /// The script is to end here; the message is meant for its log.
    #[error("{0}")]
    Stop(String),
}

/// `args` are those after the program's name (and after the word `ctx` when called as a
/// subcommand).
pub fn main(args: impl IntoIterator<Item = String>) -> ExitCode {
    let done = parse(args).and_then(|call| run(&call));
    match done {
        Ok(output) => {
            // A reader that went away is no failure of the call.
            let _ = std::io::stdout().write_all(output.as_bytes());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{failure}");
            match failure {
                Failure::Usage(_) => ExitCode::from(EXIT_USAGE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

pub(super) fn parse(args: impl IntoIterator<Item = String>) -> Result<Call, Failure> {
    let mut call = Call {
        timeout_s: 30,
        socket_url: None,
        json_prefix: "@".to_owned(),
        json_output: false,
        args: Vec::new(),
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            call.args.extend(args.by_ref());
        } else if !arg.starts_with('-') || arg == "-" || arg.parse::<f64>().is_ok() {
            call.args.push(arg);
        } else {
            option(&mut call, &arg, &mut args)?;
        }
    }
    Ok(call)
}

fn option(
    call: &mut Call,
    arg: &str,
    rest: &mut impl Iterator<Item = String>,
) -> Result<(), Failure> {
    let (name, inline) = match arg.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
        _ => match arg.split_at_checked(2) {
            Some(("-t", value)) if !value.is_empty() => ("-t", Some(value.to_owned())),
            _ => (arg, None),
        },
    };
    if matches!(name, "-j" | "--json-output") && inline.is_none() {
        call.json_output = true;
        return Ok(());
    }
    let mut value = || {
        let missing = || Failure::Usage(format!("argument {name}: expected one argument"));
        inline.clone().or_else(|| rest.next()).ok_or_else(missing)
    };
    match name {
        "-t" | "--timeout" => {
            let text = value()?;
            call.timeout_s = text.parse().map_err(|_| {
                Failure::Usage(format!("argument {name}: invalid int value: {text}"))
            })?;
        }
        "--socket-url" => call.socket_url = Some(value()?),
        "--json-arg-prefix" => call.json_prefix = value()?,
        _ => return Err(Failure::Usage(format!("unrecognized arguments: {arg}"))),
    }
    Ok(())
}

pub(super) fn run(call: &Call) -> Result<String, Failure> {
    let from_env = || std::env::var(SOCKET_URL).ok().filter(|url| !url.is_empty());
    let url = call
        .socket_url
        .clone()
        .or_else(from_env)
        .ok_or(Failure::NoSocket)?;
    let args = call.args.iter().map(|arg| argument(&call.json_prefix, arg));
    let body = json!({"args": args.collect::<Result<Vec<_>, _>>()?});
    let answer = post(&url, &body, Duration::from_secs(call.timeout_s.max(1)))?;
    let payload = answer.get("payload").cloned().unwrap_or_default();
    let field = |name| {
        payload
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    match answer.get("type").and_then(Value::as_str) {
        Some("error") => Err(Failure::Refused {
            kind: field("type"),
            message: field("message"),
        }),
        Some("stop_operation") => Err(Failure::Stop(field("message"))),
        _ if call.json_output => Ok(text::json(&payload)),
        _ if text::is_falsy(&payload) => Ok(String::new()),
        _ => Ok(text::str(&payload)),
    }
}

/// An argument that starts with the prefix is JSON.
fn argument(prefix: &str, arg: &str) -> Result<Value, Failure> {
    match arg.strip_prefix(prefix) {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Failure::Usage(format!("argument {arg}: {error}"))),
        None => Ok(Value::String(arg.to_owned())),
    }
}

fn post(url: &str, body: &Value, timeout: Duration) -> Result<Value, Failure> {
    let failed = |why: String| Failure::Unreachable(url.to_owned(), why);
    let parsed = url::Url::parse(url).map_err(|error| failed(error.to_string()))?;
    if parsed.scheme() != "http" {
        return Err(failed(format!("Unsupported protocol: {}", parsed.scheme())));
    }
    let host = parsed
        .host_str()
        .ok_or_else(|| failed("no host".to_owned()))?;
    let port = parsed.port_or_known_default().unwrap_or(80);
    let answer = exchange((host, port), parsed.path(), body, timeout)
        .map_err(|error| failed(error.to_string()))?;
    let (head, content) = split(&answer).ok_or_else(|| failed("no HTTP answer".to_owned()))?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status != "200" {
        return Err(failed(format!("HTTP status {status}")));
    }
    serde_json::from_slice(content).map_err(|error| failed(error.to_string()))
}

fn exchange(
    address: (&str, u16),
    path: &str,
    body: &Value,
    timeout: Duration,
) -> std::io::Result<Vec<u8>> {
    let mut last = std::io::Error::other("no address");
    for target in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&target, timeout) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_nodelay(true)?;
                let body = body.to_string();
                let head = format!(
                    "POST {path} HTTP/1.1\r\nHost: {}:{}\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n",
                    address.0,
                    address.1,
                    body.len()
                );
                stream.write_all(format!("{head}{body}").as_bytes())?;
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer)?;
                return Ok(answer);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Head and body of an answer that ends with the connection.
fn split(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, rest) = answer.split_at_checked(end)?;
    Some((std::str::from_utf8(head).ok()?, rest.get(4..)?))
}
