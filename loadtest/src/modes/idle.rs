use crate::cli::Idle; use crate::report::Report; use crate::session::RunError;
pub fn run(_o: Idle) -> Result<Report, RunError> { unimplemented!() }
