//! Docker's API, which podman speaks too: a list of containers, and events of those
//! that are made, started, renamed or end.
//!
//! A compose project is the namespace if compose, or whoever ran the container, said
//! so; one that the image brings along is not. `docker compose build` labels images
//! with the project, so such a label counts too where compose numbered the container.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    bounded,
    directory::{MOST, Part},
    error::EngineError,
    http::Http,
    images::{Baked, Images, MOST_LABELS},
    named::{self, Named},
    ports::{MOST_PORTS, NetworkSettings, Port, Reached},
};

/// Of one container, beside ports: what `named` looks at, and some more.
const MOST_NAMES: usize = 16;
/// One more than an image may have to be looked at, so that one with too many is known.
const KEPT_LABELS: usize = MOST_LABELS + 1;

/// Events: `{"type":["container"],"event":["create","start","rename","die","died"]}`;
/// the last is podman's word.
const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22create%22%2C%22start%22%2C%22rename%22%2C%22die%22%2C%22died%22%5D%7D";
/// A container has ports and addresses while it is in these states.
const RUNS: [&str; 2] = ["running", "paused"];
const ALL: &str = "/containers/json?all=true";

/// All are listed again: an event may have been lost on the engine's side.
const AGAIN: Duration = Duration::from_secs(60);
/// And not sooner than this.
const SOONEST: Duration = Duration::from_secs(1);
/// Between two that events are about.
const SPACE: Duration = Duration::from_millis(2);
/// The engine works at most one part in so many on lists.
const SHARE: u32 = 20;

const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
/// Compose gives it to each container, and to no image.
const NUMBER: &str = "com.docker.compose.container-number";

/// All containers, as far as there is room for them.
#[derive(Deserialize)]
#[serde(transparent)]
struct All {
    #[serde(deserialize_with = "bounded::list::<_, _, MOST>")]
    told: Option<Vec<Told>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    #[serde(default, deserialize_with = "bounded::list::<_, _, MOST_NAMES>")]
    names: Option<Vec<String>>,
    image: Option<String>,
    #[serde(rename = "ImageID")]
    image_id: Option<String>,
    #[serde(default, deserialize_with = "bounded::table::<_, _, KEPT_LABELS>")]
    labels: Option<BTreeMap<String, String>>,
    state: Option<String>,
    #[serde(default, deserialize_with = "bounded::list::<_, _, MOST_PORTS>")]
    ports: Option<Vec<Port>>,
    network_settings: Option<NetworkSettings>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    name: String,
    /// Its id.
    image: String,
    config: Option<Config>,
    state: Option<State>,
    network_settings: Option<NetworkSettings>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: Option<String>,
}

/// Of a container, or of an image.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    /// Its name.
    image: Option<String>,
    #[serde(default, deserialize_with = "bounded::table::<_, _, KEPT_LABELS>")]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    config: Option<Config>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
}

/// A container, whichever way it was told. One of a list takes no more than this as soon as
/// it is read.
#[derive(Deserialize)]
#[serde(from = "Listed")]
struct Told {
    id: String,
    name: Option<String>,
    image: String,
    image_id: String,
    labels: BTreeMap<String, String>,
    reached: Reached,
}

impl From<Listed> for Told {
    fn from(one: Listed) -> Self {
        // Names with more in them are those of links.
        let is_own = |name: &&String| name.matches('/').count() <= 1;
        let names = one.names.unwrap_or_default();
        Self {
            id: one.id,
            name: names.iter().find(is_own).cloned(),
            image: one.image.unwrap_or_default(),
            image_id: one.image_id.unwrap_or_default(),
            labels: one.labels.unwrap_or_default(),
            reached: match runs(one.state.as_deref()) {
                true => Reached::listed(one.ports, one.network_settings),
                false => Reached::default(),
            },
        }
    }
}

/// Follows the engine until it fails.
pub(super) async fn session(engine: &'static str, part: &Part) -> Result<Infallible, EngineError> {
    let path = part.socket().path.as_path();
    // First, so that nothing falls between the list and them.
    let mut events = Http::connect(path).await?.stream("events", EVENTS).await?;
    let http = Http::connect(path).await?;
    part.connected(http.uid());
    let mut docker = Docker {
        engine,
        http,
        images: Images::default(),
    };
    let mut wanted = part.wanted();
    loop {
        wanted.borrow_and_update();
        let begun = Instant::now();
        let all = docker.list().await?;
        part.replace(all);
        let soonest = Instant::now() + SOONEST.max(begun.elapsed() * SHARE);
        let again = begun + AGAIN;
        loop {
            tokio::select! {
                event = events.next::<Event>() => {
                    let id = event?.actor.id;
                    match docker.ask(&id).await? {
                        Some((id, named)) => part.put(id, named),
                        None => part.closed(&id),
                    }
                    // More than these a second are not new for anybody.
                    sleep(SPACE).await;
                }
                _ = wanted.changed() => {
                    sleep_until(soonest).await;
                    break;
                }
                () = sleep_until(again) => break,
            }
        }
    }
}

struct Docker {
    engine: &'static str,
    http: Http,
    images: Images,
}

impl Docker {
    async fn list(&mut self) -> Result<Vec<(String, Named)>, EngineError> {
        let all: All = self.http.get("a list of containers", ALL).await?;
        let told = all.told.unwrap_or_default();
        let mut all = Vec::with_capacity(told.len());
        for one in told {
            all.extend(self.named(one).await?);
        }
        Ok(all)
    }

    /// Asks for one container.
    async fn ask(&mut self, id: &str) -> Result<Option<(String, Named)>, EngineError> {
        if !is_word(id) {
            return Ok(None);
        }
        let uri = format!("/containers/{id}/json");
        let one: Inspected = match self.http.get("a container", &uri).await {
            Ok(one) => one,
            // It is gone already.
            Err(EngineError::Refused(..)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let config = one.config.unwrap_or_default();
        let state = one.state.and_then(|state| state.status);
        let told = Told {
            id: one.id,
            name: Some(one.name),
            image: config.image.unwrap_or_default(),
            image_id: one.image,
            labels: config.labels.unwrap_or_default(),
            reached: match runs(state.as_deref()) {
                true => Reached::inspected(one.network_settings.unwrap_or_default()),
                false => Reached::default(),
            },
        };
        self.named(told).await
    }

    async fn named(&mut self, told: Told) -> Result<Option<(String, Named)>, EngineError> {
        let name = told.name.as_deref().unwrap_or_default();
        let name = named::name(name.trim_start_matches('/'));
        let Some(name) = name.filter(|_| is_word(&told.id)) else {
            return Ok(None);
        };
        let baked = self.baked(&told.image_id).await?;
        let labels = told.labels;
        let mut named = describe(self.engine, name, &told.image, labels, baked.as_deref());
        told.reached.tell(&mut named);
        Ok(Some((told.id, named)))
    }

    /// What the image brings along; `None` if that cannot be told.
    async fn baked(&mut self, id: &str) -> Result<Option<Arc<Baked>>, EngineError> {
        if let Some(known) = self.images.get(id) {
            return Ok(known);
        }
        if !is_word(id) {
            return Ok(None);
        }
        let uri = format!("/images/{id}/json");
        let image = self.http.get::<Image>("an image", &uri).await;
        let baked = match image {
            Ok(image) => {
                let labels = image.config.unwrap_or_default().labels.unwrap_or_default();
                Baked::new(&labels).map(Arc::new)
            }
            Err(EngineError::Refused(..)) => None,
            Err(error) => return Err(error),
        };
        self.images.put(id, baked.clone());
        Ok(baked)
    }
}

/// Of an image of which nothing is known each label may be its own.
fn describe(
    engine: &'static str,
    name: String,
    image: &str,
    mut labels: BTreeMap<String, String>,
    baked: Option<&Baked>,
) -> Named {
    let is_given = |key: &str, value: &str| baked.is_some_and(|baked| !baked.has(key, value));
    let is_numbered = labels
        .get(NUMBER)
        .is_some_and(|value| is_given(NUMBER, value));
    let compose = |key: &str| {
        let value = labels.get(key)?;
        (is_numbered || is_given(key, value)).then(|| value.clone())
    };
    let (project, service) = (compose(PROJECT), compose(SERVICE));
    labels.retain(|key, value| is_given(key, value));
    let mut all: Vec<String> = named::labels(engine, &labels).collect();
    let own = [
        ("image", Some(image)),
        ("compose.project", project.as_deref()),
        ("compose.service", service.as_deref()),
    ];
    all.extend(
        own.into_iter()
            .filter_map(|(key, value)| named::own_label(key, value?)),
    );
    all.sort_unstable();
    Named {
        engine,
        namespace: project.and_then(|project| named::namespace(engine, &project)),
        container: name.clone(),
        pod_name: name,
        labels: all,
        ..Named::default()
    }
}

/// Engines that do not say it list those that run.
fn runs(state: Option<&str>) -> bool {
    state.is_none_or(|state| RUNS.contains(&state))
}

/// Fit to be put into an address.
fn is_word(id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b':';
    !id.is_empty() && id.len() <= 128 && id.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_with_too_many_labels_cannot_be_looked_at() {
        for (count, is_known) in [(MOST_LABELS, true), (2 * MOST_LABELS, false)] {
            let labels: BTreeMap<_, _> = (0..count).map(|n| (n.to_string(), "x")).collect();
            let text = serde_json::json!({ "Config": { "Labels": labels } }).to_string();
            let image: Image = serde_json::from_str(&text).unwrap();
            let labels = image.config.unwrap().labels.unwrap();
            assert_eq!(Baked::new(&labels).is_some(), is_known, "{count}");
        }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn of(labels: &[(&str, &str)], baked: Option<&[(&str, &str)]>) -> Named {
        let baked = baked.and_then(|labels| Baked::new(&map(labels)));
        describe(
            "docker",
            "api-1".into(),
            "shop/api:3",
            map(labels),
            baked.as_ref(),
        )
    }

    #[test]
    fn a_container_has_the_namespace_of_its_project_and_labels_with_a_source() {
        let named = of(
            &[
                (PROJECT, "shop"),
                (SERVICE, "api"),
                ("team", "red"),
                ("maintainer", "x"),
            ],
            Some(&[("maintainer", "x")]),
        );
        assert_eq!(named.namespace.as_deref(), Some("shop"));
        assert_eq!(
            named.labels,
            [
                "docker:team=red",
                "sextant:compose.project=shop",
                "sextant:compose.service=api",
                "sextant:image=shop/api:3",
            ]
        );
    }

    #[test]
    fn what_an_image_says_of_itself_makes_it_nobody_elses() {
        let says = [(PROJECT, "shop"), (SERVICE, "db"), ("app", "web")];
        for baked in [Some(&says[..]), None] {
            let named = of(&says, baked);
            assert_eq!(named.namespace, None);
            assert_eq!(named.labels, ["sextant:image=shop/api:3"]);
        }
        // An image may bring the number too.
        let says = [(PROJECT, "shop"), (NUMBER, "1")];
        assert_eq!(of(&says, Some(&says)).namespace, None);
    }

    #[test]
    fn an_image_that_compose_built_does_not_hide_the_project() {
        let baked = [(PROJECT, "shop"), (SERVICE, "api")];
        let labels = [(PROJECT, "shop"), (SERVICE, "api"), (NUMBER, "1")];
        let named = of(&labels, Some(&baked));
        assert_eq!(named.namespace.as_deref(), Some("shop"));
        assert!(
            named
                .labels
                .contains(&"sextant:compose.service=api".to_owned())
        );
    }

    #[test]
    fn a_project_cannot_pass_for_the_system() {
        let named = of(&[(PROJECT, "system")], Some(&[]));
        assert_eq!(named.namespace.as_deref(), Some("docker.system"));
    }
}
