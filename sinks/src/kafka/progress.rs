//! The record that says how far a sink has come: the last of each transaction.
use crate::Held;
use dataflows::{Position, Time};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A view's topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topic {
    /// The [`definition`](crate::delivery::definition) that its rows were made by.
    pub(super) definition: u64,
    pub(super) name: String,
    pub(super) partitions: i32,
}

/// How far the sink has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Whose rows these are.
    pub(super) pipeline: String,
    pub(super) time: Option<Time>,
    pub(super) positions: Vec<Position>,
    pub(super) views: BTreeMap<Arc<str>, Topic>,
}

impl Progress {
    pub(super) fn held(&self) -> Held {
        let views = self.views.iter().map(|(name, topic)| (name.clone(), topic.definition));
        Held { time: self.time, positions: self.positions.clone(), begun: None, views: views.collect() }
    }

    pub(super) fn write(&self, rows: u64) -> String {
        let views: Map<String, Value> = self
            .views
            .iter()
            .map(|(name, Topic { definition, name: topic, partitions })| {
                let definition = format!("{definition:016x}");
                (
                    name.to_string(),
                    json!({"definition": definition, "topic": topic, "partitions": partitions}),
                )
            })
            .collect();
        let positions: Vec<_> = self.positions.iter().map(|p| json!([p.partition, p.offset])).collect();
        json!({"pipeline": self.pipeline, "time": self.time, "rows": rows, "positions": positions, "views": views}).to_string()
    }

    /// What was written; none where it makes no sense.
    pub(super) fn parse(text: &str) -> Option<Progress> {
        let value: Value = serde_json::from_str(text).ok()?;
        let position = |pair: &Value| {
            let partition = u32::try_from(pair.get(0)?.as_u64()?).ok()?;
            Some(Position { partition, offset: pair.get(1)?.as_u64()? })
        };
        let view = |(name, topic): (&String, &Value)| {
            let definition = u64::from_str_radix(topic["definition"].as_str()?, 16).ok()?;
            let partitions = i32::try_from(topic["partitions"].as_i64()?).ok()?;
            let topic = Topic { definition, name: topic["topic"].as_str()?.to_owned(), partitions };
            Some((Arc::from(name.as_str()), topic))
        };
        Some(Progress {
            pipeline: value["pipeline"].as_str()?.to_owned(),
            time: Some(value["time"].as_u64()?),
            positions: value["positions"].as_array()?.iter().map(position).collect::<Option<_>>()?,
            views: value["views"].as_object()?.iter().map(view).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again_and_nonsense_is_refused() {
        let topic = Topic { definition: u64::MAX - 3, name: "bss.orders".into(), partitions: 3 };
        let progress = Progress {
            pipeline: "p".into(),
            time: Some(1_700_000_000_000),
            positions: vec![Position { partition: 2, offset: 7 }],
            views: BTreeMap::from([("orders".into(), topic)]),
        };
        let text = progress.write(12);
        assert_eq!(Progress::parse(&text), Some(progress));
        for wrong in ["", "{}", "[1]", &text.replace("partitions", "parts"), &text.replace("[2,7]", "[2]")] {
            assert_eq!(Progress::parse(wrong), None, "{wrong}");
        }
    }
}
