//! What of ours is on this host, by the addon that it belongs to: so that what belongs to none can be found.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use bollard::query_parameters as query;

use super::networks::containers_on;
use super::spec::is_volume_name;
use super::{Failure, LABEL_INSTANCE, LABEL_MANAGED, LABEL_NAME, Provisioner, file_failure};
use crate::dialect::Name;

/// Something that was made for an addon.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// `container`, `volume` or `secret`.
    pub what: &'static str,
    /// What it is called.
    pub called: String,
    /// Whether destroying the addon of its name would remove it.
    pub goes_with_addon: bool,
}

impl Provisioner {
    /// Every container, volume and secret that was made for an addon, by the addon's name.
    pub async fn objects(&self) -> Result<BTreeMap<Name, Vec<Object>>, Failure> {
        let mut objects = BTreeMap::<Name, Vec<Object>>::new();
        for (name, object) in
            [self.labelled_containers().await?, self.labelled_volumes().await?, self.secret_dirs()?].concat()
        {
            objects.entry(name).or_default().push(object);
        }
        Ok(objects)
    }

    /// Names of the networks that no container hangs on.
    pub async fn unused_networks(&self) -> Result<Vec<String>, Failure> {
        let (mut unused, containers) = (vec![], self.all_containers().await?);
        for network in self.our_networks().await? {
            let id = network.id.unwrap_or_default();
            if containers_on(&containers, &id) == 0 {
                unused.push(network.name.unwrap_or(id));
            }
        }
        Ok(unused)
    }

    async fn labelled_containers(&self) -> Result<Vec<(Name, Object)>, Failure> {
        let filters = self.our_labels();
        let options = query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let docker = self.docker().await?;
        let found =
            docker.list_containers(Some(options)).await.map_err(|error| self.engine.failure(error))?;
        let object = |container: bollard::models::ContainerSummary| {
            let name = container.labels.as_ref()?.get(LABEL_NAME)?.clone();
            let called = container.names.unwrap_or_default().first()?.trim_start_matches('/').to_owned();
            named(&name, Object { what: "container", called, goes_with_addon: true })
        };
        Ok(found.into_iter().filter_map(object).collect())
    }

    async fn labelled_volumes(&self) -> Result<Vec<(Name, Object)>, Failure> {
        let filters = self.our_labels();
        let options = query::ListVolumesOptionsBuilder::default().filters(&filters).build();
        let docker = self.docker().await?;
        let found = docker.list_volumes(Some(options)).await.map_err(|error| self.engine.failure(error))?;
        let object = |volume: bollard::models::Volume| {
            let (name, called) = (volume.labels.get(LABEL_NAME)?.clone(), volume.name);
            let (name, mut object) = named(&name, Object { what: "volume", called, goes_with_addon: true })?;
            object.goes_with_addon = is_volume_name(&object.called, &name);
            Some((name, object))
        };
        Ok(found.volumes.unwrap_or_default().into_iter().filter_map(object).collect())
    }

    fn secret_dirs(&self) -> Result<Vec<(Name, Object)>, Failure> {
        let dir = self.secrets().dir();
        if !dir.try_exists().map_err(file_failure)? {
            return Ok(vec![]);
        }
        let object = |entry: fs::DirEntry| {
            let called = entry.path().display().to_string();
            named(entry.file_name().to_str()?, Object { what: "secret", called, goes_with_addon: true })
        };
        Ok(fs::read_dir(dir).map_err(file_failure)?.flatten().filter_map(object).collect())
    }

    fn our_labels(&self) -> HashMap<&'static str, Vec<String>> {
        let ours = [format!("{LABEL_INSTANCE}={}", self.instance), format!("{LABEL_MANAGED}=true")];
        HashMap::from([("label", ours.to_vec())])
    }
}

/// What is labelled with a name that no addon could have was not made for one.
fn named(name: &str, object: Object) -> Option<(Name, Object)> {
    Name::parse(name).ok().map(|name| (name, object))
}
