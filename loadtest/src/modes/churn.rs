use crate::cli::Churn; use crate::report::Report; use crate::session::RunError;
pub fn run(_o: Churn) -> Result<Report, RunError> { unimplemented!() }
