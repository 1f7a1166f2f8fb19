//! Loads the files of `--replay` before the server is ready.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use super::lock;
use crate::{pipeline::Pipeline, replay};

/// Events pushed at once; small, so that readers are never far behind.
const BATCH: usize = 1024;

/// Loads all files. One file keeps its order; several are merged by time.
pub(super) async fn load(files: &[PathBuf], pipeline: &Arc<Mutex<Pipeline>>) -> anyhow::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let (files, pipeline) = (files.to_vec(), Arc::clone(pipeline));
    tokio::task::spawn_blocking(move || load_all(&files, &mut lock(&pipeline))).await?
}

fn load_all(files: &[PathBuf], pipeline: &mut Pipeline) -> anyhow::Result<()> {
    let mut events = Vec::new();
    let merge = files.len() > 1;
    for path in files {
        let origin = pipeline.origin().clone();
        let identities = pipeline.identities();
        let mut interners = std::mem::take(&mut pipeline.interners);
        let mut context = replay::Context {
            interners: &mut interners,
            node: &origin,
            resolve: &mut |address| identities.resolve(address).clone(),
        };
        let report = replay::load_in(path, &mut context, &mut |event| {
            events.push(event);
            if !merge && events.len() == BATCH {
                pipeline.push(&mut events);
            }
        });
        pipeline.interners = interners;
        tell(&report?);
    }
    if merge {
        events.sort_by_key(crate::store::Event::time);
    }
    pipeline.push(&mut events);
    Ok(())
}

fn tell(report: &replay::Report) {
    for problem in &report.problems {
        tracing::warn!(
            file = %report.path.display(),
            number = problem.number,
            cause = problem.cause.name(),
            "not replayed: {}", problem.text
        );
    }
    tracing::info!(
        file = %report.path.display(),
        loaded = report.loaded,
        rejected = report.rejected,
        skipped = report.skipped,
        causes = ?report.causes,
        "replayed"
    );
}
