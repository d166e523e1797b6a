//! `/ldap`, `/idp`: whether users come from a directory service, and from which.
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use warp::Filter;

use crate::{
    auth::Permission,
    commands,
    config::Hidden,
    context::Context,
    error::Error,
    ldap::Values,
    rest::{Answer, Request, Route, body, extract, one_of, reply},
};

/// Both.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    one_of(vec![
        told(
            ctx,
            ("idp", Permission::IdentityProviderGet),
            ["local", "ldap"],
        ),
        told(
            ctx,
            ("ldap", Permission::LdapStatusGet),
            ["disabled", "enabled"],
        ),
        set(ctx),
    ])
}

/// `GET /idp`, `GET /ldap`: one word without a directory service, another one with it.
fn told(
    ctx: &Arc<Context>,
    (path, permission): (&'static str, Permission),
    words: [&'static str; 2],
) -> Route {
    warp::path(path)
        .and(warp::path::end())
        .and(warp::get())
        .and(extract::read(ctx))
        .then(move |req: Result<Request, Error>| async move {
            let req = req?;
            req.caller.require(permission)?;
            let has_ldap = req.ctx.directory.load().has_ldap();
            Answer::json(words[usize::from(has_ldap)])
        })
        .map(reply::ok)
        .boxed()
}

/// A directory service as clients describe it. Numbers may come as texts.
#[derive(Deserialize)]
struct Set {
    ldap_server: String,
    ldap_domain: Option<String>,
    ldap_username: Option<String>,
    ldap_password: Option<Hidden>,
    #[serde(default, deserialize_with = "body::optional_flag")]
    ldap_is_active_directory: Option<bool>,
    ldap_dn_extra: Option<String>,
    ldap_ca_cert: Option<String>,
    ldap_nested_levels: Option<Value>,
    ldap_bind_format: Option<String>,
    ldap_group_dn: Option<String>,
    ldap_base_dn: Option<String>,
    ldap_group_member_filter: Option<String>,
    ldap_user_filter: Option<String>,
    ldap_attribute_email: Option<String>,
    ldap_attribute_first_name: Option<String>,
    ldap_attribute_last_name: Option<String>,
    ldap_attribute_uid: Option<String>,
    ldap_attribute_group_membership: Option<String>,
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Set")
            .field("ldap_server", &self.ldap_server)
            .finish_non_exhaustive()
    }
}

fn levels(given: Option<Value>) -> Result<u64, Error> {
    let number = match &given {
        None | Some(Value::Null) => Some(1),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64(),
    };
    let number = number.filter(|number| (1..=u64::from(u8::MAX)).contains(number));
    number.ok_or_else(|| Error::bad_parameters("ldap_nested_levels is no number of levels"))
}

impl Set {
    /// The values that are kept, but for the password.
    fn split(self) -> Result<(Values, Option<Hidden>), Error> {
        let password = self.ldap_password.filter(|password| !password.0.is_empty());
        let texts = [
            ("server", Some(self.ldap_server)),
            ("domain", self.ldap_domain),
            ("username", self.ldap_username),
            ("dn_extra", self.ldap_dn_extra),
            ("ca_cert", self.ldap_ca_cert),
            ("bind_format", self.ldap_bind_format),
            ("group_dn", self.ldap_group_dn),
            ("base_dn", self.ldap_base_dn),
            ("group_member_filter", self.ldap_group_member_filter),
            ("user_filter", self.ldap_user_filter),
            ("attribute_email", self.ldap_attribute_email),
            ("attribute_first_name", self.ldap_attribute_first_name),
            ("attribute_last_name", self.ldap_attribute_last_name),
            ("attribute_uid", self.ldap_attribute_uid),
            (
                "attribute_group_membership",
                self.ldap_attribute_group_membership,
            ),
        ];
        let texts = texts.into_iter().map(|(name, text)| {
            let text = text.filter(|text| !text.is_empty());
            (name.to_owned(), json!(text))
        });
        let mut values: Values = texts.collect();
        let is_active_directory = self.ldap_is_active_directory.unwrap_or(false);
        values.insert("is_active_directory".to_owned(), json!(is_active_directory));
        let levels = levels(self.ldap_nested_levels)?;
        values.insert("nested_levels".to_owned(), json!(levels));
        Ok((values, password))
    }
}

/// `POST /ldap`
fn set(ctx: &Arc<Context>) -> Route {
    warp::path!("ldap")
        .and(warp::post())
        .and(extract::write(ctx, Permission::LdapSet))
        .then(async |req: Result<Request<Set>, Error>| {
            let (req, set) = req?.split();
            req.caller.require(Permission::LdapSet)?;
            let (values, password) = set.split()?;
            commands::ldap::set(&req.ctx, &req.caller, values, password).await?;
            Answer::json(&commands::ldap::shown(&req.ctx))
        })
        .map(reply::ok)
        .boxed()
}
