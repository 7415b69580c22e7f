//! `Watched`: an operator of a running query that looks at the clock for each batch, so that no loop between operators outlives the
//! query's time; `Stop`: the wish to end it before.
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

/// What an operator says when time is up.
pub(super) const TIME_IS_UP: &str = "time is up";

/// What an operator says when nobody wants its rows any more.
pub(super) const STOPPED: &str = "nobody waits for the answer";

/// The wish that a statement ends; its clones are one wish.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Wishes it.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is wished.
    pub fn is_wished(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The same plan, each operator of which ends at a moment, or when it is wished.
pub(super) fn watched(
    plan: Arc<dyn ExecutionPlan>,
    until: Instant,
    stop: &Stop,
) -> Result<Arc<dyn ExecutionPlan>> {
    let wrap = |input| {
        let watched = Watched { input, until, stop: stop.clone() };
        Ok(Transformed::yes(Arc::new(watched) as Arc<dyn ExecutionPlan>))
    };
    plan.transform_up(wrap).data()
}

#[derive(Debug)]
struct Watched {
    input: Arc<dyn ExecutionPlan>,
    until: Instant,
    stop: Stop,
}

impl DisplayAs for Watched {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

impl ExecutionPlan for Watched {
    fn name(&self) -> &str {
        "Watched"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Watched { input: children.swap_remove(0), until: self.until, stop: self.stop.clone() }))
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Watched { input: children.swap_remove(0), until: self.until, stop: self.stop.clone() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(Timed { input, until: self.until, stop: self.stop.clone() }))
    }
}

struct Timed {
    input: SendableRecordBatchStream,
    until: Instant,
    stop: Stop,
}

impl Stream for Timed {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.stop.is_wished() {
            return Poll::Ready(Some(Err(DataFusionError::Execution(STOPPED.into()))));
        }
        if Instant::now() >= self.until {
            return Poll::Ready(Some(Err(DataFusionError::Execution(TIME_IS_UP.into()))));
        }
        self.input.poll_next_unpin(context)
    }
}

impl RecordBatchStream for Timed {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
