//! What the clients saw: each class counted by itself, and what of it falls short.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// All classes together are to send this many requests per second.
const RATE: f64 = 500.0;
/// Under this share of it the run was not under the load that it speaks of.
const LEAST: f64 = 0.95;
/// Classes that are open for long and told to reconnect when the drain is over.
const STREAMS: [&str; 2] = ["sse", "websocket"];
/// The classes in the order of the table.
const CLASSES: [&str; 7] =
    ["keep-alive", "closing", "post", "http2", "download", "sse", "websocket"];

/// One class's figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) requests: u64,
    pub(super) failed: u64,
    /// Events or messages of a stream.
    pub(super) items: u64,
    /// How often it was told to reconnect.
    pub(super) told: u64,
    again: u64,
    kinds: BTreeMap<String, u64>,
}

/// A request that found no good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) class: String,
    pub(super) what: String,
    /// When it began and ended, in milliseconds of the wall clock.
    pub(super) began_ms: u64,
    pub(super) ended_ms: u64,
}

/// What all clients saw until a moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) seconds: f64,
    pub(super) classes: BTreeMap<String, Class>,
    pub(super) failures: Vec<Failure>,
}

impl Class {
    /// Returns the kinds of its failures as text.
    fn kinds(&self) -> String {
        let kinds = self.kinds.iter().map(|(kind, count)| format!("{count} {kind}"));
        kinds.collect::<Vec<_>>().join(", ")
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.items += other.items;
        self.told += other.told;
        self.again += other.again;
        for (kind, count) in &other.kinds {
            *self.kinds.entry(kind.clone()).or_default() += count;
        }
    }
}

impl Seen {
    /// Takes in what other clients saw in the same time.
    pub(super) fn add(&mut self, other: Self) {
        self.seconds = self.seconds.max(other.seconds);
        for (name, class) in &other.classes {
            self.classes.entry(name.clone()).or_default().add(class);
        }
        self.failures.extend(other.failures);
    }

    /// Reads a line of the clients; `None` where a figure is missing.
    pub(super) fn read(line: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(line).context("the clients said no JSON")?;
        Self::of(&value).with_context(|| format!("the clients' figures lack something: {line}"))
    }

    fn of(value: &Value) -> Option<Self> {
        let mut classes = BTreeMap::new();
        let mut failures = Vec::new();
        for name in CLASSES {
            let found = &value["classes"][name];
            let class = Class {
                requests: found["requests"].as_u64()?,
                failed: found["failed"].as_u64()?,
                items: found["items"].as_u64()?,
                told: found["told"].as_u64()?,
                again: found["again"].as_u64()?,
                kinds: kinds(&found["kinds"])?,
            };
            classes.insert(name.to_owned(), class);
            for failure in value["failures"][name].as_array()? {
                let (kind, detail) = (failure["kind"].as_str()?, failure["detail"].as_str()?);
                failures.push(Failure {
                    class: name.to_owned(),
                    what: format!("{kind}: {detail}"),
                    began_ms: failure["began_ms"].as_u64()?,
                    ended_ms: failure["ended_ms"].as_u64()?,
                });
            }
        }
        Some(Self { seconds: value["seconds"].as_f64()?, classes, failures })
    }

    /// Returns how many requests were sent, streams counted by their openings.
    pub(super) fn requests(&self) -> u64 {
        self.classes.values().map(|class| class.requests).sum()
    }

    /// Returns how many of them failed.
    pub(super) fn failed(&self) -> u64 {
        self.classes.values().map(|class| class.failed).sum()
    }

    /// Returns requests per second, without the streams' openings.
    fn rate(&self) -> f64 {
        let short = self.classes.iter().filter(|(name, _)| !STREAMS.contains(&name.as_str()));
        short.map(|(_, class)| class.requests as f64).sum::<f64>() / self.seconds.max(0.001)
    }

    /// Returns the table, a class a line.
    pub(super) fn table(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "  {:<12}{:>9}{:>8}{:>10}{:>7}{:>7}  kinds",
            "class", "requests", "failed", "items", "told", "again"
        )];
        for name in CLASSES {
            let Some(class) = self.classes.get(name) else { continue };
            lines.push(format!(
                "  {name:<12}{:>9}{:>8}{:>10}{:>7}{:>7}  {}",
                class.requests,
                class.failed,
                class.items,
                class.told,
                class.again,
                class.kinds()
            ));
        }
        lines
    }

    /// Returns the figures as JSON.
    pub(super) fn json(&self) -> Value {
        let class = |class: &Class| {
            json!({
                "requests": class.requests, "failed": class.failed, "items": class.items,
                "told": class.told, "again": class.again, "kinds": class.kinds(),
            })
        };
        let classes: serde_json::Map<String, Value> =
            self.classes.iter().map(|(name, found)| (name.clone(), class(found))).collect();
        json!({
            "requests": self.requests(), "failed": self.failed(),
            "seconds": self.seconds, "per_second": self.rate(), "classes": classes,
        })
    }

    /// Returns what falls short where nothing may fail and every stream was to be told.
    pub(super) fn lacks(&self, part: &str) -> Vec<String> {
        let mut lacks = self.load_lacks(part);
        for (name, class) in &self.classes {
            if class.failed > 0 {
                let (failed, all, kinds) = (class.failed, class.requests, class.kinds());
                lacks.push(format!("{part}: {failed} of {all} {name} requests failed: {kinds}"));
            }
            if STREAMS.contains(&name.as_str()) && class.told == 0 {
                lacks.push(format!("{part}: no {name} stream was told to reconnect"));
            }
        }
        for failure in self.failures.iter().take(10) {
            let Failure { class, what, began_ms, ended_ms } = failure;
            lacks.push(format!("{part}: {class} from {began_ms} to {ended_ms}: {what}"));
        }
        lacks
    }

    /// Returns what falls short of the load itself: a class that sent nothing, too few requests.
    pub(super) fn load_lacks(&self, part: &str) -> Vec<String> {
        let mut lacks = Vec::new();
        for (name, class) in &self.classes {
            if class.requests + class.items == 0 {
                lacks.push(format!("{part}: no {name} client was there"));
            }
        }
        let rate = self.rate();
        if rate < RATE * LEAST {
            lacks.push(format!("{part}: {rate:.0} requests per second; {RATE} were due"));
        }
        lacks
    }
}

fn kinds(value: &Value) -> Option<BTreeMap<String, u64>> {
    let kinds = value.as_object()?.iter();
    kinds.map(|(kind, count)| Some((kind.clone(), count.as_u64()?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{CLASSES, Seen};

    /// A minute of clients, all well.
    fn well() -> Value {
        let class = |requests: u64, told: u64| {
            json!({"requests": requests, "failed": 0, "items": 9, "told": told, "again": 0,
                   "kinds": {}})
        };
        let mut said = json!({"seconds": 60.0, "classes": {}, "failures": {}});
        for name in CLASSES {
            said["classes"][name] = class(6000, 3);
            said["failures"][name] = json!([]);
        }
        said
    }

    fn lacks(said: &Value) -> Vec<String> {
        Seen::read(&said.to_string()).expect("all figures").lacks("x")
    }

    #[test]
    fn one_failure_of_one_class_falls_short_and_is_told_with_its_kind() {
        assert_eq!(lacks(&well()), Vec::<String>::new());
        let mut said = well();
        said["classes"]["post"]["failed"] = json!(1);
        said["classes"]["post"]["kinds"] = json!({"status 502": 1});
        said["failures"]["post"] =
            json!([{"kind": "status 502", "detail": "late", "began_ms": 1, "ended_ms": 2}]);
        let found = lacks(&said);
        assert_eq!(found[0], "x: 1 of 6000 post requests failed: 1 status 502");
        assert_eq!(found[1], "x: post from 1 to 2: status 502: late");
    }

    #[test]
    fn two_halves_of_the_load_are_one() {
        let mut said = well();
        said["classes"]["post"]["failed"] = json!(1);
        said["classes"]["post"]["kinds"] = json!({"status 502": 1});
        let mut seen = Seen::read(&said.to_string()).expect("all figures");
        said["seconds"] = json!(61.0);
        seen.add(Seen::read(&said.to_string()).expect("all figures"));
        assert_eq!((seen.seconds, seen.requests(), seen.failed()), (61.0, 2 * 7 * 6000, 2));
        assert_eq!(seen.classes["post"].kinds(), "2 status 502");
        assert_eq!(seen.classes["sse"].told, 6);
    }

    #[test]
    fn a_run_without_its_load_or_without_a_word_to_its_streams_shows_nothing() {
        let mut said = well();
        said["seconds"] = json!(70.0);
        assert!(lacks(&said)[0].contains("429 requests per second"), "{:?}", lacks(&said));
        let mut said = well();
        said["classes"]["websocket"]["told"] = json!(0);
        assert_eq!(lacks(&said), ["x: no websocket stream was told to reconnect"]);
        let mut said = well();
        said["classes"]["sse"] = Value::Null;
        assert!(Seen::read(&said.to_string()).is_err(), "a class that is missing is no zero");
    }
}
