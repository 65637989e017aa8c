//! What a sandbox is: one virtual machine with a desktop, its states, what may be asked of it and when.
//!
//! Drivers implement the traits here; the supervisor uses them and knows no hypervisor. The crate links none,
//! spawns no process and knows nothing of tasks, agents or what is said on the guest channel.

mod build;
mod checkpoint;
mod disk;
mod driver;
mod state;

pub use build::TemplateBuild;
pub use checkpoint::{
    AfterSave, CheckpointError, CheckpointFacts, Checkpoints, Generation, RestoreRequest, SaveRequest,
};
pub use disk::{DiskUse, Hold, Stall, Written};
pub use driver::{
    Acceleration, BootRequest, ByteStream, CheckpointMemory, CloneRequest, DisplayEndpoint, Driver,
    DriverReport, Expendable, FreezeError, Image, Machine, MachineSize, Remedy, StartError, Template,
    TemplateKey,
};
pub use state::{EndReason, MachineEvent, MachineState, RequestDenied};
