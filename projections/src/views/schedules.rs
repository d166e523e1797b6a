//! Schedules of executions. What is computed on reading (the status of the latest execution, the
//! occurrences to come) is not in the stored document: readers append it.
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stratalog_schema::{
    Event,
    events::{ScheduleChanged, ScheduleCreated, ScheduleOccurred},
    time::wire,
};

use super::{Json, json, nodes::of_tenant, scope, scoped};
use crate::{
    Error,
    owned::owned_doc,
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "schedules",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("next_occurrence", Kind::Int),
        Column::plain("since", Kind::Int),
        Column::plain("until", Kind::Int),
        Column::plain("id", Kind::Text),
        Column::linked("deployment_id"),
        Column::plain("workflow_id", Kind::Text),
        Column::plain("enabled", Kind::Bool),
    ],
    fields: &{
        let [c0, c1, c2, c3, c4] = COMMON;
        [
            Field::col("created_at", Kind::Int, "created_at"),
            Field::col("id", Kind::Text, "id"),
            Field::col("next_occurrence", Kind::Int, "next_occurrence"),
            Field::col("since", Kind::Int, "since"),
            Field::col("until", Kind::Int, "until"),
            Field::doc("rule", Kind::Json),
            Field::doc("slip", Kind::Int),
            Field::col("workflow_id", Kind::Text, "workflow_id"),
            Field::doc("parameters", Kind::Json),
            Field::doc("execution_arguments", Kind::Json),
            Field::doc("stop_on_fail", Kind::Bool),
            Field::col("enabled", Kind::Bool, "enabled"),
            Field::col("deployment_id", Kind::Text, "deployment_id"),
            Field::doc("latest_execution_status", Kind::Json),
            c0,
            c1,
            c2,
            c3,
            c4,
            Field::doc("all_next_occurrences", Kind::Json),
        ]
    },
};

owned_doc! {
    /// A schedule.
    pub struct Schedule {
        /// Creation.
        pub created_at: String,
        /// Its id, unique among those of its deployment.
        pub id: String,
        /// When it is due next.
        pub next_occurrence: Option<String>,
        /// From when on it recurs.
        pub since: String,
        /// Until when.
        pub until: Option<String>,
        /// How it recurs.
        pub rule: Json,
        /// By how many minutes an occurrence may be late.
        pub slip: i64,
        /// The workflow it starts.
        pub workflow_id: String,
        /// With these parameters.
        pub parameters: Option<Json>,
        /// And these flags.
        pub execution_arguments: Option<Json>,
        /// Whether a failed execution disables it.
        pub stop_on_fail: bool,
        /// Whether it starts anything at all.
        pub enabled: bool,
        /// Its deployment.
        pub deployment_id: String,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of a schedule is not served as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Creation; milliseconds since the epoch, as all moments here.
    pub created_at_ms: i64,
    /// From when on it recurs.
    pub since_ms: i64,
    /// Until when.
    pub until_ms: Option<i64>,
    /// When it is due next.
    pub next_occurrence_ms: Option<i64>,
    /// The execution it started last.
    pub latest_execution: Option<String>,
}

/// Key of a schedule.
pub fn key(tenant: &str, deployment_id: &str, id: &str) -> String {
    scoped(tenant, &format!("{deployment_id}/{id}"))
}

impl Schedule {
    fn set_next(&mut self, next_ms: Option<i64>) {
        self.own.next_occurrence_ms = next_ms;
        self.next_occurrence = next_ms.map(wire);
    }
}

impl Resource for Schedule {
    const VIEW: View = View::Schedules;

    fn key(&self) -> String {
        key(&self.tenant_name, &self.deployment_id, &self.id)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.own.created_at_ms)),
            Col::Int(self.own.next_occurrence_ms),
            Col::Int(Some(self.own.since_ms)),
            Col::Int(self.own.until_ms),
            Col::from(self.id.as_str()),
            Col::from(self.deployment_id.as_str()),
            Col::from(self.workflow_id.as_str()),
            Col::Bool(Some(self.enabled)),
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

fn named(event: &Event) -> Option<String> {
    Some(match event {
        Event::ScheduleCreated(e) => key(&scope(e.scope.as_ref()).tenant, &e.deployment_id, &e.id),
        Event::ScheduleChanged(e) => key(&e.tenant, &e.deployment_id, &e.id),
        Event::ScheduleOccurred(e) => key(&e.tenant, &e.deployment_id, &e.id),
        Event::ScheduleDeleted(e) => key(&e.tenant, &e.deployment_id, &e.id),
        _ => return None,
    })
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    if let Some(key) = named(event) {
        needs.key(View::Schedules, key);
    }
    if let Event::DeploymentDeleted(e) = event {
        needs.link(View::Schedules, "deployment_id", &e.id);
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    if let Event::DeploymentDeleted(e) = event {
        let found = rows.find(View::Schedules, "deployment_id", &e.id);
        for key in of_tenant(found, &e.tenant) {
            rows.remove(View::Schedules, &key);
        }
        return Ok(());
    }
    let Some(key) = named(event) else {
        return Ok(());
    };
    match event {
        Event::ScheduleCreated(e) => rows.put(&created(e)?),
        Event::ScheduleChanged(e) => {
            let mut schedule: Schedule = rows.expect(&key)?;
            change(&mut schedule, e)?;
            rows.put(&schedule)
        }
        Event::ScheduleOccurred(e) => {
            let mut schedule: Schedule = rows.expect(&key)?;
            occurred(&mut schedule, e);
            rows.put(&schedule)
        }
        _ => {
            rows.remove(View::Schedules, &key);
            Ok(())
        }
    }
}

fn occurred(schedule: &mut Schedule, e: &ScheduleOccurred) {
    if e.execution_id.is_some() {
        schedule.own.latest_execution.clone_from(&e.execution_id);
    }
    schedule.enabled &= !e.disables;
    schedule.set_next(e.next_occurrence_ms);
}

fn change(schedule: &mut Schedule, e: &ScheduleChanged) -> Result<(), Error> {
    if let Some(workflow) = &e.workflow_id {
        schedule.workflow_id.clone_from(workflow);
    }
    if let Some(since) = e.since_ms {
        schedule.own.since_ms = since;
        schedule.since = wire(since);
    }
    if let Some(until) = e.until_ms {
        schedule.own.until_ms = Some(until);
        schedule.until = Some(wire(until));
    }
    if let Some(rule) = &e.rule_json {
        schedule.rule = rule_of(rule)?;
    }
    schedule.slip = e.slip_min.unwrap_or(schedule.slip);
    schedule.stop_on_fail = e.stop_on_fail.unwrap_or(schedule.stop_on_fail);
    schedule.enabled = e.enabled.unwrap_or(schedule.enabled);
    schedule.set_next(e.next_occurrence_ms);
    Ok(())
}

fn rule_of(text: &str) -> Result<Json, Error> {
    RawValue::from_string(text.to_owned()).map_err(Error::EventDocument)
}

fn created(e: &ScheduleCreated) -> Result<Schedule, Error> {
    let scope = scope(e.scope.as_ref());
    let mut schedule = Schedule {
        created_at: wire(e.created_at_ms),
        id: e.id.clone(),
        next_occurrence: e.next_occurrence_ms.map(wire),
        since: wire(e.since_ms),
        until: e.until_ms.map(wire),
        rule: rule_of(&e.rule_json)?,
        slip: e.slip_min,
        workflow_id: e.workflow_id.clone(),
        parameters: json(&e.parameters_json)?,
        execution_arguments: json(&e.execution_arguments_json)?,
        stop_on_fail: e.stop_on_fail,
        enabled: e.enabled,
        deployment_id: e.deployment_id.clone(),
        own: Own {
            created_at_ms: e.created_at_ms,
            since_ms: e.since_ms,
            until_ms: e.until_ms,
            next_occurrence_ms: e.next_occurrence_ms,
            latest_execution: None,
        },
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    schedule.set_visibility(&scope.visibility);
    Ok(schedule)
}
