//! `tallyflow accept-gap`: what Kafka deleted although it was needed is accepted as lost, by somebody who says so.
use super::DATA_DEFAULT;
use crate::data::{self, Data};
use crate::{Error, feed, outlets, snapshot};
use clap::Args;
use sources::kafka::{Gap, Kafka};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(super) struct AcceptGap {
    /// Where data is kept; no process may run on it.
    #[arg(long, value_name = "DIR", default_value = DATA_DEFAULT)]
    data: PathBuf,
    /// Accepts what is printed; without it nothing is changed.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &AcceptGap) -> Result<(), Error> {
    let data = Data::open(&args.data, None)?;
    let lost = losses(&data)?;
    if lost.is_empty() {
        tell!("nothing that is needed is lost");
        return Ok(());
    }
    lost.iter().for_each(|gap| tell!("{gap} are needed and were deleted by the brokers"));
    if !args.yes {
        return Err(Error::Failed(
            "nothing was changed: with --yes the process goes on without them, and its views are not what all events would give".into(),
        ));
    }
    accept(&data, lost)?;
    tell!("accepted: the next start goes on without them, and fills each store anew");
    Ok(())
}

/// What the next start needs of Kafka and does not find.
pub fn losses(data: &Data) -> Result<Vec<Gap>, Error> {
    let config = feed::known(data.path())?.ok_or_else(|| {
        Error::failed(
            "look for gaps",
            "the log of this data is the embedded one, of which nothing is deleted",
        )
    })?;
    let failed = |why| Error::failed("look for gaps in Kafka", why);
    let kafka = Kafka::open_read_only(config, &data::kafka_partitions_path(data.path())).map_err(failed)?;
    kafka.losses(&snapshot::start::covered(data)).map_err(failed)
}

/// Accepts losses. What the stores hold was made with them, so the stores are made to begin anew first.
pub fn accept(data: &Data, mut lost: Vec<Gap>) -> Result<(), Error> {
    let now = chrono::Utc::now().timestamp_millis().max(0) as u64;
    lost.iter_mut().for_each(|gap| gap.accepted_ms = now);
    outlets::forget_identity(data.path())?;
    Kafka::accept(&data::kafka_partitions_path(data.path()), &lost)
        .map_err(|why| Error::failed("accept a gap", why))
}
