//! The executor: follows the log, gives every execution a runner, and brings answers to the runners
//! that wait for them.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stratalog_projections::{
    At, Condition, ListQuery, Scope, View,
    views::{
        executions::{Execution, is_end},
        operations::{Operation, is_terminal},
        scoped,
    },
};
use stratalog_schema::Event;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    agents::Agents,
    routes::Routes,
    runner::{Runner, SIGNALS, Signal},
    term::Term,
};
use crate::{
    auth::Caller,
    broker::{
        ConsumerSpec, Delivery,
        topology::{RESPONSE_QUEUE, shared_responses},
        wire::Response,
    },
    commands::{executions, operations},
    context::{Context, Restoring},
    error::Error,
    store::Fence,
    tasks::Tasks,
};

/// Answers taken from the broker and not yet in the log.
const PREFETCH: u16 = 512;
/// How often everything that runs is compared with everything that should.
const COMPARE: Duration = Duration::from_secs(15);
/// Pause after trouble with the database.
const PAUSE: Duration = Duration::from_millis(500);
/// How long an answer may wait for its runner to begin.
const HOLD: Duration = Duration::from_millis(200);

type Table = HashMap<String, mpsc::Sender<Signal>>;

/// The executor's shared part, for one term.
#[derive(Debug, Clone)]
struct Executor {
    ctx: Arc<Context>,
    fence: Arc<Fence>,
    routes: Routes,
    agents: Agents,
    /// Runners by the key of their execution. Held only for look-ups.
    runners: Arc<Mutex<Table>>,
    tasks: Tasks,
    stop: CancellationToken,
}

/// Runs workflows until `tasks` are drained, whenever no other process does. Whatever is left then
/// goes on with the next one.
pub async fn run(ctx: Arc<Context>, tasks: Tasks) {
    let process = Uuid::now_v7().to_string();
    let stop = tasks.stop_token();
    while !stop.is_cancelled() {
        match stop.run_until_cancelled(Term::begin(&ctx, &process)).await {
            Some(Ok(term)) => Box::pin(serve(&ctx, &tasks, (&term, &process))).await,
            Some(Err(error)) => tracing::warn!(%error, "executions are not run yet"),
            None => return,
        }
        pause(&stop).await;
    }
}

/// One term. What was begun in it is drained before another process can know that it has ended,
/// unless that knows already.
async fn serve(ctx: &Arc<Context>, tasks: &Tasks, (term, process): (&Term, &str)) {
    tracing::info!("this process runs executions");
    let leads = Leads::new(ctx);
    let tasks = tasks.within();
    let (answers, of_agents) = mpsc::channel(usize::from(PREFETCH));
    let executor = Executor {
        agents: Agents::new(ctx, &tasks, answers),
        ctx: ctx.clone(),
        fence: term.fence.clone(),
        routes: Routes::default(),
        runners: Arc::default(),
        stop: tasks.stop_token(),
        tasks,
    };
    let answers = executor.clone();
    executor.spawn(
        "answers",
        async move { answers.take_answers(of_agents).await },
    );
    tokio::select! {
        () = term.fence.apply(executor.follow_always()) => {}
        () = term.last(ctx, process) => {}
    }
    executor.tasks.drain().await;
    drop(leads);
}

/// Says that this process runs executions, until it is dropped.
struct Leads<'a>(&'a Context);

impl<'a> Leads<'a> {
    fn new(ctx: &'a Context) -> Self {
        let leads = Self(ctx);
        leads.set(true);
        leads
    }

    fn set(&self, leads: bool) {
        self.0.roles.leads.send_replace(leads);
        metrics::gauge!("stratalog_runs_executions").set(f64::from(u8::from(leads)));
    }
}

impl Drop for Leads<'_> {
    fn drop(&mut self) {
        self.set(false);
    }
}

async fn pause(stop: &CancellationToken) {
    stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
}

impl Executor {
    /// Starts a task of this term.
    fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let fence = self.fence.clone();
        self.tasks
            .spawn(name, async move { fence.apply(task).await });
    }

    async fn follow_always(&self) {
        while !self.stop.is_cancelled() {
            if let Err(error) = self.follow().await {
                tracing::warn!(%error, "the executor begins anew from the log");
            }
            pause(&self.stop).await;
        }
    }

    /// Everything that should run does; then every change in the log is looked at.
    async fn follow(&self) -> Result<(), Error> {
        let head = self.compare().await?;
        let mut subscription = self.ctx.store.subscribe(head);
        let mut compare = tokio::time::interval(COMPARE);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                recorded = subscription.next() => self.happened(recorded?.event),
                _ = compare.tick() => {
                    self.compare().await?;
                }
            }
        }
    }

    /// Gives a runner to every execution without one; gives the position that was looked at.
    async fn compare(&self) -> Result<i64, Error> {
        executions::dequeue(&self.ctx).await?;
        let statuses = executions::ACTIVE.iter().map(|s| (*s).to_owned()).collect();
        let query = ListQuery::all(View::Executions, Scope::Everything)
            .with(Condition::AnyOf("status".to_owned(), statuses));
        let view = self.ctx.store.read(At::Now).await?;
        let active: Vec<Execution> = view.select_as(&query).await?;
        let head = view.head();
        drop(view.finish().await?);
        for execution in active {
            let (tenant, id) = (&execution.tenant_name, &execution.id);
            self.ensure(tenant, id);
            // the news of it may have been lost together with the database
            if execution.status.ends_with("cancelling") {
                self.tell(&scoped(tenant, id), &execution.status);
            }
        }
        Ok(head)
    }

    fn happened(&self, event: Event) {
        match event {
            Event::ExecutionCreated(e) if e.status == "pending" => {
                let tenant = e.scope.unwrap_or_default().tenant;
                self.ensure(&tenant, &e.id);
            }
            Event::ExecutionCreated(e) if e.status == "queued" => self.dequeue(),
            Event::ExecutionGroupChanged(_) => self.dequeue(),
            Event::ExecutionStatusChanged(e) => {
                let is_told = self.tell(&scoped(&e.tenant, &e.id), &e.status);
                if !(is_told || is_end(&e.status) || e.status == "queued") {
                    self.ensure(&e.tenant, &e.id);
                }
                if is_end(&e.status) || e.status == "queued" {
                    self.dequeue();
                }
            }
            Event::ExecutionDeleted(e) => {
                self.tell(&scoped(&e.tenant, &e.id), "deleted");
            }
            _ => {}
        }
    }

    fn dequeue(&self) {
        let ctx = self.ctx.clone();
        self.spawn("dequeue", async move {
            if let Err(error) = executions::dequeue(&ctx).await {
                tracing::warn!(%error, "queued executions are looked at later");
            }
        });
    }

    /// Tells a runner of a status; gives whether there is one. With a full inbox it looks for
    /// itself, later.
    fn tell(&self, key: &str, status: &str) -> bool {
        let runner = self.table().get(key).cloned();
        let runner = runner.filter(|runner| !runner.is_closed());
        if let Some(runner) = &runner {
            drop(runner.try_send(Signal::Status(status.to_owned())));
        }
        runner.is_some()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.runners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A runner for the execution, if it has none.
    fn ensure(&self, tenant: &str, id: &str) {
        if *self.ctx.restoring.borrow() != Restoring::No {
            return self.ensure_later(tenant, id);
        }
        let key = scoped(tenant, id);
        let (sender, signals) = mpsc::channel(SIGNALS);
        {
            let mut runners = self.table();
            // a runner that broke off has left its entry behind
            if runners.get(&key).is_some_and(|runner| !runner.is_closed()) {
                return;
            }
            runners.insert(key.clone(), sender.clone());
        }
        let own = sender.clone();
        let shared = (self.ctx.clone(), self.routes.clone(), self.stop.clone());
        let of = (tenant.to_owned(), id.to_owned());
        let runner = Runner::new(shared, &self.agents, of.clone(), (sender, signals));
        let executor = self.clone();
        self.spawn("execution", async move {
            Box::pin(runner.run()).await;
            executor.ended((&key, &own), of).await;
        });
    }

    /// What ran when a snapshot was taken must not go on where it is restored.
    fn ensure_later(&self, tenant: &str, id: &str) {
        let executor = self.clone();
        let (tenant, id) = (tenant.to_owned(), id.to_owned());
        self.spawn("execution after a restore", async move {
            let mut restoring = executor.ctx.restoring.subscribe();
            let ended = restoring.wait_for(|stage| *stage == Restoring::No);
            let is_over = executor.stop.run_until_cancelled(ended).await;
            if matches!(is_over, Some(Ok(_))) {
                executor.ensure(&tenant, &id);
            }
        });
    }

    /// The runner is gone. What happened to the execution while it was leaving may ask for another.
    async fn ended(
        &self,
        (key, own): (&str, &mpsc::Sender<Signal>),
        (tenant, id): (String, String),
    ) {
        {
            let mut runners = self.table();
            if runners
                .get(key)
                .is_some_and(|other| other.same_channel(own))
            {
                runners.remove(key);
            }
        }
        if self.stop.is_cancelled() {
            return;
        }
        let looked = async {
            let view = self.ctx.store.read(At::Now).await?;
            let execution = executions::find(&view, &tenant, &id).await?;
            drop(view.finish().await?);
            Ok::<_, Error>(execution)
        };
        let wanted = |execution: &Execution| {
            stratalog_projections::views::executions::is_active(&execution.status)
        };
        match looked.await {
            Ok(execution) if execution.as_ref().is_some_and(wanted) => self.ensure(&tenant, &id),
            Ok(_) => {}
            Err(error) => tracing::warn!(execution = id, %error, "looked at again later"),
        }
    }

    async fn take_answers(&self, mut of_agents: mpsc::Receiver<Delivery>) {
        let Some(broker) = &self.ctx.broker else {
            return;
        };
        if let Err(error) = broker.declare(&shared_responses()).await {
            tracing::debug!(%error, "the response queue is declared once the broker is there");
        }
        let mut deliveries = broker.consume(ConsumerSpec {
            queue: RESPONSE_QUEUE.to_owned(),
            prefetch: PREFETCH,
        });
        loop {
            let delivery = tokio::select! {
                () = self.stop.cancelled() => return,
                delivery = deliveries.recv() => delivery,
                delivery = of_agents.recv() => delivery,
            };
            match delivery {
                Some(delivery) => self.take(delivery).await,
                None => return,
            }
        }
    }

    async fn take(&self, delivery: Delivery) {
        let response = match Response::parse(&delivery.body) {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!(%error, "an answer that is none is dropped");
                return acknowledge(&delivery).await;
            }
        };
        let Some(id) = delivery.correlation_id.clone() else {
            return acknowledge(&delivery).await;
        };
        if let Some(runner) = self.routes.find(&id) {
            let signal = Signal::Answer {
                id,
                response,
                ack: Some(delivery.ack.clone()),
            };
            if runner.send(signal).await.is_ok() {
                return;
            }
            // the runner left with the message unread: the broker brings it again
            return give_back(&delivery).await;
        }
        let executor = self.clone();
        self.spawn("stray answer", async move {
            match executor.stray(&id, &response).await {
                Ok(true) => acknowledge(&delivery).await,
                Ok(false) => {
                    tokio::time::sleep(HOLD).await;
                    give_back(&delivery).await;
                }
                Err(error) => {
                    tracing::warn!(operation = id, %error, "an answer is taken later");
                    tokio::time::sleep(PAUSE).await;
                    give_back(&delivery).await;
                }
            }
        });
    }

    /// An answer nobody waits for: if its execution has ended, it is noted, so that resuming does
    /// not repeat what was done. Gives whether it is dealt with.
    async fn stray(&self, id: &str, response: &Response) -> Result<bool, Error> {
        let query = ListQuery::all(View::Operations, Scope::Everything)
            .with(Condition::AnyOf("id".to_owned(), vec![id.to_owned()]));
        let view = self.ctx.store.read(At::Now).await?;
        let operation: Option<Operation> = view.select_as(&query).await?.pop();
        let Some(operation) = operation.filter(|o| !is_terminal(&o.state)) else {
            drop(view.finish().await?);
            return Ok(true);
        };
        let tenant = operation.tenant_name.clone();
        let execution_id = operation.own.execution_id.clone();
        let execution = executions::find(&view, &tenant, &execution_id).await?;
        drop(view.finish().await?);
        let Some(execution) = execution else {
            return Ok(true);
        };
        if !is_end(&execution.status) {
            return Ok(false);
        }
        let report = match response {
            Response::Ok(result) => operations::UpdateOperation {
                state: "succeeded".to_owned(),
                result: result.clone(),
                ..operations::UpdateOperation::default()
            },
            Response::Error(error) => operations::UpdateOperation {
                state: "failed".to_owned(),
                exception: Some(error.message.clone()),
                ..operations::UpdateOperation::default()
            },
        };
        let caller = Caller::system(&tenant).for_execution(&execution_id, &tenant);
        operations::update(&self.ctx, &caller, id, (&report, &[])).await?;
        Ok(true)
    }
}

async fn acknowledge(delivery: &Delivery) {
    if let Err(error) = delivery.ack.ack().await {
        tracing::debug!(%error, "an answer will come again");
    }
}

async fn give_back(delivery: &Delivery) {
    if let Err(error) = delivery.ack.reject(true).await {
        tracing::debug!(%error, "an answer will come again");
    }
}
