//! `Order`: what an engine is told, as one process tells it another.
use super::Handle;
use crate::ward::Ward;
use crate::worker::Command;
use crate::{Plan, Table, Time, View};
use arrow::array::RecordBatch;
use std::sync::Arc;

/// Batches, each with the table it is for.
pub type Fed = Vec<(Arc<str>, RecordBatch)>;

/// What an engine is told. All workers of all processes are told the same in the same order.
#[derive(Clone, Debug)]
pub enum Order {
    /// Nothing for the workers: a text for those who take orders in other processes.
    Note(Arc<str>),
    /// A table comes.
    CreateTable(Arc<Table>),
    /// A table goes.
    DropTable(Arc<str>),
    /// A view comes.
    CreateView(Arc<View>, Arc<Plan>),
    /// A view goes.
    DropView(Arc<str>),
    /// A new version of a view comes beside the old one.
    CreateBeside(Arc<View>, Arc<Plan>),
    /// The new version takes the old one's place.
    ReplaceView(Arc<str>),
    /// The new version goes.
    DropBeside(Arc<str>),
    /// A tick ends, with the rows of each worker of the process that is told.
    Tick(Time, Vec<Fed>),
    /// All is told.
    Shutdown,
}

impl Order {
    /// What the workers of this process do for it.
    pub(super) fn tell(self, workers: &[Handle], bytes_max: usize) {
        let all = |command: &dyn Fn() -> Command| workers.iter().for_each(|worker| worker.tell(command()));
        let ward = |view: &View| Ward::new(format!("view {}", view.name), bytes_max);
        match self {
            Order::Note(_) => {}
            Order::CreateTable(table) => all(&|| Command::CreateTable(table.clone())),
            Order::DropTable(name) => all(&|| Command::DropTable(name.clone())),
            Order::CreateView(view, plan) => {
                let ward = ward(&view);
                all(&|| Command::CreateView(view.clone(), plan.clone(), ward.clone()));
            }
            Order::DropView(name) => all(&|| Command::DropView(name.clone())),
            Order::CreateBeside(view, plan) => {
                let ward = ward(&view);
                all(&|| Command::CreateBeside(view.clone(), plan.clone(), ward.clone()));
            }
            Order::ReplaceView(name) => all(&|| Command::ReplaceView(name.clone())),
            Order::DropBeside(name) => all(&|| Command::DropBeside(name.clone())),
            Order::Tick(time, shares) => {
                let shares = shares.into_iter().chain(std::iter::repeat(vec![]));
                workers.iter().zip(shares).for_each(|(worker, rows)| worker.tell(Command::Tick(time, rows)));
            }
            Order::Shutdown => all(&|| Command::Shutdown),
        }
    }
}
