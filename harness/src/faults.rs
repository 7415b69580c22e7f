//! Faults that are asked for: the variable `TALLYFLOW_FAIL` names places in the code and what happens to the process there.
//!
//! `pg_commit_after=kill@3,bind_fsync.before=stall` kills the process the third time it comes by the first place, and holds the
//! thread for five seconds the first time it comes by the second. `cut` makes the place fail as a lost connection does. Without the
//! variable a place costs one look at a flag, or at an empty table.
use crate::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The variable.
pub const VARIABLE: &str = "TALLYFLOW_FAIL";

/// The places at which a process can be killed or held, by what they belong to.
pub const PLACES: [(&str, &[&str]); 5] = [
    (
        "engine",
        &[
            "poll.before",
            "poll.after",
            "decode.before",
            "decode.after",
            "bind_write.before",
            "bind_write.after",
            "bind_fsync.before",
            "bind_fsync.after",
            "step.before",
            "step.after",
            "sink_enqueue.before",
            "sink_enqueue.after",
        ],
    ),
    (
        "postgres",
        &[
            "takeover_before",
            "takeover_after",
            "pg_guard_before",
            "pg_guard_after",
            "pg_delete",
            "pg_upsert",
            "pg_commit_before",
            "pg_commit_after",
            "pg_ack",
        ],
    ),
    (
        "redis",
        &[
            "redis_script_before",
            "redis_chunk_before",
            "redis_chunk_after",
            "redis_script_after",
            "redis_ack_before",
            "redis_ack_after",
        ],
    ),
    ("kafka", &["kafka_begin", "kafka_send", "kafka_progress", "kafka_commit"]),
    (
        "snapshot",
        &[
            "snap_part.before",
            "snap_part.after",
            "snap_fsync.before",
            "snap_fsync.after",
            "snap_rename.before",
            "snap_rename.after",
            "snap_manifest.before",
            "snap_manifest.after",
        ],
    ),
];

const STALL: Duration = Duration::from_secs(5);
static ARMED: AtomicBool = AtomicBool::new(false);

/// Arms the places that a text names.
pub fn arm(text: &str) -> Result<(), Error> {
    for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        let refused = |why: &str| Error::Usage(format!("{VARIABLE}: {one:?}: {why}"));
        let (place, act) = one.split_once('=').ok_or_else(|| refused("write PLACE=kill|stall|cut[@N]"))?;
        let (act, visit) = act.split_once('@').unwrap_or((act, "1"));
        let visit: u64 = visit.parse().map_err(|_| refused("after @ stands a number from 1 on"))?;
        let visit = visit.max(1);
        let armed = match act {
            "kill" => at_visit(place, visit, kill),
            "stall" => at_visit(place, visit, || {
                std::thread::sleep(STALL);
            }),
            "cut" if visit > 1 => fail::cfg(place, &format!("{}*off->1*return->off", visit - 1)),
            "cut" => fail::cfg(place, "1*return->off"),
            _ => return Err(refused("what happens is kill, stall or cut")),
        };
        armed.map_err(|why| refused(&why))?;
        ARMED.store(true, Ordering::Release);
    }
    Ok(())
}

fn at_visit(place: &str, visit: u64, act: impl Fn() + Send + Sync + 'static) -> Result<(), String> {
    let (visits, name) = (AtomicU64::new(0), place.to_owned());
    fail::cfg_callback(place, move || {
        if visits.fetch_add(1, Ordering::SeqCst) + 1 == visit {
            report!("tallyflow: fault at {name}");
            act();
        }
    })
}

/// Ends the process as `kill -9` does.
fn kill() {
    // SAFETY: a signal to the process itself; nothing of it runs on.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    loop {
        std::thread::park();
    }
}

/// A step, with a place before and one after it.
pub(crate) fn around<T>(step: &str, act: impl FnOnce() -> T) -> T {
    if !ARMED.load(Ordering::Relaxed) {
        return act();
    }
    fail::fail_point!(&format!("{step}.before"));
    let done = act();
    fail::fail_point!(&format!("{step}.after"));
    done
}
