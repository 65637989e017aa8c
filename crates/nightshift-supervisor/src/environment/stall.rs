//! A machine that stands still because of the disk while it is set up: the log says so, and it is waited for.

use std::sync::Arc;
use std::time::Duration;

use nightshift_protocol::UserError;
use nightshift_sandbox::{Hold, Machine, Stall};

use super::log::Log;
use crate::doctor::LEAST_FREE_MIB;
use crate::trouble;

/// How often it is looked whether it goes on.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a machine that stands still takes to say so.
const SAID_WITHIN: Duration = Duration::from_millis(300);

/// Why a machine stands still now, if it does.
pub(super) async fn standing(machine: &Arc<dyn Machine>) -> Option<Stall> {
    tokio::time::timeout(SAID_WITHIN, machine.stalled()).await.ok()
}

/// Waits until a machine goes on that stands still because the disk is full, or nearly so.
///
/// # Errors
///
/// When no room on the disk lets it go on: it wrote as much as it may.
pub(super) async fn wait_for_room(
    log: &Log,
    machine: &Arc<dyn Machine>,
    stall: Stall,
) -> Result<(), UserError> {
    refuse_quota(&stall)?;
    log.line(&format!("waiting: {}", trouble::stalled(&stall))).await;
    while let Some(stall) = standing(machine).await {
        // It may have gone on meanwhile and have written the rest.
        refuse_quota(&stall)?;
        // Whoever held it lets it go on; one that stopped at a write waits for this.
        if stall.held.is_none()
            && stall.free_mib.is_some_and(|free| free >= LEAST_FREE_MIB)
            && let Err(error) = machine.go_on().await
        {
            tracing::warn!(sandbox = %machine.sandbox(), %error, "a machine that stood still does not go on");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    log.line("there is room on the disk; it goes on").await;
    Ok(())
}

/// Fails when no room on the disk lets a machine go on.
fn refuse_quota(stall: &Stall) -> Result<(), UserError> {
    if !matches!(stall.held, Some(Hold::Quota { .. })) {
        return Ok(());
    }
    let hint = "`nightshift environment retry` lets it write as much again; disk.sandbox_mib in the configuration is \
                the limit.";
    Err(UserError { hint: hint.to_owned(), ..trouble::stalled(stall) })
}
