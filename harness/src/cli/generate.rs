//! `tallyflow generate`: the events of a business, as a file that `replay` takes.
use super::Generate;
use crate::Error;
use sources::generate::{Business, BusinessConfig, Shares};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Instant;

pub(super) fn run(args: &Generate) -> Result<(), Error> {
    let tried = format!("write {}", args.out.display());
    let (from_ms, until_ms) = (day(&args.from)?, day(&args.to)?);
    if from_ms >= until_ms {
        return Err(Error::failed("generate", format!("{} is not before {}", args.from, args.to)));
    }
    if !(args.sf > 0.0 && args.sf.is_finite()) {
        return Err(Error::failed("generate", "the scale factor must be above 0"));
    }
    let shares = if args.plain {
        Shares { late: 0.0, duplicate: 0.0, corrected: 0.0, malformed: 0.0 }
    } else {
        Shares::default()
    };
    let start = Instant::now();
    let config = BusinessConfig { seed: args.seed, from_ms, until_ms, scale: args.sf, shares };
    let file = File::create(&args.out).map_err(|why| Error::failed(&tried, why))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut business = Business::new(config);
    let (mut event, mut events, mut bytes) = (Vec::with_capacity(2_048), 0u64, 0u64);
    while business.next_into(&mut event).is_some() {
        // A broken event may hold anything but the end of its line.
        event.push(b'\n');
        out.write_all(&event).map_err(|why| Error::failed(&tried, why))?;
        events += 1;
        bytes += event.len() as u64;
    }
    out.flush().map_err(|why| Error::failed(&tried, why))?;
    let seconds = start.elapsed().as_secs_f64();
    tell!("{events} events, {bytes} bytes in {seconds:.1} s: {}", args.out.display());
    Ok(())
}

/// Midnight of a day, in milliseconds since 1970.
fn day(text: &str) -> Result<u64, Error> {
    let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map_err(|why| Error::failed("generate", format!("{text:?} is no day like 2026-01-31: {why}")))?;
    let ms = day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
    u64::try_from(ms)
        .ok()
        .filter(|ms| *ms > 366 * 86_400_000)
        .ok_or_else(|| Error::failed("generate", format!("{text} is too early: write a day after 1971")))
}
