//! Sites: places that deployments are at.
mod change;
mod deployments;

use stratalog_projections::{View as ViewName, views::sites::coordinates};
use stratalog_schema::{Category, StreamId};

pub use change::{NewSite, UpdateSite, create, delete, update};
pub(crate) use deployments::check as check_deployment;
pub use deployments::set_site;

use crate::error::Error;

/// How the resource is called in messages.
pub const MODEL: (ViewName, &str) = (ViewName::Sites, "Site");

fn stream(tenant: &str, name: &str) -> StreamId {
    StreamId::scoped(Category::Site, tenant, name)
}

/// Checks a location like `32.1,34.9`.
fn check_location(location: &str) -> Result<(), Error> {
    let refuse = |reason: &str| {
        Err(Error::bad_parameters(format!(
            "Invalid location `{location}`, {reason}"
        )))
    };
    let Some((latitude, longitude)) = coordinates(location) else {
        return refuse("the format is expected to be \"latitude,longitude\" such as \"32.1,34.9\"");
    };
    if !(-90.0..=90.0).contains(&latitude) {
        return refuse("the latitude must be between -90 and 90");
    }
    if !(-180.0..=180.0).contains(&longitude) {
        return refuse("the longitude must be between -180 and 180");
    }
    Ok(())
}
