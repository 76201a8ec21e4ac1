//! Owns which CPUs get a shard: what `cores` may say, and how that is matched with the CPUs the process may use. It
//! does not ask the kernel which those are.

use std::fmt;

/// The CPUs that get a shard each.
///
/// ```
/// use dormouse::server::config::{Config, Cores};
///
/// let config = Config { cores: Cores::List(vec![2, 3]), ..Config::default() };
/// assert_eq!(config.cores.to_string(), "2,3");
/// assert_eq!(Cores::All.choose(&[0, 1]), Ok(vec![0, 1]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cores {
    /// That many of the CPUs the process may use, lowest numbers first.
    Count(usize),
    /// Exactly these CPUs.
    List(Vec<usize>),
    /// All CPUs the process may use.
    All,
}

/// `cores` asks for more than the process may use.
///
/// ```
/// use dormouse::server::config::Cores;
///
/// let refused = Cores::Count(4).choose(&[0, 1]).unwrap_err();
/// assert_eq!(refused.allowed, [0, 1]);
/// assert_eq!(refused.to_string(), "at most 2 CPUs, of those this process may use: 0,1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoresUnavailable {
    /// The CPUs that the process may use, ascending.
    pub allowed: Vec<usize>,
}

impl Cores {
    /// The CPUs to pin shards to, in order, given those that the process may use (its affinity mask, ascending).
    ///
    /// A list that names a CPU twice is refused when the config is read, so the answer has no duplicates.
    ///
    /// # Errors
    /// A count of more CPUs than those, or a list with another.
    ///
    /// ```
    /// # use dormouse::server::config::Cores;
    /// assert_eq!(Cores::Count(2).choose(&[0, 1, 4]), Ok(vec![0, 1]));
    /// assert!(Cores::List(vec![2]).choose(&[0, 1, 4]).is_err());
    /// ```
    pub fn choose(&self, allowed: &[usize]) -> Result<Vec<usize>, CoresUnavailable> {
        let unavailable = || CoresUnavailable { allowed: allowed.to_vec() };
        match self {
            Self::All => Ok(allowed.to_vec()),
            Self::Count(count) => allowed.get(..*count).map(<[usize]>::to_vec).ok_or_else(unavailable),
            Self::List(list) if list.iter().all(|core| allowed.contains(core)) => Ok(list.clone()),
            Self::List(_) => Err(unavailable()),
        }
    }
}

/// As `--cores` takes it: `2`, `0,1` or `all`. A list of one CPU has a trailing comma, which tells it from a count.
impl fmt::Display for Cores {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(out, "{count}"),
            Self::List(list) if list.len() == 1 => write!(out, "{},", list[0]),
            Self::List(list) => {
                let list: Vec<_> = list.iter().map(usize::to_string).collect();
                out.write_str(&list.join(","))
            }
            Self::All => out.write_str("all"),
        }
    }
}

/// Says what is allowed, to stand after "must be".
impl fmt::Display for CoresUnavailable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<_> = self.allowed.iter().map(usize::to_string).collect();
        write!(out, "at most {} CPUs, of those this process may use: {}", list.len(), list.join(","))
    }
}

impl std::error::Error for CoresUnavailable {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_takes_the_lowest_allowed_cpus() {
        assert_eq!(Cores::Count(2).choose(&[3, 5, 9]), Ok(vec![3, 5]));
        assert_eq!(Cores::All.choose(&[3, 5]), Ok(vec![3, 5]));
    }

    #[test]
    fn a_list_is_taken_in_its_own_order() {
        assert_eq!(Cores::List(vec![9, 3]).choose(&[3, 5, 9]), Ok(vec![9, 3]));
    }

    #[test]
    fn more_than_the_machine_has_is_refused_and_names_what_there_is() {
        let refused = Cores::Count(4).choose(&[0, 1]).unwrap_err();
        assert_eq!(refused.to_string(), "at most 2 CPUs, of those this process may use: 0,1");
        assert!(Cores::List(vec![0, 7]).choose(&[0, 1]).is_err());
    }
}
