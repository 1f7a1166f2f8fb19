//! A configuration in the making: defaults, changed by source after source.

use super::{Config, Datapath};

/// Not yet a `Config`, since a later source may turn the datapath on again:
/// its settings are kept meanwhile.
pub(super) struct Draft {
    /// All but the datapath.
    pub config: Config,
    /// The datapath's settings.
    pub datapath: Datapath,
    /// Whether it is on.
    pub enabled: bool,
}

impl Default for Draft {
    fn default() -> Self {
        let mut config = Config::default();
        let datapath = config.datapath.take();
        Self {
            config,
            enabled: datapath.is_some(),
            datapath: datapath.unwrap_or_default(),
        }
    }
}

impl Draft {
    /// The configuration, when all sources are in.
    pub(super) fn finish(self) -> Config {
        Config {
            vlan_in_key: self.datapath.vlan_in_key,
            datapath: self.enabled.then_some(self.datapath),
            ..self.config
        }
    }
}

/// Changes a setting that is given, and leaves it alone otherwise.
pub(super) fn set<T>(slot: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *slot = value;
    }
}
