//! The networks that addons hang on: bridges without traffic between containers, as many as are needed.

use std::collections::HashMap;

use bollard::models::{
    ContainerSummary, EndpointSettings, Network, NetworkConnectRequest, NetworkCreateRequest,
    NetworkDisconnectRequest,
};
use bollard::query_parameters as query;

use super::{Failure, LABEL_INSTANCE, LABEL_MANAGED, Provisioner};

impl Provisioner {
    /// Id of a network with room. If there is none: `None`, or a new one with `make`.
    pub(super) async fn network(&self, make: bool) -> Result<Option<String>, Failure> {
        let _one_at_a_time = self.networks.lock().await;
        self.network_with_room(make).await
    }

    /// The same for who has the turn, and keeps it until there is a container on it.
    pub(super) async fn network_with_room(&self, make: bool) -> Result<Option<String>, Failure> {
        let mut networks = self.our_networks().await?;
        // The fullest first would save bridges; the oldest first is what people expect to see.
        networks.sort_by_key(|network| network_number(network.name.as_deref().unwrap_or("")));
        let (max, containers) = (self.config.docker.network_containers_max, self.all_containers().await?);
        let has_room = |id: &String| containers_on(&containers, id) < max as usize;
        if let Some(id) = networks.into_iter().filter_map(|network| network.id).find(has_room) {
            return Ok(Some(id));
        }
        if make { self.make_network().await.map(Some) } else { Ok(None) }
    }

    /// Ids and names of this Pierhead's networks.
    pub(super) async fn our_networks(&self) -> Result<Vec<Network>, Failure> {
        let filters = HashMap::from([("label", vec![format!("{LABEL_INSTANCE}={}", self.instance)])]);
        let options = query::ListNetworksOptionsBuilder::default().filters(&filters).build();
        self.docker().await?.list_networks(Some(options)).await.map_err(|error| self.engine.failure(error))
    }

    /// Puts a container back on a network, and takes it off those of ours that it cannot use any more.
    pub(super) async fn connect(&self, container: &str) -> Result<(), Failure> {
        let docker = self.docker().await?;
        let id = self.network(true).await?.ok_or_else(|| Failure::Retry("no network has room".into()))?;
        let inspect = docker.inspect_container(container, None::<query::InspectContainerOptions>).await;
        let networks = inspect
            .map_err(|error| self.engine.failure(error))?
            .network_settings
            .and_then(|settings| settings.networks);
        for name in networks.unwrap_or_default().into_keys().filter(|name| network_number(name).is_some()) {
            let request = NetworkDisconnectRequest { container: container.to_owned(), force: Some(true) };
            // It may be gone altogether, which is why we are here.
            let _ = docker.disconnect_network(&name, request).await;
        }
        let request = NetworkConnectRequest { container: container.to_owned(), endpoint_config: None };
        docker.connect_network(&id, request).await.map_err(|error| self.engine.failure(error))
    }

    /// Removes the networks that no container hangs on. What fails is tried again with the next addon.
    pub async fn remove_unused_networks(&self) {
        let _one_at_a_time = self.networks.lock().await;
        let (Ok(networks), Ok(containers), Ok(docker)) =
            (self.our_networks().await, self.all_containers().await, self.docker().await)
        else {
            return;
        };
        for id in networks.into_iter().filter_map(|network| network.id) {
            // Stopped containers are not in the way of removing a network, but could not be started afterwards.
            if containers_on(&containers, &id) == 0 {
                let _ = docker.remove_network(&id).await;
            }
        }
    }

    /// Everybody's containers, started or not: Docker's own filter by network does not know those that never were.
    pub(super) async fn all_containers(&self) -> Result<Vec<ContainerSummary>, Failure> {
        let options = query::ListContainersOptionsBuilder::default().all(true).build();
        let containers = self.docker().await?.list_containers(Some(options)).await;
        containers.map_err(|error| self.engine.failure(error))
    }

    /// Makes the network with the first free number; numbers of somebody else's are skipped. Docker lets two
    /// Pierheads take the same name at the same time, and then says that it is ambiguous: who sees that gives way.
    async fn make_network(&self) -> Result<String, Failure> {
        let docker = self.docker().await?;
        let mut first = 0;
        loop {
            let names = self.network_names().await?;
            let number = (first..).find(|number| !names.contains(&network_name(*number))).unwrap_or(first);
            let name = network_name(number);
            let request = self.network_request(name.clone());
            let made = docker.create_network(request).await.map_err(|error| self.engine.failure(error))?;
            if self.network_names().await?.iter().filter(|other| **other == name).count() == 1 {
                return Ok(made.id);
            }
            docker.remove_network(&made.id).await.map_err(|error| self.engine.failure(error))?;
            first = number + 1;
        }
    }

    /// The names of everybody's networks.
    async fn network_names(&self) -> Result<Vec<String>, Failure> {
        let all =
            self.docker().await?.list_networks(None).await.map_err(|error| self.engine.failure(error))?;
        Ok(all.into_iter().filter_map(|network| network.name).collect())
    }

    fn network_request(&self, name: String) -> NetworkCreateRequest {
        NetworkCreateRequest {
            name,
            driver: Some("bridge".into()),
            labels: Some(HashMap::from([
                (LABEL_INSTANCE.to_owned(), self.instance.clone()),
                (LABEL_MANAGED.to_owned(), "true".to_owned()),
            ])),
            options: Some(HashMap::from([(
                "com.docker.network.bridge.enable_icc".to_owned(),
                "false".to_owned(),
            )])),
            ..Default::default()
        }
    }
}

/// How many of these are on a network, or will be once they are started.
pub(super) fn containers_on(containers: &[ContainerSummary], network: &str) -> usize {
    containers.iter().filter(|container| is_on(container, network)).count()
}

/// A container that was never started knows its network only as it was asked for.
fn is_on(container: &ContainerSummary, network: &str) -> bool {
    let settings = container.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let attached = |(name, endpoint): (&String, &EndpointSettings)| {
        name == network || endpoint.network_id.as_deref() == Some(network)
    };
    let asked = container.host_config.as_ref().and_then(|config| config.network_mode.as_deref());
    settings.is_some_and(|networks| networks.iter().any(attached)) || asked == Some(network)
}

fn network_name(number: u32) -> String {
    format!("pierhead-{number}")
}

/// The number in the name of a network of Pierhead's.
fn network_number(name: &str) -> Option<u32> {
    name.strip_prefix("pierhead-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::network_number;

    #[test]
    fn only_numbered_names_are_networks_of_ours() {
        assert_eq!(network_number("pierhead-12"), Some(12));
        assert_eq!(network_number("pierhead-blog"), None);
        assert_eq!(network_number("bridge"), None);
    }
}
