//! `Watched`: an operator of a running query that looks at the clock for each batch, so that no loop between operators outlives the
//! query's time.
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
use std::task::{Context, Poll};
use std::time::Instant;

/// What an operator says when time is up.
pub(super) const TIME_IS_UP: &str = "time is up";

/// The same plan, each operator of which ends at a moment.
pub(super) fn watched(plan: Arc<dyn ExecutionPlan>, until: Instant) -> Result<Arc<dyn ExecutionPlan>> {
    let wrap = |input| Ok(Transformed::yes(Arc::new(Watched { input, until }) as Arc<dyn ExecutionPlan>));
    plan.transform_up(wrap).data()
}

#[derive(Debug)]
struct Watched {
    input: Arc<dyn ExecutionPlan>,
    until: Instant,
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
        Ok(Arc::new(Watched { input: children.swap_remove(0), until: self.until }))
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Watched { input: children.swap_remove(0), until: self.until }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(Timed { input, until: self.until }))
    }
}

struct Timed {
    input: SendableRecordBatchStream,
    until: Instant,
}

impl Stream for Timed {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
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
