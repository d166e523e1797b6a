//! Sites: places that deployments are at. Which deployment is at which site is told by the
//! deployments.
use serde::{Deserialize, Serialize};
use stratalog_schema::{Event, events::SiteCreated, time::wire};

use super::{scope, scoped};
use crate::{
    Error,
    owned::owned_doc,
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "sites",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("id", Kind::Text),
    ],
    fields: &{
        let [c0, c1, c2, c3, c4] = COMMON;
        [
            Field::col("created_at", Kind::Int, "created_at"),
            Field::doc("latitude", Kind::Text),
            Field::doc("longitude", Kind::Text),
            Field::doc("location", Kind::Text),
            Field::col("name", Kind::Text, "id"),
            c0,
            c1,
            c2,
            c3,
            c4,
        ]
    },
};

owned_doc! {
    /// A site.
    pub struct Site {
        /// Creation.
        pub created_at: String,
        /// Decimal degrees north.
        pub latitude: Option<f64>,
        /// Decimal degrees east.
        pub longitude: Option<f64>,
        /// Both in one text.
        pub location: Option<String>,
        /// Its name, unique in its tenant.
        pub name: String,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of a site is not served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
}

/// Latitude and longitude of a text like `32.1,34.9`.
pub fn coordinates(location: &str) -> Option<(f64, f64)> {
    let (latitude, longitude) = location.split_once(',')?;
    Some((
        latitude.trim().parse().ok()?,
        longitude.trim().parse().ok()?,
    ))
}

impl Site {
    fn set_location(&mut self, location: Option<&str>) {
        let place = location.and_then(coordinates);
        self.latitude = place.map(|(latitude, _)| latitude);
        self.longitude = place.map(|(_, longitude)| longitude);
        self.location = place.map(|(latitude, longitude)| format!("{latitude:?}, {longitude:?}"));
    }
}

impl Resource for Site {
    const VIEW: View = View::Sites;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.name)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.own.created_at_ms)),
            Col::from(self.name.as_str()),
        ]
    }

    fn hidden(&self) -> Result<Option<String>, serde_json::Error> {
        serde_json::to_string(&self.own).map(Some)
    }

    fn restore_hidden(&mut self, hidden: &str) -> Result<(), serde_json::Error> {
        self.own = serde_json::from_str(hidden)?;
        Ok(())
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    let key = match event {
        Event::SiteCreated(e) => scoped(&scope(e.scope.as_ref()).tenant, &e.name),
        Event::SiteChanged(e) => {
            if let Some(new_name) = &e.new_name {
                needs.key(View::Sites, scoped(&e.tenant, new_name));
            }
            scoped(&e.tenant, &e.name)
        }
        Event::SiteDeleted(e) => scoped(&e.tenant, &e.name),
        _ => return,
    };
    needs.key(View::Sites, key);
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::SiteCreated(e) => rows.put(&created(e)),
        Event::SiteChanged(e) => {
            let key = scoped(&e.tenant, &e.name);
            let mut site: Site = rows.expect(&key)?;
            if let Some(location) = &e.location {
                site.set_location(Some(location));
            }
            if let Some(visibility) = &e.visibility {
                site.set_visibility(visibility);
            }
            if let Some(name) = &e.new_name {
                rows.remove(View::Sites, &key);
                site.name.clone_from(name);
            }
            rows.put(&site)
        }
        Event::SiteDeleted(e) => {
            rows.remove(View::Sites, &scoped(&e.tenant, &e.name));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn created(e: &SiteCreated) -> Site {
    let scope = scope(e.scope.as_ref());
    let mut site = Site {
        created_at: wire(e.created_at_ms),
        latitude: None,
        longitude: None,
        location: None,
        name: e.name.clone(),
        own: Own {
            created_at_ms: e.created_at_ms,
        },
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    site.set_location(e.location.as_deref());
    site.set_visibility(&scope.visibility);
    site
}
