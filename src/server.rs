//! The composition: what starts in which order, when it is ready, and how it ends.
use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use warp::filters::BoxedFilter;

use crate::{
    auth::{Authenticator, Directory},
    broker::{self, Admin, AdminOptions, Broker, Tenants, Topology, topology},
    clock, commands,
    config::Settings,
    context::{self, Changes, Context, Remembered, Resources, Selections},
    db::Database,
    error::Error,
    files::{blobs::BlobStore, manifest, serve::FileServer},
    listener::{Limits, Listener},
    log::append::Observer,
    rest,
    seal::Sealer,
    store::Store,
    tasks::Tasks,
    telemetry,
    tls::Tls,
};

mod roles;

/// Pause between attempts to prepare RabbitMQ for the tenants.
const BROKER_RETRY: Duration = Duration::from_secs(5);
/// How often certificates are looked at.
const TLS_CHECK: Duration = Duration::from_secs(3_600);

/// A running server.
#[derive(Debug)]
pub struct Running {
    /// Where the REST API listens.
    pub addr: SocketAddr,
    /// Where workers and agents are served over TLS.
    pub internal_addr: SocketAddr,
    /// What everything shares.
    pub ctx: Arc<Context>,
    drain: CancellationToken,
    listeners: Tasks,
    drivers: Tasks,
}

impl Running {
    /// Stops: no new connections, requests end, then drivers, then the log.
    pub async fn stop(self) {
        tracing::info!("stopping");
        self.ctx
            .is_draining
            .store(true, std::sync::atomic::Ordering::Relaxed);
        self.drain.cancel();
        self.listeners.drain().await;
        self.drivers.drain().await;
        self.ctx.tasks.drain().await;
        tracing::info!("stopped");
    }
}

type Routes = BoxedFilter<(warp::reply::Response,)>;

/// Starts everything and returns when it is ready.
///
/// # Errors
/// What cannot be started: the database is down, a port is taken, the data directory cannot be
/// written.
pub async fn start(settings: Settings) -> Result<Running, Error> {
    // fails only when a provider was chosen already
    let _ = rustls::crypto::ring::default_provider().install_default();
    // ports first: a second server on the same ports must not touch the log
    let limits = Limits {
        drain_timeout: Duration::from_secs(settings.drain_timeout_s),
        ..Limits::default()
    };
    let public = Listener::bind(settings.rest_listen, limits).await;
    let public = public.map_err(Error::internal)?;
    let internal = Listener::bind(settings.internal_listen, limits).await;
    let internal = internal.map_err(Error::internal)?;
    let tls = load_tls(&settings).await?;
    let drivers = Tasks::default();
    let ctx = Box::pin(open(settings, &drivers)).await?;
    commands::snapshots::finish_restored(&ctx).await?;
    commands::bootstrap::bootstrap(&ctx).await?;
    let routes = rest::api(&ctx);
    let running = Running {
        addr: public.local_addr(),
        internal_addr: internal.local_addr(),
        drain: CancellationToken::new(),
        listeners: Tasks::default(),
        drivers,
        ctx,
    };
    serve(&running, "rest", public, routes.clone());
    serve(&running, "internal", internal.with_tls(tls.clone()), routes);
    background(&running, tls);
    roles::start(&running);
    tracing::info!(addr = %running.addr, internal = %running.internal_addr, "ready");
    Ok(running)
}

async fn load_tls(settings: &Settings) -> Result<Arc<Tls>, Error> {
    let directory = settings.data_dir.join("tls");
    let hosts = vec![settings.advertised_host.clone()];
    let load = move || Tls::load_or_create(&directory, hosts, clock::now());
    let loaded = tokio::task::spawn_blocking(load).await;
    let tls = loaded.map_err(Error::internal)?.map_err(Error::internal)?;
    Ok(Arc::new(tls))
}

fn serve(running: &Running, name: &'static str, listener: Listener, routes: Routes) {
    let drain = running.drain.clone();
    running.listeners.spawn(name, async move {
        let cut = listener.serve(routes, drain).await;
        if cut > 0 {
            tracing::warn!(name, cut, "connections were cut");
        }
    });
}

/// Opens log, views, files and the broker's connection.
async fn open(settings: Settings, drivers: &Tasks) -> Result<Arc<Context>, Error> {
    let (key, blobs) = (settings.key_path(), settings.blob_address());
    let data_dir = settings.data_dir.clone();
    let opened = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&data_dir).map_err(Error::internal)?;
        let sealer = Sealer::load_or_create(&key).map_err(Error::internal)?;
        let blobs = BlobStore::open_url(&blobs, &data_dir).map_err(Error::internal)?;
        Ok::<_, Error>((sealer, blobs))
    });
    let (sealer, blobs) = opened.await.map_err(Error::internal)??;
    let database = Database::new(&settings.database_url.0, settings.database_readers)?;
    let directory = Directory::default();
    let files = Arc::new(manifest::Directory::default());
    let resources = Resources(files.clone());
    let changes = Arc::new(Changes::default());
    let observers: Vec<Arc<dyn Observer>> = vec![
        Arc::new(directory.clone()),
        Arc::new(resources.clone()),
        changes.clone(),
    ];
    let tasks = Tasks::default();
    let store = Store::open(database.clone(), observers, &tasks).await?;
    let ctx = Context {
        authenticator: Authenticator::new(directory.clone(), database),
        file_server: FileServer::new(blobs.clone(), settings.file_cache_bytes_max),
        broker: connect(&settings, drivers),
        tenants: reaching(&settings).map(|options| Tenants::new(options, drivers.stop_token())),
        broker_admin: manage(&settings).await?,
        metrics: telemetry::metrics(),
        reports: context::Reports::default(),
        roles: context::Roles::default(),
        is_draining: false.into(),
        restoring: watch::Sender::new(context::Restoring::No),
        behind: Notify::new(),
        settings,
        store,
        directory,
        files,
        resources,
        changes,
        remembered: Remembered::default(),
        selections: Selections::default(),
        blobs,
        sealer,
        tasks,
    };
    ctx.read_all().await?;
    Ok(Arc::new(ctx))
}

fn connect(settings: &Settings, drivers: &Tasks) -> Option<Broker> {
    let options = reaching(settings)?;
    let topology: Topology =
        topology::management(&options.name).merged(&topology::shared_responses());
    Some(Broker::start(options, topology, drivers.stop_token()))
}

fn reaching(settings: &Settings) -> Option<broker::Options> {
    let url = settings.amqp_url.as_ref()?;
    let mut options = broker::Options::new(&url.0, settings.manager_name());
    options.ca_file.clone_from(&settings.amqp_ca_file);
    Some(options)
}

/// RabbitMQ's management interface; user and password may stand in its URL, else they are those of
/// the connection.
async fn manage(settings: &Settings) -> Result<Option<Admin>, Error> {
    let Some(address) = &settings.amqp_management_url else {
        return Ok(None);
    };
    let mut url = url::Url::parse(&address.0).map_err(Error::internal)?;
    let amqp = settings
        .amqp_url
        .as_ref()
        .map(|url| url::Url::parse(&url.0));
    let amqp = amqp.transpose().map_err(Error::internal)?;
    let has_user = !url.username().is_empty();
    let account = if has_user { Some(&url) } else { amqp.as_ref() };
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let username = account.map_or_else(String::new, |url| decode(url.username()));
    let password = account.and_then(url::Url::password).map(decode);
    // a URL without a host has no account, so nothing is left in it then
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let options = AdminOptions {
        urls: vec![url.to_string()],
        username,
        password: password.unwrap_or_default(),
        ca_file: settings.amqp_ca_file.clone(),
    };
    Ok(Some(Admin::new(options).await.map_err(Error::internal)?))
}

fn background(running: &Running, tls: Arc<Tls>) {
    let stop = running.drivers.stop_token();
    let follow = context::follow(running.ctx.clone(), stop.clone());
    running.drivers.spawn("follow other processes", follow);
    let (ctx, until) = (running.ctx.clone(), stop.clone());
    running.drivers.spawn("prepare the broker", async move {
        let prepare = async {
            while !commands::tenants::prepare_brokers(&ctx).await {
                tokio::time::sleep(BROKER_RETRY).await;
            }
        };
        until.run_until_cancelled(prepare).await;
    });
    running.drivers.spawn("renew certificates", async move {
        while stop
            .run_until_cancelled(tokio::time::sleep(TLS_CHECK))
            .await
            .is_some()
        {
            renew(tls.clone()).await;
        }
    });
}

async fn renew(tls: Arc<Tls>) {
    let renewed = tokio::task::spawn_blocking(move || tls.renew_if_due(clock::now())).await;
    match renewed {
        Ok(Ok(true)) => tracing::info!("certificates were renewed"),
        Ok(Ok(false)) => {}
        Ok(Err(error)) => tracing::error!(%error, "certificates cannot be renewed"),
        Err(error) => tracing::error!(%error, "certificates cannot be renewed"),
    }
}
