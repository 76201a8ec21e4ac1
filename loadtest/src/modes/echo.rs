use crate::cli::Echo; use crate::report::Report; use crate::session::RunError;
pub fn run(_o: Echo) -> Result<Report, RunError> { unimplemented!() }
