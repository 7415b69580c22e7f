//! What the user typed for a serving process, in a file and in flags, made into what it means.
use super::wire::Wire;
use super::{DATA_DEFAULT, KafkaFlags, LISTEN_DEFAULT, Serve, TICK_EVENTS_DEFAULT, duration};
use crate::Error;
use crate::cluster::hosts::Hosts;
use crate::outlets::spec::Spec;
use crate::pipeline::Setting;
use queries::wire::access::Access;
use sources::kafka::KafkaConfig;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A serving process, all filled in.
pub(super) struct Settled {
    pub(super) data: PathBuf,
    pub(super) catalogue: Option<String>,
    pub(super) listen: String,
    pub(super) pg: Option<String>,
    pub(super) access: Access,
    pub(super) setting: Setting,
    /// The processes, if there are several.
    pub(super) hosts: Option<Hosts>,
}

/// `[quarantine]` of the file.
#[derive(Debug, Default, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeadLetters {
    /// The topic; `off` for none. Without it that of the log, with `.quarantine` behind it.
    topic: Option<String>,
}

/// The view and the sink by which records that do not count come to a topic.
pub(super) const DEAD_LETTERS: &str = "dead_letters";

impl DeadLetters {
    /// The sink; none where it is off, or where nothing says which topic is meant. What is written must not be read again as events.
    fn sink(&self, kafka: &KafkaConfig) -> Result<Option<Spec>, String> {
        let topic = match self.topic.as_deref() {
            Some("off") => return Ok(None),
            Some(topic) if kafka.reads(topic) => {
                return Err(format!(
                    "topic {topic:?} is one of those that are read: name another, or \"off\""
                ));
            }
            Some(topic) => topic.to_owned(),
            None => {
                let topic = kafka.produce_topic().map(|topic| format!("{topic}.quarantine"));
                match topic.filter(|topic| !kafka.reads(topic)) {
                    Some(topic) => topic,
                    None => return Ok(None),
                }
            }
        };
        let mut options =
            BTreeMap::from([("brokers".to_owned(), kafka.brokers.clone()), ("topic".to_owned(), topic)]);
        let properties = kafka.properties.iter().map(|(key, value)| (format!("kafka.{key}"), value.clone()));
        options.extend(properties);
        Ok(Some(Spec {
            name: DEAD_LETTERS.into(),
            kind: "kafka".into(),
            views: Some(vec![DEAD_LETTERS.into()]),
            options,
        }))
    }
}

impl KafkaFlags {
    /// What the flags say of Kafka, and where they say nothing, the file.
    fn over(self, file: Option<KafkaConfig>) -> Option<KafkaConfig> {
        let said = self.brokers.is_some() || !self.topics.is_empty() || self.produce_topic.is_some();
        if file.is_none() && !said && self.properties.is_empty() {
            return None;
        }
        let mut config = file.unwrap_or_default();
        if let Some(brokers) = self.brokers {
            config.brokers = brokers;
        }
        if !self.topics.is_empty() {
            config.topics = self.topics;
        }
        config.produce_topic = self.produce_topic.or(config.produce_topic);
        config.properties.extend(self.properties);
        Some(config)
    }
}

/// The file's settings, where the flags say nothing.
pub(super) fn merge(flags: Serve, file: Option<&Path>) -> Result<Serve, Error> {
    let Some(path) = file else {
        let kafka = flags.kafka_flags.over(None);
        let postgres_wire = flags.wire_flags;
        let (kafka_flags, wire_flags) = Default::default();
        return Ok(Serve { kafka, kafka_flags, postgres_wire, wire_flags, ..flags });
    };
    let tried = format!("read config {}", path.display());
    let text = std::fs::read_to_string(path).map_err(|why| Error::failed(&tried, why))?;
    let file: Serve =
        toml::from_str(&text).map_err(|why| Error::failed(&tried, why.to_string().trim_end()))?;
    let kafka = flags.kafka_flags.over(file.kafka);
    Ok(Serve {
        data: flags.data.or(file.data),
        catalog: flags.catalog.or(file.catalog),
        listen: flags.listen.or(file.listen),
        pg: flags.pg.or(file.pg),
        postgres_wire: flags.wire_flags.over(file.postgres_wire),
        wire_flags: Wire::default(),
        workers: flags.workers.or(file.workers),
        tick_events: flags.tick_events.or(file.tick_events),
        partitions: flags.partitions.or(file.partitions),
        log_keep: flags.log_keep.or(file.log_keep),
        skew: flags.skew.or(file.skew),
        kafka,
        kafka_flags: KafkaFlags::default(),
        sink: file.sink,
        quarantine: file.quarantine,
        snapshot_every: flags.snapshot_every.or(file.snapshot_every),
        snapshots_kept: flags.snapshots_kept.or(file.snapshots_kept),
    })
}

/// With defaults where nothing was said, `workers_default` threads among them.
pub(super) fn settle(serve: Serve, workers_default: usize) -> Result<Settled, Error> {
    let refused = |name: &str, why: &str| Error::Usage(format!("cannot use {name}: {why}"));
    let tick_events = serve.tick_events.map_or(TICK_EVENTS_DEFAULT, |events| events as usize);
    if tick_events == 0 {
        return Err(refused("tick_events = 0", "a tick has one event at least"));
    }
    if serve.workers == Some(0) {
        return Err(refused("workers = 0", "there is one at least"));
    }
    let mut setting = Setting::serve(serve.workers.map_or(workers_default, usize::from), tick_events);
    if serve.partitions == Some(0) {
        return Err(refused("partitions = 0", "there is one at least"));
    }
    setting.partitions = serve.partitions.map_or(setting.partitions, u32::from);
    if let Some(skew) = &serve.skew {
        setting.skew_ms = duration(skew).map_err(|why| refused("skew", &why))?.as_millis() as u64;
    }
    setting.kafka = serve.kafka_flags.over(serve.kafka);
    if let Some(kafka) = &setting.kafka {
        kafka.check().map_err(|why| refused("kafka", &why))?;
    }
    let mut sinks = serve.sink.iter().map(Spec::from_table).collect::<Result<Vec<_>, _>>()?;
    if let Some(kafka) = &setting.kafka {
        sinks.extend(serve.quarantine.sink(kafka).map_err(|why| refused("quarantine", &why))?);
    }
    setting.sinks = Some(sinks);
    match serve.snapshot_every.as_deref() {
        None => {}
        Some("off") => setting.snapshots.every = None,
        Some(every) => {
            let every = duration(every).map_err(|why| refused("snapshot_every", &why))?;
            if every.is_zero() {
                return Err(refused("snapshot_every", "snapshots are some time apart, such as 5m, or off"));
            }
            setting.snapshots.every = Some(every);
        }
    }
    if serve.snapshots_kept == Some(0) {
        return Err(refused(
            "snapshots_kept = 0",
            "one is kept at least; snapshot_every = \"off\" writes none",
        ));
    }
    setting.snapshots.kept = serve.snapshots_kept.map_or(setting.snapshots.kept, usize::from);
    if let Some(keep) = serve.log_keep.as_deref().filter(|keep| *keep != "off") {
        setting.log_keep = Some(duration(keep).map_err(|why| refused("log_keep", &why))?);
        if setting.snapshots.every.is_none() {
            return Err(refused("log_keep", "only what snapshots hold may go, and snapshot_every is off"));
        }
    }
    let listen = serve.listen.unwrap_or_else(|| LISTEN_DEFAULT.to_owned());
    let data = serve.data.unwrap_or_else(|| DATA_DEFAULT.into());
    let access = serve.wire_flags.over(serve.postgres_wire).access()?;
    Ok(Settled { data, catalogue: serve.catalog, listen, pg: serve.pg, access, setting, hosts: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_have_an_interval_or_are_off() {
        let settled = |every: &str, kept| {
            let serve =
                Serve { snapshot_every: Some(every.into()), snapshots_kept: kept, ..Serve::default() };
            settle(serve, 1).map(|settled| (settled.setting.snapshots.every, settled.setting.snapshots.kept))
        };
        assert_eq!(settled("90s", Some(7)).unwrap(), (Some(std::time::Duration::from_secs(90)), 7));
        assert_eq!(settled("off", None).unwrap(), (None, 3));
        let keep = |keep: &str, every: &str| {
            let every = Some(every.to_owned());
            let serve = Serve { log_keep: Some(keep.into()), snapshot_every: every, ..Serve::default() };
            settle(serve, 1).map(|settled| settled.setting.log_keep)
        };
        assert_eq!(keep("90s", "5m").unwrap(), Some(std::time::Duration::from_secs(90)));
        assert_eq!(keep("off", "off").unwrap(), None);
        assert!(keep("90s", "off").unwrap_err().to_string().contains("snapshot_every is off"));
        for (every, kept) in [("never", None), ("0s", None), ("5m", Some(0))] {
            assert!(settled(every, kept).is_err(), "{every}");
        }
    }

    #[test]
    fn dead_letters_go_to_a_topic_that_is_not_read() {
        let sinks = |topics: &[&str], topic: Option<&str>| {
            let topics = topics.iter().map(|topic| topic.to_string()).collect();
            let kafka = Some(KafkaConfig { brokers: "b:1".into(), topics, ..KafkaConfig::default() });
            let quarantine = DeadLetters { topic: topic.map(str::to_owned) };
            let settled = settle(Serve { kafka, quarantine, ..Serve::default() }, 1)?;
            let sinks = settled.setting.sinks.unwrap_or_default();
            Ok::<_, Error>(sinks.first().map(|sink| sink.options["topic"].clone()))
        };
        assert_eq!(sinks(&["a", "b"], None).unwrap().as_deref(), Some("a.quarantine"));
        assert_eq!(sinks(&["a"], Some("dead")).unwrap().as_deref(), Some("dead"));
        for (topics, topic) in
            [(&["a"][..], Some("off")), (&["^a.*"][..], None), (&["a", "^a[.].*"][..], None)]
        {
            assert_eq!(sinks(topics, topic).unwrap(), None);
        }
        assert!(sinks(&["^a.*"], Some("ab")).unwrap_err().to_string().contains("those that are read"));
    }

    #[test]
    fn flags_win_over_the_file_and_unknown_keys_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tallyflow.toml");
        std::fs::write(&path, "workers = 3\nlisten = \"127.0.0.1:1\"\nskew = \"5s\"\n").unwrap();
        let flags = Serve { listen: Some("127.0.0.1:2".into()), ..Serve::default() };
        let settled = settle(merge(flags, Some(&path)).unwrap(), 1).unwrap();
        assert_eq!((settled.listen.as_str(), settled.setting.workers), ("127.0.0.1:2", 3));
        assert_eq!(settled.setting.skew_ms, 5_000);
        let kafka = "[kafka]\nbrokers = \"a:1\"\ntopics = [\"t\"]\n[kafka.properties]\n\"security.protocol\" = \"SSL\"\n";
        std::fs::write(&path, kafka).unwrap();
        let kafka_flags = KafkaFlags { brokers: Some("b:2".into()), ..KafkaFlags::default() };
        let settled =
            settle(merge(Serve { kafka_flags, ..Serve::default() }, Some(&path)).unwrap(), 1).unwrap();
        let kafka = settled.setting.kafka.unwrap();
        assert_eq!((kafka.brokers.as_str(), kafka.topics), ("b:2", vec!["t".to_owned()]));
        assert_eq!(kafka.properties["security.protocol"], "SSL");
        std::fs::write(&path, "worker = 3\n").unwrap();
        let why = merge(Serve::default(), Some(&path)).unwrap_err().to_string();
        assert!(why.contains("unknown field `worker`") && why.contains("tallyflow.toml"), "{why}");
    }
}
