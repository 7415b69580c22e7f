//! One worker: it takes commands in the order all workers take them, renders, feeds, steps, and hands complete changes over.
mod busy;
mod replace;

use crate::codec::Codec;
use crate::engine::{Output, Seal};
use crate::plan::{CLOCK, Plan, clock_schema};
use crate::render::{Arrangement, Index, Renderer, Shared, UPDATE_BYTES, publish};
use crate::table::{Mode, Table};
use crate::tap::Tap;
use crate::ward::{Share, Ward};
use crate::{Delta, Time, View};
use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::Int64Type;
use crossbeam_channel::{Receiver, Sender, TryRecvError};
use differential_dataflow::trace::TraceReader;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use timely::progress::Antichain;
use timely::worker::Worker;

/// What every worker is told, in one order.
pub(crate) enum Command {
    CreateTable(Arc<Table>),
    DropTable(Arc<str>),
    /// The ward counts for all workers together.
    CreateView(Arc<View>, Arc<Plan>, Arc<Ward>),
    DropView(Arc<str>),
    /// The same three for the new version of a view, which has another name among the dataflows until it takes the old one's place.
    CreateBeside(Arc<View>, Arc<Plan>, Arc<Ward>),
    ReplaceView(Arc<str>),
    DropBeside(Arc<str>),
    /// This worker's share of the rows of a tick, and its end.
    Tick(Time, Vec<(Arc<str>, RecordBatch)>),
    /// Count for how long each dataflow is at work.
    Count,
    Shutdown,
}

/// What a worker holds, for metrics and EXPLAIN.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// By view or arrangement: rows of state, operators, arrangements read.
    pub dataflows: BTreeMap<String, DataflowReport>,
    /// Rows remembered for each table and view.
    pub tap_rows: BTreeMap<Arc<str>, usize>,
}

/// What one dataflow holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct DataflowReport {
    pub description: String,
    pub operators: Vec<String>,
    pub state_rows: usize,
    /// What it holds, about.
    pub state_bytes: usize,
    pub uses: Vec<String>,
    pub users: Vec<String>,
    /// Seconds at work, if that is counted.
    pub busy: f64,
}

struct TableState {
    table: Arc<Table>,
    /// Where rows are fed: the table's own tap, or the raw rows of its dataflow in mode latest.
    feed: Rc<RefCell<Tap>>,
    dataflow: Option<usize>,
    sizes: Vec<Rc<Cell<usize>>>,
}

struct ViewState {
    view: Arc<View>,
    dataflow: usize,
    uses: BTreeSet<String>,
    /// Everything before is complete at this worker.
    upper: Rc<Cell<Time>>,
    created_at: Time,
    operators: Vec<String>,
    sizes: Vec<Rc<Cell<usize>>>,
    ward: Arc<Ward>,
    /// Its rows, for those that read it.
    tap: Rc<RefCell<Tap>>,
    share: Share,
}

/// Ticks a worker takes in before their outputs are complete.
const TICKS_OPEN_MAX: usize = 2;

/// A worker's own state beside the dataflows.
pub(crate) struct Local<'w> {
    worker: &'w mut Worker,
    shared: Shared,
    tables: BTreeMap<Arc<str>, TableState>,
    views: BTreeMap<Arc<str>, ViewState>,
    told: Time,
    open: VecDeque<Time>,
    seals: Rc<RefCell<Vec<Seal>>>,
    output: Sender<Output>,
    report: Arc<Mutex<Report>>,
    report_due: bool,
    busy: busy::Busy,
    /// What one arrangement or table may hold at this worker.
    bytes_max: usize,
}

impl<'w> Local<'w> {
    pub(crate) fn new(
        worker: &'w mut Worker,
        output: Sender<Output>,
        report: Arc<Mutex<Report>>,
        bytes_max: usize,
    ) -> Local<'w> {
        let bytes_max = bytes_max / worker.peers();
        let mut shared = Shared::default();
        let clock = Tap::new(&clock_schema(), 0).expect("a timestamp can be kept");
        shared.taps.insert(CLOCK.into(), Rc::new(RefCell::new(clock)));
        let mut local = Local {
            worker,
            shared,
            tables: BTreeMap::new(),
            views: BTreeMap::new(),
            told: 0,
            open: VecDeque::new(),
            seals: Rc::default(),
            output,
            report,
            report_due: true,
            busy: busy::Busy::default(),
            bytes_max,
        };
        local.set_clock(0);
        local
    }

    /// Replaces the row of the clock, which the first worker has.
    fn set_clock(&mut self, time: Time) {
        let mut tap = self.shared.taps[CLOCK].borrow_mut();
        if self.worker.index() > 0 {
            return tap.push(&[], &[], time + 1);
        }
        let row = |now: Time| {
            let now = TimestampMillisecondArray::from(vec![now as i64]).with_timezone("UTC");
            let columns: Vec<ArrayRef> = vec![Arc::new(now)];
            crate::state::batch_of(crate::render::nullable(&clock_schema()), columns, 1)
        };
        let mut changes = vec![Delta::inserts(time, row(time))];
        if time > 0 {
            changes.push(Delta { time, rows: row(self.told), diffs: vec![-1] });
        }
        tap.push(&changes, &[], time + 1);
    }

    /// Runs until told to stop, or until nobody can tell it anything any more.
    pub(crate) fn run(mut self, commands: &Receiver<Command>, broken: &AtomicBool) {
        loop {
            // What another worker left half done cannot be completed.
            if broken.load(Ordering::Relaxed) {
                return;
            }
            let mut idle = true;
            while self.open.len() < TICKS_OPEN_MAX {
                match commands.try_recv() {
                    Ok(Command::Shutdown) | Err(TryRecvError::Disconnected) => return self.finish(broken),
                    Ok(command) => self.apply(command),
                    Err(TryRecvError::Empty) => break,
                }
                idle = false;
            }
            if idle {
                self.worker.step_or_park(Some(Duration::from_millis(100)));
            } else {
                self.worker.step();
            }
            self.hand_over();
        }
    }

    fn apply(&mut self, command: Command) {
        crate::contain::fault(|| format!("worker {}", self.worker.index()));
        match command {
            Command::CreateTable(table) => self.create_table(table),
            Command::DropTable(name) => self.drop_table(&name),
            Command::CreateView(view, plan, ward) => self.create_view(view.name.clone(), view, &plan, ward),
            Command::CreateBeside(view, plan, ward) => {
                self.create_view(replace::beside(&view.name), view, &plan, ward)
            }
            Command::ReplaceView(name) => self.replace_view(&name),
            Command::DropBeside(name) => self.drop_view(&replace::beside(&name)),
            Command::DropView(name) => self.drop_view(&name),
            Command::Tick(time, rows) => self.tick(time, rows),
            Command::Count => self.busy.count(self.worker),
            Command::Shutdown => unreachable!("ends the loop"),
        }
        self.report_due = true;
    }

    fn create_table(&mut self, table: Arc<Table>) {
        let name = table.name.clone();
        let tap = Tap::new(&table.schema, self.told + 1).expect(CHECKED);
        let tap = Rc::new(RefCell::new(tap.growing(table.mode == Mode::Append)));
        self.shared.taps.insert(name.clone(), tap.clone());
        let (feed, dataflow, sizes) = match table.mode {
            Mode::Append | Mode::Changes { .. } => (tap, None, vec![]),
            Mode::Latest { .. } => {
                let raw = Rc::new(RefCell::new(
                    Tap::forgetful(&table.input_schema(), self.told + 1).expect(CHECKED),
                ));
                let dataflow = self.worker.next_dataflow_index();
                let (as_of, shared, feed, codec) =
                    (self.told, &mut self.shared, raw.clone(), Codec::new(&table.schema));
                let codec = codec.expect(CHECKED);
                let ward = Ward::new(format!("table {}", table.name), self.bytes_max);
                let sizes = self.worker.dataflow_named::<Time, _, _>(&table.name, |scope| {
                    let mut renderer = Renderer::new(scope, shared, as_of, &ward);
                    let (oks, errs) = (renderer.latest(&table, &feed), renderer.errs());
                    publish(oks, errs, codec, ward, move |upper, deltas, errs| {
                        tap.borrow_mut().push(&deltas, &errs, upper)
                    });
                    renderer.sizes
                });
                (raw, Some(dataflow), sizes)
            }
        };
        self.tables.insert(name, TableState { table, feed, dataflow, sizes });
    }

    fn drop_table(&mut self, name: &Arc<str>) {
        self.shared.taps.remove(name);
        if let Some(TableState { dataflow: Some(dataflow), .. }) = self.tables.remove(name) {
            self.worker.drop_dataflow(dataflow);
        }
    }

    /// Installs the arrangements that a plan's joins read, those below first.
    fn install_arrangements(&mut self, plan: &Plan) {
        plan.inputs().into_iter().for_each(|input| self.install_arrangements(input));
        let Plan::Join { left, right, on, null_equal, .. } = plan else { return };
        for index in [Index::left(left, on, *null_equal), Index::right(right, on, *null_equal)] {
            let fingerprint = index.fingerprint();
            // What changes with the rounds of a recursion is arranged inside its loop.
            if !index.plan.is_open() && !self.shared.arrangements.contains_key(&fingerprint) {
                let arrangement = self.arrange(&index);
                for used in &arrangement.uses {
                    let used = self.shared.arrangements.get_mut(used).expect("what is read is there");
                    used.users.insert(fingerprint.clone());
                }
                self.shared.arrangements.insert(fingerprint, arrangement);
            }
        }
    }

    fn arrange(&mut self, index: &Index) -> Arrangement {
        let dataflow = self.worker.next_dataflow_index();
        let (as_of, shared) = (self.told, &mut self.shared);
        let description = index.describe();
        let no_columns = Arc::new(arrow::datatypes::Schema::empty());
        let tap = Rc::new(RefCell::new(Tap::new(&no_columns, as_of).expect(CHECKED)));
        let (kept, codec) = (tap.clone(), Codec::new(&no_columns).expect(CHECKED));
        let ward = Ward::new(format!("the arrangement by {description}"), self.bytes_max);
        self.worker.dataflow_named::<Time, _, _>(&format!("Arrange {description}"), |scope| {
            let mut renderer = Renderer::new(scope, shared, as_of, &ward);
            let fed = Rc::default();
            let trace = renderer.arrange(index, &fed);
            let share = Share::new(&ward);
            let errs = renderer.errs();
            publish(renderer.nothing(), errs, codec, ward.clone(), move |upper, _, errs| {
                kept.borrow_mut().push(&[], &errs, upper)
            });
            Arrangement {
                trace,
                errs: tap,
                dataflow,
                users: BTreeSet::new(),
                uses: renderer.uses,
                operators: renderer.operators,
                sizes: renderer.sizes,
                description,
                share,
                fed,
                upper: 0,
            }
        })
    }

    /// By the name it has among the dataflows.
    fn create_view(&mut self, name: Arc<str>, view: Arc<View>, plan: &Plan, ward: Arc<Ward>) {
        self.install_arrangements(plan);
        let own = view.clone();
        let tap = Tap::new(&view.schema, self.told).expect(CHECKED);
        let tap = Rc::new(RefCell::new(tap.growing(self.shared.grows(plan))));
        let upper = Rc::new(Cell::new(0));
        let dataflow = self.worker.next_dataflow_index();
        let (as_of, shared) = (self.told, &mut self.shared);
        let (reached, seals, kept) = (upper.clone(), self.seals.clone(), tap.clone());
        let rows = tap.clone();
        let codec = Codec::new(&view.schema).expect(CHECKED);
        let state = self.worker.dataflow_named::<Time, _, _>(&name, |scope| {
            let mut renderer = Renderer::new(scope, shared, as_of, &ward);
            let (oks, errs) = (renderer.plan(plan), renderer.errs());
            publish(oks, errs, codec, ward.clone(), move |upper, changes, errs| {
                kept.borrow_mut().push(&changes, &errs, upper);
                reached.set(upper);
                seals.borrow_mut().push(Seal { view: view.clone(), upper, changes, errs });
            });
            let (uses, operators, sizes) = (renderer.uses, renderer.operators, renderer.sizes);
            let share = Share::new(&ward);
            ViewState {
                view: own,
                dataflow,
                uses,
                upper,
                created_at: as_of,
                operators,
                sizes,
                ward,
                tap: rows,
                share,
            }
        });
        for used in &state.uses {
            let used = self.shared.arrangements.get_mut(used).expect("what is read is there");
            used.users.insert(format!("view {name}"));
        }
        // A view by the name of a table shows its rows to readers; others go on to read the table.
        if !self.tables.contains_key(&name) {
            self.shared.taps.insert(name.clone(), tap);
        }
        self.views.insert(name, state);
        self.drop_unused();
    }

    fn drop_view(&mut self, name: &Arc<str>) {
        if !self.tables.contains_key(name) {
            self.shared.taps.remove(name);
        }
        if let Some(view) = self.views.remove(name) {
            self.worker.drop_dataflow(view.dataflow);
            self.seals.borrow_mut().retain(|seal| !Arc::ptr_eq(&seal.view, &view.view));
            let user = format!("view {name}");
            self.shared.arrangements.values_mut().for_each(|a| _ = a.users.remove(&user));
            self.drop_unused();
        }
    }

    /// Consumers go before what they read: an arrangement goes once nobody reads it, and then what it read itself.
    fn drop_unused(&mut self) {
        loop {
            let unused =
                self.shared.arrangements.iter().find(|(_, a)| a.users.is_empty()).map(|(f, _)| f.clone());
            let Some(fingerprint) = unused else { return };
            let Some(arrangement) = self.shared.arrangements.remove(&fingerprint) else { return };
            let dataflow = arrangement.dataflow;
            for used in &arrangement.uses {
                if let Some(used) = self.shared.arrangements.get_mut(used) {
                    used.users.remove(&fingerprint);
                }
            }
            drop(arrangement);
            self.worker.drop_dataflow(dataflow);
        }
    }

    fn tick(&mut self, time: Time, rows: Vec<(Arc<str>, RecordBatch)>) {
        let mut by_table: BTreeMap<Arc<str>, Vec<Delta>> = BTreeMap::new();
        for (name, rows) in rows {
            let table = &self.tables.get(&name).expect("fed tables are declared").table;
            let mut columns: Vec<_> = rows.columns().iter().cloned().map(crate::render::one_zero).collect();
            let (diffs, schema) = match table.mode {
                Mode::Changes { .. } => {
                    let diffs = columns.pop().expect("the input schema ends in __diff");
                    (diffs.as_primitive::<Int64Type>().values().to_vec(), table.schema.clone())
                }
                Mode::Append | Mode::Latest { .. } => (vec![1; rows.num_rows()], table.input_schema()),
            };
            let schema = crate::render::nullable(&schema);
            let rows = crate::state::batch_of(schema, columns, diffs.len());
            by_table.entry(name).or_default().push(Delta { time, rows, diffs });
        }
        for (name, table) in &self.tables {
            let deltas = by_table.remove(name).unwrap_or_default();
            table.feed.borrow_mut().push(&deltas, &[], time + 1);
        }
        self.set_clock(time);
        self.told = time;
        self.open.push_back(time);
        self.compact();
    }

    /// History that nobody can ask for any more may be forgotten; what is held is counted.
    fn compact(&mut self) {
        for view in self.views.values_mut() {
            if view.ward.stopped().is_some() && view.tap.borrow().rows() > 0 {
                view.tap.borrow_mut().forget();
            }
            view.share.set(view.tap.borrow().bytes());
        }
        for arrangement in self.shared.arrangements.values_mut() {
            let mut updates = 0;
            arrangement.trace.clone().map_batches(|batch| updates += batch.updates);
            arrangement.share.set(updates * UPDATE_BYTES);
            let mut upper = Antichain::new();
            arrangement.trace.read_upper(&mut upper);
            let upper = upper.first().copied().unwrap_or(self.told);
            if upper > std::mem::replace(&mut arrangement.upper, upper) {
                arrangement.fed.set(0);
            }
            let frontier = Antichain::from_elem(upper.min(self.told));
            arrangement.trace.set_logical_compaction(frontier.borrow());
            arrangement.trace.set_physical_compaction(frontier.borrow());
        }
    }

    /// Gives complete changes out. A view that is still being built holds nobody back.
    fn hand_over(&mut self) {
        let built = self.views.values().filter(|v| v.created_at == 0 || v.upper.get() > v.created_at);
        let upper = built.map(|v| v.upper.get()).min().unwrap_or(Time::MAX);
        let mut moved = false;
        while self.open.front().is_some_and(|time| *time < upper) {
            self.open.pop_front();
            moved = true;
        }
        let seals = std::mem::take(&mut *self.seals.borrow_mut());
        if moved || !seals.is_empty() {
            let output = Output { worker: self.worker.index(), told: self.told, seals, failure: None };
            // Nobody listens any more only when the process ends.
            _ = self.output.send(output);
        }
        if self.report_due && self.open.is_empty() {
            self.report_due = false;
            self.write_report();
        }
    }

    fn write_report(&self) {
        let sum = |sizes: &[Rc<Cell<usize>>]| sizes.iter().map(|s| s.get()).sum::<usize>();
        let mut report = Report::default();
        let short = |fingerprint: &String| match self.shared.arrangements.get(fingerprint) {
            Some(arrangement) => arrangement.description.clone(),
            None => fingerprint.clone(),
        };
        for (name, view) in &self.views {
            let entry = DataflowReport {
                description: format!("view {name}"),
                operators: view.operators.clone(),
                state_rows: sum(&view.sizes),
                state_bytes: view.ward.bytes(),
                uses: view.uses.iter().cloned().collect(),
                users: vec![],
                busy: self.busy.seconds(view.dataflow),
            };
            report.dataflows.insert(format!("view {name}"), entry);
        }
        for (fingerprint, arrangement) in &self.shared.arrangements {
            let mut rows = 0;
            arrangement.trace.clone().map_batches(|batch| rows += batch.updates);
            let entry = DataflowReport {
                description: arrangement.description.clone(),
                operators: arrangement.operators.clone(),
                state_rows: rows + sum(&arrangement.sizes),
                state_bytes: rows * UPDATE_BYTES,
                uses: arrangement.uses.iter().cloned().collect(),
                users: arrangement.users.iter().map(short).collect(),
                busy: self.busy.seconds(arrangement.dataflow),
            };
            report.dataflows.insert(fingerprint.clone(), entry);
        }
        for (name, table) in &self.tables {
            let entry = DataflowReport {
                description: format!("table {name}"),
                state_rows: sum(&table.sizes),
                busy: table.dataflow.map_or(0.0, |dataflow| self.busy.seconds(dataflow)),
                ..DataflowReport::default()
            };
            report.dataflows.insert(format!("table {name}"), entry);
        }
        let taps = self.shared.taps.iter().filter(|(name, _)| &***name != CLOCK);
        report.tap_rows = taps.map(|(name, tap)| (name.clone(), tap.borrow().rows())).collect();
        *self.report.lock().unwrap_or_else(|e| e.into_inner()) = report;
    }

    /// Completes what was told, then lets everything go, consumers first.
    fn finish(mut self, broken: &AtomicBool) {
        let broken = || broken.load(Ordering::Relaxed);
        while !broken() && self.views.values().any(|view| view.upper.get() <= self.told) {
            self.worker.step_or_park(Some(Duration::from_millis(1)));
            self.hand_over();
        }
        self.write_report();
        let views: Vec<Arc<str>> = self.views.keys().cloned().collect();
        views.iter().for_each(|name| self.drop_view(name));
        let tables: Vec<Arc<str>> = self.tables.keys().cloned().collect();
        tables.iter().for_each(|name| self.drop_table(name));
    }
}

const CHECKED: &str = "checked by Engine::check before it was sent to the workers";
