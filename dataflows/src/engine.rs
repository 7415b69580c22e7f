//! `Engine`: the handle to the workers, and `Collector`, which puts their shares of an answer together.
mod cluster;
mod collect;
mod order;

pub use cluster::{Cluster, State, Tell};
pub use collect::{Beside, Collector};
pub use order::{Fed, Order};

use crate::contain;
use crate::worker::{Command, Local, Report};
use crate::{Delta, Failure, Mode, Plan, Table, Time, View};
use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, Sender, bounded};
use differential_dataflow::trace::ExertionLogic;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;
use timely::communication::AllocatorBuilder;

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
    /// Those of this process.
    workers: Vec<Handle>,
    processes: usize,
    /// Tells the other processes.
    others: Option<Tell>,
    state: Arc<State>,
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

impl Handle {
    fn tell(&self, command: Command) {
        // A worker that is gone has stopped the process already.
        _ = self.commands.send(command);
        self.thread.unpark();
    }
}

/// What timely sends by, and what must live as long.
type Built = (Vec<AllocatorBuilder>, Box<dyn std::any::Any + Send>);

/// How often the end of the workers is looked for.
const LOOK: Duration = Duration::from_millis(2);

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
        let built = timely::CommunicationConfig::Process(workers).try_build();
        let built = built.map_err(|e| format!("cannot start {workers} workers: {e}"))?;
        Engine::start_with(built, (workers, 1), output, bytes_max, Arc::default(), None)
    }

    fn start_with(
        (builders, guard): Built,
        (workers, processes): (usize, usize),
        output: Sender<Output>,
        bytes_max: usize,
        state: Arc<State>,
        others: Option<Tell>,
    ) -> Result<Engine, String> {
        let mut config = timely::WorkerConfig::default();
        config.set::<ExertionLogic>("differential/default_exert_logic".into(), Arc::new(merging));
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| bounded(COMMANDS_WAITING_MAX)).unzip();
        let slots = Mutex::new(receivers.into_iter().map(Some).collect::<Vec<Option<Receiver<Command>>>>());
        let reports: Vec<Arc<Mutex<Report>>> = (0..workers).map(|_| Arc::default()).collect();
        let (ready, threads) = bounded(workers);
        let (theirs, shared) = (reports.clone(), state.clone());
        let guards = timely::execute::execute_from(builders, guard, config, move |worker| {
            let (index, broken) = (worker.index(), &shared.broken);
            let place = index % workers;
            let commands = slots.lock().unwrap_or_else(|e| e.into_inner())[place].take();
            let commands = commands.expect("each worker starts once");
            _ = ready.send((place, std::thread::current()));
            let run = || {
                let local = Local::new(worker, output.clone(), theirs[place].clone(), bytes_max);
                local.run(&commands, broken)
            };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                shared.lose();
                let failure = Some(format!("worker {index} failed inside: {}", contain::said(&*panic)));
                _ = output.send(Output { worker: index, told: 0, seals: vec![], failure });
            }
            if shared.is_broken() {
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
        Ok(Engine { workers, processes, others, state, order: Mutex::new(()), thread, bytes_max })
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

    /// Does what was told in another process.
    pub fn obey(&self, order: Order) {
        let _order = self.order.lock().unwrap_or_else(|e| e.into_inner());
        order.tell(&self.workers, self.bytes_max);
    }

    /// Tells all processes.
    fn tell(&self, order: Order) {
        let _order = self.order.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(others) = &self.others {
            (1..self.processes).for_each(|process| others(process, &order));
        }
        order.tell(&self.workers, self.bytes_max);
    }

    /// Takes a text to the other processes, before all that is told after it.
    pub fn note(&self, text: impl FnOnce() -> String) {
        if self.others.is_some() {
            self.tell(Order::Note(text().into()));
        }
    }

    /// Declares a table. It is empty and follows the next ticks.
    pub fn create_table(&self, table: Arc<Table>) {
        self.tell(Order::CreateTable(table));
    }

    /// Forgets a table that no view reads.
    pub fn drop_table(&self, name: &str) {
        self.tell(Order::DropTable(name.into()));
    }

    /// Begins to maintain a view, as of the last tick: its first output is all its rows at that time.
    pub fn create_view(&self, view: Arc<View>, plan: Arc<Plan>) {
        self.tell(Order::CreateView(view, plan));
    }

    /// Begins to maintain a new version of a view, while the old one goes on.
    pub fn create_beside(&self, view: Arc<View>, plan: Arc<Plan>) {
        self.tell(Order::CreateBeside(view, plan));
    }

    /// Ends the old version of a view that no other view reads: the new one has its name from here on.
    pub fn replace_view(&self, name: &str) {
        self.tell(Order::ReplaceView(name.into()));
    }

    /// Stops maintaining the new version of a view.
    pub fn drop_beside(&self, name: &str) {
        self.tell(Order::DropBeside(name.into()));
    }

    /// Stops maintaining a view that no other view reads.
    pub fn drop_view(&self, name: &str) {
        self.tell(Order::DropView(name.into()));
    }

    /// Closes the tick `time` with the given rows (columns as `Table::input_schema`), which count as inserted at `time`. Times strictly
    /// increase. Blocks while the workers are far behind.
    pub fn tick(&self, time: Time, rows: Vec<(Arc<str>, RecordBatch)>) {
        let here = self.workers.len();
        let mut shares = split(here * self.processes, time, rows);
        let rest = shares.split_off(here);
        let _order = self.order.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(others) = &self.others {
            for (process, shares) in rest.chunks(here).enumerate() {
                others(process + 1, &Order::Tick(time, shares.to_vec()));
            }
        }
        Order::Tick(time, shares).tell(&self.workers, self.bytes_max);
    }

    /// The same, where the other processes have rows of their own: those given are for the workers of this process.
    pub fn tick_here(&self, time: Time, rows: Fed) {
        let shares = self.split(time, rows);
        let _order = self.order.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(others) = &self.others {
            (1..self.processes).for_each(|process| others(process, &Order::Tick(time, vec![])));
        }
        Order::Tick(time, shares).tell(&self.workers, self.bytes_max);
    }

    /// Rows of a tick as shares of the workers of this process.
    pub fn split(&self, time: Time, rows: Fed) -> Vec<Fed> {
        split(self.workers.len(), time, rows)
    }

    /// The operators of a view's dataflow and the arrangements it shares, as the first worker of this process rendered them: text for EXPLAIN.
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

    /// Counts from now on for how long the dataflows of this process are at work that are made later. It costs a little at each step
    /// of an operator.
    pub fn count_busy(&self) {
        self.workers.iter().for_each(|worker| worker.tell(Command::Count));
    }

    /// Ends the workers after all that was told them; what the dataflows of this process held and took, by table, view and arrangement.
    /// Where a process is lost they end as they are.
    pub fn shutdown(self) -> Vec<Cost> {
        self.state.stop();
        self.tell(Order::Shutdown);
        let reports: Vec<_> = self.workers.iter().map(|worker| worker.report.clone()).collect();
        self.wait();
        let mut costs: BTreeMap<String, Cost> = BTreeMap::new();
        for report in reports {
            let report = report.lock().unwrap_or_else(|e| e.into_inner());
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

    /// Waits until the workers have ended.
    pub fn wait(self) {
        while self.processes > 1 && !self.thread.is_finished() {
            if self.state.is_broken() {
                // Connections may wait for ever.
                return;
            }
            std::thread::sleep(LOOK);
        }
        _ = self.thread.join();
    }
}

/// Splits batches evenly: any worker can take any row, as rows find their worker by key later.
fn split(workers: usize, time: Time, rows: Fed) -> Vec<Fed> {
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

/// What an idle arrangement does for its merges, as if so many rows had come: it ends those that are under way, and begins those of layers
/// of about one size. Differential's own logic would merge all layers into one after each tick, however few rows that brought.
fn merging(layers: &[(usize, usize, usize)]) -> Option<usize> {
    let mut greater = None;
    for (_, batches, rows) in layers.iter().filter(|(_, _, rows)| *rows > 0) {
        if *batches > 1 || greater.is_some_and(|greater| rows * LAYERS_APART >= greater) {
            return Some(IDLE_MERGE_ROWS);
        }
        greater = Some(*rows);
    }
    None
}

/// How many rows of merges an idle arrangement does at a time.
const IDLE_MERGE_ROWS: usize = 32;
/// By which factor the layers of an arrangement differ at least, once it is idle.
const LAYERS_APART: usize = 2;

/// Smaller batches are not worth splitting.
const SPLIT_ROWS_MIN: usize = 512;
