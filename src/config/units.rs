//! Values with units: `10s`, `64KiB`, `0660`.

use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// A duration, written `250ms`, `10s`, `5m`, `1h` or `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(u64);

impl Millis {
    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Millis(secs * 1000)
    }

    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Millis(millis)
    }

    /// As the standard library's type.
    pub const fn get(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// A size in bytes, written `16KiB`, `512MiB` or `2GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Size(bytes)
    }

    /// So many MiB.
    pub const fn from_mib(mib: u64) -> Self {
        Size(mib << 20)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const UNITS: &[(&str, u64)] =
            &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        let expected = "a duration with its unit, such as \"250ms\", \"10s\", \"5m\", \"1h\" or \"7d\"";
        deserializer.deserialize_any(WithUnit { units: UNITS, expected }).map(Millis)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const UNITS: &[(&str, u64)] = &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];
        let expected = "a size with its unit, such as \"16KiB\", \"512MiB\" or \"2GiB\"";
        deserializer.deserialize_any(WithUnit { units: UNITS, expected }).map(Size)
    }
}

struct WithUnit {
    units: &'static [(&'static str, u64)],
    expected: &'static str,
}

impl Visitor<'_> for WithUnit {
    type Value = u64;

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        let wrong = || E::invalid_value(de::Unexpected::Str(text), &self);
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let unit = text[digits..].trim_start();
        let (_, factor) = self.units.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        number.checked_mul(*factor).ok_or_else(wrong)
    }
}

/// Permission bits, written as text in octal: `"0660"`.
pub(super) fn octal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777).ok_or_else(|| {
        de::Error::invalid_value(de::Unexpected::Str(&text), &"octal permissions such as \"0660\"")
    })
}

/// Containers on one bridge, which has 1,023 ports, one of them the host's.
pub(super) fn bridge_ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let value = u32::deserialize(deserializer)?;
    if (1..=1022).contains(&value) {
        return Ok(value);
    }
    Err(de::Error::invalid_value(
        de::Unexpected::Unsigned(value.into()),
        &"a number of containers from 1 to 1022",
    ))
}

/// A number of CPUs: Docker takes no less than a hundredth of one.
pub(super) fn cpus<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if (0.01..=1024.0).contains(&value) {
        return Ok(value);
    }
    Err(de::Error::invalid_value(de::Unexpected::Float(value), &"a number of CPUs from 0.01 to 1024"))
}
