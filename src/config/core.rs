//! The cores of the edge: `[core]` holds the defaults, `[[core.on]]` what differs on single CPUs.
//!
//! TOML does not allow a table and an array of tables under one key, so the overrides have a key of their own
//! inside the table; `[[core]]` alone is understood too: an entry without `cpu` then sets the defaults.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::units::Size;
use crate::edge::relay::RelayMode;

/// How one core of the edge works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreConfig {
    /// Submission entries of the relay's ring; the completion queue has four times as many.
    pub ring_entries: u32,
    /// Receive buffers of the copy lane, shared by all connections of the core. A power of two.
    pub buffers: u16,
    /// Size of one buffer.
    pub buffer_size: Size,
    /// Which lane the bytes take.
    pub relay: RelayMode,
    /// Pipes that streaming connections may hold at once; beyond that they copy.
    pub pipes_max: u32,
    /// Size of one pipe.
    pub pipe_size: Size,
    /// Bytes that one connection may move before the others have their turn.
    pub turn_budget: Size,
    /// How long the core polls for completions before it sleeps, in microseconds; 0 never polls.
    pub spin_us: u32,
    /// Connections that the kernel may hold before the core accepts them.
    pub backlog: u32,
    /// Connections that the core may relay at once.
    pub connections_max: u32,
    /// Whether the thread stays on its CPU.
    pub pin: bool,
    /// Whether the thread, when it wakes, waits for its turn on the CPU (SCHED_BATCH).
    pub batch: bool,
}

impl Default for CoreConfig {
    fn default() -> Self {
        CoreConfig {
            ring_entries: 1024,
            buffers: 1024,
            buffer_size: Size::from_bytes(16 * 1024),
            relay: RelayMode::Auto,
            pipes_max: 1024,
            pipe_size: Size::from_bytes(256 * 1024),
            turn_budget: Size::from_bytes(512 * 1024),
            spin_us: 50,
            backlog: 4096,
            connections_max: 100_000,
            pin: true,
            batch: true,
        }
    }
}

/// The cores of the edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cores {
    cpus: Option<Vec<usize>>,
    default: CoreConfig,
    overrides: Vec<(usize, Settings)>,
}

impl Cores {
    /// One entry for each core to run: its CPU and its settings. `available` are the CPUs that the process
    /// may run on; a configured CPU that is not among them is an error.
    pub fn resolve(&self, available: &[usize]) -> Result<Vec<(usize, CoreConfig)>, String> {
        let cpus = self.cpus.as_deref().unwrap_or(available);
        let named = cpus.iter().chain(self.overrides.iter().map(|(cpu, _)| cpu));
        for cpu in named {
            if !available.contains(cpu) {
                return Err(format!("[core] names CPU {cpu}, this process may run on {available:?}"));
            }
        }
        Ok(cpus.iter().map(|cpu| (*cpu, self.on(*cpu))).collect())
    }

    fn on(&self, cpu: usize) -> CoreConfig {
        let mut config = self.default.clone();
        for (_, settings) in self.overrides.iter().filter(|(on, _)| *on == cpu) {
            settings.apply(&mut config);
        }
        config
    }
}

/// One table as it is written: everything may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    cpu: Option<usize>,
    cpus: Option<Vec<usize>>,
    #[serde(default)]
    on: Vec<Settings>,
    #[serde(default, deserialize_with = "ring_entries")]
    ring_entries: Option<u32>,
    #[serde(default, deserialize_with = "buffers")]
    buffers: Option<u16>,
    #[serde(default, deserialize_with = "buffer_size")]
    buffer_size: Option<Size>,
    relay: Option<RelayMode>,
    #[serde(default, deserialize_with = "pipes_max")]
    pipes_max: Option<u32>,
    #[serde(default, deserialize_with = "pipe_size")]
    pipe_size: Option<Size>,
    #[serde(default, deserialize_with = "turn_budget")]
    turn_budget: Option<Size>,
    #[serde(default, deserialize_with = "spin_us")]
    spin_us: Option<u32>,
    #[serde(default, deserialize_with = "backlog")]
    backlog: Option<u32>,
    #[serde(default, deserialize_with = "connections_max")]
    connections_max: Option<u32>,
    pin: Option<bool>,
    batch: Option<bool>,
}

impl Settings {
    fn apply(&self, config: &mut CoreConfig) {
        fn set<T: Copy>(value: Option<T>, place: &mut T) {
            if let Some(value) = value {
                *place = value;
            }
        }
        set(self.ring_entries, &mut config.ring_entries);
        set(self.buffers, &mut config.buffers);
        set(self.buffer_size, &mut config.buffer_size);
        set(self.relay, &mut config.relay);
        set(self.pipes_max, &mut config.pipes_max);
        set(self.pipe_size, &mut config.pipe_size);
        set(self.turn_budget, &mut config.turn_budget);
        set(self.spin_us, &mut config.spin_us);
        set(self.backlog, &mut config.backlog);
        set(self.connections_max, &mut config.connections_max);
        set(self.pin, &mut config.pin);
        set(self.batch, &mut config.batch);
    }
}

impl<'de> Deserialize<'de> for Cores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CoresVisitor)
    }
}

struct CoresVisitor;

impl<'de> Visitor<'de> for CoresVisitor {
    type Value = Cores;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a [core] table, or [[core]] tables")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Cores, A::Error> {
        let defaults = Settings::deserialize(de::value::MapAccessDeserializer::new(map))?;
        if defaults.cpu.is_some() {
            return Err(de::Error::custom(
                "`cpu` in [core], expected in [[core.on]] (or use [[core]] throughout)",
            ));
        }
        collect(defaults.on.clone(), Some(defaults))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Cores, A::Error> {
        let mut overrides = Vec::new();
        let mut defaults = None;
        while let Some(settings) = seq.next_element::<Settings>()? {
            if settings.cpu.is_some() {
                overrides.push(settings);
            } else if defaults.replace(settings).is_some() {
                return Err(de::Error::custom("two [[core]] tables without `cpu`, expected one at most"));
            }
        }
        collect(overrides, defaults)
    }
}

fn collect<E: de::Error>(overrides: Vec<Settings>, defaults: Option<Settings>) -> Result<Cores, E> {
    let defaults = defaults.unwrap_or_default();
    let mut cores = Cores { cpus: defaults.cpus.clone(), ..Cores::default() };
    defaults.apply(&mut cores.default);
    for settings in overrides {
        let cpu = settings.cpu.ok_or_else(|| de::Error::missing_field("cpu"))?;
        if settings.cpus.is_some() || !settings.on.is_empty() {
            return Err(de::Error::custom("`cpus` and `on` belong to the defaults, not to a single CPU"));
        }
        cores.overrides.push((cpu, settings));
    }
    Ok(cores)
}

fn ring_entries<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    checked(d, "a power of two from 64 to 32768", |n: &u32| n.is_power_of_two() && (64..=32768).contains(n))
}

fn buffers<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u16>, D::Error> {
    checked(d, "a power of two from 16 to 32768", |n: &u16| n.is_power_of_two() && (16..=32768).contains(n))
}

fn spin_us<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    checked(d, "0 to 1000 microseconds", |n: &u32| *n <= 1000)
}

fn backlog<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    checked(d, "1 to 65535", |n: &u32| (1..=65535).contains(n))
}

fn connections_max<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    checked(d, "1 to 1000000", |n: &u32| (1..=1_000_000).contains(n))
}

fn pipes_max<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    checked(d, "0 to 1000000", |n: &u32| *n <= 1_000_000)
}

fn buffer_size<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Size>, D::Error> {
    size_between(d, Size::from_bytes(1 << 10), Size::from_mib(1), "1KiB to 1MiB")
}

fn pipe_size<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Size>, D::Error> {
    size_between(d, Size::from_bytes(4 << 10), Size::from_mib(1), "4KiB to 1MiB")
}

fn turn_budget<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Size>, D::Error> {
    size_between(d, Size::from_bytes(16 << 10), Size::from_mib(64), "16KiB to 64MiB")
}

fn size_between<'de, D: Deserializer<'de>>(
    deserializer: D,
    min: Size,
    max: Size,
    expected: &str,
) -> Result<Option<Size>, D::Error> {
    let size = Size::deserialize(deserializer)?;
    if (min..=max).contains(&size) {
        return Ok(Some(size));
    }
    Err(de::Error::custom(format!("invalid value: {} bytes, expected {expected}", size.bytes())))
}

fn checked<'de, D, T>(
    deserializer: D,
    expected: &str,
    good: impl Fn(&T) -> bool,
) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + fmt::Display,
{
    let value = T::deserialize(deserializer)?;
    if good(&value) {
        return Ok(Some(value));
    }
    Err(de::Error::custom(format!("invalid value: {value}, expected {expected}")))
}
