//! One connection to the engine: subscribe, list, follow.
//!
//! What comes in: the engine's events and answers. What goes out: what was seen of each container, to the
//! watch's [`RouteBook`](super::book::RouteBook); and in the end the reason why it ended.
//!
//! An event changes no route by itself, it says which container to look at. Nothing is missed between the list
//! and the events: these are asked for from a moment before the list, by the engine's own clock.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use bollard::Docker;
use bollard::errors::Error as Bollard;
use bollard::models::{ContainerInspectResponse, EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::{EventsOptions, EventsOptionsBuilder, ListContainersOptionsBuilder};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::client::DockerError;
use super::container::Container;
use super::labels;
use super::watch::Watch;
use crate::sys::NetNamespace;

/// The state of one connection.
pub(super) struct Session<'a> {
    watch: &'a Watch,
    docker: Docker,
    /// Requests that have not been answered yet.
    asked: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// Containers that are to be inspected, or are being inspected.
    inspections: HashMap<Arc<str>, Inspection>,
    /// Those of them that wait for their turn.
    waiting: VecDeque<Arc<str>>,
    /// While a list is under way: the containers that had an event meanwhile. Their inspections are newer.
    listing: Option<HashSet<Arc<str>>>,
    /// When to begin the next list.
    list_at: Instant,
    /// When the engine was last heard of; none before the first list is complete.
    heard: Option<SystemTime>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inspection {
    Waiting,
    Asked,
    /// There was an event after the question, so the answer may be too old.
    AskedTooEarly,
}

enum Answer {
    List(Result<Vec<Container>, Bollard>),
    Inspection(Arc<str>, Result<Option<Container>, Bollard>),
}

/// How a connection ended.
pub(super) struct End {
    /// Why.
    pub(super) error: DockerError,
    /// When the engine was last heard of; none if not all containers were ever known.
    pub(super) heard: Option<SystemTime>,
}

impl<'a> Session<'a> {
    /// Runs until the connection is lost, or cannot be made.
    pub(super) async fn run(watch: &'a Watch) -> End {
        let docker = match watch.endpoint.connect().await {
            Ok(docker) => docker,
            Err(error) => return End { error, heard: None },
        };
        let mut session = Session {
            watch,
            docker,
            asked: FuturesUnordered::new(),
            inspections: HashMap::new(),
            waiting: VecDeque::new(),
            listing: None,
            list_at: Instant::now(),
            heard: None,
        };
        let error = session.follow().await;
        End { error: DockerError::of(&watch.endpoint, error), heard: session.heard }
    }

    async fn follow(&mut self) -> Bollard {
        let since = match engine_clock(&self.docker).await {
            Ok(since) => since,
            Err(error) => return error,
        };
        let docker = self.docker.clone();
        let mut events = docker.events(Some(events_since(since)));
        loop {
            let next_list = self.list_at;
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => self.on_event(event),
                    Some(Err(error)) => return error,
                    None => return Bollard::IOError { err: std::io::ErrorKind::UnexpectedEof.into() },
                },
                Some(answer) = self.asked.next() => match answer {
                    Answer::List(Ok(containers)) => self.on_list(containers),
                    Answer::List(Err(error)) => return error,
                    Answer::Inspection(id, answer) => self.on_inspection(id, answer),
                },
                () = sleep_until(next_list), if self.listing.is_none() => self.list(),
            }
        }
    }

    fn on_event(&mut self, event: EventMessage) {
        self.watch.counters.events.fetch_add(1, Relaxed);
        self.mark_heard();
        let Some(actor) = event.actor else { return };
        let mut attributes = actor.attributes.unwrap_or_default();
        // The labels of a container are attributes of its events; a network's events name the container.
        let (id, labelled) = match event.typ {
            Some(EventMessageTypeEnum::NETWORK) => (attributes.remove("container"), false),
            _ => (actor.id, attributes.contains_key(labels::PROTOCOL)),
        };
        let Some(id) = id else { return };
        if labelled || self.watch.book.container(&id).is_some() || self.inspections.contains_key(id.as_str())
        {
            self.look_at(id.into());
        }
    }

    fn look_at(&mut self, id: Arc<str>) {
        if let Some(newer) = &mut self.listing {
            newer.insert(Arc::clone(&id));
        }
        match self.inspections.get_mut(&id) {
            Some(Inspection::Waiting) => {}
            Some(inspection) => *inspection = Inspection::AskedTooEarly,
            None => {
                self.inspections.insert(Arc::clone(&id), Inspection::Waiting);
                self.waiting.push_back(id);
                self.inspect_waiting();
            }
        }
    }

    fn inspect_waiting(&mut self) {
        while self.inspections.len() - self.waiting.len() < INSPECTIONS_MAX {
            let Some(id) = self.waiting.pop_front() else { return };
            self.watch.counters.inspections.fetch_add(1, Relaxed);
            self.inspections.insert(Arc::clone(&id), Inspection::Asked);
            let (docker, enter_namespaces) = (self.docker.clone(), self.watch.enter_namespaces);
            self.asked.push(Box::pin(async move {
                let answer = within(INSPECTION_MAX, docker.inspect_container(&id, None)).await;
                let answer = match answer {
                    Ok(answer) => Ok(inspected(answer, enter_namespaces)),
                    Err(Bollard::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
                    Err(error) => Err(error),
                };
                Answer::Inspection(id, answer)
            }));
        }
    }

    fn on_inspection(&mut self, id: Arc<str>, answer: Result<Option<Container>, Bollard>) {
        match answer {
            Ok(Some(container)) => {
                let change = self.watch.book.put(container);
                self.watch.announce(change);
            }
            Ok(None) => {
                let change = self.watch.book.remove(&id);
                self.watch.announce(change);
            }
            Err(error) => {
                // A container that cannot be inspected can still be listed.
                tracing::debug!(%id, %error, "cannot inspect the container, listing soon");
                if let Some(newer) = &mut self.listing {
                    newer.remove(&id);
                }
                self.list_at = self.list_at.min(Instant::now() + LIST_SOON);
            }
        }
        if self.inspections.remove(&id) == Some(Inspection::AskedTooEarly) {
            self.look_at(id);
        }
        self.inspect_waiting();
    }

    fn list(&mut self) {
        self.list_at = Instant::now() + self.watch.list_every;
        self.listing = Some(HashSet::new());
        let (docker, list_max) = (self.docker.clone(), self.watch.list_max);
        let filters = HashMap::from([("label", vec![labels::PROTOCOL])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        self.asked.push(Box::pin(async move {
            let answer = within(list_max, docker.list_containers(Some(options))).await;
            Answer::List(answer.map(|list| list.into_iter().filter_map(Container::from_list).collect()))
        }));
    }

    fn on_list(&mut self, containers: Vec<Container>) {
        self.watch.counters.lists.fetch_add(1, Relaxed);
        let newer = self.listing.take().unwrap_or_default();
        let running = containers.iter().filter(|container| container.has_own_network());
        let running: Vec<_> = running.map(|container| Arc::clone(&container.id)).collect();
        let changes = self.watch.book.replace_all(containers, &newer);
        self.watch.announce(changes);
        if self.watch.enter_namespaces {
            self.look_for_namespaces(running);
        }
        self.watch.up();
        self.heard = Some(SystemTime::now());
    }

    /// Lists do not tell namespaces. After a time without events a container may have another one than before.
    fn look_for_namespaces(&mut self, running: Vec<Arc<str>>) {
        let is_first_list = self.heard.is_none();
        let known = |id: &str| self.watch.book.container(id).is_some_and(|known| known.namespace.is_some());
        let wanted: Vec<_> = running.into_iter().filter(|id| is_first_list || !known(id)).collect();
        wanted.into_iter().for_each(|id| self.look_at(id));
    }

    fn mark_heard(&mut self) {
        if let Some(heard) = &mut self.heard {
            *heard = SystemTime::now();
        }
    }
}

/// A namespace that cannot be opened (the engine is on another host, or keeps them in a mount namespace of its own) is
/// not to be had: the container is reached over the bridge.
fn inspected(answer: ContainerInspectResponse, enter_namespaces: bool) -> Option<Container> {
    let sandbox = answer.network_settings.as_ref().and_then(|settings| settings.sandbox_key.clone());
    let mut container = Container::from_inspection(answer)?;
    if let Some(path) = sandbox.filter(|path| enter_namespaces && !path.is_empty())
        && container.has_own_network()
    {
        container.namespace = NetNamespace::open(Path::new(&path)).ok().map(Arc::new);
    }
    Some(container)
}

/// The engine's own time, as Unix time in seconds with a fraction. It need not be on this host.
async fn engine_clock(docker: &Docker) -> Result<String, Bollard> {
    let info = within(INSPECTION_MAX, docker.info()).await?;
    let now: Option<jiff::Timestamp> = info.system_time.and_then(|text| text.parse().ok());
    let now = now.unwrap_or_else(jiff::Timestamp::now);
    Ok(format!("{}.{:09}", now.as_second(), now.subsec_nanosecond()))
}

fn events_since(since: String) -> EventsOptions {
    let filters = HashMap::from([("type", vec!["container", "network"]), ("event", EVENTS.to_vec())]);
    EventsOptionsBuilder::default().since(&since).filters(&filters).build()
}

async fn within<T>(limit: Duration, request: impl Future<Output = Result<T, Bollard>>) -> Result<T, Bollard> {
    timeout(limit, request).await.unwrap_or(Err(Bollard::RequestTimeoutError))
}

/// What can change whether and where a container is reached. Without this filter health checks alone would
/// send several events a minute for each container.
const EVENTS: [&str; 14] = [
    "create",
    "start",
    "restart",
    "die",
    "kill",
    "stop",
    "pause",
    "unpause",
    "rename",
    "update",
    "destroy",
    "oom",
    "connect",
    "disconnect",
];

/// How many containers are inspected at once. An engine holds back the answer while it starts or stops that
/// container, so one slow container must not hold up the others.
const INSPECTIONS_MAX: usize = 16;

const INSPECTION_MAX: Duration = Duration::from_secs(10);

/// When to list after an inspection failed.
const LIST_SOON: Duration = Duration::from_secs(5);
