//! `Engine`: the handle to the workers, and `Collector`, which puts their shares of an answer together.
mod collect;

pub use collect::{Beside, Collector};

use crate::contain;
use crate::ward::Ward;
use crate::worker::{Command, Local, Report};
use crate::{Delta, Failure, Mode, Plan, Table, Time, View};
use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};

/// What one worker hands over: its share of the changes of views that are complete up to a time.
pub struct Output {
    /// Which worker.
    pub worker: usize,
    /// The last tick this worker was told of.
    pub told: Time,
    /// One for each view whose share moved.
    pub seals: Vec<Seal>,
    /// Why this worker ended before its time: nothing more will come of any.
    pub failure: Option<String>,
}

/// One worker's share of a view's changes.
pub struct Seal {
    /// The view.
    pub view: Arc<View>,
    /// No change before `upper` is still to come from this worker.
    pub upper: Time,
    /// The changes.
    pub changes: Vec<Delta>,
    /// Failures that came or went.
    pub errs: Vec<Failure>,
}

/// The running workers: threads that each keep a share of every view.
pub struct Engine {
    workers: Vec<Handle>,
    /// Commands reach every worker in the order in which this lock was taken.
    order: Mutex<()>,
    thread: JoinHandle<()>,
    /// What the state of one view may take.
    bytes_max: usize,
}

/// What a dataflow holds and takes, at all workers together.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// A table, a view, or an arrangement by its key and plan.
    pub dataflow: String,
    /// Who reads it, of an arrangement.
    pub users: Vec<String>,
    /// Seconds at work; 0 unless counted ([`Engine::count_busy`]).
    pub seconds: f64,
    /// Rows of state.
    pub rows: usize,
    /// Bytes of state, about.
    pub bytes: usize,
}

struct Handle {
    commands: Sender<Command>,
    thread: Thread,
    report: Arc<Mutex<Report>>,
}

/// Commands that may wait at a worker before `tick` blocks.
const COMMANDS_WAITING_MAX: usize = 2;

impl Engine {
    /// Starts `workers` threads. Their outputs go to `output`, for a [`Collector`]. Errors say why no worker could start.
    pub fn start(workers: usize, output: Sender<Output>) -> Result<Engine, String> {
        Engine::start_bounded(workers, output, usize::MAX)
    }

    /// The same, where a view or an arrangement whose state takes more than about `bytes_max` is stopped: it has a failure in place of
    /// its rows, and others go on.
    pub fn start_bounded(workers: usize, output: Sender<Output>, bytes_max: usize) -> Result<Engine, String> {
        let mut config = timely::WorkerConfig::default();
        let merging = differential_dataflow::Config { idle_merge_effort: Some(32) };
        differential_dataflow::configure(&mut config, &merging);
        let communication = timely::CommunicationConfig::Process(workers);
        let config = timely::Config { communication, worker: config };
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| bounded(COMMANDS_WAITING_MAX)).unzip();
        let slots = Mutex::new(receivers.into_iter().map(Some).collect::<Vec<Option<Receiver<Command>>>>());
        let reports: Vec<Arc<Mutex<Report>>> = (0..workers).map(|_| Arc::default()).collect();
        let (ready, threads) = bounded(workers);
        let (theirs, broken) = (reports.clone(), AtomicBool::new(false));
        let guards = timely::execute(config, move |worker| {
            let index = worker.index();
            let commands = slots.lock().unwrap_or_else(|e| e.into_inner())[index].take();
            let commands = commands.expect("each worker starts once");
            _ = ready.send((index, std::thread::current()));
            let run = || {
                let local = Local::new(worker, output.clone(), theirs[index].clone(), bytes_max);
                local.run(&commands, &broken)
            };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                broken.store(true, Ordering::Relaxed);
                let failure = Some(format!("worker {index} failed inside: {}", contain::said(&*panic)));
                _ = output.send(Output { worker: index, told: 0, seals: vec![], failure });
            }
            if broken.load(Ordering::Relaxed) {
                // Its dataflows wait for what a worker left half done: nobody may step them.
                resume_unwind(Box::new("the workers were stopped"));
            }
        });
        let guards = guards.map_err(|e| format!("cannot start {workers} workers: {e}"))?;
        let mut threads: Vec<(usize, Thread)> = threads.iter().take(workers).collect();
        threads.sort_by_key(|(index, _)| *index);
        let workers = senders.into_iter().zip(threads).zip(reports);
        let workers =
            workers.map(|((commands, (_, thread)), report)| Handle { commands, thread, report }).collect();
        // The guards are not Send over a join, so a thread of their own waits for the workers to end.
        let thread = std::thread::Builder::new()
            .name("engine".into())
            // Whether one failed stands in its outputs.
            .spawn(move || guards.join().into_iter().for_each(drop))
            .map_err(|e| format!("cannot start a thread for the workers: {e}"))?;
        Ok(Engine { workers, order: Mutex::new(()), thread, bytes_max })
    }

    /// Whether a plan can be maintained; else which column or function cannot. Ask before `create_view`.
    pub fn check(plan: &Plan) -> Result<(), String> {
        crate::codec::Codec::new(&plan.schema())?;
        crate::render::check(plan)
    }

    /// Whether a table can be kept; else which column cannot. Ask before `create_table`.
    pub fn check_table(table: &Table) -> Result<(), String> {
        crate::codec::Codec::new(&table.input_schema())?;
        match table.mode {
            Mode::Append | Mode::Changes { .. } => Ok(()),
            Mode::Latest { .. } => crate::state::latest::Latest::new(table).map(|_| ()),
        }
    }

    fn tell(&self, mut command: impl FnMut(usize) -> Command) {
        let _order = self.order.lock().unwrap_or_else(|e| e.into_inner());
        for (index, worker) in self.workers.iter().enumerate() {
            // A worker that is gone has stopped the process already.
            _ = worker.commands.send(command(index));
            worker.thread.unpark();
        }
    }

    /// Declares a table. It is empty and follows the next ticks.
    pub fn create_table(&self, table: Arc<Table>) {
        self.tell(|_| Command::CreateTable(table.clone()));
    }

    /// Forgets a table that no view reads.
    pub fn drop_table(&self, name: &str) {
        let name: Arc<str> = name.into();
        self.tell(|_| Command::DropTable(name.clone()));
    }

    /// Begins to maintain a view, as of the last tick: its first output is all its rows at that time.
    pub fn create_view(&self, view: Arc<View>, plan: Arc<Plan>) {
        let ward = Ward::new(format!("view {}", view.name), self.bytes_max);
        self.tell(|_| Command::CreateView(view.clone(), plan.clone(), ward.clone()));
    }

    /// Begins to maintain a new version of a view, while the old one goes on.
    pub fn create_beside(&self, view: Arc<View>, plan: Arc<Plan>) {
        let ward = Ward::new(format!("view {}", view.name), self.bytes_max);
        self.tell(|_| Command::CreateBeside(view.clone(), plan.clone(), ward.clone()));
    }

    /// Ends the old version of a view that no other view reads: the new one has its name from here on.
    pub fn replace_view(&self, name: &str) {
        let name: Arc<str> = name.into();
        self.tell(|_| Command::ReplaceView(name.clone()));
    }

    /// Stops maintaining the new version of a view.
    pub fn drop_beside(&self, name: &str) {
        let name: Arc<str> = name.into();
        self.tell(|_| Command::DropBeside(name.clone()));
    }

    /// Stops maintaining a view that no other view reads.
    pub fn drop_view(&self, name: &str) {
        let name: Arc<str> = name.into();
        self.tell(|_| Command::DropView(name.clone()));
    }

    /// Closes the tick `time` with the given rows (columns as `Table::input_schema`), which count as inserted at `time`. Times strictly
    /// increase. Blocks while the workers are far behind.
    pub fn tick(&self, time: Time, rows: Vec<(Arc<str>, RecordBatch)>) {
        let mut shares = self.shares(time, rows);
        self.tell(|index| Command::Tick(time, std::mem::take(&mut shares[index])));
    }

    /// Splits batches evenly: any worker can take any row, as rows find their worker by key later.
    fn shares(&self, time: Time, rows: Vec<(Arc<str>, RecordBatch)>) -> Vec<Vec<(Arc<str>, RecordBatch)>> {
        let workers = self.workers.len();
        let mut shares = vec![Vec::new(); workers];
        for (i, (table, batch)) in rows.into_iter().enumerate() {
            let n = batch.num_rows();
            if workers == 1 || n < SPLIT_ROWS_MIN {
                shares[(time as usize).wrapping_add(i) % workers].push((table, batch));
                continue;
            }
            for (index, share) in shares.iter_mut().enumerate() {
                let (from, to) = (n * index / workers, n * (index + 1) / workers);
                share.push((table.clone(), batch.slice(from, to - from)));
            }
        }
        shares
    }

    /// The operators of a view's dataflow and the arrangements it shares, as worker 0 rendered them: text for EXPLAIN.
    pub fn describe(&self, view: &str) -> String {
        let report = self.workers[0].report.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let mut text = String::new();
        if let Some(dataflow) = report.dataflows.get(&format!("view {view}")) {
            dataflow.operators.iter().for_each(|o| text += &format!("{o}\n"));
            let mut rest = dataflow.uses.clone();
            let mut shown = std::collections::BTreeSet::new();
            while let Some(fingerprint) = rest.pop() {
                let Some(used) = report.dataflows.get(&fingerprint) else { continue };
                if shown.insert(fingerprint) {
                    text += &format!("\narrangement by {}\n", used.description);
                    text += &format!("  read by: {}\n", used.users.join("; "));
                    used.operators.iter().for_each(|o| text += &format!("  {o}\n"));
                    rest.extend(used.uses.iter().cloned());
                }
            }
        }
        text
    }

    /// Figures for the metrics: name with labels, value.
    pub fn metrics(&self) -> Vec<(String, f64)> {
        let mut figures: BTreeMap<String, f64> = BTreeMap::new();
        for worker in &self.workers {
            let report = worker.report.lock().unwrap_or_else(|e| e.into_inner());
            for dataflow in report.dataflows.values() {
                let label = dataflow.description.replace(['"', '\\', '\n'], " ");
                *figures.entry(format!("tallyflow_state_rows{{dataflow=\"{label}\"}}")).or_default() +=
                    dataflow.state_rows as f64;
            }
            for dataflow in report.dataflows.values().filter(|dataflow| dataflow.state_bytes > 0) {
                let label = dataflow.description.replace(['"', '\\', '\n'], " ");
                // Counted for all workers together.
                figures.insert(
                    format!("tallyflow_state_bytes{{dataflow=\"{label}\"}}"),
                    dataflow.state_bytes as f64,
                );
            }
            for (name, rows) in &report.tap_rows {
                *figures.entry(format!("tallyflow_history_rows{{name=\"{name}\"}}")).or_default() +=
                    *rows as f64;
            }
        }
        figures.into_iter().collect()
    }

    /// Counts from now on for how long the dataflows are at work that are made later. It costs a little at each step of an operator.
    pub fn count_busy(&self) {
        self.tell(|_| Command::Count);
    }

    /// Ends the workers after all that was told them; what their dataflows held and took, by table, view and arrangement.
    pub fn shutdown(self) -> Vec<Cost> {
        self.tell(|_| Command::Shutdown);
        _ = self.thread.join();
        let mut costs: BTreeMap<String, Cost> = BTreeMap::new();
        for worker in &self.workers {
            let report = worker.report.lock().unwrap_or_else(|e| e.into_inner());
            for dataflow in report.dataflows.values() {
                let cost = costs.entry(dataflow.description.clone()).or_default();
                cost.dataflow = dataflow.description.clone();
                cost.users = dataflow.users.clone();
                cost.seconds += dataflow.busy;
                cost.rows += dataflow.state_rows;
                // A view's are counted for all workers together.
                let view = dataflow.description.starts_with("view ");
                cost.bytes = if view { dataflow.state_bytes } else { cost.bytes + dataflow.state_bytes };
            }
        }
        costs.into_values().collect()
    }
}

/// Smaller batches are not worth splitting.
const SPLIT_ROWS_MIN: usize = 512;
